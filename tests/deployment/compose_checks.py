"""Check docker-compose.yaml, Dockerfile and .env.example against each other; no container engine is needed.

Each check yields one line per problem, so that a test can break a copy and see the check catch it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:?[-?+])([^{}]*))?\}")
SECRET = re.compile(r"PASSWORD(?!S_FILE)|SECRET|(^|_)KEY(_|$)|TOKEN")
# Credentials of servers that check none.
NO_SECRETS = {"local-only", "local"}
# Read by the scheduler, described nowhere.
UNDOCUMENTED_SETTINGS = {"scheduler": {"num_stuck_in_queued_retries"}}
RECSYNC_SETTINGS = {
    "bucket", "dataset_groups_quota", "personalize_role_arn", "include_folder", "waiter_delay_seconds", "deferrable",
    "pools", "heavy_pod_template", "threads", "task_memory_mb", "tasks_per_worker", "pace_redis_url",
    "batch_jobs_quota", "job_input_bytes", "list_tasks", "people_per_file",
}  # fmt: skip


class _Loader(yaml.SafeLoader):
    """YAML says that keys are unique; PyYAML lets the last one win, and a service would vanish silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        if repeated := {key for key in keys if keys.count(key) > 1}:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {repeated} twice")
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class Deployment:
    """The texts of the files, and the folder in which they would lie."""

    compose: str
    dockerfile: str
    ignore: str
    env_example: str
    root: Path

    @classmethod
    def read(cls, root: Path) -> Deployment:
        names = ("docker-compose.yaml", "Dockerfile", ".dockerignore", ".env.example")
        return cls(*((root / name).read_text() for name in names), root)

    @property
    def document(self) -> dict[str, Any]:
        return dict(yaml.load(self.compose, _Loader))

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        return dict(self.document["services"])


def strings(node: Any) -> Iterator[str]:
    """Yield every string value below a node."""
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from strings(child)
    elif isinstance(node, str):
        yield node


def references(deployment: Deployment) -> Iterator[str]:
    """Every service, volume, network, secret, config and file that is named exists, and is used."""
    document, services = deployment.document, deployment.services
    used: dict[str, set[str]] = {kind: set() for kind in ("volumes", "networks", "secrets", "configs")}
    for name, service in services.items():
        yield from _depends(name, service, services)
        for volume in service.get("volumes", []):
            source = volume["source"] if isinstance(volume, dict) else volume.partition(":")[0]
            if source.startswith((".", "/")):
                if not (deployment.root / source).exists():
                    yield f"{name}: {source} does not exist"
            else:
                used["volumes"].add(source)
        for kind in ("networks", "secrets", "configs"):
            used[kind].update(e["source"] if isinstance(e, dict) else e for e in service.get(kind, []))
        files = service.get("env_file", [])
        for file in [files] if isinstance(files, str) else files:
            if not (deployment.root / file).is_file():
                yield f"{name}: env_file {file} does not exist"
    for kind, names in used.items():
        declared = set(document.get(kind) or {})
        yield from (f"{kind}: {name} is used but not declared" for name in sorted(names - declared))
        yield from (f"{kind}: {name} is declared but not used" for name in sorted(declared - names))


def _depends(name: str, service: dict[str, Any], services: dict[str, dict[str, Any]]) -> Iterator[str]:
    depends = service.get("depends_on", {})
    if not isinstance(depends, dict):
        yield f"{name}: depends_on without conditions"
        return
    for other, rule in depends.items():
        target = services.get(other)
        if target is None:
            yield f"{name}: depends on {other}, which does not exist"
        elif rule["condition"] == "service_healthy" and "healthcheck" not in target:
            yield f"{name}: waits for {other} to be healthy, which has no healthcheck"
        elif rule["condition"] == "service_completed_successfully" and target.get("restart") != "no":
            yield f"{name}: waits for {other} to end, which is restarted"
        elif not set(target.get("profiles", [])) <= set(service.get("profiles", [])):
            yield f"{name}: depends on {other}, which only a profile starts"
    if _reaches(name, name, services, set()):
        yield f"{name}: depends on itself"


def _reaches(start: str, goal: str, services: dict[str, dict[str, Any]], seen: set[str]) -> bool:
    following = set(services.get(start, {}).get("depends_on", {})) - seen
    return goal in following or any(_reaches(n, goal, services, seen | following) for n in following)


def service_rules(deployment: Deployment) -> Iterator[str]:
    """Tagged images, ports on loopback only, a restart policy, a healthcheck for all that keeps running."""
    for name, service in deployment.services.items():
        yield from (f"{name}: {problem}" for problem in _image(str(service.get("image", ""))))
        for port in service.get("ports", []):
            host = port.get("host_ip", "") if isinstance(port, dict) else str(port).partition(":")[0]
            if host != "127.0.0.1":
                yield f"{name}: port {port} is not bound to 127.0.0.1"
        if service.get("network_mode") == "host":
            yield f"{name}: network_mode host publishes every port"
        if "restart" not in service:
            yield f"{name}: has no restart policy"
        if service.get("restart") in {"always", "unless-stopped"} and not service.get("healthcheck", {}).get(
            "test"
        ):
            yield f"{name}: keeps running without a healthcheck"
        if str(service.get("image")).startswith("recsync:") and service["restart"] != "no":
            if "mem_limit" not in service:
                yield f"{name}: has no memory limit"
            temporary = _environment(service).get("TMPDIR")
            places = {volume.partition(":")[2] for volume in service.get("volumes", [])}
            if service["command"] and "celery worker" in service["command"] and temporary not in places:
                yield f"{name}: TMPDIR is on no volume of its own"


