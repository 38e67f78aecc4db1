"""Tell which errors of AWS calls no retry can help, the same for every service."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigNotFound,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from airflow_personalize.errors import PersonalizeRetriableError

# Errors about the connection; nothing was sent to AWS.
_SETUP_ERRORS = (
    ConfigNotFound,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
# Codes of statuses 400 to 499 that a later call may not meet; every other code of those statuses is final.
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
# https://github.com/boto/botocore/blob/develop/botocore/retries/standard.py
_PASSING_CODES = frozenset({
    "BadDigest", "BandwidthLimitExceeded", "ConditionalRequestConflict", "EC2ThrottledException", "IncompleteBody",
    "InvalidNextTokenException", "LimitExceededException", "NoSuchUpload", "OperationAborted", "PreconditionFailed",
    "PriorRequestNotComplete", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled",
    "RequestThrottledException", "RequestTimeout", "RequestTimeoutException", "RequestTimeTooSkewed",
    "ResourceInUseException", "SlowDown", "Throttling", "ThrottlingException", "ThrottledException",
    "TooManyRequestsException", "TransactionInProgressException", "XAmzContentSHA256Mismatch",
})  # fmt: skip
# HEAD has no body: botocore then gives the status as the code.
_PASSING_STATUSES = frozenset({408, 409, 412, 429})
_CREDENTIAL_CODES = frozenset({
    "AuthFailure", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidAccessKeyId",
    "InvalidClientTokenId", "InvalidSignatureException", "InvalidToken", "MissingAuthenticationTokenException",
    "SignatureDoesNotMatch", "UnrecognizedClientException",
})  # fmt: skip


def error_code(error: ClientError) -> str:
    """Return the service's code of an error, e.g. ``LimitExceededException``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_code(error: ClientError) -> int:
    """Return the HTTP status of an error; 0 when it has none."""
    code = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return int(code or (error_code(error) if error_code(error).isdigit() else 0))


def is_permanent(error: BaseException) -> bool:
    """Tell whether the same call would fail in the same way again."""
    if isinstance(error, ClientError):
        if error_code(error) in _CREDENTIAL_CODES:
            return True
        status = status_code(error)
        return (
            400 <= status < 500
            and status not in _PASSING_STATUSES
            and error_code(error) not in _PASSING_CODES
            and "Throttl" not in error_code(error)
        )
    return isinstance(error, (ParamValidationError, *_SETUP_ERRORS))


def may_pass(error: BaseException) -> bool:
    """Tell whether the same call may succeed a little later: the service is busy, or was not reached."""
    if isinstance(error, (ClientError, BotoCoreError)):
        return not is_permanent(error)
    return isinstance(error, PersonalizeRetriableError)


def refusal(
    action: str, error: BaseException, *, conn_id: str | None, remedy: str | None = None
) -> str | None:
    """Say what happened and what to do about an error that no retry can help; None for any other error.

    :param action: the operation that failed, e.g. ``list dataset groups`` or ``read s3://bucket/key``.
    :param conn_id: Airflow connection that the call used.
    :param remedy: what to do when the request was refused. Default: correct the request or the role's permissions.
    """
    if not is_permanent(error):
        return None
    if isinstance(error, ParamValidationError):
        return f"Cannot {action}: {error} Correct the task's parameters."
    connection = conn_id or "aws_default"
    advice = f"Correct the Airflow connection {connection} (AIRFLOW_CONN_{connection.upper()})"
    if isinstance(error, _SETUP_ERRORS):
        return (
            f"Cannot {action}: {str(error).rstrip('.')}. {advice}: give it a key and a region, or run where a role "
            "provides them."
        )
    if isinstance(error, ClientError):
        if error_code(error) in _CREDENTIAL_CODES:
            return f"Cannot {action}: {_told(error)} {advice}."
        remedy = (
            remedy or f"Correct what it names, or give the role of connection {connection} the permission."
        )
        return f"Cannot {action}: {_told(error)} {remedy}"
    return f"Cannot {action}: {error}. {advice}."


def _told(error: ClientError) -> str:
    message = str(error.response.get("Error", {}).get("Message", "")).rstrip(".")
    return f"{error_code(error)}: {message}." if message else f"{error_code(error)}."
