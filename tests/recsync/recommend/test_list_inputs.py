from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_shop import SmallShop

from braze_client.identifiers import EXTERNAL_ID
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.program import DatasetType
from recsync.recommend.list_inputs import (
    open_files,
    open_objects,
    people_of_output,
    query_catalog,
    read_audience,
    read_catalog,
    read_past_lists,
    read_purchases,
    sources,
)
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.catalog import CATALOG, ItemCatalog, positions_in
from recsync.recommend.lists.list_partition import LISTS
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore
from recsync.suppression.store import SuppressionStore

NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)
RUN = "20261122T050000-r"
EVENTS = DatasetType.INTERACTIONS
TODAY = ItemCatalog(pa.table({"item_id": [f"i{n}" for n in range(9)], "fields": ["{}"] * 9}))


def rows_of(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def publish_lists(
    shop: SmallShop, program: str, run: str, *, audience: bool = True, sent: bool = True, **lists: list[str]
) -> None:
    """Publish lists by user, whose ids in Braze begin with ``b-``."""
    context = StageContext.of(program)
    ids = sorted({item for items in lists.values() for item in items})
    rows = [
        {"external_id": f"b-{user}", "items": [ids.index(i) for i in items]} for user, items in lists.items()
    ]
    people = [{"user_id": user, "external_id": f"b-{user}"} for user in lists]
    path = shop.include / "published.parquet"
    catalog = pa.Table.from_pylist([{"item_id": item, "fields": "{}"} for item in ids], schema=CATALOG)
    pq.write_table(pa.Table.from_pylist(rows, schema=LISTS.with_metadata(positions_in(catalog))), path)
    manifest = RecommendationsManifest(run, run, "", "", len(rows), len(rows), {}, 1)
    context.store(RecommendationsStore).publish(manifest, path, catalog)
    if audience:
        table = pa.Table.from_pylist(people, schema=AUDIENCE)
        context.bucket.put_table(context.keys.audience(run), table)
    if sent:
        context.bucket.put_json(context.keys.ledger_entry(f"{run.partition('-')[0]}999999-{run}", 0), {})


def past(files: list[Path]) -> list[tuple[str, list[str]]]:
    return [
        (row["user_id"], [TODAY.item_ids[i].as_py() for i in row["items"]])
        for path in files
        for row in rows_of(path)
    ]


def test_lists_of_other_programs_and_of_the_last_days_are_read_by_user(
    small_shop: SmallShop, tmp_path: Path
) -> None:
    for other in ("weekly", "winback", "silent"):
        small_shop.write_program(other, braze={"attribute": f"recs_{other}"})
    rules = {
        "not_in": ["weekly", "silent"],
        "not_mailed_in_days": {"days": 2, "programs": ["shop", "winback", "silent"]},
    }
    small_shop.write_program(recommendations={"length": 2, "rules": rules})
    publish_lists(small_shop, "weekly", "20261101T050000-a", u1=["old"])
    publish_lists(small_shop, "weekly", "20261102T050000-b", sent=False, u1=["i1"], u2=[])
    publish_lists(small_shop, "shop", "20261120T045959-a", u1=["too old"])
    publish_lists(small_shop, "shop", "20261120T050000-b", u1=["i2"])
    publish_lists(small_shop, "shop", "20261121T050000-c", sent=False, u1=["never sent"])
    publish_lists(small_shop, "shop", RUN, u1=["of this run"])
    publish_lists(small_shop, "winback", "push-20261121T050000-d", audience=False, u2=["i3"])
    publish_lists(small_shop, "silent", "20261001T050000-a", u1=["i1"])
    publish_lists(small_shop, "silent", "20261121T050000-b", sent=False, u1=[])
    files, notes = read_past_lists(small_shop.context, NOW, tmp_path, TODAY)
    assert past(files["not_in"]) == [("u1", ["i1"])]
    assert past(files["not_mailed_in_days"]) == [("u1", ["i2"]), ("b-u2", ["i3"])]
    assert notes == [
        "Run push-20261121T050000-d of winback kept no audience: its people are compared by their id in Braze.",
        "not_mailed_in_days: silent has sent none of the 1 runs that it published in the 2 days before 2026-11-22 "
        "05:00, so none of its items is left out.",
    ]
    small_shop.write_program(recommendations={"length": 2, "rules": {"not_in": ["none"]}})
    small_shop.write_program("none", braze={"attribute": "recs_none"})
    files, notes = read_past_lists(small_shop.context, NOW, tmp_path, TODAY)
    assert files == {"not_in": []}
    assert notes == ["not_in: none has published no lists, so none of its items is left out."]
    small_shop.write_program()
    assert read_past_lists(small_shop.context, NOW, tmp_path, TODAY) == ({}, [])


def test_the_audience_is_read_without_the_suppressed(small_shop: SmallShop, tmp_path: Path) -> None:
    target, context = tmp_path / "audience.parquet", small_shop.context
    assert read_audience(context, NOW, target) == 2
    nothing = dict.fromkeys(("priority", "segment", "arm"))
    assert rows_of(target)[0] == {"user_id": "u1", "external_id": "b-u1", **nothing}

    context.store(SuppressionStore).add(["u1"])
    assert read_audience(context, NOW, target) == 1
    context.store(SuppressionStore).add([], ["b-u2"])
    assert read_audience(context, NOW, target) == 0
    assert read_audience(context, NOW, target, with_suppressed=True) == 2


def test_the_items_that_lists_are_made_from_need_a_column(small_shop: SmallShop, tmp_path: Path) -> None:
    target, pairs = tmp_path / "audience.parquet", tmp_path / "pairs.parquet"
    with pytest.raises(FatalError, match=r"audience.sql returns no column item_id.*inputs\.seeds"):
        read_audience(small_shop.context, NOW, target, items=pairs)
    small_shop.write_sql("audience", "SELECT 'u1' AS user_id, 'i' || n AS item_id FROM range(2) AS r(n)")
    assert read_audience(small_shop.context, NOW, target, items=pairs) == 1
    assert [row["item_id"] for row in rows_of(pairs)] == ["i0", "i1"]


def test_values_of_the_filter_are_read_with_the_audience(small_shop: SmallShop, tmp_path: Path) -> None:
    expression = "INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ($TYPE)"
    chosen = {"recommend": {"expression": expression, "values": {"TYPE": "kind"}}}
    small_shop.write_program(filters=chosen)
    target, values = tmp_path / "audience.parquet", tmp_path / "values.parquet"
    with pytest.raises(FatalError, match=r"returns no column kind, of which filters\.recommend\.values"):
        read_audience(small_shop.context, NOW, target, values=values)
    small_shop.write_sql("audience", "SELECT user_id, 'buy' AS kind FROM people")
    assert read_audience(small_shop.context, NOW, target, values=values) == 2
    assert len(rows_of(values)) == 2
    assert all("buy" in str(row) for row in rows_of(values))


def test_a_bad_catalog_is_refused_and_its_report_says_where(small_shop: SmallShop) -> None:
    context = small_shop.context
    assert read_catalog(context, NOW, RUN).item_ids.to_pylist() == ["i1", "i2", "i3"]
    report = context.keys.catalog_report(RUN)
    assert context.bucket.get_json(report) is not None
    small_shop.write_sql("catalogue", "SELECT item_id FROM items WHERE false")
    with pytest.raises(FatalError) as refused:
        read_catalog(context, NOW, RUN)
    assert f"The items are named in {context.bucket.uri(report)}." in str(refused.value)


def test_purchases_are_read_only_where_a_rule_needs_them(small_shop: SmallShop, tmp_path: Path) -> None:
    target = tmp_path / "purchases.parquet"
    small_shop.write_sql("catalogue", "SELECT 'i' || n AS item_id FROM range(3) t(n)")
    catalog = query_catalog(small_shop.context, NOW)
    policy = small_shop.context.program.recommendations
    assert read_purchases(small_shop.context, NOW, target, policy, catalog) is None
    assert not target.exists()
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as warehouse:
        warehouse.execute("CREATE TABLE sales (u text, i text, sold timestamp)")
        warehouse.execute("INSERT INTO sales VALUES ('u1', 'i1', '2026-11-20'), ('u1', 'i2', '2026-10-01')")
    small_shop.write_sql(
        "interactions",
        "SELECT u AS user_id, i AS item_id, {{ epoch('sold') }} AS timestamp FROM sales "
        "WHERE sold >= '{{ data_interval_start }}' AND sold < '{{ data_interval_end }}'",
    )
    rules = {"not_bought_in_days": 30}
    small_shop.write_program(recommendations={"length": 2, "rules": rules})
    policy = small_shop.context.program.recommendations
    assert read_purchases(small_shop.context, NOW, target, policy, catalog) == target
    assert [row["item"] for row in rows_of(target)] == [1]


def test_the_users_of_an_output_are_an_audience(small_shop: SmallShop, tmp_path: Path) -> None:
    bucket, target = small_shop.context.bucket, tmp_path / "audience.parquet"
    with pytest.raises(FatalError, match=r"shop/out/ holds no \.out object of the job"):
        sources(bucket, "shop/out/")
    lines = [
        json.dumps({"input": {"userId": who}, "output": {"recommendedItems": ["i1"]}, "error": None})
        for who in ("u2", "u1", "gone")
    ]
    body = "".join(f"{line}\n" for line in lines).encode()
    bucket.put("shop/out/users.json.out", body)
    bucket.put("shop/out/_CHECK", b"no output")
    found = sources(bucket, "shop/out/")
    assert found == ["shop/out/users.json.out"]
    suppression = small_shop.context.store(SuppressionStore).add(["gone"])
    assert people_of_output(open_objects(bucket, found), target, suppression, EXTERNAL_ID) == 2
    assert [(row["user_id"], row["external_id"]) for row in rows_of(target)] == [("u1", "u1"), ("u2", "u2")]
    file = tmp_path / "users.json.out.gz"
    file.write_bytes(gzip.compress(body))
    assert people_of_output(open_files([file]), target, suppression, EXTERNAL_ID) == 2


def test_the_items_of_a_rule_come_from_a_column_or_from_a_query(small_shop: SmallShop) -> None:
    promoted = {"sql": "shop/offers.sql", "share": 0.5}
    boost = {"column": "strong", "factor": 2}
    small_shop.write_sql("offers", "SELECT unnest(['i3', 'gone', NULL, 'i1', 'i3']) AS item_id")
    small_shop.write_sql("catalogue", "SELECT item_id, item_id = 'i2' AS strong FROM items")
    small_shop.write_program(recommendations={"length": 2, "rules": {"promoted": promoted, "boost": boost}})
    flags = read_catalog(small_shop.context, NOW, RUN).flags
    assert flags["promoted"].tolist() == [True, False, True]
    assert flags["boost"].tolist() == [False, True, False]
    small_shop.write_sql("offers", "SELECT 'i1' AS item_id WHERE false")
    assert read_catalog(small_shop.context, NOW, RUN).flags["promoted"].tolist() == [False] * 3


def test_the_audience_is_read_by_the_column_of_the_identifier(small_shop: SmallShop, tmp_path: Path) -> None:
    target, email = tmp_path / "audience.parquet", {"attribute": "recs", "identifier": "email"}
    small_shop.write_program(braze=email)
    with pytest.raises(FatalError, match=r"audience.sql returns no column email.*braze\.identifier"):
        read_audience(small_shop.context, NOW, target)
    small_shop.write_sql(
        "audience", "SELECT user_id, external_id, upper(user_id) || '@b.com' AS Email FROM people"
    )
    small_shop.context.store(SuppressionStore).add([], ["u2@b.com"])
    assert read_audience(small_shop.context, NOW, target) == 1
    assert [(row["user_id"], row["external_id"]) for row in rows_of(target)] == [("u1", "u1@b.com")]
