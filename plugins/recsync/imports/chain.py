"""Whether published intervals cover time without a gap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from recsync.errors import FatalError
from recsync.export.manifest import Manifest

_NAMED_GAPS = 5


def check_chain(manifests: Sequence[Manifest]) -> None:
    """Check that each interval, oldest first, begins where the one before it ends.

    :raises FatalError: naming the gaps and overlaps.
    """
    breaks = [
        f"{before.interval.end.isoformat()} to {after.interval.start.isoformat()}"
        for before, after in pairwise(manifests)
        if before.interval.end != after.interval.start
    ]
    if breaks:
        named = ", ".join(breaks[:_NAMED_GAPS])
        more = f" and {len(breaks) - _NAMED_GAPS} more" if len(breaks) > _NAMED_GAPS else ""
        raise FatalError(
            f"The published intervals have {len(breaks)} gap(s) or overlap(s): {named}{more}. Fill them with "
            "`airflow backfill create`, or set train_full.import_from to snapshot."
        )
