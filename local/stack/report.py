"""Summarize a chain as text, for `run`, `push` and `demo`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import requests
import yaml

from stack import connections, s3_state
from stack.airflow_api import Json
from stack.chain import Chain

_TIMEOUT_SECONDS = 30.0
_DEFAULT_RECIPE = "aws-user-personalization"  # of the program file
_SHOWN_METRICS = {
    "normalized_discounted_cumulative_gain_at_25": "NDCG@25",
    "precision_at_25": "precision@25",
    "mean_reciprocal_rank_at_25": "MRR@25",
    "coverage": "coverage",
}


def delivery_lines(report: Mapping[str, Any]) -> list[str]:
    """Summarize one delivery."""
    counted = ", ".join(f"{count:,} {outcome}" for outcome, count in report["outcomes"].items() if count)
    answers = (
        ", ".join(f"{count} x {status}" for status, count in sorted(report["answers"].items())) or "none"
    )
    lines = [
        f"audience        {report['audience']:,} people: {counted or 'nobody'}",
        f"requests        {sum(report['answers'].values()):,} to Braze (answers: {answers})",
        f"data points     {report['data_points']:,}",
        f"catalog         {report['catalog_items']:,} items written",
    ]
    read_back = report["verification"].get("read_back")
    if read_back:
        drifted = report["verification"]["drifted"]
        lines.append(f"read back       {read_back:,} people, {drifted:,} with something else than sent")
    if report["left_audience"]:
        lines.append(
            f"left            {report['left_audience']:,} people who left the audience lost the attribute"
        )
    lines += [f"not sent        {count:,} x {reason}" for reason, count in report["reasons"].items()]
    return lines


@dataclass(frozen=True)
class Trained:
    """What a program trains.

    :param owner: the program that owns the data: imports and solutions have its name.
    :param recipes: of the solutions that can become champion, the program's own first.
    """

    owner: str
    recipes: list[str]
    baseline: str | None = None

    @classmethod
    def of(cls, programs: Path, program: str) -> Trained:
        """Read the program file, and that of the program with its model; Airflow has checked both."""
        document = yaml.safe_load((programs / f"{program}.yaml").read_text(encoding="utf-8"))
        settings = document.get("personalize") or {}
        if model := settings.get("model"):
            return cls.of(programs, model)
        challengers = (settings.get("challengers") or {}).values()
        recipes = [each.get("recipe", _DEFAULT_RECIPE) for each in (settings, *challengers)]
        return cls(document.get("data") or program, recipes, settings.get("baseline_recipe"))


class Personalize:
    """Read the jobs, versions and metrics of the local Amazon Personalize through boto3."""

    def __init__(self, url: str, program: str, trained: Trained) -> None:
        self._client: Any = boto3.client(
            "personalize",
            endpoint_url=url,
            region_name=connections.REGION,
            aws_access_key_id=connections.ACCESS_KEY,
            aws_secret_access_key=connections.SECRET_KEY,
        )
        self._program, self._trained = program, trained

    def job_lines(self) -> list[str]:
        """Count the imports and trainings of the data that the program uses, and its own batch jobs."""
        imports = [
            job["importMode"]
            for dataset in self._list("list_datasets", "datasets", **self._group())
            for job in self._list(
                "list_dataset_import_jobs", "datasetImportJobs", datasetArn=dataset["datasetArn"]
            )
        ]
        trained = [version["trainingMode"] for _, version in self.versions()]
        jobs = self._list("list_batch_inference_jobs", "batchInferenceJobs")
        batch = [job for job in jobs if job["jobName"].startswith(f"{self._program}-")]
        return [
            f"imports         {_count(imports)}",
            f"trainings       {_count(trained)}",
            f"batch inference {len(batch)} jobs",
        ]

    def versions(self) -> list[tuple[Json, Json]]:
        """List (solution, solution version) of all programs over the same data, oldest first."""
        return [
            (solution, version)
            for solution in self._list("list_solutions", "solutions", **self._group())
            for version in self._list(
                "list_solution_versions", "solutionVersions", solutionArn=solution["solutionArn"]
            )
        ]

    def _group(self) -> dict[str, str]:
        # By the group, not by names that begin with the owner's: another program's may begin with all of it.
        groups = self._list("list_dataset_groups", "datasetGroups")
        return {
            "datasetGroupArn": next(
                group["datasetGroupArn"] for group in groups if group["name"] == self._trained.owner
            )
        }

    def metric_lines(self) -> list[str]:
        """Compare the FULL versions of the program's own recipes and its baseline by ``GetSolutionMetrics``.

        Recipes that find people for items have other metrics.
        """
        columns = self._metrics()
        if not columns:
            return ["none of these: the recipe has other metrics, see the task `metrics`"]
        compared = self._own_and_baseline(columns)
        ratio = f"{'ratio':>10}" if compared else ""
        lines = [" " * 16 + "".join(f"{recipe.removeprefix('aws-'):>22}" for recipe in columns) + ratio]
        for key, label in _SHOWN_METRICS.items():
            if compared:
                own, baseline = (float(each[key]) for each in compared)
                ratio = f"{own / baseline:>10.2f}" if baseline else ""
            values = "".join(f"{float(each[key]):>22.4f}" for each in columns.values())
            lines.append(f"{label:<16}{values}{ratio}")
        return lines

    def verdict_lines(self) -> list[str]:
        """Say so when the baseline is better than the program's own recipe."""
        compared, (metric, label) = (
            self._own_and_baseline(self._metrics()),
            next(iter(_SHOWN_METRICS.items())),
        )
        if not compared or float(compared[0][metric]) >= float(compared[1][metric]):
            return []
        return [
            f"{label} is below that of the baseline: what is popular is a better guess so far. More data, another "
            "recipe (docs/recipes.md) or more columns may help."
        ]

    def _own_and_baseline(self, columns: Mapping[str, Json]) -> tuple[Json, Json] | None:
        own, baseline = columns.get(self._trained.recipes[0]), columns.get(self._trained.baseline or "")
        return (own, baseline) if own and baseline else None

    def _metrics(self) -> dict[str, Json]:
        """Read the metrics of the newest FULL version of each recipe of the program, the baseline's last."""
        newest = {
            solution["recipeArn"].rsplit("/", 1)[-1]: version["solutionVersionArn"]
            for solution, version in self.versions()
            if version["trainingMode"] == "FULL" and version["status"] == "ACTIVE"
        }
        wanted = dict.fromkeys(
            recipe for recipe in (*self._trained.recipes, self._trained.baseline) if recipe in newest
        )
        found = {
            recipe: self._client.get_solution_metrics(solutionVersionArn=newest[recipe])["metrics"]
            for recipe in wanted
            if recipe
        }
        return {
            recipe: metrics for recipe, metrics in found.items() if metrics.keys() >= _SHOWN_METRICS.keys()
        }

    def _list(self, operation: str, key: str, **arguments: Any) -> list[Json]:
        pages = self._client.get_paginator(operation).paginate(**arguments)
        return [entry for page in pages for entry in page[key]]


