"""Exports with the columns about mails, from DuckDB and S3, against a plain loop over the deliveries."""

from __future__ import annotations

import csv
import io
import json
import logging
import random
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from mails import Mail, last_list, publish, tables
from small_shop import SmallShop

from recsync.attribution.deliveries import DeliveredLists
from recsync.attribution.mailed import MailedListsWriter, RunFiles, TimedAccounts
from recsync.export.dataset import export_dataset
from recsync.export.mail_columns import MailColumns
from recsync.forget.erasure_rules import parquet_without
from recsync.forget.people import Identity, People
from recsync.program import DatasetType
from recsync.program.attribution import Attribution
from recsync.program.intervals import EPOCH, Interval

EVENTS = DatasetType.INTERACTIONS
START = datetime(2026, 11, 22, 12, tzinfo=UTC)
T, DAY = int(START.timestamp()), 86_400
COLUMNS = ("USER_ID", "IMPRESSION", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_ATTRIBUTION_SOURCE")
QUERY = (
    "SELECT user_id, item_id, timestamp, 'purchase' AS event_type FROM events WHERE timestamp >= "
    "epoch('{{ data_interval_start }}'::TIMESTAMP) AND timestamp < epoch('{{ data_interval_end }}'::TIMESTAMP)"
)
BOTH = {"source": "program", "impressions": 3, "window_days": 2}
Row = dict[str, str]


class Shop:
    """The small shop with events, and an interactions schema with both columns, not at its end."""

    def __init__(self, shop: SmallShop, warehouse: Path) -> None:
        self._shop, self._warehouse = shop, warehouse
        optional = {"IMPRESSION", "EVENT_ATTRIBUTION_SOURCE"}
        fields = [
            {"name": name, "type": ["null", "string"] if name in optional else "string"} for name in COLUMNS
        ]
        fields[COLUMNS.index("TIMESTAMP")]["type"] = "long"
        path = shop.include / "schemas/shop/interactions.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "fields": fields}))
        shop.write_sql("interactions", QUERY)

    def events(self, rows: Sequence[tuple[str, str, int]]) -> None:
        with duckdb.connect(str(self._warehouse)) as database:
            database.execute("CREATE OR REPLACE TABLE events (user_id text, item_id text, timestamp bigint)")
            database.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)

    def export(
        self,
        attribution: Mapping[str, Any],
        interval: Interval | None = None,
        rules: Mapping[str, str] | None = None,
    ) -> list[Row]:
        fields = {"personalize": {"attribution": attribution}, "checks": {"rules": dict(rules or {})}}
        self._shop.write_program(**fields)
        context, interval = self._shop.context, interval or Interval(START, START + timedelta(hours=1))
        key = context.keys.export(EVENTS, interval.key)
        export_dataset(context, EVENTS, interval, key)
        body = context.bucket.get(key) or b""
        # The dialect of Amazon Personalize.
        return list(csv.DictReader(io.StringIO(body.decode()), doublequote=False, escapechar="\\"))

    def publish(self, mail: Mail, program: str = "shop") -> None:
        publish(self._shop.context.bucket, program, mail, self._shop.include)


