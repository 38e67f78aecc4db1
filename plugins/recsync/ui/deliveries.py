"""The pages about deliveries: the writes of each one to Braze by outcome.

They show counts and reasons of the reports that the push stores, and no person's id or list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse

from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.export.report_page.templates import duration, number, share
from recsync.notes import MOUNT
from recsync.program.names import REMOVAL_PREFIX, RETIRE_PREFIX
from recsync.push.store import Deliveries, LastSent, PlanManifest
from recsync.recommend.store import (
    PUSH_PREFIX,
    RecommendationsManifest,
    RecommendationsStore,
)
from recsync.ui.access import (
    READERS,
    Address,
    Program,
    Programs,
    card,
    document_errors,
    or_bad_gateway,
    render,
)
from recsync.ui.charts import Chart, Point, over_time
from recsync.ui.mount import DELIVERIES

router = APIRouter(prefix=DELIVERIES, default_response_class=HTMLResponse)
_TITLE = "Deliveries"
_LATEST, _OF_PROGRAM = 5, 50
_DRAWN = 30
# What each outcome means, in the order in which charts stack them, with its colour.
MEANINGS = {
    "sent": ("Braze took the new list", "var(--s1)"),
    "unchanged": ("Braze has the same list already: no request, no data point", "var(--s6)"),
    "kept": ("no new answer for the person, who keeps the list that Braze has", "var(--s4)"),
    "held_out": ("held out by an experiment: nothing is written", "var(--s3)"),
    "suppressed": ("no list, and nothing in Braze", "var(--line)"),
    "deferred": ("over a limit of the program file; a later delivery writes them", "var(--s8)"),
    "removed": ("no list any more; Braze took the removal", "var(--s2)"),
    "rejected": ("Braze refused the person, or does not know them", "var(--s5)"),
    "dead_lettered": ("no clear answer of Braze; the next delivery writes them again", "var(--s7)"),
}
_REPAIR = "/repair-"  # of push/verify.py
# Prefix of the run that a delivery is of -> the stage that made it, and what it is.
_OTHERS = {
    REMOVAL_PREFIX: ("freshness", "removal of old lists"),
    RETIRE_PREFIX: ("retire", "retirement"),
    PUSH_PREFIX: ("push", "lists of make push"),
}


@router.get("")
def overview(programs: Programs, address: Address) -> str:
    """List the user's programs, each with its latest deliveries."""
    cards = [_card(name, address, _LATEST) | {"more": f"{address}{DELIVERIES}/{name}"} for name in programs]
    return render("deliveries.html", _TITLE, cards=cards)


@router.get("/{program}")
def newest(program: Program, address: Address) -> str:
    """List a program's newest deliveries, and draw their trend."""
    found = _card(program, address, _OF_PROGRAM)
    return render(
        "deliveries.html",
        f"{_TITLE} of {program}",
        trail=[(_TITLE, f"{address}{DELIVERIES}")],
        cards=[found | {"title": "Newest deliveries"}],
        charts=_trends(found.get("deliveries", ())[:_DRAWN]),
    )


@router.get("/{program}/{delivery}")
def delivery(program: Program, delivery: str, address: Address) -> str:
    """Show one delivery. It reads reports only, so its size does not depend on the audience's."""
    with or_bad_gateway("delivery"):
        context = StageContext.of(program)
        store = context.store(Deliveries)
        open_delivery = context.store(LastSent).read()[0].open_delivery
        shown = _shown(store, delivery, open_delivery, address) if delivery in store.names() else None
        if shown is None:
            raise HTTPException(
                HTTPStatus.NOT_FOUND,
                f"Program {program} has no such delivery: it was not planned, or it was removed since.",
            )
        lists = _lists(context, shown["plan"].recommendations)
        uri = store.uri(delivery)
    above = (_TITLE, f"{address}{DELIVERIES}"), (program, f"{address}{DELIVERIES}/{program}")
    return render(
        "delivery.html",
        f"{program} · delivery",
        trail=above,
        shown=shown,
        lists=lists,
        uri=uri,
        meanings=MEANINGS,
    )


def _card(program: str, address: str, limit: int) -> dict[str, Any]:
    """Read a program's newest deliveries."""

    def read(context: StageContext) -> dict[str, Any]:
        store, state = context.store(Deliveries), context.store(LastSent).read()[0]
        names = store.names()[: -limit - 1 : -1]
        with ThreadPoolExecutor(READERS) as threads:
            found = threads.map(lambda name: _shown(store, name, state.open_delivery, address), names)
            return {"deliveries": [each for each in found if each]}

    return card(program, read)


