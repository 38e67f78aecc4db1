"""Write an explanation as text, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from recsync.explain.explanation import Explanation, Item

_NO_RECORD = "not recorded: the run is of an earlier version"


def as_text(found: Explanation) -> str:
    """Return the explanation of one person."""
    lines = [found.summary, *(f"  {name:<12} {value}" for name, value in facts(found))]
    if found.items:
        lines += ["", "  list"]
        lines += [
            f"  {place:>4}  {_item(item)}  {score_text(item, found)}"
            for place, item in enumerate(found.items, 1)
        ]
    if found.left_out is None:
        lines += ["", f"  left out by rules: {_NO_RECORD}"] if found.in_audience else []
    for rule, items in (found.left_out or {}).items():
        lines += ["", f"  left out: {rule} ({len(items)})", *(f"        {name}" for name in named(items))]
    if found.bought:
        lines += [
            "",
            "  last purchases that the fallback started from",
            *(f"        {_item(i)}" for i in found.bought),
        ]
    return "\n".join(lines)


def facts(found: Explanation) -> Iterator[tuple[str, str]]:
    """Yield labels and values about run, delivery and Braze."""
    if found.user_id:
        yield "user_id", found.user_id
    yield found.identifier, found.person
    if found.run:
        yield "run", f"{found.run.run}, generated at {found.run.generated_at}"
        yield "version", found.run.version or "none: published from an existing batch output"
        yield "filter", found.run.filter or "none"
    if found.tier:
        yield "tier", found.tier + (f", segment {found.segment}" if found.segment else "")
    if found.unanswered:
        yield "unanswered", found.unanswered
    if found.delivered:
        reason = f": {found.delivered.reason}" if found.delivered.reason else ""
        yield "delivery", f"{found.delivered.delivery}, {found.delivered.outcome}{reason}"
    if found.sent:
        confirmed = found.sent.confirmed_at or "an unknown time"
        yield "sent", f"{found.sent.at} by {found.sent.delivery}, confirmed by recommendations of {confirmed}"
    yield "Braze now", braze_text(found)


def braze_text(found: Explanation) -> str:
    """Describe the values in Braze now, and whether they equal those sent."""
    if found.braze is None:
        return found.braze_problem
    same = {True: ", as sent", False: ", NOT what was sent", None: ""}[found.as_sent]
    shown = ", ".join(f"{name} = {_short(value)}" for name, value in found.braze.items())
    return f"{shown or 'no attribute of this program'}{same}"


def _short(value: object) -> str:
    if isinstance(value, list):
        ids = [str(one.get("id", "?")) if isinstance(one, dict) else str(one) for one in value]
        return f"[{', '.join(ids)}]"
    return str(value)


def named(items: Sequence[Item]) -> list[str]:
    """Return the names of items, and the number of unknown items: their ids were not kept."""
    unknown = sum(not item.item_id for item in items)
    return [_item(item) for item in items if item.item_id] + ([f"{unknown} unknown items"] if unknown else [])


def _item(item: Item) -> str:
    return f"{item.item_id}  {item.name}".rstrip()


def score_text(item: Item, found: Explanation) -> str:
    """Return the score of an item of the list, or why it has none."""
    if not found.with_scores:
        return "not read"
    return f"{item.score:.7f}" if item.score is not None else "none: fallback or promoted"
