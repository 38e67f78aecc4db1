"""State that an earlier release wrote is continued by this one: nothing is sent, billed or lost twice.

``data/state_of_06f32e1.tar.xz`` holds what that commit left on S3, in Amazon Personalize and in Braze after a FULL
training, an export, recommendations, a delivery and an erasure. To record the state of another commit, check it out
and run ``RECSYNC_RECORD_STATE=<file.tar.xz> pytest tests/e2e/test_upgrade.py``.
"""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import shop as shop_module
from dag_runs import run_dag, states
from services import BUCKET, Services, started
from shop import CUSTOMERS, LENIENT, Shop

ARCHIVE = Path(__file__).parent / "data/state_of_06f32e1.tar.xz"
SERVERS = ("personalize_local", "braze_local")
FORGOTTEN = "c 59"
PROGRAM = f"""
datasets:
  interactions: {{}}
  items: {{}}
{LENIENT}
recommendations:
  length: 5
  fallback: [popular]
  rules: {{max_per_category: 3, category: kind}}
personalize: {{num_results: 20}}
braze:
  attribute: recs
  tier_attribute: recs_tier
  payload: ids
  catalog: {{name: shop_items, fields: {{title: string, price: number}}}}
"""
SQL = {
    "catalogue": "SELECT product AS item_id, 'Product ' || product AS title, price, "
    "'kind ' || (length(product) % 2) AS kind FROM shop.products"
}

pytestmark = pytest.mark.timeout(900)


def succeed(shop: Shop, stage: str, **kwargs: Any) -> Any:
    done = run_dag(f"{shop.name}_{stage}", **kwargs)
    assert done.state == "success", (stage, states(done))
    return done


