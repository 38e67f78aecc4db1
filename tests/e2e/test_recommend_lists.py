"""What reaches the recommendations run from the warehouse's queries and from a batch output, wherever it lies."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from shop import FULL_UNTIL, NOW, PROGRAM, SQL, Shop

from recsync.errors import FatalError
from recsync.evaluation.store import ChampionStore
from recsync.export.store import ExportStore
from recsync.recommend.store import RecommendationsManifest, RecommendationsStore

RULES = PROGRAM.replace(
    "recommendations: {length: 5}",
    """
recommendations:
  length: 5
  min_length: 3
  min_answered: 0
  rules:
    {in_stock: available, not_bought_in_days: 14, bought_event_types: [purchase], max_per_category: 4, category: aisle}
  fallback: [similar, popular_in_segment, popular]
""",
)
RULES_SQL = {
    "interactions": SQL["interactions"].replace("FROM shop", ", 'purchase' AS event_type FROM shop"),
    "audience": """
        SELECT DISTINCT customer AS user_id, 'braze-' || customer AS external_id, 7 AS "PRIORITY",
            'group ' || length(customer) AS segment
        FROM shop.orders
        UNION ALL SELECT 'newcomer', 'braze-newcomer', NULL, NULL
    """,
    "catalogue": """
        SELECT product AS item_id, 'Product ' || product AS title, price,
            CASE WHEN product = 'p-7' THEN NULL ELSE product <> 'p-3' END AS available,
            'aisle ' || right(product, 1) AS aisle
        FROM shop.products UNION ALL SELECT NULL, 'nothing', 1, NULL, NULL
    """,
}


def line(user: str, items: list[str]) -> bytes:
    return json.dumps(
        {"input": {"userId": user}, "output": {"recommendedItems": items}, "error": None}
    ).encode()


def publish(shop: Shop, uri: str) -> RecommendationsManifest:
    from recsync.recommend.recommend import publish_output

    return publish_output(shop.name, uri)


def test_rules_and_fallback_use_the_programs_own_queries(shop: Shop, tmp_path: Path) -> None:

    shop.write_files(RULES, RULES_SQL)
    shop.add_orders([("c 1", "p-0", NOW)])
    items = [f"p-{n}" for n in range(40)]
    (tmp_path / "users.json.out").write_bytes(b"\n".join([line("c 1", items), line("stranger", items)]))
    manifest = publish(shop, str(tmp_path / "users.json.out"))
    lists = shop.published(manifest.run).lists

    mine = lists["braze-c 1"]
    assert (mine["tier"], mine["priority"], mine["segment"]) == ("personal", 7, "group 3")
    assert len(mine["item_ids"]) == 5
    assert not {"p-0", "p-3", "p-7"} & set(mine["item_ids"])
    assert {lists["braze-c 2"]["tier"], lists["braze-newcomer"]["tier"]} == {"similar", "popular"}
    assert all(len(row["item_ids"]) == 5 and row["reason"] == "" for row in lists.values())
    assert not any({"p-3", "p-7"} & set(row["item_ids"]) for row in lists.values())
    assert (manifest.users, manifest.lists, manifest.strangers) == (61, 61, 1)
    assert sum(manifest.tiers.values()) == 61
    assert manifest.dropped["out of stock"] == 2
    assert manifest.dropped["bought"] > 0

    # What is out of stock stays in the catalogue, and only what is sent stands in it.
    catalogue = shop.published(manifest.run).catalog
    assert sorted(row["item_id"] for row in catalogue) == sorted(items)
    assert json.loads(next(row["fields"] for row in catalogue if row["item_id"] == "p-3")) == {
        "title": "Product p-3",
        "price": 3.5,
    }


def test_scores_are_published_where_an_attribute_takes_them(shop: Shop, tmp_path: Path) -> None:
    rules = RULES.replace("not_bought_in_days: 14, ", "")
    capped = rules.replace("max_per_category: 4, category: aisle", "max_per: {aisle: 1}, min_score: 0.25")
    scored = {**json.loads(line("c 1", [f"p-{n}" for n in (10, 20, 11, 12, 13)]))}
    scored["output"]["scores"] = [0.5, 0.25, 0.25, 0.25, 0.125]
    path = tmp_path / "users.json.out"
    path.write_text(json.dumps(scored, separators=(",", ":")))
    shop.write_files(capped, RULES_SQL)
    manifest = publish(shop, str(path))
    row = shop.published(manifest.run).lists["braze-c 1"]
    assert (row["item_ids"], row["scores"]) == (["p-10", "p-11", "p-12"], [0.5, 0.25, 0.25])
    assert (manifest.dropped["score below min_score"], manifest.dropped["max_per.aisle"]) == (1, 1)

    for program, scores in (
        (
            rules.replace("braze:", "braze:\n  attributes: [{name: recs_scores, from: scores}]"),
            [0.5, 0.25, 0.25, 0.25, 0.125],
        ),
        (rules, None),
    ):
        shop.write_files(program, RULES_SQL)
        row = shop.published(publish(shop, str(path)).run).lists["braze-c 1"]
        assert row["scores"] == scores


def test_an_output_is_found_on_s3_and_on_disk_packed_or_not(shop: Shop, tmp_path: Path) -> None:
    from recsync.context import StageContext

    shop.write_files(PROGRAM.replace("{length: 5}", "{length: 5, min_answered: 0}"))
    context = StageContext.of(shop.name)
    one, two = (line(f"c {n}", [f"p-{k}" for k in range(n, n + 5)]) for n in (1, 2))
    context.bucket.put("elsewhere/run/a.out", one)
    context.bucket.put("elsewhere/run/_CHECK", b"x")
    context.bucket.put("elsewhere/run/b.out.gz", gzip.compress(two))
    folder = tmp_path / "output"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(one + b"\n" + two)
    runs = [
        publish(shop, uri)
        for uri in (
            f"s3://{context.bucket.name}/elsewhere/run/",
            f"s3://{context.bucket.name}/elsewhere/run/b.out.gz",
            str(folder),
        )
    ]
    assert [run.lists for run in runs] == [2, 1, 2]
    assert shop.published(runs[0].run).lists == shop.published(runs[2].run).lists
    assert context.store(RecommendationsStore).latest_run() == max(runs, key=lambda run: run.created_at).run
    assert context.store(RecommendationsStore).manifest(runs[1].run) == runs[1]
    with pytest.raises(FatalError, match=r"no \.out object"):
        publish(shop, f"s3://{context.bucket.name}/nowhere/")
    with pytest.raises(FatalError, match="no file and no folder with a batch output"):
        publish(shop, str(tmp_path / "nothing"))
    (folder / "b.out.gz").write_bytes(gzip.compress(two)[:20])
    with pytest.raises(FatalError, match=r"b\.out\.gz is not a whole gzip file"):
        publish(shop, str(folder))
    # A neighbour whose name begins in the same way is another output.
    context.bucket.put("elsewhere/run-old/a.out", line("c 1", ["p-9"] * 5))
    assert publish(shop, f"s3://{context.bucket.name}/elsewhere/run").lists == 2
    context.bucket.put("elsewhere/run/old.out", line("c 2", [f"p-{k}" for k in range(9)]))
    with pytest.raises(FatalError, match=r"^1 people have two different lists in the batch output"):
        publish(shop, f"s3://{context.bucket.name}/elsewhere/run")


def test_another_data_set_brings_its_own_people(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "users.out"
    output.write_bytes(b"\n".join(line(f"reader {n}", [f"p-{k}" for k in range(5)]) for n in range(3)))
    manifest = publish(shop, str(output))
    assert set(shop.published(manifest.run).lists) == {"reader 0", "reader 1", "reader 2"}
    assert "its own 3 people are the audience" in caplog.text
    output.write_bytes(line("reader 0", ["book 1", "book 2"]))
    with pytest.raises(FatalError, match=r"gives nobody a list.*Compare its item ids"):
        publish(shop, str(output))
    output.write_bytes(line("17", ["p-1"]).replace(b'"17"', b"17"))
    with pytest.raises(FatalError, match=r'none of its 1 lines can be read.*"17" and not 17'):
        publish(shop, str(output))


@pytest.mark.parametrize(
    ("program", "query", "change", "message"),
    [
        (RULES, "catalogue", ("product <> 'p-3' END", "1.5 END"), "needs a boolean column"),
        (RULES, "interactions", (", 'purchase' AS event_type", ""), "does not return the column.*EVENT_TYPE"),
        (RULES, "audience", ("""'group ' || length(customer)""", "NULL"), r"returns no segment"),
        (
            RULES,
            "audience",
            ("""7 AS "PRIORITY\"""", """'high' AS priority"""),
            "priority that is not a number",
        ),
        (RULES, "audience", ("'braze-' || customer", "'same'"), "Braze user"),
    ],
)
def test_a_query_that_does_not_fit_is_named(
    shop: Shop, tmp_path: Path, program: str, query: str, change: tuple[str, str], message: str
) -> None:
    assert change[0] in RULES_SQL[query]
    changed = (
        RULES_SQL[query]
        .replace(*change)
        .replace("UNION ALL SELECT 'newcomer', 'braze-newcomer', NULL, NULL", "")
    )
    shop.write_files(program, {**RULES_SQL, query: changed})
    (tmp_path / "users.out").write_bytes(line("c 1", ["p-1"]))
    with pytest.raises(FatalError, match=message):
        publish(shop, str(tmp_path))


