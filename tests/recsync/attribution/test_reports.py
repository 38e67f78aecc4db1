from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from small_shop import SmallShop

from recsync.attribution.reports import attribution_reports, metric_settings, summary_lines

HEADER = "METRIC_NAME,EVENT_TYPE,VALUE,MATH_FUNCTION,EVENT_ATTRIBUTION_SOURCE,TIMESTAMP"
T = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp())


def report(shop: SmallShop, method: str, *rows: str, at: int = T, program: str = "shop") -> None:
    name = f"{program}/attribution/AggregatedAttributionMetrics - {method} - {at}.csv"
    shop.context.bucket.put(name, "\n".join([HEADER, *rows, ""]).encode())


def found(shop: SmallShop) -> dict[tuple[str, str], float]:
    return {(each.metric, each.source): each.value for each in attribution_reports(shop.context)}


def test_without_a_report_there_are_no_figures(small_shop: SmallShop) -> None:
    assert attribution_reports(small_shop.context) == []
    assert summary_lines([]) == []


def test_windows_are_added_up_by_metric_and_source(small_shop: SmallShop) -> None:
    report(
        small_shop,
        "FULL",
        f"sold,buy,12.0,samplecount,shop,{T}",
        f"sold,buy,1.0,samplecount,shop,{T + 86_400}",
        # As in the guide's example, a source may have two rows of one window.
        f"sold,buy,2.0,samplecount,shop,{T}",
        f"sold,buy,40.0,samplecount,SOURCE_NAME_UNDEFINED,{T}",
        f"revenue,buy,3.5,sum,shop,{T}",
    )
    values = attribution_reports(small_shop.context)
    assert [(each.metric, each.source, each.value) for each in values] == [
        ("revenue", "shop", 3.5),
        ("sold", "SOURCE_NAME_UNDEFINED", 40),
        ("sold", "shop", 15),
    ]
    assert (values[2].since.day, values[2].until.day) == (22, 23)
    assert summary_lines(values) == [
        "revenue (2026-11-22 to 2026-11-22): 3.5 after mails of shop",
        "sold (2026-11-22 to 2026-11-23): 40 without a mail, 15 after mails of shop",
    ]


def test_a_full_import_replaces_what_was_reported_and_later_imports_add(small_shop: SmallShop) -> None:
    row = "sold,buy,{},samplecount,shop,{}"
    report(small_shop, "INCREMENTAL", row.format(100, T), at=T + 1)
    report(small_shop, "FULL", row.format(10, T), at=T + 2)
    report(small_shop, "INCREMENTAL", row.format(1, T), at=T + 3)
    report(small_shop, "INCREMENTAL", row.format(1, T), at=T + 4)
    # Nothing of the documented name.
    small_shop.context.bucket.put("shop/attribution/notes.csv", f"{HEADER}\n{row.format(500, T)}\n".encode())
    assert found(small_shop) == {("sold", "shop"): 12}


def test_rows_of_another_form_are_counted_and_left_out(
    small_shop: SmallShop, caplog: pytest.LogCaptureFixture
) -> None:
    report(small_shop, "FULL", "sold,buy,many,samplecount,shop,0", "sold", f"sold,buy,2,samplecount,shop,{T}")
    assert found(small_shop) == {("sold", "shop"): 2}
    assert "2 rows of the report" in caplog.text


def test_a_program_over_shared_data_has_the_figures_of_the_owner(small_shop: SmallShop) -> None:
    from recsync.context import StageContext

    small_shop.write_program("weekly", data="shop", braze={"attribute": "weekly"})
    report(small_shop, "FULL", f"sold,buy,2,samplecount,weekly,{T}")
    assert [each.value for each in attribution_reports(StageContext.of("weekly"))] == [2]


COUNT = {"name": "purchases", "event": "purchase"}
FORMER_ROLE = "arn:aws:iam::000000000000:role/former"
PRICES = {"name": "prices", "event": "purchase", "expression": "SUM(Items.PRICE)"}