def _count(modes: list[str]) -> str:
    return ", ".join(f"{modes.count(mode)} {mode}" for mode in dict.fromkeys(modes)) or "none"


class Sandbox:
    """Read the profiles, catalogs and meter of the local Braze."""

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {api_key}"}

    def metered(self) -> str:
        """Return the total of the sandbox's meter."""
        meter = self._get("/_local/meter")
        points, unchanged = meter["data_points"]["total"], meter["unchanged_writes"]["total"]
        return f"{points:,} data points, {unchanged:,} of them for values that had not changed"

    def catalog_items(self, catalog: str) -> dict[str, Json]:
        """Read all items of a catalog by id, without the limit of Braze's API."""
        url = f"{self._url}/_local/items.ndjson"
        response = requests.get(
            url, params={"catalog": catalog}, headers=self._headers, timeout=_TIMEOUT_SECONDS
        )
        response.raise_for_status()
        return {item["id"]: item for item in map(json.loads, response.text.splitlines())}

    def profiles(self) -> dict[str, Json]:
        """Apply pending requests and read the custom attributes of every profile, by external id, else by braze_id."""
        requests.post(f"{self._url}/_local/flush", timeout=_TIMEOUT_SECONDS).raise_for_status()
        found: dict[str, Json] = {}
        while True:
            page = self._get("/_local/profiles", limit=500, offset=len(found))["profiles"]
            found |= {p.get("external_id", p["braze_id"]): p["custom_attributes"] for p in page}
            if not page:
                return found

    def page(self, external_id: str) -> str:
        """Return the URL of a profile page."""
        return f"{self._url}/profiles/{external_id}"

    def _get(self, path: str, **query: Any) -> Json:
        response = requests.get(
            f"{self._url}{path}", params=query, headers=self._headers, timeout=_TIMEOUT_SECONDS
        )
        response.raise_for_status()
        return dict(response.json())


def exported_ids(s3_url: str, bucket: str, prefix: str, since: str) -> set[str]:
    """Return the first column of the interval objects below ``prefix`` from interval ``since`` on."""
    s3, found = s3_state.client(s3_url), set[str]()
    for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
        if entry["Key"] >= f"{prefix}{since}":
            body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read().decode()
            found.update(row[0] for row in list(csv.reader(io.StringIO(body)))[1:])
    return found


def export_rows(chain: Chain, stage: str, runs: list[Json]) -> dict[str, int]:
    """Return the total of published rows per dataset of ``export`` or ``train_full`` runs."""
    total: dict[str, int] = {}
    for run in runs:
        figures = chain.api.xcom(chain.dag_id(stage), run["dag_run_id"], "publish") or {}
        for dataset, rows in figures.get("rows", figures).items():
            total[dataset] = total.get(dataset, 0) + int(rows)
    return total
