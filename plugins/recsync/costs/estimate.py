"""Estimate what a billed step will use, from the objects on S3 and from recorded usage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from recsync import settings
from recsync.context import StageContext
from recsync.costs import usage
from recsync.costs.ledger import CostLedger, UsageEntry, month_of
from recsync.costs.prices import Charge, Prices, UsageKind, read_prices
from recsync.costs.update_costs import STREAMED_PER_IMPORTED_BYTE
from recsync.program.recipes import InputType

_SECONDS_PER_HOUR = 3600
# Until a campaign is ACTIVE and after its last answer; a guess of ours.
_CAMPAIGN_OVERHEAD_HOURS = 0.5
_COMPARED_TRAININGS = 3


def prices() -> Prices:
    """Read ``include/prices.yaml``."""
    return read_prices(settings.include_folder())


def recent_entries(context: StageContext) -> list[UsageEntry]:
    """Read the entries of this month and the one before."""
    now = datetime.now(UTC)
    months = {month_of(now.replace(day=1) - timedelta(days=1)), month_of(now)}
    return [
        entry for month in sorted(months) for entry in context.store(CostLedger).read(month).entries.values()
    ]


def imports(context: StageContext, jobs: Iterable[Mapping[str, Any]]) -> list[Charge]:
    """Estimate import jobs, from the arguments of the import operator."""
    return [
        Charge(
            UsageKind.INGESTED_BYTES,
            usage.imported_bytes(context, job["data_location"]),
            f"import of {job['dataset_arn'].rsplit('/', 1)[-1].lower()}",
            job["job_name"],
            "the size of the objects",
        )
        for job in jobs
    ]


def streaming(context: StageContext, objects: Mapping[str, str]) -> list[Charge]:
    """Estimate the streaming of objects.

    :param objects: name of each in the ledger -> its key.
    """
    return [
        Charge(
            UsageKind.INGESTED_BYTES,
            (context.bucket.size_bytes(key) or 0) * STREAMED_PER_IMPORTED_BYTE,
            f"streaming of {name.partition('/')[2]}",
            name,
            f"{STREAMED_PER_IMPORTED_BYTE:g} x the size of the object",
        )
        for name, key in objects.items()
    ]


def trainings(
    context: StageContext,
    trained: Mapping[str, tuple[str, str]],
    versions: Mapping[str, str],
    *,
    mode: str,
    rows: int | None,
) -> list[Charge]:
    """Estimate the trainings of a plan.

    :param trained: key of a version's name -> name of the solution, and its recipe.
    :param versions: names of the solution versions, as :func:`recsync.training.train.version_names` returns them.
    :param rows: interactions that they train on; None when unknown.
    """
    former, assumed = recent_entries(context), prices().assumed.training_hours
    return [
        training(
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


def tuning(context: StageContext, recipe: str, job: str, trials: int) -> list[Charge]:
    """Estimate a search for hyperparameters: like the last one, or each trial like the last FULL trainings.

    :param job: name of the solution version.
    """
    former = recent_entries(context)
    searched = any(entry.mode == usage.HPO for entry in former)
    one = training(
        former,
        recipe=recipe,
        mode=usage.HPO if searched else "FULL",
        rows=usage.rows_of_full(context),
        what=f"search for hyperparameters of {recipe}",
        job=job,
        assumed_hours=prices().assumed.training_hours,
    )
    if searched:
        return [one]
    return [replace(one, quantity=one.quantity * trials, basis=f"{trials} x {one.basis}")]


def training(
    entries: Iterable[UsageEntry],
    *,
    recipe: str,
    mode: str,
    rows: int | None,
    what: str,
    job: str,
    assumed_hours: float,
) -> Charge:
    """Estimate one training: the longest of the last three, scaled with the growth of the data.

    :param entries: of this month and the one before.
    :param rows: interactions that it will train on; None when unknown.
    :param assumed_hours: used when no training of the recipe is recorded.
    """
    if usage.counts_interactions(recipe) and rows is not None:
        return Charge(UsageKind.TRAINED_INTERACTIONS, rows, what, job, "the interactions of this run")
    former = sorted(
        (e for e in entries if e.kind is UsageKind.TRAINING_HOURS and not e.expected and e.recipe == recipe),
        key=lambda entry: entry.at,
    )
    same_mode = [entry for entry in former if entry.mode == mode]
    alike = (same_mode or [e for e in former if e.mode != usage.HPO])[-_COMPARED_TRAININGS:]
    if not alike:
        basis = "assumed: no training of this recipe is recorded yet"
        return Charge(UsageKind.TRAINING_HOURS, assumed_hours, what, job, basis)
    basis = f"the longest of the last {len(alike)} {alike[-1].mode}, scaled with the growth of the data"
    hours = max(_scaled_hours(entry, rows) for entry in alike)
    return Charge(UsageKind.TRAINING_HOURS, hours, what, job, basis)


def _scaled_hours(entry: UsageEntry, rows: int | None) -> float:
    """Scale the hours with the interactions; never down."""
    return entry.quantity * max(1.0, rows / entry.rows) if rows and entry.rows else entry.quantity


def inference(context: StageContext, plan: Mapping[str, Any]) -> list[Charge]:
    """Estimate the inference of a recommend run.

    :param plan: of the run: its ``input``, ``job`` and ``campaign``; ``parts`` where several jobs take the input.
    """
    if len(plan.get("parts", ())) > 1:
        return [
            charge
            for part in plan["parts"]
            for charge in inference(context, {**plan, **part, "parts": [part]})
        ]
    personalize, recipe = context.program.personalize, context.program.personalize.recipe_spec
    lines = plan.get("lines") or usage.count_lines(context, plan["input"])
    if recipe.inference_mode == "campaign":
        rate = personalize.campaign.requests_per_second
        calls = 1 if recipe.input_type is InputType.NOTHING else lines
        hours = _CAMPAIGN_OVERHEAD_HOURS + calls / rate / _SECONDS_PER_HOUR
        quantity = hours * personalize.campaign.min_provisioned_tps
        basis = f"{calls:,} calls at {rate:g} per second, and half an hour of overhead"
        what = usage.campaign_use(plan["campaign"])
        # No job: the campaigns of all runs have one name.
        return [Charge(UsageKind.CAMPAIGN_TPS_HOURS, quantity, what, "", basis)]
    if recipe.inference_mode == "segment":
        return [_segment(plan["job"], lines, personalize.results)]
    basis = "one per line of the input"
    return [Charge(UsageKind.BATCH_RECOMMENDATIONS, lines, "batch inference", plan["job"], basis)]


def audience_segment(context: StageContext, job: Mapping[str, str]) -> list[Charge]:
    """Estimate the segment job that selects the audience, and inference for as many users as last time."""
    segment = context.program.audience.segment
    users = segment.users_per_item if segment else 0
    charges = [_segment(job["job"], usage.count_lines(context, job["input"]), users)]
    if former := newest_entry(recent_entries(context), UsageKind.BATCH_RECOMMENDATIONS):
        basis = f"as many as on {former.at[:10]}"
        charges.append(Charge(former.kind, former.quantity, "batch inference", "", basis))
    return charges


def _segment(job: str, lines: int, users_per_line: int) -> Charge:
    basis = f"{lines:,} lines of at most {users_per_line:,} users each"
    return Charge(UsageKind.BATCH_SEGMENT_USERS, lines * users_per_line, "batch segment", job, basis)


def delivery_charges(name: str, data_points: int) -> list[Charge]:
    """Return the data points of a planned delivery."""
    return [Charge(UsageKind.DATA_POINTS, data_points, "delivery to Braze", name, "what the plan writes")]


def after_promotion(context: StageContext) -> list[Charge]:
    """Estimate what a promotion starts, a recommend run and its delivery, from the last ones."""
    former = recent_entries(context)
    kinds = {
        UsageKind.BATCH_SEGMENT_USERS: "batch segment",
        UsageKind.BATCH_RECOMMENDATIONS: "batch inference",
        UsageKind.CAMPAIGN_TPS_HOURS: "campaign",
        UsageKind.DATA_POINTS: "delivery to Braze",
    }
    return [
        Charge(kind, found.quantity, what, "", f"as on {found.at[:10]}")
        for kind, what in kinds.items()
        if (found := newest_entry(former, kind))
    ]


def newest_entry(entries: Iterable[UsageEntry], kind: UsageKind) -> UsageEntry | None:
    """Return the newest recorded use of a kind."""
    return max((e for e in entries if e.kind is kind and not e.expected), key=lambda e: e.at, default=None)
