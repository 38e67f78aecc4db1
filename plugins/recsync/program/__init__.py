"""The model of the program file: one module per group of sections.

docs/program-file.md says what each field means, and a test compares it with the model. Docstrings here add what a
reader of the code needs beside that.
"""

from recsync.program.braze import Braze, Catalog, Delivery
from recsync.program.data import Checks, DatasetType, Events
from recsync.program.experiment import Arm, Experiment
from recsync.program.model import NAME_PATTERN, Program
from recsync.program.operations import (
    Alert,
    DeadlineHours,
    Drift,
    Event,
    Gate,
    OnlineGate,
    Schedules,
    Threshold,
    TrainFull,
    TrainUpdate,
)
from recsync.program.personalize import Solution
from recsync.program.recommendations import Recommendations, Rules

__all__ = [
    "NAME_PATTERN",
    "Alert",
    "Arm",
    "Braze",
    "Catalog",
    "Checks",
    "DatasetType",
    "DeadlineHours",
    "Delivery",
    "Drift",
    "Event",
    "Events",
    "Experiment",
    "Gate",
    "OnlineGate",
    "Program",
    "Recommendations",
    "Rules",
    "Schedules",
    "Solution",
    "Threshold",
    "TrainFull",
    "TrainUpdate",
]
