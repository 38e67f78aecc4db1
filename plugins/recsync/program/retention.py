"""The program file: how long what recsync makes is kept."""

from __future__ import annotations

from pydantic import Field

from recsync.program.section import Strict


class Retention(Strict):
    """How long objects and resources stay; what is in use, or needed for a rollback, stays whatever its age.

    :param days: for snapshots, imports, batch jobs' input and output, recommendations and deliveries. At least a week,
        so that a run that waits for a person never loses what it works with.
    :param export_days: for exported intervals, counted from when they were last written; exports compare
        themselves with those of a week before.
    :param snapshots: so many of the newest published snapshots stay; exports compare themselves with them.
    :param champions: the solutions of so many of the last champions stay, so that a rollback can reach them.
    :param solution_days: for solutions, filters and schemas that nothing uses any more.
    :param solutions: above so many solutions the oldest unused ones go, though younger than ``solution_days``. Amazon
        Personalize takes 10 in a dataset group: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    :param idle_campaign_hours: a campaign that was not changed for so long is reported, with its price.
    """

    days: int = Field(default=30, ge=7, le=3650)
    export_days: int = Field(default=90, ge=14, le=3650)
    snapshots: int = Field(default=5, ge=1, le=100)
    champions: int = Field(default=3, ge=2, le=100)
    solution_days: int = Field(default=14, ge=1, le=3650)
    solutions: int = Field(default=8, ge=3, le=100)
    idle_campaign_hours: int = Field(default=24, ge=1, le=8760)
