"""Say in words what a chain did: for the end of `run` and of `demo`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import boto3
import requests

from stack import connections, s3_state
from stack.airflow_api import Json
from stack.chain import Chain

_TIMEOUT_SECONDS = 30.0
_SHOWN_METRICS = {
    "normalized_discounted_cumulative_gain_at_25": "NDCG@25",
    "precision_at_25": "precision@25",
    "mean_reciprocal_rank_at_25": "MRR@25",
    "coverage": "coverage",
}


def delivery_lines(report: Mapping[str, Any]) -> list[str]:
    """Sum up one delivery."""
    counted = ", ".join(f"{count:,} {outcome}" for outcome, count in report["outcomes"].items() if count)
    answers = (
        ", ".join(f"{count} x {status}" for status, count in sorted(report["answers"].items())) or "none"
    )
    lines = [
        f"audience        {report['audience']:,} people: {counted or 'nobody'}",
        f"requests        {sum(report['answers'].values()):,} to Braze (answers: {answers})",
        f"data points     {report['data_points']:,}",
        f"catalogue       {report['catalog_items']:,} items written",
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


class Personalize:
    """Ask the local Amazon Personalize what it did, through boto3."""

    def __init__(self, url: str, program: str) -> None:
        self._client: Any = boto3.client(
            "personalize",
            endpoint_url=url,
            region_name=connections.REGION,
            aws_access_key_id=connections.ACCESS_KEY,
            aws_secret_access_key=connections.SECRET_KEY,
        )
        self._program = program

    def job_lines(self) -> list[str]:
        """Count the jobs of the program."""
        imports = [
            job["importMode"]
            for job in self._list("list_dataset_import_jobs", "datasetImportJobs")
            if job["jobName"].startswith(f"{self._program}-")
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
        """List (solution, solution version) of the program, oldest first."""
        return [
            (solution, version)
            for solution in self._list("list_solutions", "solutions")
            if solution["name"].startswith(f"{self._program}-")
            for version in self._list(
                "list_solution_versions", "solutionVersions", solutionArn=solution["solutionArn"]
            )
        ]

    def metric_lines(self) -> list[str]:
        """Compare the solutions' first FULL versions by ``GetSolutionMetrics``."""
        columns: dict[str, Json] = {}
        for solution, version in self.versions():
            recipe = solution["recipeArn"].rsplit("/", 1)[-1].removeprefix("aws-")
            if version["trainingMode"] == "FULL" and version["status"] == "ACTIVE":
                arn = version["solutionVersionArn"]
                columns[recipe] = self._client.get_solution_metrics(solutionVersionArn=arn)["metrics"]
        recipes = sorted(columns, key=lambda recipe: recipe == "popularity-count")
        lines = [" " * 16 + "".join(f"{recipe:>22}" for recipe in recipes) + f"{'ratio':>10}"]
        for key, label in _SHOWN_METRICS.items():
            values = [float(columns[recipe][key]) for recipe in recipes]
            ratio = f"{values[0] / values[1]:>10.2f}" if len(values) > 1 and values[1] else ""
            lines.append(f"{label:<16}" + "".join(f"{value:>22.4f}" for value in values) + ratio)
        return lines

    def _list(self, operation: str, key: str, **arguments: Any) -> list[Json]:
        pages = self._client.get_paginator(operation).paginate(**arguments)
        return [entry for page in pages for entry in page[key]]


def _count(modes: list[str]) -> str:
    return ", ".join(f"{modes.count(mode)} {mode}" for mode in dict.fromkeys(modes)) or "none"


class Sandbox:
    """Look into the local Braze."""

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {api_key}"}

    def metered(self) -> str:
        """Say what the sandbox's meter counted since it was first started."""
        meter = self._get("/_local/meter")
        points, unchanged = meter["data_points"]["total"], meter["unchanged_writes"]["total"]
        return f"{points:,} data points, {unchanged:,} of them for values that had not changed"

    def catalog_items(self, catalog: str) -> dict[str, Json]:
        """Read a catalogue by item id, past the limit of Braze's own calls."""
        url = f"{self._url}/_local/items.ndjson"
        response = requests.get(
            url, params={"catalog": catalog}, headers=self._headers, timeout=_TIMEOUT_SECONDS
        )
        response.raise_for_status()
        return {item["id"]: item for item in map(json.loads, response.text.splitlines())}

    def profiles(self) -> dict[str, Json]:
        """Read every profile's custom attributes, with what is pending applied."""
        requests.post(f"{self._url}/_local/flush", timeout=_TIMEOUT_SECONDS).raise_for_status()
        found: dict[str, Json] = {}
        while True:
            page = self._get("/_local/profiles", limit=500, offset=len(found))["profiles"]
            found |= {profile["external_id"]: profile["custom_attributes"] for profile in page}
            if not page:
                return found

    def page(self, external_id: str) -> str:
        """Name the page that shows a person."""
        return f"{self._url}/profiles/{external_id}"

    def _get(self, path: str, **query: Any) -> Json:
        response = requests.get(
            f"{self._url}{path}", params=query, headers=self._headers, timeout=_TIMEOUT_SECONDS
        )
        response.raise_for_status()
        return dict(response.json())


def exported_ids(s3_url: str, bucket: str, prefix: str, since: str) -> set[str]:
    """Collect the first column of the interval objects below ``prefix`` from interval ``since`` on."""
    s3, found = s3_state.client(s3_url), set[str]()
    for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
        if entry["Key"] >= f"{prefix}{since}":
            body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read().decode()
            found.update(row[0] for row in list(csv.reader(io.StringIO(body)))[1:])
    return found


def export_rows(chain: Chain, stage: str, runs: list[Json]) -> dict[str, int]:
    """Add up the rows per dataset that runs of ``export`` or ``train_full`` published."""
    total: dict[str, int] = {}
    for run in runs:
        figures = chain.api.xcom(chain.dag_id(stage), run["dag_run_id"], "publish") or {}
        for dataset, rows in figures.get("rows", figures).items():
            total[dataset] = total.get(dataset, 0) + int(rows)
    return total