def _lists(context: StageContext, run: str) -> dict[str, Any] | None:
    """Read tiers, rules and arms from the recommendations' manifest; None when it was removed."""
    try:
        with document_errors():
            manifest: RecommendationsManifest = context.store(RecommendationsStore).manifest(run)
    except FatalError:
        return None  # a removal, or removed since, or written by a newer version
    rules = sorted({*manifest.dropped, *manifest.short, *manifest.missed})
    return {
        "manifest": manifest,
        "tiers": _bars(manifest.tiers),
        "arms": _bars(manifest.arms),
        "rules": [
            (rule, *(counts.get(rule) for counts in (manifest.dropped, manifest.short, manifest.missed)))
            for rule in rules
        ],
    }


def _bars(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Lay out counts for a table of bars, the largest first."""
    total, largest = sum(counts.values()), max(counts.values(), default=0)
    return [
        {
            "name": name,
            "count": n,
            "percent": 100 * n / largest if largest else 0,
            "share": share(n / total) if total else "",
        }
        for name, n in sorted(counts.items(), key=lambda pair: -pair[1])
    ]


def _trends(deliveries: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Draw the outcomes, the data points and the age of the lists of complete deliveries."""
    complete = [each for each in deliveries if each["report"] and not each["plan"].dry_run]
    used = [name for name in MEANINGS if any(each["outcomes"].get(name) for each in complete)]
    outcomes = [Point(each["at"], _words(name), each["outcomes"][name]) for name in used for each in complete]
    points = [Point(each["at"], "data points", each["report"]["data_points"]) for each in complete]
    ages = [Point(each["at"], "age", each["age"] / 3600) for each in complete if each["age"] is not None]
    charts = (
        over_time(
            "People by outcome", outcomes, unit="People", mark="bars", when="Delivery",
            colours={_words(name): colour for name, (_, colour) in MEANINGS.items()},
        ),
        over_time("Data points", points, unit="Data points", mark="bars", when="Delivery"),
        over_time(
            "Age of the recommendations when the delivery was planned", ages, unit="Hours", when="Delivery",
            write=lambda hours: duration(hours * 3600), axis="~f",
        ),
    )  # fmt: skip
    return [chart for chart in charts if chart]


def _words(outcome: str) -> str:
    return outcome.replace("_", "-")


def _age(plan: PlanManifest) -> float | None:
    """Return the age of the recommendations when the delivery was planned, in seconds; None without recommendations."""
    if not plan.moment:
        return None
    return max(0.0, datetime.fromisoformat(plan.created_at).timestamp() - plan.moment)


def _shown(store: Deliveries, name: str, open_delivery: str, address: str) -> dict[str, Any] | None:
    """Read what a page shows of one delivery; None while its plan is not published."""
    try:
        plan = store.plan(name)
    except FatalError:
        return None
    report, checked = store.report(name, "report"), store.report(name, "verification")
    program = store.keys.program
    stage, kind = _origin(plan)
    run = quote(plan.dag_run.partition(_REPAIR)[0])
    return {
        "at": plan.created_at,
        "kind": kind,
        "state": _state(plan, is_sent=report is not None, is_open=name == open_delivery),
        "plan": plan,
        "report": report,
        "outcomes": {name: report["outcomes"].get(name, 0) for name in MEANINGS} if report else {},
        "age": _age(plan),
        "requests": sum(report["answers"].values()) if report else None,
        "verification": _verification(checked or {}),
        "page": f"{address}{DELIVERIES}/{program}/{name}",
        "run": f"{address.removesuffix(MOUNT)}/dags/{program}_{stage}/runs/{run}",
        "repairs": [
            (each, f"{address}{DELIVERIES}/{program}/{each}") for each in (checked or {}).get("repairs", ())
        ],
    }


def _origin(plan: PlanManifest) -> tuple[str, str]:
    """Return the stage that made a delivery, and what the delivery is."""
    for prefix, origin in _OTHERS.items():
        if plan.recommendations.startswith(prefix):
            return origin
    if plan.replay_of:
        return "push", "replay of dead letters"
    if _REPAIR in plan.dag_run:
        return "push", "repair after verification"
    return "push", "resync" if plan.resync else "new lists"


def _state(plan: PlanManifest, *, is_sent: bool, is_open: bool) -> tuple[str, str]:
    """Return the CSS class and the text for the state of a delivery."""
    if plan.dry_run:
        return "note", "Dry run"
    if is_sent:
        return "passed", "Complete"
    return ("warned", "Not complete yet") if is_open else ("note", "Replaced by a newer one")


def _verification(found: dict[str, Any]) -> tuple[str, str]:
    """Return the CSS class and the text for the result of the verification."""
    if found.get("skipped"):
        return "warn", f"Skipped: {found['skipped']}"
    if found.get("still_drifted"):
        return "stop", f"{number(found['still_drifted'])} people do not have what Braze took"
    if found.get("drifted"):
        return "warn", f"{number(found['drifted'])} people differed and were written again"
    if found.get("read_back"):
        return "passed", f"{number(found['read_back'])} people read back, all as sent"
    return "soft", "under way" if found.get("repairs") else "not yet"
