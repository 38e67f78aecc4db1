"""Write the matrix as a table, and as the page that is kept."""

from __future__ import annotations

from collections.abc import Sequence

from matrix_rows import Row

_COLUMNS = {
    "fault": "fault",
    "share": "share",
    "hits": "hits",
    "people": "people",
    "tries": "tries",
    "lost": "lost",
    "wrong": "wrong values",
    "sums": "sums exact",
    "resent": "resent (reported)",
    "rewritten": "written again (seen)",
    "explained": "at most",
    "rejected": "rejected",
    "kept": "kept",
    "dead": "dead letters",
    "repaired": "repairs",
    "seconds": "seconds",
}
_PAGE = """# What faults do to a delivery

`make faults` prints this table; `make faults WRITE=1` writes it here. `tests/fault_matrix` holds the scenarios.

Each row is a program of its own with three deliveries. The first is clean and gives everybody a list. In the
second one person in fifty has left the audience, one in fifty has an empty list, 60 % have another list and some
people are new; it goes on under the fault, in calls of ten people, with Airflow's retries (up to five tries of the
task), and is then verified as the DAG does it, still under the fault. The third is clean again and turns every
list back, so that anything that was applied and believed unsent, or the reverse, shows as a wrong value. What
Braze should show is computed in plain Python from what was published, and compared with every profile of the
sandbox.

- **hits**: calls, tasks or writes to S3 that the fault struck, in the second delivery and its verification
- **lost**: people who do not have what they should and are not accounted as rejected, dead-lettered, deferred or kept
- **wrong values**: anybody with another value, people outside the audience among them, after the second delivery
  or after the third; for those accounted as not written the old value is right. With a catalogue: items that lists
  point at and that are missing or old, and retired items that are still there
- **sums exact**: `accounts.parquet` names the people of the audience, each once, as the report counts them
- **resent (reported)**: people whom an earlier try may have sent and who were sent again, by the report;
  of a delivery that was closed for a newer one, by its ledger
- **written again (seen)**: writes beyond a person's first that the sandbox applied; *at most*: those reported, and
  the people of calls that the fault hit
- **repairs**: deliveries that verification made because people did not have what Braze had taken

{table}

{rows} rows, {people:,} people in each, {minutes:.1f} minutes.
"""


def table(rows: Sequence[Row]) -> str:
    """Write the rows as Markdown."""
    lines = [list(_COLUMNS.values()), *([_cell(row, name) for name in _COLUMNS] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    texts = [f"| {' | '.join(cells)} |" for cells in padded]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = [f"\n{row.fault}: {row.note}" for row in rows if row.note]
    return "\n".join(texts + notes)


def document(rows: Sequence[Row], seconds: float) -> str:
    """Write the page."""
    people = max((row.people for row in rows), default=0)
    return _PAGE.format(table=table(rows), rows=len(rows), people=people, minutes=seconds / 60)


def _cell(row: Row, name: str) -> str:
    if name == "sums":
        return "yes" if row.exact else "NO"
    value = getattr(row, name)
    return f"{value:,}" if isinstance(value, int) else str(value)
