"""What a delivery needs and nothing else: S3, the Braze sandbox, a program file and published recommendations."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import requests
from moto.server import ThreadedMotoServer

from recsync.recommend.store import RecommendationsStore

REPO = Path(__file__).resolve().parents[3]
REGION = "us-east-1"
BUCKET = "recsync-delivery"
ITEMS = {f"p-{n}": {"title": f"Product {n}", "price": n + 0.5} for n in range(60)}
CATALOG = {"name": "products", "fields": {"title": "string", "price": "number"}}
# The ids and values above and those of Kit.lists.
ROW_CONTENT = re.compile(r"(?<![\w-])(?:p-\d+|Product \d+|kit-\d+-\d{6})(?![\w-])")
Lists = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Servers:
    """Addresses of the servers."""

    s3: str
    braze: str
    key: str

    def environment(self, include: Path, **braze_extra: Any) -> dict[str, str]:
        """Give the Airflow settings and connections that reach them."""
        aws = {
            "conn_type": "aws",
            "login": "test",
            "password": "test",
            "extra": {"region_name": REGION, "service_config": {"s3": {"endpoint_url": self.s3}}},
        }
        braze = {"conn_type": "braze", "host": self.braze, "password": self.key, "extra": braze_extra}
        return {
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
            "AIRFLOW_CONN_BRAZE_DEFAULT": json.dumps(braze),
            "AIRFLOW__RECSYNC__BUCKET": BUCKET,
            "AIRFLOW__RECSYNC__INCLUDE_FOLDER": str(include),
        }

    def control(self, method: str, path: str, **kwargs: Any) -> Any:
        """Call the sandbox's control API."""
        answer = requests.request(method, f"{self.braze}/_local/{path}", timeout=120, **kwargs)
        answer.raise_for_status()
        return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text

    def profiles(self, prefix: str = "") -> dict[str, dict[str, Any]]:
        """Read profiles, after applying what is pending: custom attributes by external id, else by braze_id.

        :param prefix: of the external ids; all profiles without one.
        """
        self.control("POST", "flush")
        found: dict[str, dict[str, Any]] = {}
        while True:
            where = {"limit": 500, "offset": len(found), "prefix": prefix}
            page = self.control("GET", "profiles", params=where)["profiles"]
            found |= {p.get("external_id", p["braze_id"]): p.get("custom_attributes", {}) for p in page}
            if len(page) < 500:
                return found


