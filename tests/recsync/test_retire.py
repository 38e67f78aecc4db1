from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_shop import SmallShop

from recsync import retire
from recsync.errors import FatalError
from recsync.experiments.enrolment import assign_arms
from recsync.push.plan_format import STATE
from recsync.push.store import LastSent
from recsync.suppression.store import SuppressionStore

CATALOG = {"name": "products", "fields": {"title": "string"}}
BRAZE = {"attribute": "recs", "catalog": CATALOG}


@pytest.fixture
def sent(small_shop: SmallShop, tmp_path: Path) -> SmallShop:
    """A program that wrote its attribute to two users and one item to its catalog."""
    small_shop.write_program(braze=BRAZE)
    context = small_shop.context
    rows = [
        {"external_id": who, "attribute": "recs", "fingerprint": 1, "delivery": "d", "kept_since": None}
        for who in ("b-u1", "b-u2")
    ]
    table = tmp_path / "state.parquet"
    pq.write_table(pa.Table.from_pylist(rows, STATE), table)
    last_sent = context.store(LastSent)
    state, etag = last_sent.read()
    last_sent.replace(last_sent.upload(state, table, "d"), etag)
    context.bucket.put_table(
        context.keys.state("catalog-products.parquet"), pa.table({"item_id": ["i1"], "fingerprint": ["f"]})
    )
    context.store(SuppressionStore).add(["gone"])
    context.bucket.put("shop/exports/interactions/x.csv", b"12345")
    return small_shop


@pytest.fixture
def schemas(sent: SmallShop, local_personalize: Any) -> Any:
    """A dataset group with a dataset, and a second schema that a program by hand uses."""
    text = (sent.include / "schemas/shop/interactions.json").read_text()
    group = local_personalize.create_dataset_group(name="shop")["datasetGroupArn"]
    other = local_personalize.create_dataset_group(name="by-hand")["datasetGroupArn"]
    for number, owner in ((1, group), (2, other)):
        schema = local_personalize.create_schema(name=f"shop-interactions-0000000{number}", schema=text)
        local_personalize.create_dataset(
            name=f"d{number}",
            schemaArn=schema["schemaArn"],
            datasetGroupArn=owner,
            datasetType="Interactions",
        )
    local_personalize.create_schema(name="by-hand", schema=text)
    return local_personalize


def test_the_survey_lists_what_goes(sent: SmallShop, schemas: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "recsync.retire"):
        found = retire.survey("shop")
    assert found["dataset_group_arn"].endswith(":dataset-group/shop")
    assert found["personalize"] == ["dataset dataset/shop/INTERACTIONS", "dataset group shop"]
    assert found["schemas"] == ["shop-interactions-00000001"]
    assert (found["attributes"], found["data_points"]) == ({"recs": 2}, 2)
    assert (found["catalog"], found["catalog_items"], found["shared"]) == ("products", 1, [])
    # The suppression list stays.
    assert found["objects"] == {"exports": 1, "state": 3}
    text = caplog.messages[-1]
    assert text.startswith("What a retirement of shop removes:")
    assert "stays: shop/state/suppression.json, shop/erasure/certificates/, shop/state/money/" in text


def test_what_another_program_names_too_stays(sent: SmallShop, local_personalize: Any) -> None:
    sent.write_program("neighbour", braze=BRAZE)
    found = retire.survey("shop")
    assert found["shared"] == ["attribute recs", "catalog products"]
    assert (found["dataset_group_arn"], found["attributes"], found["catalog"]) == (None, {}, None)
    retire.check_removed("shop")


def test_a_broken_program_beside_it_stops_the_retirement(sent: SmallShop, local_personalize: Any) -> None:
    sent.write_program("neighbour", nonsense=True)
    before = sent.context.bucket.keys("shop/")
    with pytest.raises(FatalError, match="The program file of neighbour is broken, so what it shares"):
        retire.survey("shop")
    with pytest.raises(FatalError, match="nothing was touched"):
        retire.check_removed("shop")
    assert sent.context.bucket.keys("shop/") == before


def test_the_removal_is_a_delivery_of_empty_lists(sent: SmallShop, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {"conn_type": "braze", "host": "https://braze.example", "password": "key"}
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", json.dumps(connection))
    now = datetime.now(UTC)
    planned = retire.plan_removal("shop", dag_run="manual", run="20261122T050000-r", created_at=now)
    assert planned["people"] == 2
    keys = sent.context.bucket.keys(sent.context.keys.delivery(planned["delivery"]))
    assert any(key.endswith("/plan.json") for key in keys)


def test_objects_stay_while_people_have_attributes(sent: SmallShop) -> None:
    with pytest.raises(FatalError, match=r"Braze still shows attributes of shop for some people \(recs: 2\)"):
        retire.check_removed("shop")


def test_only_the_programs_own_schemas_are_removed(sent: SmallShop, schemas: Any) -> None:
    dataset = schemas.list_datasets()["datasets"]
    own = next(each["datasetArn"] for each in dataset if "/shop/" in each["datasetArn"])
    schemas.delete_dataset(datasetArn=own)
    assert retire.remove_schemas("shop") == ["shop-interactions-00000001"]
    left = {found["name"] for found in schemas.list_schemas()["schemas"]}
    assert left == {"shop-interactions-00000002", "by-hand"}


def test_the_objects_go_except_what_is_kept_for_good(sent: SmallShop) -> None:
    context = sent.context
    kept = ["shop/erasure/certificates/x.txt", "shop/state/money/2026-11.json", "shop/state/suppression.json"]
    for key in kept[:2]:
        context.bucket.put(key, b"kept")
    context.bucket.put("shop-b/exports/x.csv", b"of another program")
    assert retire.remove_objects("shop") == 4
    assert sorted(context.bucket.keys("shop/")) == kept
    assert context.bucket.keys("shop-b/") == ["shop-b/exports/x.csv"]
    assert retire.remove_objects("shop") == 0


def test_its_experiments_go_too(sent: SmallShop, schemas: Any, tmp_path: Path) -> None:
    arms = {"mailed": {"share": 0.5, "gets": "champion"}, "holdout": {"share": 0.5, "gets": "nothing"}}
    sent.write_sql("outcomes", "SELECT 1")
    sent.write_program(experiment={"name": "autumn", "layer": "mail", "arms": arms}, braze=BRAZE)
    audience = tmp_path / "audience.parquet"
    pq.write_table(pa.table({"user_id": ["u1"], "external_id": ["b-u1"]}), audience)
    assign_arms(sent.context, "run", datetime.now(UTC), audience, tmp_path)
    assert retire.survey("shop")["experiments"] == ["mail/autumn"]
    retire.remove_objects("shop")
    assert sent.context.bucket.keys("_experiments/") == []
