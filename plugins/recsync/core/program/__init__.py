"""The model of the program file."""

from recsync.core.program.alerts import Alert, DeadlineHours, Event
from recsync.core.program.braze import ATTRIBUTE_PATTERN, CATALOG_NAME_PATTERN, Braze, Catalog, Delivery
from recsync.core.program.budget import Budget
from recsync.core.program.checks import Checks
from recsync.core.program.datasets import Datasets, DatasetSource, DatasetType
from recsync.core.program.events import Events
from recsync.core.program.exports import Exports
from recsync.core.program.gate import Gate, Threshold
from recsync.core.program.inputs import Audience, Inputs, Segment
from recsync.core.program.parse import parse_program
from recsync.core.program.personalize import Challenger, Exploration, Personalize
from recsync.core.program.program import NAME_PATTERN, Program
from recsync.core.program.recommendations import FallbackTier, Recommendations, Rules
from recsync.core.program.schedules import CronExpression, Schedules
from recsync.core.program.section import Strict
from recsync.core.program.solution import Solution
from recsync.core.program.training import Drift, TrainFull, TrainUpdate
from recsync.core.program.tuning import Tuning

__all__ = [
    "ATTRIBUTE_PATTERN",
    "CATALOG_NAME_PATTERN",
    "NAME_PATTERN",
    "Alert",
    "Audience",
    "Braze",
    "Budget",
    "Catalog",
    "Challenger",
    "Checks",
    "CronExpression",
    "DatasetSource",
    "DatasetType",
    "Datasets",
    "DeadlineHours",
    "Delivery",
    "Drift",
    "Event",
    "Events",
    "Exploration",
    "Exports",
    "FallbackTier",
    "Gate",
    "Inputs",
    "Personalize",
    "Program",
    "Recommendations",
    "Rules",
    "Schedules",
    "Segment",
    "Solution",
    "Strict",
    "Threshold",
    "TrainFull",
    "TrainUpdate",
    "Tuning",
    "parse_program",
]