def objects(services: Services, prefix: str = "") -> dict[str, bytes]:
    s3 = services.boto3("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def history(stored: dict[str, bytes]) -> list[dict[str, Any]]:
    return list(json.loads(stored["kept-shop/state/champion.json"])["history"])


def load(shop: Shop, until: datetime) -> None:
    shop.load()
    shop.write_files(PROGRAM, SQL)
    shop.add_orders([(f"c {c}", "p-1", until + timedelta(minutes=10)) for c in range(CUSTOMERS)])


def move_personalize(data: Path) -> None:
    """Name the files of the local Personalize where they are now; its state has absolute paths."""
    with closing(sqlite3.connect(data / "state.sqlite")) as state, state:
        for arn, internal in state.execute("SELECT arn, internal FROM resources").fetchall():
            moved = re.sub(r'"[^"]*/personalize_local/', f'"{data}/', internal)
            state.execute("UPDATE resources SET internal = ? WHERE arn = ?", (moved, arn))


@pytest.fixture
def upgraded(
    tmp_path: Path, include: Path, airflow_database: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Shop, dict[str, Any]]]:
    """Start the local servers with the recorded state; give the shop, and the figures of the moment."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "recorded")
    recorded = tmp_path / "recorded/upgrade"
    figures = json.loads((recorded / "moment.json").read_text())
    until = datetime.fromisoformat(figures["full_until"])
    monkeypatch.setattr(shop_module, "FULL_UNTIL", until)
    move_personalize(recorded / "personalize_local")
    with started(recorded) as services:
        for name, value in services.environment().items():
            monkeypatch.setenv(name, value)
        s3 = services.boto3("s3")
        with tarfile.open(recorded / "s3.tar") as archive:
            for member in archive:
                body = archive.extractfile(member)
                assert body is not None
                s3.put_object(Bucket=BUCKET, Key=member.name, Body=body.read())
        shop = Shop(services, include, "kept-shop")
        load(shop, until)
        yield shop, figures


@pytest.mark.long(
    reason="a full run over the state of an earlier release; needed when what is stored changes"
)
@pytest.mark.skipif("RECSYNC_RECORD_STATE" in os.environ, reason="records instead")
def test_the_state_of_an_earlier_release_is_continued(upgraded: tuple[Shop, dict[str, Any]]) -> None:
    shop, figures = upgraded
    services, until = shop.services, datetime.fromisoformat(figures["full_until"])
    before, lists = objects(services), figures["profiles"]
    champion, promoted = history(before)[-1]["solution_version_arn"], history(before)
    points = services.meter()["data_points"]["total"]
    assert services.profiles() == lists
    assert len(lists) == CUSTOMERS - 1

    # The last-sent state is read: the same recommendations cost nothing again.
    succeed(shop, "push")
    assert services.profiles() == lists
    assert services.meter()["data_points"]["total"] == points

    # The champion answers, the suppression list holds, and unchanged lists cost nothing.
    succeed(shop, "recommend")
    succeed(shop, "push")
    assert services.meter()["data_points"]["total"] == points
    assert set(services.profiles()) == set(lists)

    # The interval that the earlier release exported is imported with the new one, by an UPDATE of its champion.
    shop.add_products([("new-item", 3.0, until + timedelta(minutes=70))])
    late = until + timedelta(minutes=75)
    shop.add_orders([(f"c {n % 50}", "new-item", late + timedelta(seconds=n)) for n in range(1100)])
    succeed(shop, "export", logical_date=until + timedelta(hours=2))
    update = succeed(shop, "train_update")
    assert states(update)["plan"] == "success", states(update)
    succeed(shop, "recommend")
    succeed(shop, "push")
    after = objects(services)
    assert history(after)[: len(promoted)] == promoted
    assert history(after)[-1]["training_mode"] == "UPDATE"
    assert set(services.profiles()) == set(lists)
    assert any("new-item" in attributes["recs"] for attributes in services.profiles().values())
    assert all(len(attributes["recs"]) == 5 for attributes in services.profiles().values())

    # The ledger goes on; nothing that it held is booked again.
    month = "kept-shop/state/money/2026-11.json"
    assert month in after
    booked, kept = json.loads(after[month]), json.loads(before[month])
    assert booked["entries"].items() >= kept["entries"].items()

    # A rollback finds the version that the earlier release promoted.
    succeed(shop, "rollback", run_conf={"version": champion})
    assert history(objects(services))[-1]["solution_version_arn"] == champion

    # A person is erased from the objects of both releases. Moto keeps one store per process, so the bucket may hold
    # the shops of other test files too.
    from recsync.forget.request import request_erasure

    succeed(shop, "forget", run_conf={"request": request_erasure(shop.name, "c 58")})
    left = objects(services, f"{shop.name}/")
    assert [key for key, body in left.items() if b"c 58" in body] == []
    assert "braze-c 58" not in services.profiles()

    # What the earlier release made is still in use or still kept; nothing of it is lost.
    succeed(shop, "maintain")
    assert set(services.profiles()) == set(lists) - {"braze-c 58"}


@pytest.mark.skipif("RECSYNC_RECORD_STATE" not in os.environ, reason="only on demand, see above")
def test_record_the_state_of_this_commit(
    tmp_path: Path, include: Path, airflow_database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsync.forget.request import request_erasure

    folder, until = tmp_path / "stack", shop_module.FULL_UNTIL
    folder.mkdir()
    with started(folder) as services:
        for name, value in services.environment().items():
            monkeypatch.setenv(name, value)
        shop = Shop(services, include, "kept-shop")
        load(shop, until)
        succeed(shop, "train_full", run_conf={"until": until.isoformat()})
        succeed(shop, "export", logical_date=until + timedelta(hours=1))
        succeed(shop, "recommend")
        succeed(shop, "push")
        succeed(shop, "forget", run_conf={"request": request_erasure(shop.name, FORGOTTEN)})
        moment = {"full_until": until.isoformat(), "profiles": services.profiles()}
        stored = objects(services)
    with tarfile.open(tmp_path / "s3.tar", "w") as archive:
        for key, body in stored.items():
            entry = tarfile.TarInfo(key)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    (tmp_path / "moment.json").write_text(json.dumps(moment))
    with tarfile.open(os.environ["RECSYNC_RECORD_STATE"], "w:xz") as archive:
        for path in (tmp_path / "s3.tar", tmp_path / "moment.json", *(folder / server for server in SERVERS)):
            archive.add(path, Path("upgrade") / path.name)