@contextmanager
def opened_columns(mail: Mail) -> Generator[MailColumns]:
    """Index one mail, without an export around it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        lists, catalog, audience, accounts = tables(mail)
        for table, file in ((lists, "lists"), (audience, "audience"), (accounts[0], "accounts")):
            pq.write_table(table, folder / f"{file}.parquet")
        told = TimedAccounts(folder / "accounts.parquet", mail.moments[0])
        item_ids = catalog["item_id"].combine_chunks()
        writer = MailedListsWriter(folder, "shop", "program")
        writer.add(RunFiles(folder / "lists.parquet", folder / "audience.parquet", item_ids, (told,)))
        mailed = writer.finish()
        assert mailed is not None
        delivered = DeliveredLists({"shop": mailed}, mail.moments[0], 0)
        yield MailColumns(COLUMNS, Attribution.model_validate(BOTH), delivered)


@pytest.fixture
def shop(small_shop: SmallShop, tmp_path: Path) -> Shop:
    return Shop(small_shop, tmp_path / "shop.duckdb")


def by_event(rows: Sequence[Row]) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (row["USER_ID"], row["ITEM_ID"]): (row["EVENT_ATTRIBUTION_SOURCE"], row["IMPRESSION"]) for row in rows
    }


def test_events_after_a_mail_have_its_source_and_its_items(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    lists = {"u1": ["i1", "i2", "i3", "i4"], "u2": ["i5"], "u3": ["i6"]}
    outcomes = {"u1": ["sent"], "u2": ["rejected"], "u3": ["unchanged"]}
    shop.publish(Mail("r1", (T - 60,), lists, outcomes))
    shop.events([(user, item, T + 5) for user in lists for item in ("i1", "i4", "i6")])
    found = by_event(shop.export(BOTH))
    assert found["u1", "i1"] == found["u1", "i4"] == ("shop", "i1|i2|i3")
    assert found["u1", "i6"] == ("", "i1|i2|i3")
    assert found["u2", "i1"] == ("", "")
    assert found["u3", "i6"] == ("shop", "i6")
    assert not [record for record in caplog.records if "without EVENT_ATTRIBUTION_SOURCE" in record.message]


def test_a_value_of_the_query_stays(shop: Shop, small_shop: SmallShop) -> None:
    own = "CASE item_id WHEN 'i2' THEN 'site' END AS event_attribution_source, 'a|b' AS impression"
    small_shop.write_sql("interactions", QUERY.replace("event_type", f"event_type, {own}"))
    shop.publish(Mail("r1", (T - 60,), {"u1": ["i1", "i2"]}, {"u1": ["sent"]}))
    shop.events([("u1", "i1", T), ("u1", "i2", T)])
    found = by_event(shop.export({"source": "program"}))
    assert found == {("u1", "i1"): ("shop", "a|b"), ("u1", "i2"): ("site", "a|b")}


def test_the_arm_of_the_mail_is_the_source(shop: Shop) -> None:
    mail = Mail(
        "r1", (T - 60,), {"u1": ["i1"], "u2": ["i1"]}, {"u1": ["sent"], "u2": ["sent"]}, {"u1": "sims"}
    )
    shop.publish(mail)
    shop.events([("u1", "i1", T), ("u2", "i1", T)])
    found = by_event(shop.export({**BOTH, "source": "arm"}))
    assert found == {("u1", "i1"): ("shop/sims", "i1"), ("u2", "i1"): ("shop", "i1")}


def test_of_two_programs_the_one_that_mailed_the_item_counts(shop: Shop, small_shop: SmallShop) -> None:
    small_shop.write_program("weekly", data="shop", braze={"attribute": "weekly"})
    shop.publish(Mail("r1", (T - 600,), {"u1": ["i1", "i3"]}, {"u1": ["sent"]}))
    shop.publish(Mail("r2", (T - 60,), {"u1": ["i2", "i3"]}, {"u1": ["sent"]}), "weekly")
    shop.events([("u1", item, T) for item in ("i1", "i2", "i3", "i4")])
    found = by_event(shop.export(BOTH))
    assert found["u1", "i1"] == ("shop", "i1|i3")
    assert found["u1", "i2"] == found["u1", "i3"] == ("weekly", "i2|i3")
    assert found["u1", "i4"] == ("", "i2|i3")


def test_ids_that_need_quotes_are_written_as_the_service_reads_them(shop: Shop) -> None:
    shop.publish(Mail("r1", (T - 60,), {"u,1": ["i,1", "i 2"]}, {"u,1": ["sent"]}))
    shop.events([("u,1", "i,1", T), ("back\\slash", "i 2", T)])
    found = by_event(shop.export(BOTH))
    assert found == {("u,1", "i,1"): ("shop", "i,1|i 2"), ("back\\slash", "i 2"): ("", "")}


def test_rows_that_cannot_be_read_reach_the_checks_as_they_are() -> None:
    mail = Mail("r1", (T - 60,), {"u1": ["i1"]}, {"u1": ["sent"]})
    with opened_columns(mail) as columns:
        good = b"u1,,i1,%d,purchase,\n" % T
        bad = b"u1,too few\n" + b'u1,,i"1",%d,purchase,\n' % T
        late = b"u1,,i1,yesterday,purchase,\n"
        filled = columns.block(good + bad + late + good)
    wanted = b"u1,i1,i1,%d,purchase,shop\n" % T
    assert filled == wanted + bad + late + wanted


def test_a_snapshot_counts_the_events_from_before_the_first_delivery(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shop.publish(Mail("r1", (T - 60,), {"u1": ["i1"]}, {"u1": ["sent"]}))
    off = dict.fromkeys(("min_interactions", "min_users", "min_user_share"), "off")
    shop.events([("u1", "i1", T - DAY), ("u1", "i1", T)])
    found = shop.export(BOTH, Interval(EPOCH, START + timedelta(hours=1)), rules=off)
    assert [row["IMPRESSION"] for row in found] == ["", "i1"]
    assert "1 of 2 interactions are about an item of the last mail" in caplog.text
    assert "1 interactions are older than the oldest delivery on S3 (2026-11-22T11:59:00" in caplog.text


def test_events_of_a_person_who_was_erased_follow_no_mail(
    shop: Shop, small_shop: SmallShop, tmp_path: Path
) -> None:
    lists = {"u1": ["i1"], "u2": ["i1"]}
    shop.publish(Mail("r1", (T - 60,), lists, {"u1": ["sent"], "u2": ["sent"]}))
    shop.events([("u1", "i1", T), ("u2", "i1", T)])
    context, people = small_shop.context, People({"1": Identity("u1", ("b-u1",))})
    (delivery,) = context.bucket.folders(context.keys.all_deliveries)
    keys = (
        context.keys.accounts(delivery),
        context.keys.run_part("r1", "lists"),
        context.keys.audience("r1"),
    )
    for key, stand_in in zip(keys, ("erased", "", ""), strict=True):
        context.bucket.download(key, tmp_path / "before")
        assert parquet_without(tmp_path / "before", tmp_path / "after", people, stand_in=stand_in).removed
        context.bucket.upload(key, tmp_path / "after")
    assert by_event(shop.export(BOTH)) == {("u1", "i1"): ("", ""), ("u2", "i1"): ("shop", "i1")}


def test_without_any_delivery_the_export_says_so_once(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.events([("u1", "i1", T)])
    assert shop.export(BOTH)[0]["IMPRESSION"] == ""
    assert caplog.text.count("There are no deliveries on S3") == 1


def test_every_impression_names_only_items_that_were_delivered_before_the_event(shop: Shop) -> None:
    chance = random.Random(1)
    users, items = [f"u{n}" for n in range(30)], [f"i{n}" for n in range(20)]
    mails = []
    for number in range(5):
        ended = tuple(sorted(T - 3 * DAY + chance.randrange(3 * DAY + 3_600) for _ in range(2)))
        audience = chance.sample(users, 20)
        outcomes = {u: chance.choices(["sent", "unchanged", "removed", "rejected"], k=2) for u in audience}
        lists = {user: chance.sample(items, chance.randint(0, 6)) for user in audience}
        mails.append(Mail(f"run{number}", ended, lists, outcomes))
        shop.publish(mails[-1])
    events = [(chance.choice(users), chance.choice(items), T + chance.randrange(3_600)) for _ in range(600)]
    shop.events(events)
    rows = shop.export(BOTH)
    assert len(rows) == len(events)
    attributed = 0
    for row in rows:
        found = last_list(mails, row["USER_ID"], int(row["TIMESTAMP"]), 2 * DAY)
        assert row["IMPRESSION"] == ("|".join(found[1][:3]) if found else "")
        is_mailed = bool(found) and row["ITEM_ID"] in found[1]
        assert row["EVENT_ATTRIBUTION_SOURCE"] == ("shop" if is_mailed else "")
        attributed += is_mailed
    assert 0 < attributed < len(events)
    # A rerun writes the same bytes, and so does a backfill after newer deliveries.
    shop.publish(Mail("later", (T + 7_200,), {user: ["i9"] for user in users}, {u: ["sent"] for u in users}))
    assert shop.export(BOTH) == rows
