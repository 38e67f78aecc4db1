"""The tests mirror the tree: who looks for the test of a module finds it without a search."""

from __future__ import annotations

import ast
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PLUGINS, SERVICES, TESTS = REPO / "plugins", REPO / "services", REPO / "tests"
# Modules whose tests are elsewhere, with the reason.
ELSEWHERE = {
    "recommendations/metrics.py": "tests/recommendations/test___main__.py reads the figures of all processes",
}


def modules() -> dict[str, Path]:
    """Return the modules of ``plugins/`` and ``services/`` and the place of their tests."""
    found = [
        path.relative_to(root)
        for root in (PLUGINS, SERVICES)
        for path in sorted(root.rglob("*.py"))
        if path.name != "__init__.py"
    ]
    return {path.as_posix(): TESTS / path.parent / f"test_{path.name}" for path in found}


def test_each_module_has_its_tests_at_the_mirrored_path() -> None:
    bare = {name for name, test in modules().items() if not test.exists()}
    assert bare - ELSEWHERE.keys() == set(), (
        "write their tests there, or say in ELSEWHERE where they are tested"
    )
    assert ELSEWHERE.keys() - bare == set(), "no longer true"
    assert len(ELSEWHERE) < 0.05 * len(modules())


def test_each_test_folder_belongs_to_a_package() -> None:
    packages = {path.parent.relative_to(PLUGINS) for path in PLUGINS.rglob("*.py")}
    for top in ("recsync", "airflow_personalize", "braze_client"):
        folders = {path.parent.relative_to(TESTS) for path in (TESTS / top).rglob("test_*.py")}
        # A folder below a package's sorts its tests further.
        assert [folder for folder in sorted(folders) if not {folder, folder.parent} & packages] == []


def test_the_recommendations_service_uses_recsync_and_nothing_uses_the_service() -> None:
    """The linter's layers are about what Airflow runs; this is about what runs beside it."""

    def imported(root: Path) -> set[str]:
        trees = (ast.walk(ast.parse(path.read_text())) for path in root.rglob("*.py"))
        nodes = [node for tree in trees for node in tree]
        plain = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
        named = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        return {name.partition(".")[0] for name in plain | named}

    service = imported(SERVICES)
    assert "recsync" in service
    assert not service & {"airflow", "personalize_local", "braze_local", "warehouse_local", "stack"}
    assert all("recommendations" not in imported(REPO / root) for root in ("plugins", "local", "dags"))
