"""Make the documents of 30 days: deliveries, models, costs, exports and lift reports, as the stages store them.

For the pictures of the docs and for the tests of the pages: a local stack that began a minute ago has no history.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from recsync.costs.ledger import Month, UsageEntry
from recsync.costs.prices import UsageKind
from recsync.evaluation.store import Candidate, Champion, Comparison, PromotionOutcome
from recsync.experiments.layer import Change, Layer, LayerExperiment
from recsync.experiments.report import LiftReport
from recsync.experiments.statistics import Moments, VarianceComponents
from recsync.lift.compare import Period, SharesSince, build_report
from recsync.lift.figures import ArmSums, Figures
from recsync.program import Experiment
from recsync.program.recipes import NDCG_25
from recsync.push.accounts import Outcome
from recsync.push.deliver import DeliveryReport
from recsync.push.plan_format import Estimate, PlanFigures
from recsync.push.store import PlanManifest
from recsync.push.verify import Verification
from recsync.recommend.store import RecommendationsManifest
from recsync.storage import keys as all_keys
from recsync.storage.keys import Keys

AUDIENCE = 25_070
DAYS = 30
_FILE = Path(__file__).parents[2] / "include" / "programs" / "grocery.yaml"
_IN_FILE = Experiment.model_validate(yaml.safe_load(_FILE.read_text())["experiment"])
# A month of 25,070 people shows an effect of 10 %.
EXPERIMENT = _IN_FILE.model_copy(update={"effect": 0.1, "guardrails": {"unsubscribe": 0.5}})
# How much more often people of an arm buy.
_EFFECTS = {"recommended": 0.15, "popular": 0.04}
_PRE_DAYS = 28
_SOLUTION = "arn:aws:personalize:us-east-1:000000000000:solution/grocery-user-personalization"
Documents = Iterator[tuple[str, Any]]


def documents(program: str, now: datetime, *, audience: int = AUDIENCE, days: int = DAYS) -> Documents:
    """Yield key and JSON content of all documents.

    :param now: the end of the history; the day of the last delivery.
    """
    mornings = [
        now.replace(hour=5, minute=30, second=0, microsecond=0) - timedelta(days=n) for n in range(days)
    ]
    chosen, keys = random.Random(7), Keys(program)  # ruff: ignore[suspicious-non-cryptographic-random-usage]
    for morning in sorted(mornings):
        yield from delivery(keys, morning, audience, chosen)
        yield from exports(keys, morning, chosen)
    yield from models(keys, now, chosen)
    yield from costs(keys, now, chosen)
    yield from layer(program, now, days)
    for report in lift_reports(program, now, audience, days):
        yield keys.run_document("lift", report.run, "report"), report.to_json()


def run_key(at: datetime) -> str:
    """Return a run's key, as the stages name runs."""
    return f"{at:%Y%m%dT%H%M%S}-0a1b2c3d"


