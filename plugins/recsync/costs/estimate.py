"""Say before a billed step what it is expected to use, from what lies on S3 and what the last ones used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from recsync import settings
from recsync.context import StageContext
from recsync.costs import sizes, training_estimates
from recsync.costs.charges import Charge, Kind
from recsync.costs.ledger import Entry, month_of
from recsync.costs.prices import Prices, read_prices
from recsync.costs.store import MoneyStore
from recsync.costs.usage import campaign_use
from recsync.program.recipes import Asks

_SECONDS_PER_HOUR = 3600
# Until a campaign is ACTIVE and after its last answer; a guess of ours.
_CAMPAIGN_OVERHEAD_HOURS = 0.5


def prices() -> Prices:
    """Read ``include/prices.yaml``."""
    return read_prices(settings.include_folder())


def recent(context: StageContext) -> list[Entry]:
    """Read the entries of this month and the one before."""
    now = datetime.now(UTC)
    months = {month_of(now.replace(day=1) - timedelta(days=1)), month_of(now)}
    return [
        entry for month in sorted(months) for entry in context.store(MoneyStore).read(month).entries.values()
    ]


def imports(context: StageContext, jobs: Iterable[Mapping[str, str]]) -> list[Charge]:
    """Expect import jobs.

    :param jobs: arguments of the import operator.
    """
    return [
        Charge(
            Kind.INGESTED_BYTES,
            sizes.imported_bytes(context, job["data_location"]),
            f"import of {job['dataset_arn'].rsplit('/', 1)[-1].lower()}",
            job["job_name"],
            "the size of the objects",
        )
        for job in jobs
    ]


def trainings(
    context: StageContext,
    trained: Mapping[str, tuple[str, str]],
    versions: Mapping[str, str],
    *,
    mode: str,
    rows: int | None,
) -> list[Charge]:
    """Expect the trainings of a plan.

    :param trained: key of a version's name -> name of the solution, and its recipe.
    :param versions: names of the solution versions, as :func:`recsync.training.train.version_names` gives them.
    :param rows: interactions that they train on; None when that is not known.
    """
    former, assumed = recent(context), prices().assumed.training_hours
    return [
        training_estimates.training(
            former,
            recipe=recipe,
            mode=mode,
            rows=rows,
            what=f"{mode} training of {solution}",
            job=versions[name],
            assumed_hours=assumed,
        )
        for name, (solution, recipe) in trained.items()
        if name in versions
    ]


def search(context: StageContext, recipe: str, job: str, trials: int) -> list[Charge]:
    """Expect a search for hyperparameters: as the last one, else each trial as the last FULL trainings.

    :param job: name of the solution version.
    """
    former, what = recent(context), f"search for hyperparameters of {recipe}"
    searches = [entry for entry in former if entry.mode == training_estimates.SEARCH]
    hours = prices().assumed.training_hours
    rows = sizes.rows_of_full(context)
    mode = training_estimates.SEARCH if searches else "FULL"
    one = training_estimates.training(
        former, recipe=recipe, mode=mode, rows=rows, what=what, job=job, assumed_hours=hours
    )
    return [
        one if searches else replace(one, quantity=one.quantity * trials, basis=f"{trials} x {one.basis}")
    ]


def answers(context: StageContext, plan: Mapping[str, Any]) -> list[Charge]:
    """Expect what a recommend run asks.

    :param plan: of the run: its ``input``, ``job`` and ``campaign``.
    """
    personalize, asked = context.program.personalize, sizes.lines(context, plan["input"])
    if personalize.traits.way == "campaign":
        rate = personalize.campaign.requests_per_second
        calls = 1 if personalize.traits.asks is Asks.NOTHING else asked
        hours = _CAMPAIGN_OVERHEAD_HOURS + calls / rate / _SECONDS_PER_HOUR
        tps = personalize.campaign.min_provisioned_tps
        basis = f"{calls:,} calls at {rate:g} a second, and half an hour around them"
        # Without a name: the campaign of every run has the same one.
        return [Charge(Kind.CAMPAIGN_TPS_HOURS, hours * tps, campaign_use(plan["campaign"]), "", basis)]
    if personalize.traits.way == "segment":
        return [_segment(plan["job"], asked, personalize.results)]
    basis = "one for each line of the input"
    return [Charge(Kind.BATCH_RECOMMENDATIONS, asked, "batch inference", plan["job"], basis)]


def audience_segment(context: StageContext, job: Mapping[str, str]) -> list[Charge]:
    """Expect the segment job that says who gets lists, and the answers for as many people as the last time."""
    segment = context.program.audience.segment
    people = segment.users_per_item if segment else 0
    charges = [_segment(job["job"], sizes.lines(context, job["input"]), people)]
    former = training_estimates.last(recent(context), Kind.BATCH_RECOMMENDATIONS)
    if former:
        basis = f"as many as on {former.at[:10]}"
        charges.append(Charge(former.kind, former.quantity, "batch inference", "", basis))
    return charges


def _segment(job: str, lines: int, users_per_line: int) -> Charge:
    basis = f"{lines:,} lines of at most {users_per_line:,} users each"
    return Charge(Kind.BATCH_SEGMENT_USERS, lines * users_per_line, "batch segment", job, basis)


def delivery(name: str, data_points: int) -> list[Charge]:
    """Expect the data points of a planned delivery."""
    return [Charge(Kind.DATA_POINTS, data_points, "delivery to Braze", name, "what the plan writes")]


def after_promotion(context: StageContext) -> list[Charge]:
    """Expect what follows a promotion by itself: a recommend run and its delivery, like the last ones."""
    charges, former = [], recent(context)
    for kind, what in (
        (Kind.BATCH_SEGMENT_USERS, "batch segment"),
        (Kind.BATCH_RECOMMENDATIONS, "batch inference"),
        (Kind.CAMPAIGN_TPS_HOURS, "campaign"),
        (Kind.DATA_POINTS, "delivery to Braze"),
    ):
        if found := training_estimates.last(former, kind):
            charges.append(Charge(kind, found.quantity, what, "", f"as on {found.at[:10]}"))
    return charges
