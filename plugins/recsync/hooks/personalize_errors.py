"""Turn what Amazon Personalize refuses or fails into recsync's errors: class and advice in one place."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.providers.amazon.aws.exceptions import WaiterMaxAttemptsError, WaiterTerminalFailure
from botocore.exceptions import ClientError, ParamValidationError

from recsync.errors import FatalError, RecsyncError, RetriableError
from recsync.hooks.personalize_resource import Resource, Wait

# A small import or batch job was seen to take 4 to 13 minutes, so a slot frees up in about that time.
QUOTA_RETRY_SECONDS = 300.0

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


def error_code(error: ClientError) -> str:
    """Return the service's code of an error, e.g. ``LimitExceededException``."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def personalize_errors(action: str, resource: Resource | None) -> Generator[None]:
    """Raise the service's refusals as recsync's errors; what botocore may still retry passes unchanged.

    :param action: what was tried, for the message, e.g. ``create filter 'not-bought'``.
    :param resource: whose quota LimitExceededException is about; None when no quota is known.
    :raises FatalError: wrong input, missing rights, missing parent.
    :raises RetriableError: a quota is used up, or a parent is busy.
    """
    try:
        yield
    except ParamValidationError as error:
        raise FatalError(f"Cannot {action}: {error} Correct the task's parameters.") from error
    except ClientError as error:
        raise (_translated(action, resource, error) or error) from error


def _translated(action: str, resource: Resource | None, error: ClientError) -> RecsyncError | None:
    code = error_code(error)
    refusal = f"Cannot {action}: {code}: {error.response.get('Error', {}).get('Message', '')}"
    if code in _FATAL_ADVICE:
        return FatalError(f"{refusal} {_FATAL_ADVICE[code]}")
    if code == "LimitExceededException":
        quota = resource.quota if resource else "not published"
        return RetriableError(
            f"{refusal} The quota is {quota}. Wait for running ones to end (an Airflow pool of that "
            "size avoids the refusal), delete what is unused, or ask AWS for more; a retry tries again.",
            retry_after_seconds=QUOTA_RETRY_SECONDS,
        )
    if code == "ResourceInUseException":
        return RetriableError(
            f"{refusal} Something it depends on, or that depends on it, is there or being changed; the task's "
            "retry tries again.",
            retry_after_seconds=QUOTA_RETRY_SECONDS,
        )
    return None


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
    """Say that an update ended as failed, why, and what is in force now."""
    reason = str(update.get("failureReason") or "the service gave no reason").rstrip(".")
    return (
        f"The update of {resource.noun} {arn} ended as {update.get('status')}: {reason}. What was in force "
        "before is still in force. Mend the cause and retry the task: the retry asks for the update again."
    )


def failure(wait: Wait, arn: str, found: Mapping[str, Any]) -> str:
    """Say how a wait failed, from the part of the description it is about."""
    told = update_failed if wait.path != wait.resource.member else ended_badly
    return told(wait.resource, arn, found)


def wait_error(wait: Wait, arn: str, error: Exception) -> FatalError | RetriableError:
    """Translate the end of an unsuccessful wait, the same for the worker and the triggerer."""
    resource = wait.resource
    if isinstance(error, WaiterTerminalFailure):
        return RetriableError(failure(wait, arn, wait.watched(error.last_response)))
    if isinstance(error, WaiterMaxAttemptsError):
        return RetriableError(
            f"{resource.noun} {arn} was not {wait.outcome} within the polls allowed. It goes on running: the "
            f"task's retry waits for it again. Raise waiter_max_attempts if it needs longer. ({error})"
        )
    # waiter_with_logging raises a refused poll as bare text; the answer hangs on the botocore error under it.
    answer: Mapping[str, Any] = getattr(error.__context__, "last_response", None) or {}
    code = str(answer.get("Error", {}).get("Code", ""))
    message = f"Lost sight of {resource.noun} {arn}: {answer.get('Error') or error}."
    if code in _FATAL_ADVICE:
        return FatalError(f"{message} {_FATAL_ADVICE[code]}")
    return RetriableError(f"{message} It goes on running: the task's retry waits for it again.")
