"""The report of a maintain run, as JSON and as text.

``run`` writes it; ``objects`` and ``resources``, which ``run`` imports, make its entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

# https://docs.aws.amazon.com/personalize/latest/dg/limits.html, those that recsync's own resources count against.
QUOTAS = {
    "dataset groups": 5,
    "schemas": 500,
    "solutions": 10,
    "filters": 30,
    "campaigns": 5,
}
_WARN_FROM_SHARE = 0.8
_LINES_PER_SECTION = 40
# Names in the JSON document where they differ from the fields'.
_MEMBERS = {"kept": "stays", "recent": "young", "orphans": "unowned"}
_LISTS = ("removed", "kept", "orphans", "idle")


@dataclass(frozen=True)
class ReportEntry:
    """One unit of objects, or one resource.

    :param kind: ``full``, ``solution``, …
    :param size_bytes: None for resources.
    """

    kind: str
    name: str
    why: str
    size_bytes: int | None = None


@dataclass(frozen=True)
class MaintainReport:
    """The report of one maintain run.

    :param removed: with ``dry_run``, what would be removed.
    :param kept: units and resources in use.
    :param recent: kind -> how many are kept only because they are recent.
    :param orphans: what no program owns; never removed.
    :param idle: campaigns that seem unused.
    :param counts: resource of ``QUOTAS`` -> how many exist.
    :param attribution: what the metric attribution counted, a line for each metric.
    :param left: what could not be done this time, and why.
    """

    program: str
    run: str
    dry_run: bool
    removed: tuple[ReportEntry, ...] = ()
    kept: tuple[ReportEntry, ...] = ()
    recent: dict[str, int] = field(default_factory=dict)
    orphans: tuple[ReportEntry, ...] = ()
    idle: tuple[ReportEntry, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    attribution: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {_MEMBERS.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Read it back."""
        members = {name: _MEMBERS.get(name, name) for name in cls.__dataclass_fields__}
        # Reports of earlier versions have no attribution.
        fields = {name: document.get(member, ()) for name, member in members.items()}
        for name in _LISTS:
            fields[name] = tuple(ReportEntry(**entry) for entry in fields[name])
        tuples = {name: tuple(fields[name]) for name in ("left", "attribution")}
        return cls(**{**fields, **tuples})

    @classmethod
    def joined(cls, program: str, run: str, parts: Sequence[MaintainReport]) -> Self:
        """Join the reports of objects and resources."""
        return cls(
            program,
            run,
            any(part.dry_run for part in parts),
            recent={kind: number for part in parts for kind, number in part.recent.items()},
            counts={name: number for part in parts for name, number in part.counts.items()},
            left=tuple(line for part in parts for line in part.left),
            **{name: tuple(entry for part in parts for entry in getattr(part, name)) for name in _LISTS},
        )

    def text(self) -> str:
        """Format it for the log, with the first entries of each section."""
        size = sum(entry.size_bytes or 0 for entry in self.removed)
        verb = "Would be removed" if self.dry_run else "Removed"
        lines = [f"{verb}: {len(self.removed)} ({size:,} bytes)", *_lines(self.removed)]
        for title, entries in (
            ("In use", self.kept),
            ("No program owns these; they are left alone", self.orphans),
            ("Campaigns that may be idle", self.idle),
        ):
            if entries:
                lines += [f"{title}: {len(entries)}", *_lines(entries)]
        if self.recent:
            lines.append("Recent: " + ", ".join(f"{n} {kind}" for kind, n in sorted(self.recent.items())))
        lines += [f"Quota of {name}: {n} of {QUOTAS[name]}" for name, n in self.counts.items()]
        lines += [f"Metric attribution: {line}" for line in self.attribution]
        return "\n".join([*lines, *self.left])

    @property
    def nearly_full(self) -> list[str]:
        """The quotas that are nearly used up."""
        return [
            f"{count} of {QUOTAS[name]} {name}"
            for name, count in self.counts.items()
            if count >= _WARN_FROM_SHARE * QUOTAS[name]
        ]


def _lines(entries: Iterable[ReportEntry]) -> list[str]:
    listed = [f"  {entry.kind} {entry.name}: {entry.why}" for entry in entries]
    more = len(listed) - _LINES_PER_SECTION
    return listed if more <= 0 else [*listed[:_LINES_PER_SECTION], f"  and {more} more"]
