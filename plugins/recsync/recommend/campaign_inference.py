"""Get recommendations from a campaign, for recipes without batch inference.

https://docs.aws.amazon.com/personalize/latest/dg/API_Operations_Amazon_Personalize_Runtime.html

Inference runs in parts of users. Each part is one object on S3, so that a retry runs only the missing ones. The folder
is named after the request, so that parts of another audience or champion are never reused.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from airflow_personalize.hooks.personalize_runtime import PersonalizeRuntimeHook, RequestPace
from recsync.context import StageContext
from recsync.costs.usage import record_campaign
from recsync.errors import FatalError, RejectedError, RetriableError
from recsync.privacy import withhold
from recsync.program.recipes import InputType
from recsync.storage.batch_lines import read_lines
from recsync.storage.bucket import Bucket

log = logging.getLogger(__name__)

# Small enough to lose little when a task is killed, large enough that writing it does not count.
PEOPLE_PER_PART = 2_000
# botocore's own tries of one call that the service throttled.
_TRIES = 8
# Codes after which the same call may succeed; botocore has tried it several times by then.
_LATER = frozenset({"ThrottlingException", "LimitExceededException", "ServiceUnavailable", "InternalFailure"})


@dataclass(frozen=True)
class Campaign:
    """One campaign.

    :param client: boto3's client of ``personalize-runtime``; safe to share between threads.
    :param filter: ``filterArn``, when the program has one.
    """

    client: Any
    arn: str
    num_results: int
    pace: RequestPace
    filter: str | None = None

    def items(self) -> tuple[list[str], list[float]]:
        """Get the ids of items that do not depend on a user, best first, and their scores, if there are any."""
        reply = self._call(self.client.get_recommendations, {})
        return _ids_and_scores(reply["itemList"], "itemId")

    def actions(
        self, user_id: str, filter_values: dict[str, str] | None = None
    ) -> tuple[list[str], list[float]]:
        """Get the ids of a user's actions, best first, and their scores, if there are any.

        :raises RejectedError: when the service refuses this user.
        """
        asked: dict[str, Any] = {"userId": user_id}
        if self.filter and filter_values:
            asked["filterValues"] = filter_values
        reply = self._call(self.client.get_action_recommendations, asked)
        return _ids_and_scores(reply["actionList"], "actionId")

    def _call(self, operation: Callable[..., dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
        filtered = {"filterArn": self.filter} if self.filter else {}
        self.pace.wait()
        try:
            return operation(campaignArn=self.arn, numResults=self.num_results, **asked, **filtered)
        except ClientError as error:
            raise _explained(self.arn, error, asked) from error
        except BotoCoreError as error:
            raise RetriableError(f"Campaign {self.arn} was not reached: {error}") from error


def _ids_and_scores(entries: list[dict[str, Any]], key: str) -> tuple[list[str], list[float]]:
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


def ask(program_name: str, plan: dict[str, Any], campaign_arn: str) -> str:
    """Ask for every user of the plan's input, and book the campaign's hours, however it ends.

    :returns: the campaign's ARN, in the place of a job's ARN.
    :raises FatalError: when the campaign cannot be asked, or refuses every user of the first part.
    :raises RetriableError: when it is throttled; finished parts are kept.
    """
    context = StageContext.of(program_name)
    try:
        _ask(context, plan, campaign_arn)
    finally:
        record_campaign(context, campaign_arn, plan["run"])
    return campaign_arn


def _ask(context: StageContext, plan: dict[str, Any], campaign_arn: str) -> None:
    if not (plan.get("experiment") or {}).get("is_champion_asked", True):
        log.info(
            "No one in the audience gets the campaign's items in this experiment, so the campaign is not called"
        )
        return
    settings, uri = context.program.personalize, context.bucket.uri("")
    output, asked = plan["output"].removeprefix(uri), plan["input"].removeprefix(uri)
    connections = settings.campaign.connections
    config = Config(max_pool_connections=connections, retries={"mode": "standard", "max_attempts": _TRIES})
    campaign = Campaign(
        PersonalizeRuntimeHook(aws_conn_id=context.program.aws, config=config).conn,
        campaign_arn,
        settings.results,
        RequestPace(settings.campaign.requests_per_second),
        filter=plan.get("filter_arn"),
    )
    if settings.recipe_spec.input_type is InputType.NOTHING:
        try:
            items, scores = campaign.items()
        except RejectedError as error:
            raise _refused(campaign, str(error)) from error
        _put(context.bucket, f"{output}everybody.json.out", [_line({"itemId": "everybody"}, items, scores)])
        return
    done = set(context.bucket.keys(output))
    # In the order of the input, so that a part always holds the same users.
    questions = (json.loads(line) for line in read_lines(context.bucket.stream(asked)))
    with ThreadPoolExecutor(connections) as threads:
        for number in count():
            if not (users := list(islice(questions, PEOPLE_PER_PART))):
                return
            key = f"{output}part-{number:06d}.json.out"
            if key in done:
                continue
            lines = list(threads.map(lambda user: _actions(campaign, user), users))
            # If the whole first part is refused, the filter or the campaign is wrong. Later parts may be small.
            if not done and all(line["error"] for line in lines):
                raise _refused(campaign, lines[0]["error"])
            done.add(key)
            _put(context.bucket, key, lines)
            log.info("%d of %d users are asked for", number * PEOPLE_PER_PART + len(users), plan["users"])


def _actions(campaign: Campaign, question: dict[str, Any]) -> dict[str, Any]:
    try:
        actions, scores = campaign.actions(question["userId"], question.get("filterValues"))
    except RejectedError as error:
        return {"input": question, "output": {"recommendedItems": []}, "error": str(error)}
    return _line(question, actions, scores)


def _line(question: dict[str, Any], items: list[str], scores: list[float]) -> dict[str, Any]:
    output = {"recommendedItems": items, "scores": scores} if scores else {"recommendedItems": items}
    return {"input": question, "output": output, "error": None}


def _refused(campaign: Campaign, reason: str) -> FatalError:
    return FatalError(
        f"Campaign {campaign.arn} refuses everybody: {reason.rstrip('.')}. Correct personalize or filters.recommend in "
        "the program file, or the values that audience.sql returns, and start a new run."
    )


def _put(bucket: Bucket, key: str, lines: list[dict[str, Any]]) -> None:
    # In the service's own form: no spaces, no escapes.
    text = "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines)
    bucket.put(key, text.encode())
