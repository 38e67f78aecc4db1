"""What is wrong with the rows of ``catalogue.sql``: counted by rule and column, with the items named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from recsync.program.checks import Checks

# Enough to see what is wrong; all of them are counted.
_NAMED_ITEMS = 1_000
_SHOWN_CHARACTERS = 100

BAD_ID, BAD_VALUE, DUPLICATE = "id", "value", "duplicate_id"
_TEXTS = {
    BAD_ID: "{items} item(s) are left out: {what}.",
    BAD_VALUE: "{items} item(s) are left out: {column} is {what}.",
    DUPLICATE: "{items} item(s) come more than once with different values; the last row of each counts.",
}


@dataclass
class Finding:
    """One rule that items break in one column.

    :param what: what is wrong, e.g. ``no time``.
    :param named: the first items: number of the row, id and value.
    """

    rule: str
    column: str
    what: str
    items: int = 0
    named: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: int | None, item_id: str | None, value: str | None) -> None:
        """Count one item."""
        self.items += 1
        if len(self.named) < _NAMED_ITEMS:
            shown = None if value is None else value[:_SHOWN_CHARACTERS]
            self.named.append({"row": row, "item_id": item_id, "value": shown})

    @property
    def text(self) -> str:
        """Say what is wrong, without ids and values."""
        return _TEXTS[self.rule].format(items=self.items, column=self.column, what=self.what)


@dataclass
class CatalogueReport:
    """The findings about one catalogue.

    :param rows: rows that the query returned.
    :param items: items that may be mailed.
    :param quarantined: rows that are left out because of a value.
    """

    sql: str
    rows: int = 0
    items: int = 0
    quarantined: int = 0
    findings: dict[tuple[str, str, str], Finding] = field(default_factory=dict)

    def finding(self, rule: str, column: str, what: str) -> Finding:
        """Return the finding about a rule and a column."""
        return self.findings.setdefault((rule, column, what), Finding(rule, column, what))

    def count(self, rule: str) -> int:
        """Count the items that break a rule."""
        return sum(one.items for one in self.findings.values() if one.rule == rule)

    @property
    def texts(self) -> Sequence[str]:
        """Say everything that is wrong, without ids and values."""
        return [f"{self.sql}: {one.text}" for one in self.findings.values()]

    def stop_message(self, checks: Checks) -> str | None:
        """Say why nothing may be made of this catalogue; None when something may."""
        found = " ".join(self.texts)
        if not self.items:
            if not self.rows:
                return (
                    f"{self.sql} returns no row, so there is no item that can be mailed. Correct the query."
                )
            return f"{self.sql} returns {self.rows} row(s) and no item that can be mailed. {found}"
        share = self.quarantined / self.rows
        few = self.quarantined <= checks.tolerated_rows
        if checks.enabled and share > checks.max_quarantined_share and not few:
            return (
                f"{self.quarantined} of {self.rows} rows ({share:.1%}) would be left out of the catalog; at most "
                f"{checks.max_quarantined_share:.1%} may (checks.max_quarantined_share). {found}"
            )
        return None

    def to_json(self) -> dict[str, Any]:
        """Write it as a JSON document."""
        return {
            "sql": self.sql,
            "rows": self.rows,
            "items": self.items,
            "quarantined": self.quarantined,
            "findings": [
                {
                    "rule": one.rule,
                    "column": one.column,
                    "items": one.items,
                    "text": one.text,
                    "named": one.named,
                }
                for one in self.findings.values()
            ],
        }
