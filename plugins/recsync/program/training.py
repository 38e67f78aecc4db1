"""The program file: when to train, and on what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recsync.program.section import Strict


class TrainUpdate(Strict):
    """When an hourly UPDATE is worth a billed run.

    Pending rows wait until there are new items or enough interactions among them, or until the oldest of them has
    waited long enough. Each dataset is imported on its own: items and users need no interactions, and interactions go
    only when 1,000 or more are pending, the service's minimum per import job; fewer wait for more or for the next FULL.
    One import takes at most 1 GB of each dataset, the service's limit for an INCREMENTAL import: what is more waits for
    the next run, oldest first, and an interval that alone is larger waits for the next FULL.

    :param min_new_interactions: so many pending interactions are worth a run. Less than 1,000 counts as 1,000.
    :param min_new_items: as many new items are worth a run, however few the interactions; what an UPDATE brings is new
        items. Counted where the program has an Items dataset; None: new items are no reason.
    :param max_wait_hours: rows that can be imported and whose interval ended longer ago than this wait no more; None
        lets them wait for ever.
    """

    min_new_interactions: int = Field(default=1000, ge=1)
    min_new_items: int | None = Field(default=1, ge=1)
    max_wait_hours: float | None = Field(default=24.0, gt=0)


class Drift(Strict):
    """What makes a FULL training that the schedule does not ask for.

    :param new_items_share: of the interactions since the last FULL, the share with items it did not know.
    :param growth: interactions since the last FULL, as a share of those it trained on.
    :param metric_drop: how far the champion's figure may lie below the last FULL version's, as a share of it.
    :param min_interactions: fewer than these since the last FULL say nothing.
    :param min_days_between: after a FULL run, promoted or not, drift starts none for so many days.
    """

    new_items_share: float | None = Field(default=0.25, gt=0, le=1)
    growth: float | None = Field(default=1.0, gt=0)
    metric_drop: float | None = Field(default=0.2, gt=0, lt=1)
    min_interactions: int = Field(default=1000, ge=1)
    min_days_between: float = Field(default=2.0, ge=0.5)


class TrainFull(Strict):
    """What a FULL training imports.

    FULL and INCREMENTAL imports share the work by size and by age. What is new since the last FULL, and what arrived
    late for the last intervals before it, goes in hourly and in small imports. What arrived later than that, was
    changed or deleted, or is larger than an INCREMENTAL import may be, reaches the service with the next FULL, which
    replaces everything. Users and items are always read as a snapshot, and imported only when they changed.

    A run of the schedule skips when fewer interactions came since the last FULL than are asked for; a run that a person
    starts never does.

    :param import_from: ``snapshot`` queries all interactions anew. ``intervals`` spares the warehouse that query: it
        imports the objects of all published intervals together, up to the newest; a gap between them is an error. Rows
        that were changed or deleted in the warehouse after their interval's last export stay as they were.
    :param min_new_interactions: fewer in the intervals published since the last FULL make a scheduled run skip.
    :param drift: trains FULL before the schedule does when the data or the champion's figure drifted; None never does.
        Looked for by ``train_update``.
    """

    import_from: Literal["snapshot", "intervals"] = "snapshot"
    min_new_interactions: int = Field(default=1, ge=0)
    drift: Drift | None = None