@dataclass(frozen=True)
class Kit:
    """One program and its servers."""

    servers: Servers
    include: Path
    name: str

    def lists(self, people: int, *, shift: int = 0, length: int = 5) -> dict[str, list[str]]:
        """Make a list for each of some people; another shift gives everybody another list."""
        items = list(ITEMS)
        return {
            f"{self.name}-{n:06d}": [items[(n + k + shift) % len(items)] for k in range(length)]
            for n in range(people)
        }

    def write_program(self, *, recommendations: Mapping[str, Any] | None = None, **braze: Any) -> None:
        """Write the program file; JSON is YAML."""
        for folder in ("programs", f"sql/{self.name}", f"schemas/{self.name}"):
            (self.include / folder).mkdir(parents=True, exist_ok=True)
        for query in ("interactions", "audience", "catalogue"):
            (self.include / "sql" / self.name / f"{query}.sql").write_text("SELECT 1")
        (self.include / "schemas" / self.name / "interactions.json").write_text(json.dumps(_SCHEMA))
        # Waiting for a canary costs seconds; the tests that are about it ask for one.
        # The people of most tests begin with their first list.
        braze = {"update_existing_only": False, "attribute": "recs", **braze}
        braze = {**braze, "delivery": {"canary_share": 0, **braze.get("delivery", {})}}
        program = {"recommendations": {"length": 5, **(recommendations or {})}, "braze": braze}
        (self.include / "programs" / f"{self.name}.yaml").write_text(json.dumps(program))

    @property
    def context(self) -> Any:
        """Give the stage's context of the program as it is now."""
        from recsync.context import StageContext

        return StageContext.of(self.name)

    def publish(
        self,
        run: str,
        lists: Lists,
        *,
        items: Mapping[str, Mapping[str, Any]] = ITEMS,
        tiers: Mapping[str, str] | None = None,
        priorities: Mapping[str, float] | None = None,
        unanswered: Mapping[str, str] | None = None,
        scores: Mapping[str, Sequence[float | None]] | None = None,
        arms: Mapping[str, str] | None = None,
        held_out: str = "",
        versions: Mapping[str, str] | None = None,
    ) -> str:
        """Publish recommendations as if a batch inference job had run.

        :param run: begins with a number, the day of the run.
        :param unanswered: why the job has no answer for somebody.
        :param arms: of an experiment, by person; those of the arm ``held_out`` have an empty list.
        :param versions: of the manifest: ARN by arm.
        """
        from recsync.recommend.lists.catalog import positions_in
        from recsync.recommend.lists.list_partition import LISTS
        from recsync.recommend.store import RecommendationsManifest

        names = list(lists)
        columns = {
            "external_id": names,
            "items": [[list(items).index(item) for item in lists[name]] for name in names],
            "tier": [(tiers or {}).get(name, "personal") if lists[name] else "" for name in names],
            "reason": [
                "held out by experiment autumn"
                if held_out and (arms or {}).get(name) == held_out
                else ""
                if lists[name]
                else "nothing fit to mail"
                for name in names
            ],
            "priority": [(priorities or {}).get(name) for name in names],
            "segment": [None] * len(names),
            "unanswered": [(unanswered or {}).get(name, "") for name in names],
            "scores": [(scores or {}).get(name) for name in names],
            "arm": [(arms or {}).get(name) for name in names],
            "put_by": [[(tiers or {}).get(name, "personal")] * len(lists[name]) for name in names],
        }
        catalogue = pa.table(
            {"item_id": list(items), "fields": [json.dumps(dict(fields)) for fields in items.values()]}
        )
        suppressed = sum(not lists[name] for name in names)
        manifest = RecommendationsManifest(
            run=run,
            created_at=time_of(run),
            solution_version_arn="arn:aws:personalize:eu-west-1:1:solution/shop/v-1",
            batch_inference_job_arn="job",
            users=len(names),
            lists=len(names) - suppressed,
            suppressed={"nothing fit to mail": suppressed} if suppressed else {},
            items=len(items),
            tiers={},
            dropped={},
            identifier=self.context.program.braze.known_by.tag,
            experiment="autumn" if arms else "",
            arms=dict(Counter((arms or {}).values())),
            held_out=(held_out,) if held_out else (),
            versions=dict(versions or {}),
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "lists.parquet"
            schema = LISTS.with_metadata(positions_in(catalogue))
            pq.write_table(pa.Table.from_pydict(columns, schema), path)
            self.context.store(RecommendationsStore).publish(manifest, path, catalogue)
        return run

    def push(self, run: str | None = None, *, dag_run: str = "test", **asked: bool) -> Any:
        """Plan and deliver, as the DAG's tasks do; return the report.

        :param asked: of the plan: ``resync``, ``allow_removals``.
        """
        from recsync.push.deliver import deliver
        from recsync.push.plan import plan

        return deliver(self.name, plan(self.name, run, dag_run=dag_run, **asked).delivery)

    def reset_meter(self) -> None:
        """Count from nothing; what was taken before counts before, so it is applied first."""
        self.servers.control("POST", "flush")
        self.servers.control("POST", "meter/reset")

    def in_braze(self, attribute: str = "recs") -> dict[str, Any]:
        """Give what Braze shows: the attribute's value by external id, of those who have it."""
        profiles = self.servers.profiles(f"{self.name}-")
        return {who: found[attribute] for who, found in profiles.items() if attribute in found}


def time_of(run: str) -> str:
    """Give the time of a run; times sort as runs do."""
    number = int(re.search(r"[0-9]+", run)[0])  # type: ignore[index] # every run has one
    return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number, minutes=len(run))).isoformat()


_SCHEMA = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}


@contextmanager
def servers(folder: Path, *arguments: str) -> Generator[Servers]:
    """Start S3 and the Braze sandbox, and stop them at the end.

    :param arguments: more arguments of ``braze_local``.
    """
    with ExitStack() as stack:
        s3_port = _free_port()
        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=s3_port, verbose=False)
        moto.start()
        stack.callback(moto.stop)
        s3 = f"http://127.0.0.1:{s3_port}"
        boto3.client("s3", endpoint_url=s3, region_name=REGION).create_bucket(Bucket=BUCKET)
        key = secrets.token_hex(16)
        braze = stack.enter_context(_braze(folder, key, arguments))
        yield Servers(s3, braze, key)


@contextmanager
def _braze(folder: Path, key: str, arguments: Sequence[str]) -> Generator[str]:
    port = _free_port()
    command = [sys.executable, "-m", "braze_local", "--port", str(port), "--data", str(folder / "braze")]
    with (folder / "braze_local.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--apply-delay-seconds", "0.2", *arguments],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(REPO / "local"), "BRAZE_LOCAL_KEY": key},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{url}/health", timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} did not start")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
