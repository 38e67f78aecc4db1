"""Find the files and schemas of a dataset group's datasets, as they are at this moment."""

from __future__ import annotations

from personalize_local.datasets.parts import DatasetParts
from personalize_local.resources import ACTIVE, DATASET
from personalize_local.store import Store


def dataset_parts(store: Store, dataset_group_arn: str) -> dict[str, DatasetParts]:
    """Return the ACTIVE datasets of a group by type, also those without rows."""
    found = {}
    for dataset in store.select(DATASET.noun, parent_arn=dataset_group_arn, statuses=[ACTIVE]):
        schema = store.get(dataset.body["schemaArn"])
        if schema is not None:
            text = schema.body["schema"]
            found[dataset.body["datasetType"]] = DatasetParts(tuple(dataset.internal["parts"]), text)
    return found
