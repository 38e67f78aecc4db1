"""Define the parts of the stack: command, environment, address and health check of each."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stack import connections
from stack.environment import airflow_variables, base_environment, local_environment
from stack.health import answers, component_is_healthy, get_json
from stack.ports import HOST, PortBook
from stack.processes import MARKER, Record
from stack.secret_files import Secrets
from stack.settings import Settings
from warehouse_local.server import EmbeddedServer


@dataclass(frozen=True)
class Part:
    """Describe one supervised process."""

    name: str
    argv: list[str]
    environ: dict[str, str]
    address: str
    is_healthy: Callable[[Record], bool]
    port: int | None = None
    start_timeout_seconds: float = 60.0

    @property
    def fingerprint(self) -> str:
        """Hash command and settings, to detect a running process with different ones."""
        settings = sorted(
            (name, value)
            for name, value in self.environ.items()
            if name.startswith(("AIRFLOW", "AWS_", "BRAZE_"))
        )
        return hashlib.sha256(repr((self.argv, settings)).encode()).hexdigest()[:16]


SERVICES = ("postgres", "s3", "personalize", "braze", "shop")
PORTED = (*SERVICES, "airflow")
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
REPLACED_BY = {"s3": connections.AWS, "personalize": connections.AWS, "braze": connections.BRAZE}
# From a cold start on two busy cores an Airflow component took 58 s.
_AIRFLOW_TIMEOUT_SECONDS = 240.0
_AIRFLOW_PROCESS = Path(__file__).with_name("airflow_process.py").resolve()


@dataclass(frozen=True)
class Plan:
    """Hold the settings, ports and secrets of all parts."""

    settings: Settings
    ports: PortBook
    secrets: Secrets
    environ: Mapping[str, str]

    @property
    def replaced(self) -> set[str]:
        """Return the parts that the caller's own connections replace."""
        given = connections.replaced_by_caller(self.environ)
        return {part for part, variable in REPLACED_BY.items() if variable in given}

    @property
    def own_warehouse(self) -> bool:
        """Return whether the embedded PostgreSQL, which always has Airflow's database, is also the warehouse."""
        return connections.WAREHOUSE not in connections.replaced_by_caller(self.environ)

    def server(self) -> EmbeddedServer:
        """Describe the embedded PostgreSQL."""
        port = self.ports.get("postgres")
        return EmbeddedServer(self.settings.home / "postgres", port, self.secrets.postgres_password)

    def url(self, part: str) -> str:
        """Return the HTTP address of a part."""
        return f"http://{HOST}:{self.ports.get(part)}"

    def airflow_environ(self) -> dict[str, str]:
        """Build the environment of an Airflow process or command."""
        own = airflow_variables(self.settings, self.ports, self.secrets, self.environ)
        return {**base_environment(_without_local(self.environ)), **own}

    def recsync_environ(self, own_metadata: Path | None = None) -> dict[str, str]:
        """Build the environment of a recsync command.

        :param own_metadata: folder of a separate metadata database and logs, for tasks that run in this process:
            in the scheduler's database, the scheduler would treat them as its own.
        """
        environ = self.airflow_environ()
        paths = [str(self.settings.plugins), environ.get("PYTHONPATH")]
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        if own_metadata:
            environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{own_metadata / 'airflow.db'}"
            environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"] = str(own_metadata / "logs")
        return environ

    def part(self, name: str) -> Part:
        """Describe one part by name."""
        if name in AIRFLOW:
            return _airflow_part(self, name)
        describe = {
            "postgres": _postgres,
            "s3": _s3,
            "personalize": _personalize,
            "braze": _braze,
            "shop": _shop,
        }
        return describe[name](self)


def _without_local(environ: Mapping[str, str]) -> dict[str, str]:
    """Remove local/ from PYTHONPATH: code in Airflow must not depend on it."""
    local = str(Path(__file__).resolve().parents[1])
    entries = environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = os.pathsep.join(entry for entry in entries if entry and str(Path(entry).resolve()) != local)
    return (
        {**environ, "PYTHONPATH": kept} if kept else {k: v for k, v in environ.items() if k != "PYTHONPATH"}
    )


