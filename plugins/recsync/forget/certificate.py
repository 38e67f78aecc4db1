"""The certificates of an erasure: one for each person, and one for all people of a run. They hold no id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_BRAZE = {
    "profile": "Braze: the profile was deleted ({profiles} id(s)), and a read confirmed it.",
    "attributes": "Braze: what recsync wrote was removed from {profiles} profile(s), and a read confirmed it.",
    "nothing": "Braze: not changed, as erasure.braze says; delete the profile there.",
}
OTHERS = (
    "Warehouse: recsync reads it and changes nothing there; delete the person in its tables, views and backups.",
    "Braze: e-mails that were sent, Currents exports and segments downloaded by people are outside of recsync.",
)
OF_TABLES = (
    "Tables: rows that others copied, as into a warehouse or a notebook, are outside of recsync; where a DAG loads "
    "changed days back, its next run replaces them."
)


@dataclass(frozen=True)
class Certificate:
    """What the erasure of one person removed; it holds no id.

    :param program: the owner of the data.
    :param person: the keyed hash of the ``user_id``, as in the suppression list.
    :param s3: objects and rows by area, manifests updated, objects looked at.
    :param personalize: the data deletion job and how many records it deleted; None without a dataset group.
    :param remains: what may still hold data of the person, and until when.
    :param others: what recsync cannot do.
    :param sharers: the other programs over the data, which the erasure covers too.
    :param batch: the requests that one run took together; its certificate has the sums.
    :param people: how many people the batch, and so the data deletion job, was for.
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
    sharers: tuple[str, ...] = ()
    batch: str = ""
    people: int = 1

    def text(self) -> str:
        """Format it as text."""
        lines = [
            f"Certificate of erasure {self.erasure}, program {', '.join([self.program, *self.sharers])}",
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
        of_all = f" of all {self.people:,} people of {self.batch}" if self.people > 1 else ""
        count = "" if deleted is None else f"; {deleted:,} record(s){of_all} deleted"
        return f"Amazon Personalize: data deletion job {self.personalize['job']}{count}"

    def _braze(self) -> str:
        if not self.braze["profiles"]:
            return "Braze: no id of the person is known there."
        return _BRAZE[self.braze["mode"]].format(**self.braze)


def batch_certificate(
    certificates: Iterable[Certificate], s3: Mapping[str, Any], *, places: str
) -> dict[str, Any]:
    """Return the certificate of all people of a run, as a JSON document.

    :param s3: the sums.
    :param places: where the certificates of the people are.
    """
    found = list(certificates)
    one = found[0]
    return {
        "program": one.program,
        "sharers": list(one.sharers),
        "batch": one.batch,
        "people": len(found),
        "erasures": [each.erasure for each in found],
        "completed_at": one.completed_at,
        "s3": dict(s3),
        "personalize": one.personalize,
        "braze": {"mode": one.braze["mode"], "profiles": sum(each.braze["profiles"] for each in found)},
        "certificates": places,
    }


def batch_text(document: Mapping[str, Any]) -> str:
    """Format the certificate of all people of a run as text."""
    s3, job = document["s3"], document["personalize"]
    rows = ", ".join(f"{area} {count:,}" for area, count in sorted(s3["rows"].items())) or "none"
    deleted = "no dataset group" if job is None else f"data deletion job {job['job']}"
    return "\n".join(
        [
            f"{document['people']:,} people were erased from {', '.join([document['program'], *document['sharers']])}"
            f" in one run, {document['batch']}, completed {document['completed_at']}",
            f"  S3: {s3['looked_at']:,} objects, {s3['read']:,} of them read ({s3['read_bytes'] / 1e6:,.1f} MB),"
            f" {s3['rewritten']:,} rewritten; rows: {rows}",
            f"  Amazon Personalize: {deleted}",
            f"  Braze: {document['braze']['mode']}, {document['braze']['profiles']:,} id(s)",
            f"  One certificate each: {document['certificates']}<time>-<erasure>.txt",
            "",
        ]
    )
