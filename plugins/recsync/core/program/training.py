"""The program file: when to train, and on what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recsync.core.program.section import Strict


class TrainUpdate(Strict):
    """When an hourly UPDATE is worth a billed run.

    Pending rows wait until there are enough of them, or until the oldest of them has waited long enough. One import
    takes at most 1 GB of each dataset, the service's limit for an INCREMENTAL import: what is more waits for the next
    run, oldest first, and an interval that alone is larger waits for the next FULL.

    :param min_new_interactions: fewer pending rows than this wait. The quota page of Amazon Personalize names 1,000
        records as the least an import job takes; whether it refuses fewer is not documented.
    :param max_wait_hours: rows whose interval ended longer ago than this wait no more; None lets them wait for ever.
    """

    min_new_interactions: int = Field(default=1000, ge=1)
    max_wait_hours: float | None = Field(default=24.0, gt=0)


class TrainFull(Strict):
    """What a FULL training imports.

    FULL and INCREMENTAL imports share the work by size and by age. What is new since the last FULL, and what arrived
    late for the last intervals before it, goes in hourly and in small imports. What arrived later than that, was
    changed or deleted, or is larger than an INCREMENTAL import may be, reaches the service with the next FULL, which
    replaces everything. Users and items are always read as a snapshot, and imported only when they changed.

    :param import_from: ``snapshot`` queries all interactions anew. ``intervals`` spares the warehouse that query: it
        imports the objects of all published intervals together, up to the newest; a gap between them is an error. Rows
        that were changed or deleted in the warehouse after their interval's last export stay as they were.
    """

    import_from: Literal["snapshot", "intervals"] = "snapshot"
