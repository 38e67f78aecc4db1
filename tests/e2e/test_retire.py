"""A program leaves Braze, Amazon Personalize and S3; another one that shares things with it stays whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from dag_runs import states
from services import BUCKET
from shop import CUSTOMERS, PROGRAM, Shop

from recsync.errors import FatalError
from recsync.suppression.store import SuppressionStore

Run = Callable[..., Any]


def program(attribute: str, catalog: str) -> str:
    return PROGRAM.replace("attribute: recs", f"attribute: {attribute}").replace(
        "  payload: objects\n  item_fields: [title, price]\n",
        f"  catalog: {{name: {catalog}, fields: {{title: string, price: number}}}}\n",
    )


def keys(shop: Shop) -> list[str]:
    pages = (
        shop.services.boto3("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=BUCKET, Prefix=f"{shop.name}/")
    )
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def groups(shop: Shop) -> list[str]:
    listed = shop.services.boto3("personalize").list_dataset_groups(maxResults=100)["datasetGroups"]
    return [group["name"] for group in listed]


def schemas(shop: Shop) -> list[str]:
    pages = shop.services.boto3("personalize").get_paginator("list_schemas").paginate()
    return [s["name"] for page in pages for s in page["schemas"] if s["name"].startswith(f"{shop.name}-")]


def catalog_items(shop: Shop, name: str) -> int:
    headers = {"Authorization": f"Bearer {shop.services.braze_key}"}
    found = requests.get(f"{shop.services.braze}/catalogs/{name}/items", headers=headers, timeout=30)
    return len(found.json().get("items", []))


def holders(shop: Shop, attribute: str) -> int:
    return sum(attribute in attributes for attributes in shop.services.profiles().values())


@pytest.fixture
def neighbour(shop: Shop) -> Shop:
    """Open a second program on the same warehouse, whose name begins like the first one's."""
    second = replace(shop, name=f"{shop.name}-b")
    shop.write_files(program(f"recs_{shop.name}", f"items_{shop.name}"))
    second.write_files(program(f"recs_{second.name}", f"items_{second.name}"))
    return second


def fill(run: Run, shop: Shop, folder: Path) -> None:
    """Make what a program has in Amazon Personalize, on S3 and in Braze, without a training."""
    from recsync.recommend.recommend import publish_output

    output = folder / "users.json.out"
    lists = (
        {"input": {"userId": f"c {c}"}, "output": {"recommendedItems": [f"p-{c % 9 + k}" for k in range(5)]}}
        for c in range(CUSTOMERS)
    )
    output.write_text("".join(f"{json.dumps(line)}\n" for line in lists))
    publish_output(shop.name, str(output))
    for stage in ("setup", "push"):
        done = run(f"{shop.name}_{stage}")
        assert done.state == "success", states(done)


def retire(run: Run, shop: Shop, **conf: Any) -> Any:
    return run(f"{shop.name}_retire", run_conf={"dry_run": False, "confirm": shop.name, **conf})


@pytest.mark.timeout(900)
def test_a_retired_program_is_gone_and_its_neighbour_whole(
    shop: Shop, neighbour: Shop, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from recsync import retire as stage
    from recsync.context import StageContext

    for each in (shop, neighbour):
        fill(run, each, tmp_path)
    attribute, catalog = f"recs_{shop.name}", f"items_{shop.name}"
    other, other_catalog = f"recs_{neighbour.name}", f"items_{neighbour.name}"
    StageContext.of(shop.name).store(SuppressionStore).add(["somebody"], ["somebody"])
    before = (keys(neighbour), schemas(neighbour), holders(shop, other), catalog_items(shop, other_catalog))
    assert (holders(shop, attribute), holders(shop, other)) == (CUSTOMERS, CUSTOMERS)
    assert catalog_items(shop, catalog) > 0

    # A dry run, and one without the name, remove nothing.
    held = keys(shop)
    dry = retire(run, shop, dry_run=True)
    assert dry.state == "success", states(dry)
    assert {state for name, state in states(dry).items() if name not in {"survey", "confirm"}} == {"skipped"}
    found = stage.survey(shop.name)
    assert found["attributes"] == {attribute: CUSTOMERS}
    assert (found["data_points"], found["catalog"], found["shared"]) == (CUSTOMERS, catalog, [])
    assert f"dataset group {shop.name}" in found["personalize"]
    assert sum(found["objects"].values()) == len(held) - len(
        [key for key in held if "/state/suppression" in key or "/state/money/" in key]
    )
    assert retire(run, shop, confirm=neighbour.name).state == "failed"
    assert keys(shop) == held

    # Killed between Braze and Amazon Personalize, and once more while objects are removed: a further run ends it.
    with monkeypatch.context() as patch:
        patch.setattr(stage, "check_removed", _killed)
        assert retire(run, shop).state == "failed"
    assert holders(shop, attribute) == 0
    assert shop.name in groups(shop)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "remove_objects", _killed)
        assert retire(run, shop).state == "failed"
    assert shop.name not in groups(shop)
    StageContext.of(shop.name).bucket.delete(f"{shop.name}/state/last_sent.json")
    ended = retire(run, shop)
    assert ended.state == "success", states(ended)

    left = {key.removeprefix(f"{shop.name}/") for key in keys(shop)}
    assert "state/suppression.json" in left
    assert all(key == "state/suppression.json" or key.startswith("state/money/") for key in left)
    assert (groups(shop).count(shop.name), schemas(shop)) == (0, schemas(neighbour))
    assert (holders(shop, attribute), catalog_items(shop, catalog)) == (0, 0)
    assert (
        keys(neighbour),
        schemas(neighbour),
        holders(shop, other),
        catalog_items(shop, other_catalog),
    ) == before
    assert run(f"{neighbour.name}_push").state == "success"


def _killed(*_: Any) -> None:
    raise FatalError("killed")


@pytest.mark.timeout(300)
def test_a_run_of_the_program_under_way_stops_a_retirement(shop: Shop, run: Run) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType

    with create_session() as session:
        session.add(
            DagRun(
                dag_id=f"{shop.name}_export",
                run_id="busy",
                run_type=DagRunType.MANUAL,
                state=DagRunState.RUNNING,
                run_after=datetime.now(UTC),
            )
        )
    stopped = retire(run, shop)
    assert states(stopped)["survey"] == "failed"
    assert keys(shop) == []


@pytest.mark.timeout(300)
def test_what_another_program_names_stays(shop: Shop, neighbour: Shop) -> None:
    from recsync import retire as stage
    from recsync.context import StageContext
    from recsync.retire import Retirement, Shared

    shop.write_files(program("one_for_both", "items_for_both") + "  tier_attribute: own_tier\n")
    neighbour.write_files(program("one_for_both", "items_for_both"))
    found = Retirement(StageContext.of(shop.name))
    assert found.shared == Shared(frozenset({"one_for_both"}), frozenset({"items_for_both"}))
    assert found.shares_catalog
    told = stage.survey(shop.name)
    assert told["shared"] == ["attribute one_for_both", "catalog items_for_both"]
    assert told["catalog"] is None
    (shop.include / "programs" / f"{neighbour.name}.yaml").write_text("braze: {")
    with pytest.raises(FatalError, match=f"program file of {neighbour.name} is broken"):
        stage.survey(shop.name)
