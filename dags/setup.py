"""### Setup

Creates, or adopts, what the program needs in Amazon Personalize: dataset group, schemas, datasets and solutions,
and the metric attribution where `personalize.attribution` has metrics.
An existing resource that differs from the program file is an error that names each difference.

`train_full` and `train_update` do the same first, so running this by hand is only needed to try a new program file.
"""

from __future__ import annotations

# Airflow reads a file as DAGs only if it holds the words airflow and dag.
from recsync.dag_kit import programs, stage_dag
from recsync.task_groups.setup import setup

for program in programs("setup", __file__):
    with stage_dag(program, "setup", schedule=None, doc_md=__doc__):
        setup(program)