def prepare(shop: Shop) -> dict[str, Any]:
    from recsync.context import StageContext
    from recsync.evaluation.store import Champion
    from recsync.recommend.prepare import prepare

    champion = Champion("arn:version", "FULL", NOW.isoformat(), "run", {})
    StageContext.of(shop.name).store(ChampionStore).promote(champion)
    return prepare(shop.name, "manual__1", NOW)


def test_the_jobs_input_holds_each_user_once_in_a_fixed_order(shop: Shop) -> None:
    from recsync.context import StageContext

    people = "SELECT u AS user_id, 'b-' || u AS external_id FROM (VALUES {}) AS p(u)"
    shop.write_files(sql={"audience": people.format("('z'), ('a'), ('\"é\\ x'), ('z')")})
    first = prepare(shop)
    context = StageContext.of(shop.name)
    body = context.bucket.get(context.keys.batch_input(first["run"]))
    assert body is not None
    assert [json.loads(row) for row in body.splitlines()] == [{"userId": u} for u in ('"é\\ x', "a", "z")]
    assert first["users"] == 3
    shop.write_files(sql={"audience": people.format("('a'), ('z'), ('\"é\\ x')")})
    assert prepare(shop) == first
    shop.write_files(sql={"audience": people.format("('a'), ('z')")})
    assert prepare(shop)["job"] != first["job"]


