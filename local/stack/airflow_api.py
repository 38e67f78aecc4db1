"""Call Airflow's stable REST API.

https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import requests

from stack.errors import ApiError, WaitTimeoutError

Json = dict[str, Any]
T = TypeVar("T")
FINISHED = frozenset({"success", "failed"})
"""The final states of a DAG run."""

_TIMEOUT_SECONDS = 30.0
_PAGE_SIZE = 100  # the API's own upper limit, [api] maximum_page_limit


class AirflowApi:
    """Call one Airflow as one user; fetch the token when needed, and again when it has expired.

    Every method raises ApiError, with the API's reason, for an error response or no response.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url.rstrip("/")
        self._login = {"username": user, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy for loopback

    def health(self) -> Json:
        """Read the state of metadatabase, scheduler, triggerer and dag_processor (needs no login)."""
        return self._get("/monitor/health")

    def dags(self, *, tag: str | None = None) -> list[Json]:
        """List the DAGs, optionally those with a tag."""
        return self._all("/dags", "dags", {"tags": tag} if tag else {})

    def dag(self, dag_id: str) -> Json | None:
        """Read one DAG; None while Airflow does not know it."""
        return self._get_or_none(f"/dags/{_q(dag_id)}")

    def dag_details(self, dag_id: str) -> Json:
        """Read one DAG with its documentation."""
        return self._get(f"/dags/{_q(dag_id)}/details")

    def tasks(self, dag_id: str) -> list[Json]:
        """List the tasks of a DAG."""
        return list(self._get(f"/dags/{_q(dag_id)}/tasks")["tasks"])

    def parse_files(self) -> None:
        """Ask Airflow to parse the files of all DAGs now."""
        for token in {dag["file_token"] for dag in self.dags()}:
            self._call("PUT", f"/parseDagFile/{_q(token)}")

    def unpause(self, dag_id: str) -> None:
        """Let the DAG's runs start."""
        self.set_paused(dag_id, paused=False)

    def set_paused(self, dag_id: str, *, paused: bool) -> None:
        """Pause or unpause a DAG."""
        self._call("PATCH", f"/dags/{_q(dag_id)}", json={"is_paused": paused})

    def trigger(
        self,
        dag_id: str,
        conf: Mapping[str, Any] | None = None,
        *,
        logical_date: datetime | None = None,
        run_id: str | None = None,
        note: str | None = None,
    ) -> Json:
        """Start a run and return it; without `logical_date` the run has none."""
        body: Json = {"conf": dict(conf or {}), "logical_date": logical_date and logical_date.isoformat()}
        body.update({name: value for name, value in {"dag_run_id": run_id, "note": note}.items() if value})
        return self._json("POST", f"/dags/{_q(dag_id)}/dagRuns", json=body)

    def dag_run(self, dag_id: str, run_id: str) -> Json:
        """Read one run."""
        return self._get(f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}")

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        """Set a run to `success`, `failed` or `queued`, as in the UI."""
        self._call("PATCH", f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}", json={"state": state})

    def clear_run(self, dag_id: str, run_id: str) -> None:
        """Let every task of a run start again, as in the UI."""
        path = f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/clear"
        self._call("POST", path, json={"dry_run": False, "only_failed": False})

    def dag_runs(self, dag_id: str = "~", **filters: Any) -> list[Json]:
        """List runs, oldest first; `~` means all DAGs; filters as in the API (state=, run_after_gte=, ...)."""
        return self._all(f"/dags/{_q(dag_id)}/dagRuns", "dag_runs", {"order_by": "id", **filters})

    def task_instances(self, dag_id: str, run_id: str) -> list[Json]:
        """List the task instances of a run, every mapped one included."""
        return self._all(f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/taskInstances", "task_instances")

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", *, map_index: int = -1
    ) -> Any:
        """Read an XCom value of a task; None if the key does not exist."""
        path = f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/taskInstances/{_q(task_id)}/xcomEntries/{_q(key)}"
        entry = self._get_or_none(path, {"map_index": map_index})
        return None if entry is None else entry["value"]

    def question(self, dag_id: str, run_id: str, task_id: str) -> Json | None:
        """Read the question of a human-in-the-loop task; None if it has none."""
        return self._get_or_none(_question_path(dag_id, run_id, task_id))

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Choose one option of a human-in-the-loop task."""
        self._call(
            "PATCH",
            _question_path(dag_id, run_id, task_id),
            json={"chosen_options": [option], "params_input": {}},
        )

    def log(
        self, dag_id: str, run_id: str, task_id: str, try_number: int, *, map_index: int = -1
    ) -> list[str]:
        """Read the log lines of one try, each with its reason or errors."""
        path = f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/taskInstances/{_q(task_id)}/logs/{try_number}"
        content = self._get(path, {"map_index": map_index, "full_content": "true"})["content"]
        return [_log_line(line) if isinstance(line, dict) else str(line) for line in content]

    def asset_events(self, **filters: Any) -> list[Json]:
        """List asset events, oldest first; filters as in the API (name_pattern=, source_dag_id=, ...)."""
        return self._all("/assets/events", "asset_events", {"order_by": "timestamp", **filters})

    def update_asset(self, uri: str) -> datetime:
        """Emit an event of an asset, as a watcher would, and return its time."""
        found = self._all("/assets", "assets", {"uri_pattern": uri})
        asset_id = next(asset["id"] for asset in found if asset["uri"] == uri)
        event = self._json("POST", "/assets/events", json={"asset_id": asset_id, "extra": {}})
        return datetime.fromisoformat(event["timestamp"])

    def backfills(self, dag_id: str) -> list[Json]:
        """List the backfills of a DAG."""
        return self._all("/backfills", "backfills", {"dag_id": dag_id})

    def backfill_dates(self, dag_id: str, start: datetime, end: datetime) -> list[datetime]:
        """Return the logical dates that a backfill between two times would have, with those already run."""
        body = {
            "dag_id": dag_id,
            "from_date": start.isoformat(),
            "to_date": end.isoformat(),
            "reprocess_behavior": "completed",
        }
        found = self._json("POST", "/backfills/dry_run", json=body)["backfills"]
        return sorted(datetime.fromisoformat(each["logical_date"]) for each in found)

    def import_errors(self) -> list[Json]:
        """List the DAG files that cannot be parsed, with their stack traces."""
        return self._all("/importErrors", "import_errors")

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout_seconds: float,
        poll_seconds: float = 1.0,
        on_poll: Callable[[Json], None] | None = None,
    ) -> Json:
        """Wait until a run has finished, successfully or not, and return it."""

        def finished() -> Json | None:
            run = self.dag_run(dag_id, run_id)
            if on_poll:
                on_poll(run)
            return run if run["state"] in FINISHED else None

        what = f"run {run_id} of {dag_id} to finish"
        return wait_for(finished, what, timeout_seconds=timeout_seconds, poll_seconds=poll_seconds)

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Json:
        return self._json("GET", path, params=query)

    def _get_or_none(self, path: str, query: Mapping[str, Any] | None = None) -> Json | None:
        try:
            return self._get(path, query)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _all(self, path: str, key: str, query: Mapping[str, Any] | None = None) -> list[Json]:
        """Read every page of a list."""
        found: list[Json] = []
        while True:
            page = self._get(path, {**(query or {}), "limit": _PAGE_SIZE, "offset": len(found)})
            found += page[key]
            if not page[key] or len(found) >= page.get("total_entries", 0):
                return found

    def _json(self, method: str, path: str, **request: Any) -> Json:
        body: Json = self._call(method, path, **request).json()
        return body

    def _call(self, method: str, path: str, **request: Any) -> requests.Response:
        response = self._send(method, f"/api/v2{path}", **request)
        if response.status_code == 401:
            self._fetch_token()
            response = self._send(method, f"/api/v2{path}", **request)
        return self._checked(response, f"{method} {path}")

    def _fetch_token(self) -> None:
        """Log in: https://airflow.apache.org/docs/apache-airflow/stable/security/jwt_token_authentication.html"""
        self._session.headers.pop("Authorization", None)
        response = self._checked(self._send("POST", "/auth/token", json=self._login), "POST /auth/token")
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    def _send(self, method: str, path: str, **request: Any) -> requests.Response:
        try:
            return self._session.request(method, self._url + path, timeout=_TIMEOUT_SECONDS, **request)
        except requests.RequestException as error:
            raise ApiError(f"Airflow at {self._url} does not answer {method} {path}: {error}") from error

    @staticmethod
    def _checked(response: requests.Response, what: str) -> requests.Response:
        if response.ok:
            return response
        try:
            reason = response.json().get("detail", response.text)
        except ValueError:
            reason = response.text
        raise ApiError(f"{what}: {response.status_code} {str(reason)[:500]}", response.status_code)


def wait_for(
    probe: Callable[[], T | None], what: str, *, timeout_seconds: float, poll_seconds: float = 1.0
) -> T:
    """Call `probe` until it returns a true value, and return that.

    Raises WaitTimeoutError with `what` after `timeout_seconds`, times STACK_PATIENCE. Ignores an ApiError only while
    the server does not respond at all.
    """
    timeout_seconds *= float(os.environ.get("STACK_PATIENCE", "1"))
    deadline, last = time.monotonic() + timeout_seconds, ""
    while True:
        try:
            if found := probe():
                return found
        except ApiError as error:
            if error.status is not None:
                raise
            last = f" ({error})"
        if time.monotonic() >= deadline:
            raise WaitTimeoutError(f"waited {timeout_seconds:.0f} s for {what}, in vain{last}")
        time.sleep(poll_seconds)


def _log_line(line: Json) -> str:
    errors = line.get("error_detail") or []
    details = [
        f"{error.get('exc_type')}: {error.get('exc_value')}" for error in errors if isinstance(error, dict)
    ]
    return "\n".join([" ".join(filter(None, [str(line.get("event", "")), line.get("reason")])), *details])


def _q(part: str) -> str:
    return quote(part, safe="~")


def _question_path(dag_id: str, run_id: str, task_id: str) -> str:
    return f"/dags/{_q(dag_id)}/dagRuns/{_q(run_id)}/taskInstances/{_q(task_id)}/-1/hitlDetails"
