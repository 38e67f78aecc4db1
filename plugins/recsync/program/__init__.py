"""The model of the program file."""

from recsync.program.braze import ATTRIBUTE_PATTERN, CATALOG_NAME_PATTERN, Braze, Catalog, Delivery
from recsync.program.checks import Checks
from recsync.program.data import (
    Audience,
    Datasets,
    DatasetSource,
    DatasetType,
    Events,
    Exports,
    Inputs,
    Segment,
)
from recsync.program.model import NAME_PATTERN, Program
from recsync.program.operations import Alert, Budget, CronExpression, DeadlineHours, Event, Schedules
from recsync.program.parse import parse_program
from recsync.program.personalize import Challenger, Exploration, Personalize
from recsync.program.recommendations import FallbackTier, Recommendations, Rules
from recsync.program.section import Strict
from recsync.program.training import Drift, Gate, Solution, Threshold, TrainFull, TrainUpdate, Tuning

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
