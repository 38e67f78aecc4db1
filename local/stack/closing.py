"""Print the results of a program's run and where to look, for `run` and `demo`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stack import s3_state
from stack.airflow_api import Json
from stack.chain import Chain
from stack.console import login_hint
from stack.parts import Plan
from stack.report import Personalize, Sandbox, Trained, delivery_lines

_NAME_FIELDS = ("title", "name")
_SHOWN_ITEMS = 12
# Reports of exports that are looked through for rows that were left out.
_SHOWN_FINDINGS = 5


@dataclass(frozen=True)
class Written:
    """What the program file says arrives in Braze.

    :param fields: of the catalog; empty when there is none.
    """

    attribute: str
    catalog: str | None = None
    fields: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan, program: str) -> Written:
        """Read the program file; Airflow has checked it."""
        path = programs_folder(plan) / f"{program}.yaml"
        braze = yaml.safe_load(path.read_text(encoding="utf-8"))["braze"]
        catalog = braze.get("catalog") or {}
        return cls(braze["attribute"], catalog.get("name"), list(catalog.get("fields", ())))


def programs_folder(plan: Plan) -> Path:
    """Return the folder of the program files that Airflow reads."""
    chosen = plan.airflow_environ().get("AIRFLOW__RECSYNC__INCLUDE_FOLDER")
    return (Path(chosen) if chosen else plan.settings.plugins.parent / "include") / "programs"


def closing_lines(plan: Plan, followed: Chain, deliveries: Mapping[str, Json]) -> list[str]:
    """Sum up a chain that was followed to its push: figures, rows left out, one list, and where to look.

    :param deliveries: reports of deliveries, by heading.
    """
    lines = list[str]()
    trained = Trained.of(programs_folder(plan), followed.program)
    if "personalize" not in plan.replaced:
        personalize = Personalize(plan.url("personalize"), followed.program, trained)
        lines += _part("Amazon Personalize (local)", personalize.job_lines())
        heading = "Metrics, from GetSolutionMetrics of the newest FULL versions, same data and split"
        lines += _part(heading, [*personalize.metric_lines(), *personalize.verdict_lines()])
    if "s3" not in plan.replaced:
        lines += _part("Rows left out by the checks", quarantine_lines(plan, trained.owner))
    for heading, report in deliveries.items():
        lines += _part(heading, delivery_lines(report))
    if "braze" not in plan.replaced:
        lines += _one_list(plan, Written.of(plan, followed.program))
    lines += _part("Paused, so that nothing runs by itself", paused_lines(followed))
    return lines + _where(plan, followed.program)


def _part(heading: str, lines: Iterable[str]) -> list[str]:
    return ["", heading, *(f"  {line}" for line in lines)]


def quarantine_lines(plan: Plan, program: str) -> list[str]:
    """Count the rows that the newest exports of each dataset left out, with the reasons."""
    s3, bucket = s3_state.client(plan.url("s3")), plan.settings.bucket
    newest: dict[str, str] = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{program}/full/"):
        for entry in page.get("Contents", []):
            folder, _, name = entry["Key"].rpartition("/")
            if folder.endswith("/reports") and name.endswith(".json"):
                newest[name.removesuffix(".json")] = max(
                    entry["Key"], newest.get(name.removesuffix(".json"), "")
                )
    lines = []
    for dataset, key in sorted(newest.items()):
        report = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        lines.append(f"{dataset:<15} {report['quarantined']:,} of {report['rows']:,}")
        told = [finding["text"] for finding in report["findings"] if finding["level"] != "note"]
        lines += [f"  {text}" for text in told[:_SHOWN_FINDINGS]]
    return lines or ["none: there was no full export yet"]


def experiment_lines(plan: Plan, program: str, verdict: str) -> list[str]:
    """Count the people of the newest recommendations by arm, and name the page that compares them.

    :param verdict: of the comparison; empty without one.
    """
    if "s3" in plan.replaced:
        return []
    newest = newest_manifest(plan, program)
    if not newest.get("experiment"):
        return []
    held_out = set(newest["held_out"])
    told = "people, held out: no list, no request, no data point"
    lines = [
        f"{arm:<15} {people:,} {told if arm in held_out else 'people'}"
        for arm, people in newest["arms"].items()
    ]
    if outside := newest["users"] - sum(newest["arms"].values()):
        lines.append(f"{'outside':<15} {outside:,} people, who get the champion and are not compared")
    lines += [verdict] if verdict else []
    if "airflow" not in plan.replaced:
        lines.append(f"{plan.url('airflow')}/recsync/experiments/{program}")
    return _part(f"Experiment {newest['experiment']}", lines)


def newest_manifest(plan: Plan, program: str) -> Json:
    """Read the manifest of the newest published recommendations; empty without any."""
    s3, bucket = s3_state.client(plan.url("s3")), plan.settings.bucket
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{program}/recommendations/")
    keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
    newest = max((key for key in keys if key.endswith("/manifest.json")), default=None)
    if newest is None:
        return {}
    found: Json = json.loads(s3.get_object(Bucket=bucket, Key=newest)["Body"].read())
    return found


def _one_list(plan: Plan, written: Written) -> list[str]:
    """Show the list of the first person, with names from the Braze catalog."""
    sandbox = Sandbox(plan.url("braze"), plan.secrets.braze_api_key)
    found = {
        who: attributes[written.attribute]
        for who, attributes in sandbox.profiles().items()
        if attributes.get(written.attribute)
    }
    lines = ["", f"Braze sandbox: {len(found):,} people have a list; its meter: {sandbox.metered()}"]
    if not found:
        return lines
    who = min(found)
    catalog = sandbox.catalog_items(written.catalog) if written.catalog else {}
    shown = [shown_item(item, catalog, written.fields) for item in found[who][:_SHOWN_ITEMS]]
    numbered = [f"{n:>4}. {text}" for n, text in enumerate(shown, start=1)]
    return [*lines, "", f"What {who} will find in an e-mail", *numbered, f"      {sandbox.page(who)}"]


def shown_item(item: Any, catalog: Mapping[str, Json], fields: list[str]) -> str:
    """Write one item of a list: its name and price where the catalog or the list has them."""
    values = item if isinstance(item, dict) else catalog.get(str(item), {})
    item_id = str(item.get("id") if isinstance(item, dict) else item)
    names = [name for name in (*_NAME_FIELDS, *fields) if isinstance(values.get(name), str)]
    name = str(values[names[0]]) if names else item_id
    price = values.get("price")
    return f"{name} ({price:.2f})" if isinstance(price, int | float) else name


def paused_lines(followed: Chain) -> list[str]:
    """List the program's DAGs that are paused."""
    paused = [dag["dag_id"] for dag in followed.api.dags(tag=followed.program) if dag["is_paused"]]
    return [", ".join(sorted(paused)) or "nothing"]


def _where(plan: Plan, program: str) -> list[str]:
    lines = ["", "Look around"]
    if "airflow" not in plan.replaced:
        lines.append(f"  {login_hint(plan, show_password=True)}")
    if "braze" not in plan.replaced:
        lines.append(f"  Braze sandbox: {plan.url('braze')}   (a person's page shows the e-mail)")
    if plan.settings.with_sample and plan.own_warehouse:
        lines.append(f"  sample shop:   {plan.url('shop')}")
    return [
        *lines,
        f"  again:         make run PROGRAM={program}   (nothing new: nothing is sent)",
        "  stop:          make down",
    ]