def wait(client: Any, arn: str, kind: str) -> None:
    for _ in range(500):
        if (
            getattr(client, f"describe_{kind}")(**{f"{_camel(kind)}Arn": arn})[_camel(kind)]["status"]
            == "ACTIVE"
        ):
            return
        time.sleep(0.02)
    raise AssertionError(arn)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


@pytest.fixture
def group(small_shop: SmallShop, local_personalize: Any) -> str:
    """A dataset group with interactions and items."""
    for kind, fields in (
        ("interactions", [("USER_ID", "string"), ("TIMESTAMP", "long"), ("EVENT_TYPE", "string")]),
        ("items", [("PRICE", "float")]),
    ):
        columns = [{"name": name, "type": form} for name, form in [("ITEM_ID", "string"), *fields]]
        path = small_shop.include / f"schemas/shop/{kind}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "fields": columns}))
    arn = str(local_personalize.create_dataset_group(name="shop")["datasetGroupArn"])
    wait(local_personalize, arn, "dataset_group")
    for kind in ("interactions", "items"):
        text = (small_shop.include / f"schemas/shop/{kind}.json").read_text()
        schema = local_personalize.create_schema(name=kind, schema=text)["schemaArn"]
        dataset = local_personalize.create_dataset(
            name=kind, datasetGroupArn=arn, datasetType=kind.upper(), schemaArn=schema
        )
        wait(local_personalize, dataset["datasetArn"], "dataset")
    return arn


def settings(shop: SmallShop, group: str, *metrics: dict[str, str], items: bool = False) -> dict[str, Any]:
    shop.write_program(datasets={"items": {}}, personalize={"attribution": {"metrics": list(metrics)}})
    return metric_settings(shop.context, group, items_imported=items)


def create(client: Any, group: str, found: dict[str, Any]) -> str:
    arn = client.create_metric_attribution(
        name="shop",
        datasetGroupArn=group,
        metrics=found["metrics"],
        metricsOutputConfig={
            "roleArn": found["role_arn"],
            "s3DataDestination": {"path": found["output_path"]},
        },
    )["metricAttributionArn"]
    wait(client, arn, "metric_attribution")
    return str(arn)


def names(metrics: list[dict[str, str]]) -> list[str]:
    return [metric["metricName"] for metric in metrics]


def test_sums_of_items_are_added_once_the_items_are_imported(
    small_shop: SmallShop, group: str, local_personalize: Any
) -> None:
    first = settings(small_shop, group, COUNT, PRICES)
    assert names(first["metrics"]) == ["purchases"]
    assert first["add"] == first["remove"] == []
    assert first["output_path"] == first["wanted_path"] == small_shop.context.bucket.uri("shop/attribution/")
    create(local_personalize, group, first)
    later = settings(small_shop, group, COUNT, PRICES, items=True)
    assert (names(later["metrics"]), names(later["add"]), later["remove"]) == (["purchases"], ["prices"], [])


def test_a_metric_that_is_changed_or_gone_is_removed(
    small_shop: SmallShop, group: str, local_personalize: Any
) -> None:
    other = {"name": "views", "event": "view"}
    arn = create(local_personalize, group, settings(small_shop, group, COUNT, other, PRICES, items=True))
    local_personalize.update_metric_attribution(
        metricAttributionArn=arn,
        metricsOutputConfig={"roleArn": FORMER_ROLE, "s3DataDestination": {"path": "s3://elsewhere/"}},
    )
    changed = {**COUNT, "event": "sale"}
    found = settings(small_shop, group, changed, PRICES)
    # What is there is adopted as it is, and then changed. Items that are not imported any more keep their sum.
    assert names(found["metrics"]) == ["purchases", "views", "prices"]
    assert found["output_path"] == "s3://elsewhere/"
    assert names(found["add"]) == ["purchases"]
    assert sorted(found["remove"]) == ["purchases", "views"]
