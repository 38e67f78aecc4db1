"""The pins of constraints.txt, against each Python that pyproject.toml promises. Needs no network."""

from __future__ import annotations

import ast
import itertools
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions, version
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

REPO = Path(__file__).resolve().parents[2]
PROMISED = SpecifierSet(tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["requires-python"])
PYTHONS = [f"3.{minor}.{patch}" for minor in range(20) for patch in (0, 99) if f"3.{minor}.0" in PROMISED]


def requirements(name: str) -> list[Requirement]:
    """Read a requirements file, and the files that it includes."""
    found = []
    for line in (REPO / name).read_text().splitlines():
        if line.startswith("-r "):
            found += requirements(line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            found.append(Requirement(line))
    return found


def pins(text: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)
    return {canonicalize_name(name): pinned for name, pinned in found}


def problems(pinned: dict[str, str], python: str) -> Iterator[str]:
    """Follow requirements-dev.txt through the metadata of what is installed, as pip would on another Python.

    Of what is not installed here in the pinned version (only another Python needs it), the own needs are unknown.
    """
    environment = {
        **default_environment(),
        "python_full_version": python,
        "python_version": python.rpartition(".")[0],
    }
    waiting = [(requirement, "requirements-dev.txt") for requirement in requirements("requirements-dev.txt")]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement, by = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in pinned:
            yield f"{by} needs {name}, which has no pin"
            continue
        if not requirement.specifier.contains(pinned[name], prereleases=True):
            yield f"{by} needs {requirement}; {pinned[name]} is pinned"
        new = {(name, extra) for extra in ("", *requirement.extras)} - seen
        seen |= new
        try:
            described = metadata(name)
        except PackageNotFoundError:
            continue
        if described["Version"] != pinned[name]:
            continue
        python_needed = described.get("Requires-Python", "")
        if new and not SpecifierSet(python_needed).contains(python):
            yield f"{name} {pinned[name]} needs Python {described['Requires-Python']}"
        for line in described.get_all("Requires-Dist") or []:
            needed = Requirement(line)
            if any(not needed.marker or needed.marker.evaluate({**environment, "extra": e}) for _, e in new):
                waiting.append((needed, name))


@pytest.mark.parametrize("python", PYTHONS)
def test_the_pins_install_on_every_promised_python(python: str) -> None:
    assert list(problems(pins((REPO / "constraints.txt").read_text()), python)) == []


def test_a_python_that_is_too_old_and_a_missing_pin_are_caught() -> None:
    pinned = pins((REPO / "constraints.txt").read_text())
    assert any(line.startswith("numpy ") for line in problems(pinned, "3.10.0"))
    del pinned["async-timeout"]  # needed before Python 3.11.3 only, so it may not be installed here
    assert "redis needs async-timeout, which has no pin" in list(problems(pinned, "3.11.0"))
    assert list(problems(pinned, "3.11.99")) == []


def test_this_python_is_promised_and_has_the_pinned_versions() -> None:
    """What the metadata say holds for the pins only if these are what is installed."""
    assert f"{sys.version_info[0]}.{sys.version_info[1]}.{sys.version_info[2]}" in PROMISED
    differing = []
    for name, pinned in pins((REPO / "constraints.txt").read_text()).items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if installed != pinned:
            differing.append(f"{name} {installed} is installed, {pinned} is pinned: make setup")
    assert differing == []


def test_every_optional_provider_is_pinned() -> None:
    pinned = pins((REPO / "constraints.txt").read_text())
    for requirement in requirements("requirements-optional.txt"):
        assert requirement.specifier.contains(pinned[requirement.name]), requirement


@pytest.fixture(scope="module")
def distributions() -> Mapping[str, list[str]]:
    return packages_distributions() | {"airflow": ["apache-airflow"]}


def imports(distributions: Mapping[str, list[str]], *folders: str) -> set[str]:
    """Return the distributions that the modules below some folders import."""
    found = set()
    own = {path.stem for name in ("plugins", "local", "dags", "tests") for path in (REPO / name).iterdir()}
    for path in (path for folder in folders for path in (REPO / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                top, *rest = name.split(".")
                if top == "airflow" and rest[:1] == ["providers"]:
                    found.add("-".join(rest[1:3]) if rest[1] == "common" else rest[1])
                elif top not in sys.stdlib_module_names | own:
                    found.add(distributions[top][0].lower())
    return found


@pytest.mark.parametrize(
    ("files", "folders"),
    [
        (["requirements.txt"], ["plugins", "dags"]),
        (["requirements.txt", "requirements-dev.txt"], ["local"]),
    ],
)
def test_everything_imported_is_listed_or_named_in_a_comment(
    distributions: Mapping[str, list[str]], files: list[str], folders: list[str]
) -> None:
    listed = "\n".join((REPO / name).read_text() for name in files).casefold()
    # sqlglot is optional in check_programs, and one of the checks. "google" is several distributions: the clients of
    # the optional provider, which only the module of BigQuery imports, inside functions.
    optional = {"sqlglot", "googleapis-common-protos"}
    assert {name for name in imports(distributions, *folders) if name not in listed} <= optional


def test_everything_listed_is_imported_or_explained_by_the_line_before(
    distributions: Mapping[str, list[str]],
) -> None:
    lines = (REPO / "requirements.txt").read_text().splitlines()
    used = imports(distributions, "plugins", "dags")
    plain = [line for before, line in itertools.pairwise(lines) if not before.startswith("#")]
    names = {
        Requirement(line).name.removeprefix("apache-airflow-providers-") for line in plain if line[0] != "#"
    }
    assert names - used == {"celery"}  # the executor of docs/deploy.md
