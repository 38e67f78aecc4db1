"""What the training DAGs do about imports, without their trainings: the same functions in the same order."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services import BUCKET
from shop import SCHEMAS, Shop

from recsync.evaluation.store import ChampionStore


@dataclass
class ImportRuns:
    """The import side of one shop's runs.

    :param arns: dataset type -> ARN.
    :param plan: of the last update.
    """

    shop: Shop
    arns: dict[str, str] = field(default_factory=dict)
    group: str = ""
    runs: int = 0
    plan: dict[str, Any] = field(default_factory=dict)

    def set_up(self) -> None:
        """Make the datasets, and a champion, without which no update runs."""
        from recsync import settings
        from recsync.context import StageContext
        from recsync.evaluation.store import Champion
        from recsync.program import names

        context, personalize = StageContext.of(self.shop.name), self.shop.services.boto3("personalize")
        group = personalize.create_dataset_group(name=names.dataset_group_name(context.program))
        self.group = group["datasetGroupArn"]
        while (
            personalize.describe_dataset_group(datasetGroupArn=self.group)["datasetGroup"]["status"]
            != "ACTIVE"
        ):
            time.sleep(0.05)
        for kind in context.program.dataset_types:
            assert kind.folder in SCHEMAS
            schema = personalize.create_schema(
                name=f"{self.shop.name}-{kind.folder}", schema=settings.schema(context.program, kind).text
            )
            dataset = personalize.create_dataset(
                name=names.dataset_name(context.program, kind),
                schemaArn=schema["schemaArn"],
                datasetGroupArn=group["datasetGroupArn"],
                datasetType=kind.value,
            )
            self.arns[kind.value] = dataset["datasetArn"]
        context.store(ChampionStore).promote(Champion("arn:1", "FULL", "2026", "run", {}))

    def tear_down(self) -> None:
        """Delete the datasets: an account holds only a few dataset groups."""
        personalize = self.shop.services.boto3("personalize")
        for arn in self.arns.values():
            personalize.delete_dataset(datasetArn=arn)
        while personalize.list_datasets(datasetGroupArn=self.group)["datasets"]:
            time.sleep(0.05)
        personalize.delete_dataset_group(datasetGroupArn=self.group)

    def full(self, until: datetime) -> None:
        """Do what train_full does."""
        from recsync.context import StageContext
        from recsync.export.dataset import export_dataset
        from recsync.export.publish import to_xcom
        from recsync.imports import full
        from recsync.program.intervals import Interval
        from recsync.training import train

        self.runs += 1
        context = StageContext.of(self.shop.name)
        plan = full.plan_full(self.shop.name, f"full-{self.runs}", until, until)
        interval = Interval.until(datetime.fromisoformat(plan["until"]))
        exported = {
            kind.value: full.gather_intervals(self.shop.name, plan)
            if full.reads_intervals(context) and kind.value == "INTERACTIONS"
            else to_xcom(export_dataset(context, kind, interval, plan["keys"][kind.value]))
            for kind in context.program.dataset_types
        }
        full.publish_full(self.shop.name, plan, exported)
        self._import(plan)
        train.record_imports(self.shop.name, plan)

    def update(self, at: datetime, *, noted: bool = True) -> str:
        """Do what train_update does.

        :param noted: False lets the run die when its import jobs are ACTIVE.
        :returns: why it skipped; empty when it imported.
        """
        from recsync.training import train
        from recsync.training.update_plan import NothingToTrain, plan_update

        self.runs += 1
        try:
            plan = plan_update(self.shop.name, f"update-{self.runs}", at)
        except NothingToTrain as reason:
            return str(reason)
        assert plan_update(self.shop.name, f"update-{self.runs}", at) == plan, "a retry plans the same"
        self.plan = plan
        self._import(plan)
        if noted:
            train.record_imports(self.shop.name, plan)
        return ""

    def _import(self, plan: dict[str, Any]) -> None:
        from recsync.training import train

        personalize = self.shop.services.boto3("personalize")
        for job in train.import_jobs(self.shop.name, plan, self.arns):
            arn = personalize.create_dataset_import_job(
                jobName=job["job_name"],
                datasetArn=job["dataset_arn"],
                dataSource={"dataLocation": job["data_location"]},
                roleArn=job["role_arn"],
                importMode=job["import_mode"],
            )["datasetImportJobArn"]
            while (status := self._describe(arn)["status"]) != "ACTIVE":
                assert "FAILED" not in status, self._describe(arn)
                time.sleep(0.05)

    def jobs(self, dataset: str) -> list[dict[str, Any]]:
        """Give the import jobs of one dataset that did their work, oldest first."""
        pages = (
            self.shop.services.boto3("personalize")
            .get_paginator("list_dataset_import_jobs")
            .paginate(datasetArn=self.arns[dataset.upper()])
        )
        jobs = [
            self._describe(job["datasetImportJobArn"]) for page in pages for job in page["datasetImportJobs"]
        ]
        return sorted(
            (job for job in jobs if job["status"] == "ACTIVE"), key=lambda job: job["creationDateTime"]
        )

    def rows(self, job: dict[str, Any]) -> list[tuple[str, ...]]:
        """Read what one import job read."""
        s3 = self.shop.services.boto3("s3")
        prefix = job["dataSource"]["dataLocation"].removeprefix(f"s3://{BUCKET}/")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        bodies = (s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() for key in keys)
        return [tuple(row) for body in bodies for row in list(csv.reader(io.StringIO(body)))[1:]]

    def held(self) -> Counter[tuple[str, ...]]:
        """Add up the interactions that import jobs since the last FULL gave the dataset."""
        jobs = self.jobs("interactions")
        full = max(number for number, job in enumerate(jobs) if job["importMode"] == "FULL")
        return Counter(row for job in jobs[full:] for row in self.rows(job))

    def warehouse(self, until: datetime) -> Counter[tuple[str, ...]]:
        """Read the interactions before a moment from the warehouse."""
        return Counter(
            self.shop.services.query(
                "SELECT customer, product, extract(epoch FROM at)::bigint::text FROM shop.orders "
                f"WHERE at < '{until.isoformat()}'"
            )
        )

    def _describe(self, arn: str) -> dict[str, Any]:
        personalize = self.shop.services.boto3("personalize")
        return dict(personalize.describe_dataset_import_job(datasetImportJobArn=arn)["datasetImportJob"])
