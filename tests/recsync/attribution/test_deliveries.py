from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mails import Mail, publish
from small_shop import SmallShop

from recsync.attribution.deliveries import delivered_lists, deliveries_between
from recsync.errors import FatalError
from recsync.program.intervals import Interval
from recsync.storage.bucket import Bucket
from recsync.storage.keys import Keys

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WINDOW = {"personalize": {"attribution": {"source": "program", "window_days": 2}}}


@pytest.fixture
def shop(small_shop: SmallShop) -> SmallShop:
    """The small shop with the column of sources in its schema."""
    path = small_shop.include / "schemas/shop/interactions.json"
    schema = json.loads(path.read_text())
    schema["fields"].append({"name": "EVENT_ATTRIBUTION_SOURCE", "type": ["null", "string"]})
    path.write_text(json.dumps(schema))
    small_shop.write_program(**WINDOW)
    return small_shop


def mail(run: str, *ended: datetime, user: str = "u1") -> Mail:
    moments = tuple(int(each.timestamp()) for each in ended)
    return Mail(run, moments, {user: ["i1"]}, {user: ["sent"] * len(moments)})


def test_complete_deliveries_of_the_period_are_found(bucket: Bucket, keys: Keys, tmp_path: Path) -> None:
    for run, ended in (("a", NOON - 3 * DAY), ("b", NOON - DAY), ("c", NOON - HOUR), ("d", NOON)):
        publish(bucket, "shop", mail(run, ended), tmp_path)
    (still_sending,) = publish(bucket, "shop", mail("e", NOON - 2 * HOUR), tmp_path)
    bucket.delete(keys.ledger_entry(still_sending, 1))
    (overtaken,) = publish(bucket, "shop", mail("f", NOON - 3 * HOUR), tmp_path)
    closed = {"kind": "closed", "at": NOON.isoformat(), "by": "another"}
    bucket.put_json(keys.ledger_entry(overtaken, 1), closed)
    for removal in ("retire-g", "freshness-h"):
        publish(bucket, "shop", mail(removal, NOON - 4 * HOUR), tmp_path)
    found = deliveries_between(bucket, keys, NOON - 2 * DAY, NOON)
    assert [delivery.run for delivery in found] == ["b", "c"]
    assert found[1].moment == int((NOON - HOUR).timestamp())


def test_all_programs_over_the_data_count(shop: SmallShop, tmp_path: Path) -> None:
    shop.write_program("weekly", data="shop", braze={"attribute": "weekly"})
    bucket = shop.context.bucket
    publish(bucket, "shop", mail("a", NOON - DAY), tmp_path)
    publish(bucket, "weekly", mail("b", NOON - HOUR), tmp_path)
    publish(bucket, "stranger", mail("c", NOON - HOUR), tmp_path)
    found = delivered_lists(shop.context, Interval(NOON, NOON + HOUR), tmp_path)
    assert {name: mailed.sources for name, mailed in found.programs.items()} == {
        "shop": ("shop",),
        "weekly": ("weekly",),
    }
    assert (found.since, found.missing) == (int((NOON - DAY).timestamp()), 0)


def test_events_that_are_ingested_late_may_follow_earlier_mails(shop: SmallShop, tmp_path: Path) -> None:
    early = mail("a", NOON - 8 * DAY)
    publish(shop.context.bucket, "shop", early, tmp_path)
    for select_by, moments in (("event_time", []), ("ingestion_time", list(early.moments))):
        shop.write_program(**WINDOW, exports={"select_by": select_by})
        work = tmp_path / select_by
        work.mkdir()
        found = delivered_lists(shop.context, Interval(NOON, NOON + HOUR), work)
        assert [moment for mailed in found.programs.values() for moment in mailed.moments] == moments


def test_lists_that_are_gone_or_of_another_catalog_are_counted(shop: SmallShop, tmp_path: Path) -> None:
    bucket, keys = shop.context.bucket, shop.context.keys
    for run in ("a", "b", "c"):
        publish(bucket, "shop", mail(run, NOON - DAY, NOON - HOUR), tmp_path)
    bucket.delete(keys.run_part("a", "lists"))
    other = tmp_path / "other"
    other.mkdir()
    publish(bucket, "other", Mail("x", (1,), {"u1": ["i9"]}, {"u1": ["sent"]}), other)
    bucket.copy(Keys("other").run_part("x", "catalogue"), keys.run_part("b", "catalogue"))
    found = delivered_lists(shop.context, Interval(NOON, NOON + HOUR), tmp_path)
    assert found.missing == 4
    assert found.programs["shop"].moments.tolist() == [int((NOON - each).timestamp()) for each in (DAY, HOUR)]


def test_more_sources_than_the_service_takes_are_refused(shop: SmallShop, tmp_path: Path) -> None:
    shop.write_program(personalize={"attribution": {"source": "arm"}})
    users = [f"u{number}" for number in range(101)]
    lists, outcomes = {user: ["i1"] for user in users}, {user: ["sent"] for user in users}
    arms = {user: f"arm_{user}" for user in users}
    bucket = shop.context.bucket
    publish(bucket, "shop", Mail("a", (int(NOON.timestamp()) - 9,), lists, outcomes, arms), tmp_path)
    with pytest.raises(FatalError, match="at most 100"):
        delivered_lists(shop.context, Interval(NOON, NOON + HOUR), tmp_path)