def _image(image: str) -> Iterator[str]:
    tag = image.rpartition("/")[2].partition(":")[2]
    if not tag or tag == "latest":
        yield f"image {image!r} has no tag or the tag latest"


def secrets_rules(deployment: Deployment) -> Iterator[str]:
    """Every secret comes from outside, is required, and says what to run; every variable is documented."""
    documented = set(re.findall(r"^#?(\w+)=", deployment.env_example, re.MULTILINE))
    mentioned: set[str] = set()
    for text in strings(deployment.document):
        for name, operator, message in VARIABLE.findall(text):
            mentioned.add(name)
            if SECRET.search(name) and not (operator == ":?" and "make_env.py" in message):
                yield f"{name}: a secret must be ${{{name}:?...}} and name deploy/make_env.py"
        if re.search(r"://[^/@:]*:[^$@/][^@/]*@", text):
            yield f"{text}: a password inside an address"
    for name, service in deployment.services.items():
        for key, value in _environment(service).items():
            if value is None:
                mentioned.add(key)
            elif SECRET.search(key) and not VARIABLE.search(str(value)) and value not in NO_SECRETS:
                yield f"{name}: {key} holds a fixed value"
            if value is None and SECRET.search(key):
                yield f"{name}: {key} is not required"
    yield from (f"{name}: not in .env.example" for name in sorted(mentioned - documented))
    yield from (f"{name}: in .env.example, but nothing reads it" for name in sorted(documented - mentioned))


def _environment(service: dict[str, Any]) -> dict[str, Any]:
    environment = service.get("environment", {})
    assert isinstance(environment, dict), "the list form of environment is not used here"
    return environment


def setting_names(deployment: Deployment, known: dict[str, set[str]]) -> Iterator[str]:
    """Every AIRFLOW__SECTION__KEY is a setting that Airflow, an installed provider or recsync reads."""
    known = {**known, "recsync": RECSYNC_SETTINGS}
    for name, service in deployment.services.items():
        for key in _environment(service):
            if key.startswith("AIRFLOW__"):
                section, _, option = key.removeprefix("AIRFLOW__").lower().partition("__")
                if option not in known.get(section, set()) | UNDOCUMENTED_SETTINGS.get(section, set()):
                    yield f"{name}: {key} is no setting of Airflow"


def airflow_commands(deployment: Deployment) -> Iterator[tuple[str, list[str]]]:
    """Yield service and arguments of every airflow command that the file runs."""
    for name, service in deployment.services.items():
        if not str(service.get("image", "")).startswith("recsync:"):
            continue
        words = _words(service["command"])
        if words[0] == "bash":
            yield from ((name, arguments) for arguments in _in_shell(words[-1]))
        elif words[0] != "python":
            yield name, words
        test = service.get("healthcheck", {}).get("test", ["NONE"])
        yield from (
            (name, arguments)
            for arguments in _in_shell(shlex.join(test[1:]) if test[0] == "CMD" else test[-1])
        )


def _words(command: str | list[str]) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else command


def _in_shell(line: str) -> Iterator[list[str]]:
    for part in re.split(r"&&|\|\||;", line):
        words = [word for word in shlex.split(part.strip()) if word != "exec"]
        if words[:1] == ["airflow"]:
            yield words[1:]


def dockerfile_rules(deployment: Deployment) -> Iterator[str]:
    """Stages exist, base images are pinned, and what is copied is there and not ignored."""
    stages: set[str] = set()
    for base, name in re.findall(r"^FROM (\S+) AS (\S+)", deployment.dockerfile, re.MULTILINE):
        if base not in stages:
            yield from (f"Dockerfile: {problem}" for problem in _image(base))
        stages.add(name)
    for name, service in deployment.services.items():
        target = service.get("build", {}).get("target")
        if "build" in service and target not in stages:
            yield f"{name}: the Dockerfile has no target {target}"
    for source, _ in copies(deployment):
        if not (deployment.root / source).exists():
            yield f"Dockerfile: {source} does not exist"
        elif not _allowed(source, deployment.ignore):
            yield f"Dockerfile: .dockerignore leaves {source} out"
    for private in (".env", ".git/config", ".stack/secrets/airflow_fernet_key"):
        if _allowed(private, deployment.ignore):
            yield f".dockerignore lets {private} into the image"


def copies(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Yield source and target of everything that is copied from the checkout."""
    for arguments in re.findall(r"^COPY (.+)$", deployment.dockerfile, re.MULTILINE):
        *sources, target = [word for word in arguments.split() if not word.startswith("--")]
        for source in sources:
            yield source, target.rstrip("/") + ("/" + Path(source).name if target.endswith("/") else "")


def _allowed(path: str, ignore: str) -> bool:
    """Apply .dockerignore: the last matching line wins, and a line means all below it too."""
    allowed = True
    parents = [path, *(str(parent) for parent in Path(path).parents)]
    for line in (line.strip() for line in ignore.splitlines()):
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and any(fnmatch(p, pattern) for p in parents if p != "."):
            allowed = line.startswith("!")
    return allowed
