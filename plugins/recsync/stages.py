"""The table of stages. A stage is one DAG per program, made by ``dags/<name>.py``; nothing else lists stages.

Read by the program file (defaults of ``schedules``, ``deadline_hours`` and ``task_timeout_hours``), the lock of the
dataset group, the pools and priorities of tasks, ``maintain``, ``forget`` and ``retire``;
``tests/recsync/test_stages.py`` compares it with the DAG files, the S3 keys, the README and the local stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Prefix:
    """A folder on S3, below the program's, with one folder or document per run.

    :param manifest: name of the object that publishes a run's folder; None when none does.
    :param expires: whether ``maintain`` removes its runs when they are old and unused.
    :param erases: whether ``forget`` takes people out of it.
    """

    name: str
    manifest: str | None = None
    expires: bool = True
    erases: bool = True


@dataclass(frozen=True)
class Pool:
    """An Airflow pool: a limit of concurrent tasks over all programs.

    :param share: its slots, as a share of ``[core] parallelism``. The shares add up to less than 1, so that tasks
        outside the pools, which are short, always find a slot.
    :param heavy: whether its tasks need memory and disk by the number of people, and get the large pod on Kubernetes.
    """

    description: str
    share: float
    heavy: bool = False

    def slots(self, parallelism: int) -> int:
        """Return its slots, at least 2: with one, a retry would wait for the longest task of all programs."""
        return max(2, int(parallelism * self.share))


POOLS = {
    "recsync_warehouse": Pool("Queries of the warehouse: exports and lift", 3 / 8),
    "recsync_heavy": Pool(
        "Work on everybody's rows: recommend, push, tables, freshness, erasure", 1 / 2, heavy=True
    ),
}


@dataclass(frozen=True)
class Stage:
    """One stage.

    :param deadline_hours: a run that takes longer is late; default of the program file.
    :param task_timeout_hours: a try of a task that takes longer fails; default of the program file.
    :param schedule: default cron expression; empty when there is none by default, None when a program cannot give one.
    :param lock: whether its runs take the lock of the dataset group. ``yields``: after runs of the others, or a
        backlog of hourly runs would keep those waiting for ever.
    :param locks_partly: whether a run works for long before it acquires the lock and after it releases it. Hourly runs
        go on until it waits for the lock.
    :param holds_rows: whether its runs hold rows of people, so that an erasure waits for those that began before it.
    :param prefixes: where it writes.
    :param optional: whether only programs that ask for it have the DAG.
    :param pool: pool of its tasks, of ``POOLS``; None: Airflow's default pool.
    :param weight: tasks of a higher weight start first when slots are rare; a backfill's come after all others.
    :param tasks_at_once: most concurrent instances of one task over all runs of a program; less than the slots of the
        pool, so that a program with many intervals leaves slots to others. None: no limit.
    :param needs: ``data``: only programs with datasets of their own have the DAG; ``model``: only programs with a
        champion of their own; None: every program.
    """

    name: str
    deadline_hours: float
    task_timeout_hours: float
    schedule: str | None = None
    lock: Literal["exclusive", "yields"] | None = None
    locks_partly: bool = False
    holds_rows: bool = False
    prefixes: tuple[Prefix, ...] = ()
    optional: bool = False
    pool: str | None = None
    weight: int = 10
    tasks_at_once: int | None = None
    needs: Literal["data", "model"] | None = None


_IMPORTS = Prefix("imports")
# Sums by event type, source and quarter of an hour.
_ATTRIBUTION = Prefix("attribution", erases=False)
STAGES = (
    Stage("setup", 2, 1, weight=60, needs="model"),
    # At the full hour: the schedule also cuts time into intervals.
    Stage(
        "export", 2, 6, "0 * * * *", holds_rows=True, prefixes=(Prefix("exports"),),
        pool="recsync_warehouse", weight=30, tasks_at_once=2, needs="data",
    ),
    Stage(
        "train_full", 24, 12, "H 3 * * 0", lock="exclusive", holds_rows=True,
        prefixes=(Prefix("full", "manifest.json"), _IMPORTS, _ATTRIBUTION), weight=30, needs="model",
    ),
    Stage(
        "train_update", 12, 6, lock="yields", holds_rows=True, prefixes=(_IMPORTS, _ATTRIBUTION), weight=35,
        needs="model",
    ),
    Stage("rollback", 1, 1, weight=60, needs="model"),
    Stage("tune", 72, 6, "", lock="exclusive", optional=True, needs="model"),
    Stage(
        "recommend", 12, 12, "H 5 * * *", holds_rows=True,
        prefixes=(Prefix("batch"), Prefix("recommendations", "manifest.json")), pool="recsync_heavy", weight=40,
    ),
    Stage(
        "push", 12, 24, "H * * * *", holds_rows=True, prefixes=(Prefix("deliveries", "plan.json"),),
        pool="recsync_heavy", weight=50,
    ),
    Stage("freshness", 12, 24, "H 4 * * *", holds_rows=True, optional=True, pool="recsync_heavy", weight=20),
    # Reports hold sums of arms, so an erasure leaves them; a warehouse may unload its rows to S3 meanwhile.
    Stage(
        "lift", 6, 6, "H 7 * * *", holds_rows=True, prefixes=(Prefix("lift", erases=False),), optional=True,
        pool="recsync_warehouse",
    ),
    # After the day's push; asset events of the push start it too.
    Stage(
        "tables", 6, 6, "H 9 * * *", holds_rows=True, prefixes=(Prefix("tables"),), optional=True,
        pool="recsync_heavy",
    ),
    Stage("maintain", 6, 6, "H 2 * * *", holds_rows=True, prefixes=(Prefix("maintenance"),)),
    Stage(
        "forget", 48, 24, "H 1 * * *", lock="exclusive", locks_partly=True, holds_rows=True,
        prefixes=(Prefix("erasure", expires=False, erases=False),), pool="recsync_heavy", weight=60, needs="data",
    ),
    Stage("retire", 48, 24, lock="exclusive", holds_rows=True),
)  # fmt: skip
BY_NAME = {stage.name: stage for stage in STAGES}
PREFIXES = {prefix.name: prefix for stage in STAGES for prefix in stage.prefixes}
