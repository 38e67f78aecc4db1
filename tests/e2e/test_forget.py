"""One person is forgotten through the DAG: nothing names them any more, wherever one looks, and nothing comes back."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests
from dag_runs import states
from services import BUCKET
from shop import FULL_UNTIL, PROGRAM, Shop

Run = Callable[..., Any]
USER = "qx-forget,me 77"
PERSON = f"braze-{USER}"
# Somebody of no other test: the servers are shared.
SOMEBODY_ELSE = "braze-qx-stays 78"
IDS = [USER.encode(), PERSON.encode()]


def unpacked(name: str, body: bytes) -> bytes:
    """Give the bytes that a reader of the file would see, beside those that lie there."""
    if name.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(body))
        return body + json.dumps(table.to_pylist(), default=str).encode()
    return body + gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def stored(shop: Shop) -> Iterator[tuple[str, bytes]]:
    s3 = shop.services.boto3("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{shop.name}/"):
        for entry in page.get("Contents", []):
            body = s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
            yield entry["Key"], unpacked(entry["Key"], body)


def naming(shop: Shop) -> list[str]:
    return [key for key, body in stored(shop) if any(one in body for one in IDS)]


def kept_by(folder: Path) -> list[str]:
    """Name the files of a folder that name the person, packed or not; a ZIP (npz) by its members."""
    found = []
    for path in filter(Path.is_file, folder.rglob("*")):
        bodies = [unpacked(path.name, path.read_bytes())]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as members:
                bodies += [members.read(name) for name in members.namelist()]
        # numpy keeps texts as four bytes a character.
        wanted = [*IDS, *(one.decode().encode("utf-32-le") for one in IDS)]
        found += [str(path)] if any(one in body for one in wanted for body in bodies) else []
    return found


def ask(shop: Shop) -> str:
    from recsync.forget.request import request_erasure

    return request_erasure(shop.name, USER)


def certificate(shop: Shop) -> dict[str, Any]:
    keys = [key for key, _ in stored(shop) if "/certificates/" in key and key.endswith(".json")]
    return dict(json.loads(shop.services.boto3("s3").get_object(Bucket=BUCKET, Key=keys[-1])["Body"].read()))


@pytest.mark.timeout(600)
def test_somebody_forgotten_is_named_nowhere_and_does_not_come_back(
    shop: Shop, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shop.add_orders(
        [(USER, f"p-{n}", FULL_UNTIL - timedelta(hours=n + 1)) for n in range(8)]
        + [(USER, "p-9", FULL_UNTIL + timedelta(minutes=5))]
    )
    servers = next(tmp_path_factory.getbasetemp().glob("stack*"))
    conf = {"until": FULL_UNTIL.isoformat()}
    assert run(f"{shop.name}_export", logical_date=FULL_UNTIL + timedelta(hours=1)).state == "success"
    for stage in ("train_full", "recommend", "push"):
        assert (
            run(f"{shop.name}_{stage}", run_conf=conf if stage == "train_full" else None).state == "success"
        )
    assert shop.services.profiles()[PERSON]["recs"]
    assert len(naming(shop)) > 8

    forgotten = run(f"{shop.name}_forget", run_conf={"request": ask(shop)})

    assert set(states(forgotten).values()) == {"success"}, states(forgotten)
    assert naming(shop) == []
    assert PERSON not in shop.services.profiles()
    assert kept_by(servers / "personalize_local") == kept_by(servers / "braze_local") == []
    assert not [key for key, _ in stored(shop) if key.endswith(("request.json", "done.json", "users.csv"))]
    assert kept_by(Path(os.environ["AIRFLOW_HOME"])) == []
    written = certificate(shop)
    assert written["personalize"]["deleted"] == 8
    assert written["s3"]["rows"]["full"] == 8
    assert written["s3"]["rows"]["exports"] == 1
    assert written["braze"] == {"mode": "profile", "profiles": 1, "gone": True}

    # The warehouse still has the person, and others come; only those are exported, asked for and sent.
    shop.add_orders([("c new", "p-3", FULL_UNTIL + timedelta(minutes=10))])
    again = FULL_UNTIL + timedelta(hours=1)
    assert run(f"{shop.name}_export", logical_date=again).state == "success"
    for stage in ("recommend", "push"):
        assert run(f"{shop.name}_{stage}").state == "success"
    assert naming(shop) == []
    assert PERSON not in shop.services.profiles()
    assert shop.services.profiles()["braze-c new"]["recs"]


@pytest.mark.parametrize(
    ("mode", "left", "told"),
    [
        ("profile", None, {"profiles": 1, "gone": True}),
        ("attributes", {"size": "M"}, {"profiles": 1, "gone": True}),
        ("nothing", {"size": "M", "recs": ["p-1"], "from": "popular"}, {"profiles": 1, "gone": None}),
    ],
)
def test_the_program_says_what_goes_in_braze(
    shop: Shop, mode: str, left: dict[str, Any] | None, told: dict[str, Any]
) -> None:
    from recsync.forget.batch import suppress_batch, take_open_requests
    from recsync.forget.tasks import forget_in_braze

    ids = "attribute: recs\n  tier_attribute: from\n  payload: ids\n"
    lists = PROGRAM.split("braze:")[0]
    shop.write_files(f"{lists}braze:\n  {ids}erasure: {{braze: {mode}}}\n")
    shop.add_orders([(USER, "p-1", FULL_UNTIL)])
    written = {"size": "M", "recs": ["p-1"], "from": "popular"}
    for who in (PERSON, SOMEBODY_ELSE):
        requests.post(
            f"{shop.services.braze}/users/track",
            json={"attributes": [{"external_id": who, **written}]},
            headers={"Authorization": f"Bearer {shop.services.braze_key}"},
            timeout=30,
        ).raise_for_status()
    assert shop.services.profiles()[PERSON] == written

    ask(shop)
    name = suppress_batch(shop.name, take_open_requests(shop.name, "run-1")).name
    assert forget_in_braze(shop.name, name) == {"mode": mode, **told}
    assert forget_in_braze(shop.name, name) == {"mode": mode, **told}, "a retry finds it done"
    profiles = shop.services.profiles()
    assert profiles.get(PERSON) == left
    assert profiles[SOMEBODY_ELSE] == written
