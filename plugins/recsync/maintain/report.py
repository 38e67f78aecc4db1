"""What one maintain run found, removed and left, as a document and as text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

# https://docs.aws.amazon.com/personalize/latest/dg/limits.html, those that recsync's own resources count against.
QUOTAS = {
    "dataset groups": 5,
    "schemas": 500,
    "solutions": 10,
    "filters": 30,
    "campaigns": 5,
}
# From this share of a quota on, people are told.
_NEARLY_FULL = 0.8


@dataclass(frozen=True)
class Entry:
    """One thing that was looked at.

    :param kind: ``full``, ``solution``, …
    :param size_bytes: None for what has no size.
    """

    kind: str
    name: str
    why: str
    size_bytes: int | None = None


@dataclass(frozen=True)
class Report:
    """What one run of maintain found.

    :param removed: with ``dry_run``, what would be.
    :param stays: of what is in use; what is only young is counted in ``young``.
    :param unowned: what no program owns; never touched.
    :param idle: campaigns that cost though nobody seems to need them.
    :param counts: resource of ``QUOTAS`` -> how many there are; those of a dataset group for the program's.
    :param left: what could not be done this time, and why.
    """

    program: str
    run: str
    dry_run: bool
    removed: tuple[Entry, ...] = ()
    stays: tuple[Entry, ...] = ()
    young: dict[str, int] = field(default_factory=dict)
    unowned: tuple[Entry, ...] = ()
    idle: tuple[Entry, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    left: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Write it as a JSON document."""
        return asdict(self)

    def text(self, most: int = 40) -> str:
        """Write it for a person.

        :param most: lines of each section; the document holds all.
        """
        word = "Would be removed" if self.dry_run else "Removed"
        size = sum(entry.size_bytes or 0 for entry in self.removed)
        lines = [f"{word}: {len(self.removed)} ({size:,} bytes)", *_lines(self.removed, most)]
        for title, entries in (
            ("In use", self.stays),
            ("No program owns these; they are left alone", self.unowned),
            ("Campaigns that may be idle", self.idle),
        ):
            if entries:
                lines += [f"{title}: {len(entries)}", *_lines(entries, most)]
        if self.young:
            lines.append("Young: " + ", ".join(f"{n} {kind}" for kind, n in sorted(self.young.items())))
        lines += [f"Quota of {name}: {n} of {QUOTAS[name]}" for name, n in self.counts.items()]
        return "\n".join([*lines, *self.left])

    @property
    def nearly_full(self) -> list[str]:
        """Say which quotas are nearly used up."""
        return [
            f"{count} of {QUOTAS[name]} {name}"
            for name, count in self.counts.items()
            if count >= _NEARLY_FULL * QUOTAS[name]
        ]


def _lines(entries: Iterable[Entry], most: int) -> list[str]:
    listed = list(entries)
    lines = [f"  {entry.kind} {entry.name}: {entry.why}" for entry in listed[:most]]
    return lines if len(listed) <= most else [*lines, f"  and {len(listed) - most} more"]
