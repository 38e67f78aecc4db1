"""The plugin: what it registers, and that it loads nothing heavy, as each Airflow process loads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"
HEAVY = ("fastapi", "starlette", "pyarrow", "pandas", "numpy", "boto3", "recsync.ui.app", "recsync.context")


def test_the_plugin_loads_nothing_heavy():
    program = (
        "import sys, airflow.plugins_manager; before = set(sys.modules)\n"
        "import recsync_plugin\n"
        f"print(sorted(set({HEAVY!r}) & (set(sys.modules) - before)))"
    )
    environment = {"PYTHONPATH": str(PLUGINS), "PATH": "", "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_what_is_registered():
    from airflow import plugins_manager

    (view,) = (view for view in plugins_manager.get_plugin_info() if view["name"] == "recsync")
    apps, _ = plugins_manager.get_fastapi_plugins()
    assert [app["url_prefix"] for app in apps] == ["/recsync"]
    assert [(v["destination"], v["href"]) for v in view["external_views"]] == [
        ("nav", f"recsync/{page}")
        for page in ("reports", "models", "deliveries", "experiments", "costs", "preview", "explain")
    ]
    links = " ".join(view["operator_extra_links"])
    assert "ExportReportLink" in links
    assert "PageLink" in links
    assert any("RunNoteListener" in listener for listener in view["listeners"])
