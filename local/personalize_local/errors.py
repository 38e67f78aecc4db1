"""Define the errors of Amazon Personalize.

`ApiError` ends a request; `JobFailed` ends a job in `CREATE FAILED`.
API: https://docs.aws.amazon.com/personalize/latest/dg/CommonErrors.html
"""

from __future__ import annotations


class ApiError(Exception):
    """End the request with an AWS error: a code for `__type`, a message and an HTTP status (default 400)."""

    def __init__(self, code: str, message: str, http_status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.http_status = http_status


class JobFailed(Exception):  # ruff: ignore[error-suffix-on-exception-name] - named after the state it leads to, not after an error class
    """End a job in `CREATE FAILED`; the text becomes its `failureReason`."""


def invalid_input(message: str) -> ApiError:
    """Refuse an invalid value, or a parent in the wrong state."""
    return ApiError("InvalidInputException", message)


def not_found(arn: str) -> ApiError:
    """Refuse an ARN that does not exist in this account and region."""
    return ApiError("ResourceNotFoundException", f"Could not find the resource with Arn {arn}.")


def already_exists(arn: str) -> ApiError:
    """Refuse a name that is in use, with the service's message."""
    return ApiError("ResourceAlreadyExistsException", f"Another resource with Arn {arn} already exists.")


def in_use(message: str) -> ApiError:
    """Refuse because dependent resources exist or a job is in progress."""
    return ApiError("ResourceInUseException", message)


def limit_exceeded(message: str) -> ApiError:
    """Refuse because a quota is used up."""
    return ApiError("LimitExceededException", message)


def invalid_next_token() -> ApiError:
    """Refuse a paging token of another list."""
    return ApiError("InvalidNextTokenException", "The token is not valid.")


def too_many_tags(message: str) -> ApiError:
    """Refuse more tags than a resource may carry."""
    return ApiError("TooManyTagsException", message)


def not_built(what: str) -> ApiError:
    """Refuse a feature of the real service that is not implemented locally: HTTP 501.

    botocore does not retry 501 in any retry mode.
    """
    return ApiError(
        "NotImplementedException", f"personalize_local does not build {what} yet.", http_status=501
    )
