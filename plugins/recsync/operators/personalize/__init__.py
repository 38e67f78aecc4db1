"""Operators for Amazon Personalize: create or adopt, await, measure."""

from __future__ import annotations

from recsync.operators.personalize.jobs import (
    PersonalizeCreateBatchInferenceJobOperator,
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateSolutionVersionOperator,
)
from recsync.operators.personalize.metrics import PersonalizeGetSolutionMetricsOperator
from recsync.operators.personalize.resources import (
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateFilterOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeCreateSolutionOperator,
)

__all__ = [
    "PersonalizeCreateBatchInferenceJobOperator",
    "PersonalizeCreateDatasetGroupOperator",
    "PersonalizeCreateDatasetImportJobOperator",
    "PersonalizeCreateDatasetOperator",
    "PersonalizeCreateFilterOperator",
    "PersonalizeCreateSchemaOperator",
    "PersonalizeCreateSolutionOperator",
    "PersonalizeCreateSolutionVersionOperator",
    "PersonalizeGetSolutionMetricsOperator",
]
