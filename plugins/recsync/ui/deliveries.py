"""The pages about deliveries: the writes of each one to Braze by outcome.

They show counts and reasons of the reports that the push stores, and no person's id or list.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse

from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.export.link import MOUNT
from recsync.export.report_page.templates import number
from recsync.freshness.removal import REMOVAL_PREFIX
from recsync.push.accounts import Outcome
from recsync.push.store import Deliveries, LastSent, PlanManifest
from recsync.recommend.store import PUSH_PREFIX, RETIRE_PREFIX
from recsync.ui.access import NOT_READ, Address, Program, Programs, render
from recsync.ui.mount import DELIVERIES

router = APIRouter(prefix=DELIVERIES, default_response_class=HTMLResponse)
_TITLE = "Deliveries"
_LATEST, _OF_PROGRAM = 5, 50
_THREADS = 8
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
    """List a program's newest deliveries."""
    above = [(_TITLE, f"{address}{DELIVERIES}")]
    card = _card(program, address, _OF_PROGRAM)
    return render("deliveries.html", f"{_TITLE} of {program}", trail=above, cards=[card])


@router.get("/{program}/{delivery}")
def delivery(program: Program, delivery: str, address: Address) -> str:
    """Show one delivery."""
    try:
        context = StageContext.of(program)
        store = context.store(Deliveries)
        if delivery not in store.names():
            raise HTTPException(
                HTTPStatus.NOT_FOUND,
                f"Program {program} has no such delivery: it was not planned, or it was removed since.",
            )
        shown = _shown(store, delivery, context.store(LastSent).read()[0].open_delivery, address)
        uri = store.uri(delivery)
    except NOT_READ as error:
        raise HTTPException(HTTPStatus.BAD_GATEWAY, f"The delivery could not be read. {error}") from error
    above = (_TITLE, f"{address}{DELIVERIES}"), (program, f"{address}{DELIVERIES}/{program}")
    return render("delivery.html", f"{program} · delivery", trail=above, shown=shown, uri=uri)


def _card(program: str, address: str, limit: int) -> dict[str, Any]:
    """Read a program's newest deliveries; a problem does not hide other programs."""
    try:
        context = StageContext.of(program)
        store, state = context.store(Deliveries), context.store(LastSent).read()[0]
        names = store.names()[: -limit - 1 : -1]
        # One by one, a page of deliveries takes seconds.
        with ThreadPoolExecutor(_THREADS) as threads:
            found = threads.map(lambda name: _shown(store, name, state.open_delivery, address), names)
            return {"title": program, "deliveries": [each for each in found if each]}
    except NOT_READ as error:
        return {"title": program, "problem": str(error)}


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
        "outcomes": {outcome.value: report["outcomes"].get(outcome, 0) for outcome in Outcome}
        if report
        else {},
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
