"""The table of stages. A stage is one DAG per program, made by ``dags/<name>.py``; nothing else lists stages.

Read by the program file (defaults of ``schedules``, ``deadline_hours`` and ``task_timeout_hours``), the lock of the
dataset group, ``maintain``, ``forget`` and ``retire``; ``tests/recsync/test_stages.py`` compares it with the DAG files,
the S3 keys, the README and the local stack.
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
class Stage:
    """One stage.

    :param deadline_hours: a run that takes longer is late; default of the program file.
    :param task_timeout_hours: a try of a task that takes longer fails; default of the program file.
    :param schedule: default cron expression; empty when there is none by default, None when a program cannot give one.
    :param lock: whether its runs take the lock of the dataset group. ``yields``: after runs of the others, or a
        backlog of hourly runs would keep those waiting for ever.
    :param holds_rows: whether its runs hold rows of people, so that an erasure waits for those that began before it.
    :param prefixes: where it writes.
    :param optional: whether only programs that ask for it have the DAG.
    :param needs: ``data``: only programs with datasets of their own have the DAG; ``model``: only programs with a
        champion of their own; None: every program.
    """

    name: str
    deadline_hours: float
    task_timeout_hours: float
    schedule: str | None = None
    lock: Literal["exclusive", "yields"] | None = None
    holds_rows: bool = False
    prefixes: tuple[Prefix, ...] = ()
    optional: bool = False
    needs: Literal["data", "model"] | None = None


_IMPORTS = Prefix("imports")
STAGES = (
    Stage("setup", 2, 1, needs="model"),
    # At the full hour: the schedule also cuts time into intervals.
    Stage("export", 2, 6, "0 * * * *", holds_rows=True, prefixes=(Prefix("exports"),), needs="data"),
    Stage(
        "train_full", 24, 12, "H 3 * * 0", lock="exclusive", holds_rows=True,
        prefixes=(Prefix("full", "manifest.json"), _IMPORTS), needs="model",
    ),
    Stage("train_update", 12, 6, lock="yields", holds_rows=True, prefixes=(_IMPORTS,), needs="model"),
    Stage("rollback", 1, 1, needs="model"),
    Stage("tune", 72, 6, "", lock="exclusive", optional=True, needs="model"),
    Stage(
        "recommend", 12, 12, "H 5 * * *", holds_rows=True,
        prefixes=(Prefix("batch"), Prefix("recommendations", "manifest.json")),
    ),
    Stage("push", 12, 24, "H * * * *", holds_rows=True, prefixes=(Prefix("deliveries", "plan.json"),)),
    Stage("freshness", 12, 24, "H 4 * * *", holds_rows=True, optional=True),
    Stage("maintain", 6, 6, "H 2 * * *", holds_rows=True, prefixes=(Prefix("maintenance"),)),
    Stage(
        "forget", 48, 24, lock="exclusive", holds_rows=True,
        prefixes=(Prefix("erasure", expires=False, erases=False),), needs="data",
    ),
    Stage("retire", 48, 24, lock="exclusive", holds_rows=True),
)  # fmt: skip
PREFIXES = {prefix.name: prefix for stage in STAGES for prefix in stage.prefixes}
