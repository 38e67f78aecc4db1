"""List who is measured. A new contender is one module with one function, and one line here."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.places import PEERS_VENV

_FLOOR, _PEER, _TRANSPORT, _OURS = "floor", "peer", "transport", "recsync"


@dataclass(frozen=True)
class Contender:
    """One row of a table.

    :param name: what the table calls it
    :param module: ``benchmarks.<delivery, lists, plan or export>.<module>``
    :param role: ``floor``, ``peer``, ``transport`` or ``recsync``
    :param function: what of the module posts, builds or plans
    :param apart: the package whose own folder comes first on its path; "" for the peers' environment as it is;
        None for the project's environment
    :param connections: how many it uses; peers are loops with one
    :param faults: whether the fault experiment holds it
    :param speed: whether the speed tables hold it
    :param limit: whether the rate-limit experiment holds it
    :param max_users: the experiments on lists and plan give it at most so many users
    :param prepares: whether its module has a ``prepare``, which runs first and in another process
    """

    name: str
    module: str
    role: str = _PEER
    function: str = "deliver"
    apart: str | None = None
    connections: int = 1
    faults: bool = False
    speed: bool = True
    limit: bool = False
    max_users: int | None = None
    prepares: bool = False

    @property
    def python(self) -> Path:
        """Return the interpreter it runs on."""
        return Path(sys.executable) if self.apart is None else PEERS_VENV / "bin" / "python"

    @property
    def import_path(self) -> list[Path]:
        """Return the folders that come before its environment's own."""
        return [PEERS_VENV / "apart" / self.apart] if self.apart else []

    @property
    def is_installed(self) -> bool:
        """Say whether its environment is there."""
        return self.python.exists() and all(path.exists() for path in self.import_path)


DELIVERY = [
    Contender("floor: raw sockets, event loop", "delivery.floor", _FLOOR, connections=128),
    Contender("Airflow HttpHook.run in a loop", "delivery.airflow_http_hook", faults=True, limit=True),
    Contender(
        "Airflow HttpHook.run_with_advanced_retry",
        "delivery.airflow_http_hook",
        function="deliver_with_retries",
        faults=True,
        speed=False,
    ),
    Contender("braze-client 2.3.3", "delivery.braze_client", apart="braze-client", faults=True, limit=True),
    Contender(
        "edx-braze-client 1.1.4, 750 users per call",
        "delivery.edx_braze_client",
        apart="edx-braze-client",
        faults=True,
    ),
    Contender(
        "edx-braze-client 1.1.4, 75 users per call",
        "delivery.edx_braze_client",
        function="deliver_by_call",
        apart="edx-braze-client",
        faults=True,
        speed=False,
        limit=True,
    ),
    Contender("drt-core 1.2.1, REST destination", "delivery.drt_core", apart="", faults=True, limit=True),
]

DELIVERY.append(
    Contender(
        "**recsync**: `recsync.push.deliver`, ledger and account included",
        "delivery.recsync",
        _OURS,
        connections=128,
        faults=True,
        limit=True,
        prepares=True,
    )
)

TRANSPORTS = [
    Contender("floor: raw sockets, event loop", "delivery.floor", _FLOOR, connections=128),
    Contender("aiohttp", "delivery.transport_aiohttp", _TRANSPORT, connections=128),
    Contender("http.client, threads", "delivery.transport_http_client", _TRANSPORT, connections=128),
    Contender("urllib3, threads", "delivery.transport_urllib3", _TRANSPORT, connections=128),
    Contender("requests.Session, threads", "delivery.transport_requests", _TRANSPORT, connections=128),
]

_READERS = [
    Contender("floor: read the lines", "plan.floor", _FLOOR, function="read"),
    Contender("floor: parse the lines (msgspec)", "plan.parse_msgspec", _FLOOR, function="read"),
]
LISTS = [
    *_READERS,
    Contender("**recsync**: build_lists", "lists.recsync", _OURS, function="build", prepares=True),
    Contender("json, dicts, sets", "lists.naive", function="build", max_users=1_000_000),
    Contender("pandas explode, merge, groupby", "lists.pandas_groupby", function="build", max_users=200_000),
]
PLAN = [
    *_READERS,
    Contender(
        "**recsync**: output to rendered writes", "plan.recsync", _OURS, function="plan", prepares=True
    ),
    Contender("json, dicts, sha256", "plan.naive", function="plan", max_users=1_000_000, prepares=True),
    Contender(
        "pandas read_json and merge", "plan.pandas_merge", function="plan", max_users=100_000, prepares=True
    ),
]

EXPORT = [
    Contender("floor: `psql -c COPY` to nowhere", "export.floor", _FLOOR, function="copy"),
    Contender(
        "floor: multipart upload of the file", "export.floor", _FLOOR, function="upload", prepares=True
    ),
    Contender("SqlToS3Operator, CSV (pandas)", "export.sql_to_s3", function="export"),
    Contender(
        "**recsync**: WarehouseToS3Operator, unchecked", "export.recsync", _OURS, function="without_checks"
    ),
    Contender(
        "**recsync**: WarehouseToS3Operator, all checks",
        "export.recsync",
        _OURS,
        function="with_checks",
        prepares=True,
    ),
]
PAST_HOURS = Contender("**recsync**: export_past", "export.year", _OURS, function="export")
IDLE_TASK = Contender("a task that does nothing", "export.idle", _FLOOR, function="export")

ENGINE_QUALITY = Contender("**engine**: quality", "engine.quality", _OURS, function="judge")
ENGINE_SPEED = [
    Contender("floor: implicit ALS, 64 factors, 15 iterations", "engine.speed", _FLOOR, function="bare_als"),
    Contender("**aws-user-personalization**, FULL", "engine.speed", _OURS, function="full"),
    Contender("**aws-user-personalization**, UPDATE", "engine.speed", _OURS, function="update"),
    Contender("**aws-user-personalization**, 25 items each", "engine.speed", _OURS, function="infer"),
]
