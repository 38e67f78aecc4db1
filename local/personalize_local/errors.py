"""Errors in the shapes Amazon Personalize gives them.

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
    """Refuse a bad value, or a parent that is in the wrong state."""
    return ApiError("InvalidInputException", message)


def not_found(arn: str) -> ApiError:
    """Refuse an ARN nothing answers to in this account and region."""
    return ApiError("ResourceNotFoundException", f"Could not find the resource with Arn {arn}.")


def already_exists(arn: str) -> ApiError:
    """Refuse a name that is taken, in the service's own words."""
    return ApiError("ResourceAlreadyExistsException", f"Another resource with Arn {arn} already exists.")


def in_use(message: str) -> ApiError:
    """Refuse because dependants exist or something is in progress."""
    return ApiError("ResourceInUseException", message)


def limit_exceeded(message: str) -> ApiError:
    """Refuse because a quota is used up."""
    return ApiError("LimitExceededException", message)


def invalid_next_token() -> ApiError:
    """Refuse a paging token that this list did not give out."""
    return ApiError("InvalidNextTokenException", "The token is not valid.")


def too_many_tags(message: str) -> ApiError:
    """Refuse more tags than a resource may carry."""
    return ApiError("TooManyTagsException", message)


def not_built(what: str) -> ApiError:
    """Say plainly that the real service has this and the local one does not (yet): HTTP 501.

    501 is a status that no botocore retry mode repeats.
    """
    return ApiError(
        "NotImplementedException", f"personalize_local does not build {what} yet.", http_status=501
    )
