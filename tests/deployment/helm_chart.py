"""The official Helm chart of Airflow, for checks of deploy/helm/values.yaml where it is at hand.

``python tests/deployment/helm_chart.py CHART > tests/deployment/helm_chart_keys.json`` lists the keys that the values
file uses, as the chart's schema knows them: CI has no chart. CHART is ``airflow-1.22.0.tgz`` from
https://airflow.apache.org, unpacked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

VALUES = Path(__file__).resolve().parents[2] / "deploy/helm/values.yaml"
CHART_VERSION = "1.22.0"


def used_keys(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yield the path of each key of a values file, through mappings only."""
    for key, value in values.items():
        yield f"{before}{key}"
        if isinstance(value, dict):
            yield from used_keys(value, f"{before}{key}.")


def known_keys(schema: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, str]:
    """Give the type of each used key by the chart's schema; keys that it leaves open are not in the answer.

    :raises KeyError: for a key that the chart does not know.
    """
    found: dict[str, str] = {}
    for path in used_keys(values):
        node: Mapping[str, Any] = schema
        for name in path.split("."):
            fields = node.get("properties", {})
            if name not in fields:
                if node.get("additionalProperties", True) is False or not node:
                    raise KeyError(path)
                node = {}
                break
            node = fields[name]
        if node:
            kinds = node.get("type", "any")
            found[path] = kinds if isinstance(kinds, str) else " or ".join(kinds)
    return found


if __name__ == "__main__":
    chart = Path(sys.argv[1])
    version = yaml.safe_load((chart / "Chart.yaml").read_text())["version"]
    assert version == CHART_VERSION, version
    keys = known_keys(
        json.loads((chart / "values.schema.json").read_text()), yaml.safe_load(VALUES.read_text())
    )
    print(json.dumps({"chart": version, "keys": keys}, indent=1))
