"""The figures of one export, as the report shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recsync.export.checks.groups import IdFigures
from recsync.export.checks.id_set import among
from recsync.export.checks.odd_texts import NULL_WORD_HASHES
from recsync.export.checks.profile import Tally
from recsync.export.checks.summaries import ColumnSummary
from recsync.program import DatasetType
from recsync.program.columns import own_id


@dataclass(frozen=True)
class Figures:
    """What was counted.

    :param rows: exported rows; every other figure is about these.
    :param null_ids: rows by the column whose id is a word for a missing value.
    :param users: None for users and items datasets, as ``items``.
    """

    rows: int
    summaries: dict[str, ColumnSummary]
    users: IdFigures | None
    items: IdFigures | None
    duplicate_rows: int
    event_type_names: int
    event_types: list[dict[str, Any]]
    volume: dict[str, Any]
    oldest: int | None
    newest: int | None
    own_ids: int
    null_ids: dict[str, int]

    @classmethod
    def of(cls, tally: Tally) -> Figures:
        """Finish counting."""
        interactions = tally.dataset_type is DatasetType.INTERACTIONS
        users, items = (tally.users(), tally.items()) if interactions else (None, None)
        return cls(
            rows=tally.rows,
            summaries=tally.summaries,
            users=users,
            items=items,
            duplicate_rows=tally.duplicate_rows() if interactions else 0,
            event_type_names=tally.event_type_names,
            event_types=tally.event_types(),
            volume=tally.volume.to_json(),
            oldest=tally.volume.oldest,
            newest=tally.volume.newest,
            own_ids=len(tally.seen.ids),
            null_ids=_null_ids(tally, users, items),
        )

    @property
    def new_items_share(self) -> float | None:
        """Share of the items that were not there before."""
        if self.items is None or self.items.new is None or not self.items.distinct:
            return None
        return self.items.new / self.items.distinct

    def to_json(self) -> dict[str, Any]:
        """Write the part of the report that holds figures."""
        users = self.users.distinct if self.users else None
        items = self.items.distinct if self.items else None
        known = {"USER_ID": users, "ITEM_ID": items} if self.users else {}
        return {
            "columns": [
                summary.to_json(known.get(name, self._own(name))) for name, summary in self.summaries.items()
            ],
            "volume": self.volume,
            "event_types": self.event_types,
            "history": self.users.history if self.users else [],
            "figures": {
                "users": users if self.users else self._own("USER_ID"),
                "items": items if self.items else self._own("ITEM_ID"),
                "users_with_two_interactions": self.users.with_two if self.users else None,
                "duplicate_rows": self.duplicate_rows if self.users else None,
                "oldest": self.oldest,
                "newest": self.newest,
                "new_items_share": self.new_items_share,
            },
        }

    def _own(self, name: str) -> int | None:
        """Give the number of a users, items or actions dataset's own ids; action interactions have none."""
        first = {"USER_ID", "ITEM_ID", "ACTION_ID"} & self.summaries.keys()
        return self.own_ids if self.users is None and name in first and len(first) == 1 else None


def _null_ids(tally: Tally, users: IdFigures | None, items: IdFigures | None) -> dict[str, int]:
    if users and items:
        return {"USER_ID": users.null_rows, "ITEM_ID": items.null_rows}
    column = own_id(tally.dataset_type)
    return {column: int(among(tally.seen.ids, NULL_WORD_HASHES).sum())} if column else {}
