"""Ask a campaign instead of a batch job, for recipes without batch: the answers are written as a job would.

The people are asked in parts. Each part is one object on S3, so a task that is tried again asks only for what is
missing; the parts lie in a folder named by what is asked, so those of another audience or champion are never taken.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from botocore.config import Config

from airflow_personalize.hooks.personalize_runtime import PersonalizeRuntimeHook
from recsync.context import StageContext
from recsync.costs.usage import book_campaign
from recsync.errors import FatalError, RejectedError
from recsync.program.recipes import Asks
from recsync.recommend.campaign_calls import Campaign, Pace
from recsync.storage.bucket import Bucket

log = logging.getLogger(__name__)

# Small enough to lose little when a task is killed, large enough that writing it does not count.
PEOPLE_PER_PART = 2_000
_READ_BYTES = 1_000_000
# botocore's own tries of one call that the service throttled.
_TRIES = 8


def ask(program_name: str, plan: dict[str, Any], campaign_arn: str) -> str:
    """Ask for everybody whom the plan's input names, and book the campaign's hours, however it ends."""
    context = StageContext.of(program_name)
    try:
        return _ask(context, plan, campaign_arn)
    finally:
        book_campaign(context, campaign_arn, plan["run"])


def _ask(context: StageContext, plan: dict[str, Any], campaign_arn: str) -> str:
    """Ask for everybody whom the plan's input names, and write the answers to its output.

    :returns: the campaign's ARN, which stands where the ARN of a job would.
    :raises FatalError: when the campaign cannot be asked, or refuses everybody of the first part.
    :raises RetriableError: when it is throttled; what was answered is kept.
    """
    settings, uri = context.program.personalize, context.bucket.uri("")
    output, asked = plan["output"].removeprefix(uri), plan["input"].removeprefix(uri)
    campaign = Campaign(
        _client(context),
        campaign_arn,
        settings.results,
        Pace(settings.campaign.requests_per_second),
        filter=plan.get("filter_arn"),
    )
    if settings.traits.asks is Asks.NOTHING:
        items = _items(campaign)
        _put(context.bucket, f"{output}everybody.json.out", [_line({"itemId": "everybody"}, items, [])])
        return campaign_arn
    done = set(context.bucket.keys(output))
    with ThreadPoolExecutor(settings.campaign.connections) as threads:
        for number, people in enumerate(_parts(context.bucket, asked)):
            key = f"{output}part-{number:06d}.json.out"
            if key in done:
                continue
            lines = list(threads.map(lambda person: _actions(campaign, person), people))
            # Once somebody was answered, refusals are about people: the last part may hold only one of them.
            if not done:
                _check(campaign, lines)
            done.add(key)
            _put(context.bucket, key, lines)
            log.info("%d people are asked for, of %d", number * PEOPLE_PER_PART + len(people), plan["users"])
    return campaign_arn


def _client(context: StageContext) -> Any:
    connections = context.program.personalize.campaign.connections
    config = Config(max_pool_connections=connections, retries={"mode": "standard", "max_attempts": _TRIES})
    return PersonalizeRuntimeHook(aws_conn_id=context.program.aws, config=config).conn


def _parts(bucket: Bucket, key: str) -> Iterator[list[dict[str, Any]]]:
    """Read the questions, in their order, so that a part always holds the same people."""
    questions = (json.loads(line) for line in _lines(bucket, key))
    while part := list(islice(questions, PEOPLE_PER_PART)):
        yield part


def _lines(bucket: Bucket, key: str) -> Iterator[bytes]:
    stream, rest = bucket.stream(key), b""
    while data := stream.read(_READ_BYTES):
        *whole, rest = (rest + data).split(b"\n")
        yield from filter(None, whole)
    if rest:
        yield rest


def _items(campaign: Campaign) -> list[str]:
    try:
        return campaign.items()[0]
    except RejectedError as error:
        raise _refused(campaign, str(error)) from error


def _actions(campaign: Campaign, question: dict[str, Any]) -> dict[str, Any]:
    try:
        actions, scores = campaign.actions(question["userId"], question.get("filterValues"))
    except RejectedError as error:
        return {"input": question, "output": {"recommendedItems": []}, "error": str(error)}
    return _line(question, actions, scores)


def _line(question: dict[str, Any], items: list[str], scores: list[float]) -> dict[str, Any]:
    output: dict[str, Any] = {"recommendedItems": items}
    if scores:
        output["scores"] = scores
    return {"input": question, "output": output, "error": None}


def _check(campaign: Campaign, lines: list[dict[str, Any]]) -> None:
    """Stop when nobody of a part gets an answer: a filter, or the campaign, is wrong for everybody.

    :raises FatalError: with what the service says.
    """
    if lines and all(line["error"] for line in lines):
        raise _refused(campaign, lines[0]["error"])


def _refused(campaign: Campaign, reason: str) -> FatalError:
    return FatalError(
        f"Campaign {campaign.arn} refuses everybody: {reason.rstrip('.')}. Correct personalize or filters.recommend in "
        "the program file, or the values that audience.sql returns, and start a new run."
    )


def _put(bucket: Bucket, key: str, lines: list[dict[str, Any]]) -> None:
    # As Amazon Personalize writes its lines: without spaces, and text as it is.
    text = "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines)
    bucket.put(key, text.encode())
