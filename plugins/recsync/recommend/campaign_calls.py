"""Ask a campaign of Amazon Personalize, from many threads, no faster than agreed.

https://docs.aws.amazon.com/personalize/latest/dg/API_Operations_Amazon_Personalize_Runtime.html
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from recsync.errors import FatalError, RejectedError, RetriableError
from recsync.privacy import withhold

# Codes after which the same call may succeed; botocore has tried it some times by then.
_LATER = frozenset({"ThrottlingException", "LimitExceededException", "ServiceUnavailable", "InternalFailure"})


@dataclass
class Pace:
    """Let calls pass at even distances.

    :param per_second: at most so many.
    :param clock: seconds that never go back; ``sleep`` waits so many.
    """

    per_second: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: float = field(default=0.0, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def wait(self) -> None:
        """Wait until the next call may be made."""
        with self._lock:
            now = self.clock()
            turn = max(self._next, now)
            self._next = turn + 1 / self.per_second
        if turn > now:
            self.sleep(turn - now)


@dataclass(frozen=True)
class Campaign:
    """One campaign.

    :param client: boto3's client of ``personalize-runtime``; safe to share between threads.
    :param filter: ``filterArn``, when the program has one.
    """

    client: Any
    arn: str
    num_results: int
    pace: Pace
    filter: str | None = None

    def items(self) -> tuple[list[str], list[float]]:
        """Ask for items that do not depend on a user.

        :returns: item ids, best first, and their scores, if there are any.
        """
        reply = self._call(self.client.get_recommendations, {})
        return _taken(reply["itemList"], "itemId")

    def actions(
        self, user_id: str, filter_values: dict[str, str] | None = None
    ) -> tuple[list[str], list[float]]:
        """Ask for a user's actions.

        :returns: action ids, best first, and their scores, if there are any.
        :raises RejectedError: when the service refuses this user.
        """
        asked: dict[str, Any] = {"userId": user_id}
        if self.filter and filter_values:
            asked["filterValues"] = filter_values
        reply = self._call(self.client.get_action_recommendations, asked)
        return _taken(reply["actionList"], "actionId")

    def _call(self, operation: Callable[..., dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
        filtered = {"filterArn": self.filter} if self.filter else {}
        self.pace.wait()
        try:
            return operation(campaignArn=self.arn, numResults=self.num_results, **asked, **filtered)
        except ClientError as error:
            raise _explained(self.arn, error, asked) from error
        except BotoCoreError as error:
            raise RetriableError(f"Campaign {self.arn} was not reached: {error}") from error


def _taken(entries: list[dict[str, Any]], key: str) -> tuple[list[str], list[float]]:
    scores = [float(entry["score"]) for entry in entries if entry.get("score") is not None]
    return [str(entry[key]) for entry in entries], scores if len(scores) == len(entries) else []


def _explained(
    arn: str, error: ClientError, asked: dict[str, Any]
) -> FatalError | RetriableError | RejectedError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = withhold(str(error.response.get("Error", {}).get("Message", "")), asked.values())
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _LATER or status >= 500 or status == 429:
        return RetriableError(
            f"Campaign {arn} is asked faster than it answers ({code}: {message}); what was answered is kept. Lower "
            "personalize.campaign.requests_per_second if that goes on."
        )
    if code == "InvalidInputException":
        return RejectedError(message)
    return FatalError(f"Campaign {arn} cannot be asked: {code}: {message}")