def _marked(plan: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    return {**environ, MARKER: plan.secrets.stack_id}


def _postgres(plan: Plan) -> Part:
    server = plan.server()
    address = f"postgresql://{HOST}:{server.port}/warehouse"
    environ = _marked(plan, base_environment(plan.environ))
    return Part("postgres", server.argv(), environ, address, lambda _: server.is_ready(), server.port)


def _s3(plan: Plan) -> Part:
    port = plan.ports.get("s3")
    argv = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)]
    environ = _marked(plan, base_environment(plan.environ))
    return Part("s3", argv, environ, plan.url("s3"), lambda _: answers(f"{plan.url('s3')}/moto-api/"), port)


def _personalize(plan: Plan) -> Part:
    port, data = plan.ports.get("personalize"), plan.settings.home / "personalize"
    argv = [sys.executable, "-m", "personalize_local", "--port", str(port), "--data", str(data)]
    if plan.settings.time_scale is not None:
        argv += ["--time-scale", plan.settings.time_scale]
    environ = {
        **local_environment(plan.environ),
        "AWS_ENDPOINT_URL_S3": plan.url("s3"),
        "AWS_ACCESS_KEY_ID": connections.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": connections.SECRET_KEY,
        "AWS_DEFAULT_REGION": connections.REGION,
    }
    health = f"{plan.url('personalize')}/health"
    return Part(
        "personalize", argv, _marked(plan, environ), plan.url("personalize"), lambda _: answers(health), port
    )


def _braze(plan: Plan) -> Part:
    port, data = plan.ports.get("braze"), plan.settings.home / "braze"
    argv = [sys.executable, "-m", "braze_local", "--port", str(port), "--data", str(data)]
    # A brand's people are in its Braze long before the first list; programs create none (update_existing_only).
    argv += ["--missing-users", "adopt"]
    environ = local_environment(plan.environ)
    emails = plan.settings.plugins.parent / "include" / "email"
    if emails.is_dir():
        # Profiles' pages show the e-mails; braze_liquid, a package beside recsync, renders them.
        argv += ["--emails", str(emails)]
        environ["PYTHONPATH"] += os.pathsep + str(plan.settings.plugins)
    # In the environment: an argument would be visible in the process list.
    environ["BRAZE_LOCAL_KEY"] = plan.secrets.braze_api_key
    health = f"{plan.url('braze')}/health"
    return Part("braze", argv, _marked(plan, environ), plan.url("braze"), lambda _: answers(health), port)


def _shop(plan: Plan) -> Part:
    port = plan.ports.get("shop")
    argv = [sys.executable, "-m", "shop_local", "--port", str(port)]
    # In the environment: an argument would be visible in the process list.
    environ = {**local_environment(plan.environ), "WAREHOUSE_DSN": plan.server().dsn()}
    health = f"{plan.url('shop')}/health"
    return Part("shop", argv, _marked(plan, environ), plan.url("shop"), lambda _: answers(health), port)


def _airflow_part(plan: Plan, name: str) -> Part:
    """Describe one Airflow component.

    `airflow standalone` starts the same four, but with log servers on all interfaces, and a SIGTERM to it orphans
    them. Logs need no server here: all components share one folder.
    """
    argv = [str(Path(sys.executable).parent / "airflow"), name]
    if name in {"scheduler", "dag-processor"}:
        # -P: a file beside the script must not shadow a package of the same name.
        argv = [sys.executable, "-P", str(_AIRFLOW_PROCESS), name]
    if name in {"scheduler", "triggerer"}:
        argv.append("--skip-serve-logs")
    health_url = f"{plan.url('airflow')}/api/v2/monitor/health"
    component = name.replace("-", "_")

    def is_healthy(record: Record) -> bool:
        health = get_json(health_url)
        if name == "api-server":
            return bool(health) and health["metadatabase"]["status"] == "healthy"
        return component_is_healthy(health, component, record.started_at)

    port = plan.ports.get("airflow") if name == "api-server" else None
    address = plan.url("airflow") if name == "api-server" else "-"
    environ = _marked(plan, plan.airflow_environ())
    return Part(name, argv, environ, address, is_healthy, port, _AIRFLOW_TIMEOUT_SECONDS)