def delivery(keys: Keys, at: datetime, audience: int, chosen: random.Random) -> Documents:
    """Yield the documents of one recommend run and its delivery."""
    run, name = run_key(at), f"{at:%Y%m%dT%H%M%S}000000-{run_key(at)}"
    planned = at + timedelta(minutes=chosen.randint(25, 70))
    held_out, rejected = audience // 10, chosen.choice([0, 0, 1, 3])
    suppressed, kept = audience // 90, chosen.randint(0, audience // 120)
    removed, given_up = chosen.randint(0, 6), chosen.choice([0] * 8 + [12])
    fresh = 0.75 if at.weekday() == 0 else 0.45
    rest = audience - held_out - rejected - suppressed - kept - removed - given_up
    sent = int(rest * fresh * chosen.uniform(0.9, 1.1))
    outcomes = dict.fromkeys((each.value for each in Outcome), 0) | {
        "sent": sent, "unchanged": rest - sent, "removed": removed, "rejected": rejected, "dead_lettered": given_up,
        "suppressed": suppressed, "kept": kept, "held_out": held_out,
    }  # fmt: skip
    writes = sent + removed + rejected + given_up
    settled = {each: outcomes[each] for each in ("unchanged", "suppressed", "kept", "held_out")}
    figures = PlanFigures(
        audience=audience, rows={"canary": 50, "removals": removed, "rest": writes - removed - 50},
        writes=writes - removed, removals=removed, left_audience=0, settled=settled, reasons={},
        data_points=writes, object_bytes=writes * 420,
    )  # fmt: skip
    requests = math.ceil(writes / 75)
    plan = PlanManifest(
        delivery=name, recommendations=run, created_at=planned.isoformat(),
        dag_run=f"asset_triggered__{planned.isoformat()}", dry_run=False, figures=figures,
        estimate=Estimate(writes, requests, 0.1, writes), moment=int(at.timestamp()),
    )  # fmt: skip
    report = DeliveryReport(
        delivery=name, recommendations=run, audience=audience, outcomes=outcomes,
        reasons={
            f"held out by experiment {EXPERIMENT.name}": held_out,
            "no purchase in 365 days and no fallback item is left": suppressed,
            **({"invalid value for attribute": rejected} if rejected else {}),
            **({"no clear answer of Braze after 5 tries": given_up} if given_up else {}),
        },
        left_audience=0, left_audience_kept=0, resent=0, tries=1,
        answers={"201": requests, "429": chosen.choice([0, 0, 2])}, data_points=writes - rejected - given_up,
        catalog_items=chosen.randint(20, 160), catalog_retired=0, dead_letters="", seconds=21.4,
    )  # fmt: skip
    lists = audience - held_out - suppressed - kept
    popular, similar = lists // 25, lists // 9
    manifest = RecommendationsManifest(
        run, at.isoformat(), f"{_SOLUTION}/9c11", "", users=audience, lists=lists,
        suppressed={"no purchase in 365 days and no fallback item is left": suppressed}, items=1_804,
        tiers={"personal": lists - popular - similar, "similar": similar, "popular": popular},
        dropped={"distinct": 9_316, "bought": 4_120, "max_per department": 2_044}, short={"distinct": 14},
        missed={"share of promoted": 31}, catalogue_items=12_040,
        experiment=EXPERIMENT.name,
        arms={"recommended": audience - held_out - audience // 20, "popular": audience // 20, "holdout": held_out},
    )  # fmt: skip
    prefix = keys.delivery(name)
    yield f"{prefix}plan.json", asdict(plan)
    yield f"{prefix}report.json", asdict(report)
    yield f"{prefix}verification.json", asdict(Verification(name, min(500, sent)))
    yield keys.recommendations_manifest(run), asdict(manifest)


def exports(keys: Keys, day: datetime, chosen: random.Random) -> Documents:
    """Yield the reports of two intervals of a day, of three datasets."""
    for hour in (0, 12):
        start = day.replace(hour=hour, minute=0)
        busy = 1.5 if start.weekday() >= 5 else 1.0
        for dataset, usual in (("INTERACTIONS", 1_900), ("USERS", 160), ("ITEMS", 60)):
            rows = int(usual * busy * chosen.uniform(0.8, 1.2) * (1.4 if hour else 0.8))
            bad = chosen.choice([0, 0, 0, 1, 4]) if dataset == "INTERACTIONS" else 0
            bad = rows // 12 if dataset == "INTERACTIONS" and day.day == 9 and not hour else bad
            document = {
                "program": keys.program, "dataset": dataset, "sql": f"{dataset.lower()}.sql", "full": False,
                "start": start.isoformat(), "end": (start + timedelta(hours=12)).isoformat(), "rows": rows,
                "exported": rows - bad, "quarantined": bad, "verdict": "warned" if bad > 50 else "passed",
                "findings": [], "drift": [], "quarantine": None,
                "seconds": round(chosen.uniform(0.8, 1.6) + rows / 1_500, 1),
            }  # fmt: skip
            yield f"{keys.program}/exports/reports/{dataset.lower()}/{start:%Y-%m-%dT%H%MZ}.json", document


def models(keys: Keys, now: datetime, chosen: random.Random) -> Documents:
    """Yield three months of weekly trainings with some updates, a refusal and a rollback; and two comparisons."""
    entries: list[Champion] = []
    for week in range(12, -1, -1):
        at = now - timedelta(weeks=week, hours=2)
        value = 0.402 + 0.0045 * (12 - week) + chosen.uniform(-0.008, 0.008)
        floor = 0.431 + chosen.uniform(-0.006, 0.006) - 0.002 * week
        is_bad = week == 5
        metrics = {
            NDCG_25: round(value - 0.05 * is_bad, 4), "mean_reciprocal_rank_at_25": round(value * 0.62, 4),
            "precision_at_25": round(value * 0.31, 4), "coverage": round(0.28 + chosen.uniform(-0.02, 0.02), 4),
        }  # fmt: skip
        baseline = {
            NDCG_25: round(floor, 4), "mean_reciprocal_rank_at_25": round(floor * 0.6, 4),
            "precision_at_25": round(floor * 0.3, 4), "coverage": 0.0021,
        }  # fmt: skip
        version, trained_by = f"{_SOLUTION}/{week:02d}f1", f"scheduled__{at.isoformat()}"
        entry = Champion(version, "FULL", at.isoformat(), trained_by, metrics, baseline)
        if is_bad:
            reason = f"NDCG at 25 is {metrics[NDCG_25]}, below 0.95 of the champion's"
            entry = replace(entry, outcome=PromotionOutcome.REFUSED, reason=reason)
        entries.append(entry)
    back = entries[-3]
    rolled = replace(
        back, outcome=PromotionOutcome.ROLLED_BACK, by="ada", promoted_at=(now - timedelta(days=3)).isoformat(),
        reason=f"instead of {entries[-2].solution_version_arn}",
    )  # fmt: skip
    entries.insert(-1, rolled)
    history = [asdict(each) | {"outcome": each.outcome.value} for each in entries]
    yield keys.state("champion.json"), {"history": history}
    for week in (0, 1):
        at = now - timedelta(weeks=week, hours=2)
        own = entries[-1 if week == 0 else -3]
        lower = {metric: round(value * 0.9, 4) for metric, value in own.metrics.items()}
        why = ("NDCG at 25 is below the champion's",)
        candidates = (
            Candidate("", "aws-user-personalization", own.solution_version_arn, own.metrics, {}),
            Candidate("sims", "aws-sims", f"{_SOLUTION}-sims/a{week}", lower, {}, why),
        )
        comparison = Comparison(run_key(at), at.isoformat(), NDCG_25, "", candidates, own.baseline_metrics)
        yield keys.comparison(comparison.run), comparison.to_json()


def costs(keys: Keys, now: datetime, chosen: random.Random) -> Documents:
    """Yield six months of the ledger."""
    first = now.replace(day=1, hour=4)
    for back in range(5, -1, -1):
        month = first
        for _ in range(back):
            month = (month - timedelta(days=1)).replace(day=1)
        growth = 1 + (5 - back) * 0.12
        entries: dict[str, UsageEntry] = {}
        for day in range(28 if back else max(1, now.day)):
            at = (month + timedelta(days=day)).isoformat()
            points, lines = int(1_150 * growth * chosen.uniform(0.7, 1.3)), int(2_250 * growth)
            entries[f"delivery-{day}"] = UsageEntry(UsageKind.DATA_POINTS, points, at, name=f"delivery-{day}")
            entries[f"arn:batch/{day}"] = UsageEntry(UsageKind.BATCH_RECOMMENDATIONS, lines, at)
            entries[f"arn:import/{day}"] = UsageEntry(UsageKind.INGESTED_BYTES, 2e8 * growth, at)
            if day % 7 == 0:
                entries[f"arn:version/{day}"] = UsageEntry(
                    UsageKind.TRAINING_HOURS, round(2.4 * growth * chosen.uniform(0.9, 1.1), 2), at,
                    recipe="aws-user-personalization", mode="FULL",
                )  # fmt: skip
        yield keys.money(f"{month:%Y-%m}"), Month(entries).to_json()


def layer(program: str, now: datetime, days: int) -> Documents:
    """Yield the document of the experiment's layer: its start with half of the people, and the others a day later."""
    since, changed = (now - timedelta(days=n) for n in (days, days - 1))
    after, before = EXPERIMENT.shares, {name: share / 2 for name, share in EXPERIMENT.shares.items()}
    gets = {name: arm.label for name, arm in EXPERIMENT.arms.items()}
    experiment = LayerExperiment(program, (program,), after, gets, {}, revision=2, since=since.isoformat())
    changes = (
        Change(since.isoformat(), run_key(since), program, EXPERIMENT.name, "started", {}, before, 5_000),
        Change(
            changed.isoformat(), run_key(changed), program, EXPERIMENT.name, "shares", before, after, 5_000
        ),
    )
    yield all_keys.layer(EXPERIMENT.layer_name), Layer({EXPERIMENT.name: experiment}, changes).to_json()


def lift_reports(
    program: str, now: datetime, audience: int = AUDIENCE, days: int = DAYS
) -> Iterator[LiftReport]:
    """Yield a lift report a day, as the stage makes it of simulated people: most buy seldom, and some a lot."""
    since = (now - timedelta(days=days)).replace(hour=5, minute=30, second=0, microsecond=0)
    names, random = list(EXPERIMENT.arms), np.random.default_rng(23)
    people = [round(audience * share) for share in EXPERIMENT.shares.values()]
    arms = np.repeat(np.arange(len(names)), people)
    rates = random.gamma(1.0, 0.12, arms.size) * (random.random(arms.size) < 0.7)
    raised = rates * (1 + np.array([_EFFECTS.get(name, 0) for name in names]))[arms]
    orders = random.poisson(np.stack([rates] * _PRE_DAYS + [raised] * days))
    amounts = orders * random.lognormal(np.log(30) - 0.08, 0.4, orders.shape)
    chosen = random.binomial(orders, 0.2) * (arms != names.index("holdout"))
    stopped = random.random(arms.size) < 0.03
    for day in range(1, days + 1):
        until = _PRE_DAYS + day
        before, after = amounts[:_PRE_DAYS], amounts[_PRE_DAYS:until]
        sums = {}
        for number, name in enumerate(names):
            mine = arms == number
            value, former, bought = (
                after[:, mine].sum(0),
                before[:, mine].sum(0),
                (orders[_PRE_DAYS:until, mine] > 0).any(0),
            )
            listed, gone = (
                chosen[_PRE_DAYS:until, mine].sum(0),
                int((stopped[mine] & (np.arange(mine.sum()) % days < day)).sum()),
            )
            share, spread = float(bought.mean()), np.cov(value, former)
            sums[name] = ArmSums(
                moved=0,
                delivered=0 if name == "holdout" else int(mine.sum() * min(0.7 + 0.05 * day, 0.99)),
                value=Moments(
                    int(mine.sum()), int((value > 0).sum()), float(value.mean()), float(spread[0, 0]),
                    float(former.mean()), float(spread[1, 1]), float(spread[0, 1]),
                ),
                converted=Moments(int(mine.sum()), int(bought.sum()), share, share * (1 - share)),
                recommended=Moments(
                    int(mine.sum()), int((listed > 0).sum()), float(listed.mean()), float(listed.var())
                ),
                total=float(value.sum()), bought_recommended=int(listed.sum()), events={"unsubscribe": gone},
            )  # fmt: skip
        at, seconds = since + timedelta(days=day, hours=2), int(since.timestamp())
        rows = (orders[_PRE_DAYS:until] > 0).sum(1)
        figures = Figures(
            sums, float(before.sum(0).mean()), True,
            VarianceComponents.of(_PRE_DAYS, float(before.mean()), float(before.var()), float(before.sum(0).var())),
            {seconds // 86_400 + n: int(count) for n, count in enumerate(rows)}, {seconds: arms.size},
        )  # fmt: skip
        yield build_report(
            program, EXPERIMENT, figures, Period(run_key(at), at, since, at - timedelta(hours=7)),
            [SharesSince(seconds, EXPERIMENT.shares)], {"rows": int(orders[:until].sum())}, (),
        )  # fmt: skip