@pytest.mark.parametrize(
    ("audience", "message"),
    [
        ("SELECT 'x' AS user_id WHERE false", "returns nobody"),
        ("SELECT 'x' AS user_id, NULL AS external_id", "a person without user_id or external_id"),
        ("SELECT unnest(ARRAY['x', 'y']) AS user_id, 'b' AS external_id", "returns 1 Braze user"),
    ],
)
def test_nothing_is_paid_for_an_audience_that_cannot_be_mailed(
    shop: Shop, audience: str, message: str
) -> None:
    shop.write_files(sql={"audience": audience})
    with pytest.raises(FatalError, match=message):
        prepare(shop)


def snapshot(shop: Shop) -> None:
    """Export and publish a snapshot, as train_full does."""
    from recsync.context import StageContext
    from recsync.export.dataset import export_dataset
    from recsync.export.publish import manifest_of, to_xcom
    from recsync.program import DatasetType
    from recsync.program.intervals import Interval

    context, interval, run = StageContext.of(shop.name), Interval.until(FULL_UNTIL), "20261122T030000-full"
    exported = {
        kind.value: to_xcom(export_dataset(context, kind, interval, context.keys.full(run, kind)))
        for kind in (DatasetType.ITEMS, DatasetType.INTERACTIONS)
    }
    context.store(ExportStore).publish_full(run, manifest_of(interval, exported))


def figures(shop: Shop, run: str) -> dict[str, Any]:
    from recsync.context import StageContext

    context = StageContext.of(shop.name)
    found: dict[str, Any] = context.bucket.get_json(context.keys.known_ids_report(run))
    return found


