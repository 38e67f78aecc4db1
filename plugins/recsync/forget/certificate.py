"""The certificate of an erasure: what was removed where, and what is left for others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

_BRAZE = {
    "profile": "Braze: the profile was deleted ({profiles} id(s)) and read back as gone.",
    "attributes": "Braze: what recsync wrote was removed from {profiles} profile(s), and read back as gone.",
    "nothing": "Braze: left alone, as erasure.braze says; delete the profile there.",
}


@dataclass(frozen=True)
class Certificate:
    """What one erasure did; it names nobody.

    :param person: the keyed hash of the ``user_id``, as in the suppression list.
    :param s3: what the sweeps found: objects and rows by area, manifests mended, objects looked at.
    :param personalize: the data deletion job and how many records it deleted; None without a dataset group.
    :param remains: what still may know the person, and until when.
    :param others: what somebody else has to do.
    """

    program: str
    erasure: str
    person: str
    requested_at: str
    completed_at: str
    s3: dict[str, Any]
    personalize: dict[str, Any] | None
    braze: dict[str, Any]
    remains: tuple[str, ...]
    others: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Write it as a JSON document."""
        return asdict(self)

    def text(self) -> str:
        """Write it for people."""
        lines = [
            f"Certificate of erasure {self.erasure}, program {self.program}",
            "",
            f"Person (keyed hash of the id): {self.person}",
            f"Requested {self.requested_at}, completed {self.completed_at}",
            "",
            "Removed",
            f"  S3: {self.s3['looked_at']:,} objects were looked at.",
        ]
        areas = [
            f"    {area}: {rows:,} row(s) or value(s) in {self.s3['objects'][area]:,} object(s)"
            for area, rows in sorted(self.s3["rows"].items())
        ]
        lines += areas or ["    nothing named the person"]
        lines += [f"  {self._personalize()}", f"  {self._braze()}", ""]
        for title, entries in (("Remains", self.remains), ("For others to do", self.others)):
            lines += [title, *(f"  - {entry}" for entry in entries or ("nothing",)), ""]
        return "\n".join(lines)

    def _personalize(self) -> str:
        if self.personalize is None:
            return "Amazon Personalize: the program has no dataset group there."
        deleted = self.personalize["deleted"]
        told = "" if deleted is None else f"; {deleted:,} record(s) deleted"
        return f"Amazon Personalize: data deletion job {self.personalize['job']}{told}"

    def _braze(self) -> str:
        if not self.braze["profiles"]:
            return "Braze: no id of the person is known there."
        return _BRAZE[self.braze["mode"]].format(**self.braze)
