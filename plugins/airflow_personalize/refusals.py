"""Turn refusals and failures of AWS calls into errors of this package: can a retry help, and what to do."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

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

from airflow_personalize.errors import (
    PersonalizeError,
    PersonalizeFatalError,
    PersonalizeRetriableError,
    QuotaFullError,
)
from airflow_personalize.resource import Resource, Wait

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
    """True if a retry of the same call would fail again."""
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
    """True if the same call may succeed later: the service was busy or not reached."""
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


# A small import or batch job was seen to take 4 to 13 minutes, so a slot frees up in about that time.
QUOTA_RETRY_SECONDS = 300.0

# Words of LimitExceededException about jobs in progress, or about the request rate, for any resource:
# "More than 5 resources with PENDING or IN_PROGRESS status."
_PASSING_LIMITS = ("pending", "in_progress", "in progress", "rate exceeded", "too many requests")
# AWS's own projects report this refusal of an UPDATE; the guide does not name it.
_UNCHANGED = "There should be updates to at least one dataset"
_UNCHANGED_ADVICE = (
    "Nothing is to be renewed: the next run with new rows trains, or train_full does. Clear nothing."
)
_FATAL_ADVICE = {
    "AccessDeniedException": "Allow the action to the identity of the AWS connection "
    "(and iam:PassRole on the role it passes).",
    "InvalidInputException": "Correct the parameter the message names.",
    "ResourceAlreadyExistsException": "Choose another name, or remove the one there is.",
    "ResourceNotFoundException": "Create what the request refers to first, or correct its ARN.",
    "TooManyTagKeysException": "Name fewer tags at a time.",
    "TooManyTagsException": "Remove some tags.",
    "ValidationException": "Correct the parameter the message names.",
}


@contextmanager
def personalize_errors(
    action: str, resource: Resource | None, *, conn_id: str | None = None
) -> Generator[None]:
    """Raise the service's refusals as errors of this package; what botocore may still retry passes unchanged.

    :param action: the operation, for the message, e.g. ``create filter 'not-bought'``.
    :param resource: kind of resource that LimitExceededException counts; None when unknown.
    :param conn_id: Airflow connection of the call, for the message.
    :raises PersonalizeFatalError: wrong input, missing rights, missing parent, no credentials, a quota of what
        stays until it is deleted.
    :raises QuotaFullError: as many jobs run as the account may have.
    :raises PersonalizeRetriableError: too many requests, or a parent is busy.
    """
    try:
        yield
    except ClientError as error:
        raise (_translated(action, resource, error, conn_id) or error) from error
    except BotoCoreError as error:
        raise (_fatal(action, error, conn_id=conn_id) or error) from error


def _translated(
    action: str, resource: Resource | None, error: ClientError, conn_id: str | None
) -> PersonalizeError | None:
    code = error_code(error)
    message = str(error.response.get("Error", {}).get("Message", ""))
    refused = f"Cannot {action}: {code}: {message}"
    if code == "LimitExceededException":
        return _limit_exceeded(refused, message, resource)
    if code == "ResourceInUseException":
        return PersonalizeRetriableError(
            f"{refused} Something it depends on, or that depends on it, is there or being changed; the task's "
            "retry tries again.",
            retry_after_seconds=QUOTA_RETRY_SECONDS,
        )
    remedy = _UNCHANGED_ADVICE if _UNCHANGED in message else _FATAL_ADVICE.get(code)
    return _fatal(action, error, conn_id=conn_id, remedy=remedy)


def _fatal(
    action: str, error: BaseException, *, conn_id: str | None, remedy: str | None = None
) -> PersonalizeFatalError | None:
    text = refusal(action, error, conn_id=conn_id, remedy=remedy)
    return PersonalizeFatalError(text) if text else None


def _limit_exceeded(refused: str, message: str, resource: Resource | None) -> PersonalizeError:
    """Tell apart the three uses of LimitExceededException: running jobs, resources that stay, and the request rate.

    https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    """
    quota = resource.quota if resource else "not published"
    if any(words in message.casefold() for words in _PASSING_LIMITS) or (resource and resource.single_use):
        return QuotaFullError(
            f"{refused} The quota is {quota}. A retry succeeds once a running one ends; schedules at other times, "
            "or a higher quota from AWS, avoid the wait.",
            retry_after_seconds=QUOTA_RETRY_SECONDS,
        )
    if resource is None:
        return PersonalizeRetriableError(
            f"{refused} A retry tries again.", retry_after_seconds=QUOTA_RETRY_SECONDS
        )
    return PersonalizeFatalError(
        f"{refused} The quota is {quota}. Delete {resource.noun}s that nothing uses, or ask AWS for a higher quota; "
        "then clear the task."
    )


def ended_badly(resource: Resource, arn: str, description: Mapping[str, Any]) -> str:
    """Say that a resource ended as failed or stopped, why, and what to do."""
    reason = description.get("failureReason") or "the service gave no reason"
    advice = (
        "Mend the cause and retry the task: this name is used up, so the retry takes the next suffix."
        if resource.single_use
        else f"Mend the cause, delete this {resource.noun} and retry the task."
    )
    status = str(description.get("status"))
    return f"{resource.noun} {arn} ended as {status}: {str(reason).rstrip('.')}. {advice}"


def update_failed(resource: Resource, arn: str, update: Mapping[str, Any]) -> str:
    """Write the error of a failed update: the reason, and what stays in force."""
    reason = str(update.get("failureReason") or "the service gave no reason").rstrip(".")
    return (
        f"The update of {resource.noun} {arn} ended as {update.get('status')}: {reason}. What was in force "
        "before is still in force. Mend the cause and retry the task: the retry asks for the update again."
    )


def failure(wait: Wait, arn: str, found: Mapping[str, Any]) -> str:
    """Say how a wait failed, from the part of the description it is about."""
    told = update_failed if wait.path != wait.resource.member else ended_badly
    return told(wait.resource, arn, found)


def wait_error(wait: Wait, arn: str, error: Exception) -> PersonalizeFatalError | PersonalizeRetriableError:
    """Translate the end of an unsuccessful wait, the same for the worker and the triggerer."""
    # Imported here, because S3 is also read where no Airflow is installed (services/recommendations).
    from airflow.providers.amazon.aws.exceptions import WaiterMaxAttemptsError, WaiterTerminalFailure

    resource = wait.resource
    if isinstance(error, WaiterTerminalFailure):
        return PersonalizeRetriableError(failure(wait, arn, wait.watched(error.last_response)))
    if isinstance(error, WaiterMaxAttemptsError):
        return PersonalizeRetriableError(
            f"{resource.noun} {arn} was not {wait.outcome} within the polls allowed. It goes on running: the "
            f"task's retry waits for it again. Raise waiter_max_attempts if it needs longer. ({error})"
        )
    # waiter_with_logging raises a refused poll as bare text; the answer hangs on the botocore error under it.
    answer: Any = getattr(error.__context__, "last_response", None) or {}
    cause = ClientError(answer, "Describe") if "Error" in answer else error
    advice = _FATAL_ADVICE.get(error_code(cause)) if isinstance(cause, ClientError) else None
    if refused := _fatal(f"watch {resource.noun} {arn}", cause, conn_id=None, remedy=advice):
        return refused
    return PersonalizeRetriableError(
        f"Lost sight of {resource.noun} {arn}: {answer.get('Error') or error}. It goes on running: the task's retry "
        "waits for it again."
    )