def test_an_audience_of_other_ids_stops_before_anything_is_paid_for(shop: Shop) -> None:
    snapshot(shop)
    plan = prepare(shop)
    found = figures(shop, plan["run"])
    assert {what: (one["ids"], one["unknown"]) for what, one in found.items()} == {
        "audience": (60, 0),
        "catalog": (40, 0),
    }
    others = SQL["audience"].replace("customer AS user_id", "customer || '.0' AS user_id")
    shop.write_files(sql={"audience": others})
    with pytest.raises(
        FatalError,
        match=r"audience\.sql returns 60 people, 60 of them \(100\.0%\) in no export\. Compare its user_id",
    ):
        prepare(shop)
    new = SQL["audience"] + " UNION ALL SELECT 'new ' || n, 'new ' || n FROM generate_series(1, 40) AS n"
    shop.write_files(sql={"audience": new})
    plan = prepare(shop)
    assert figures(shop, plan["run"])["audience"]["share"] == pytest.approx(0.4)


def test_a_share_of_unknown_people_that_jumps_is_told(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    from recsync.context import StageContext

    snapshot(shop)
    context = StageContext.of(shop.name)
    for day in range(1, 5):
        usual = {"audience": {"share": 0.01}}
        context.bucket.put_json(context.keys.known_ids_report(f"2026010{day}T000000-x"), usual)
    new = SQL["audience"] + " UNION ALL SELECT 'new ' || n, 'new ' || n FROM generate_series(1, 40) AS n"
    shop.write_files(sql={"audience": new})
    prepare(shop)
    assert "40 of them (40.0%, where 1.0% are usual) in no export" in caplog.text
    shop.write_files(PROGRAM + "checks: {drift: {unknown_ids: {stop: 0.2}}}\n", {"audience": new})
    with pytest.raises(FatalError, match=r"where 1\.0% are usual"):
        prepare(shop)


@pytest.mark.parametrize(
    ("query", "column"), [("audience", "customer AS user_id"), ("catalogue", "product AS item_id")]
)
def test_ids_that_pandas_wrote_as_floats_are_refused_by_name(shop: Shop, query: str, column: str) -> None:
    name = column.rpartition(" ")[2]
    text = SQL[query].replace(column, f"length({column.partition(' ')[0]})::double precision AS {name}")
    shop.write_files(sql={query: text})
    with pytest.raises(
        FatalError,
        match=rf"{query}\.sql returns ids of a type that is no id: {name} is a floating-point number",
    ):
        prepare(shop)


def test_a_bad_catalog_value_leaves_out_its_item_and_is_named_on_s3_only(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from recsync.context import StageContext

    program = PROGRAM.replace(
        "payload: objects\n  item_fields: [title, price]",
        "payload: ids\n  catalog: {name: shop, fields: {title: string, price: string, until: time, tags: string}}",
    ).replace("{length: 5}", "{length: 5, min_answered: 0}")
    text = """
        SELECT product AS item_id, 'Product ' || product AS title, price::numeric(9, 2),
            CASE product WHEN 'p-3' THEN 'soon' ELSE '2026-12-24 18:00:00+01' END AS until,
            jsonb_build_array('a', 'b') AS tags
        FROM shop.products UNION ALL SELECT 'p-4', 'Another', 9, NULL, NULL
    """
    shop.write_files(program, {"catalogue": text})
    (tmp_path / "users.out").write_bytes(line("c 1", ["p-1", "p-3", "p-2", "p-5", "p-6", "p-7"]))
    manifest = publish(shop, str(tmp_path))
    assert (manifest.quarantined_items, manifest.repeated_items, manifest.catalogue_items) == (1, 1, 39)
    assert shop.published(manifest.run).lists["braze-c 1"]["item_ids"] == [
        "p-1",
        "p-2",
        "p-5",
        "p-6",
        "p-7",
    ]
    context = StageContext.of(shop.name)
    table = shop.published(manifest.run).catalog
    fields = {row["item_id"]: json.loads(row["fields"]) for row in table}
    assert fields["p-1"] == {
        "title": "Product p-1", "price": "1.50", "until": "2026-12-24T17:00:00+00:00", "tags": '["a", "b"]',
    }  # fmt: skip
    assert fields["p-4"]["title"] == "Another"
    report = context.bucket.get_json(context.keys.catalog_report(manifest.run))
    named = {(one["rule"], one["column"]): one["named"] for one in report["findings"]}
    assert named["value", "until"] == [{"row": 4, "item_id": "p-3", "value": "soon"}]
    assert [one["item_id"] for one in named["duplicate_id", "item_id"]] == ["p-4"]
    assert "1 item(s) are left out: until is no time." in caplog.text
    assert not re.search(r"\bp-3\b", caplog.text)  # a shop's name may hold it
