from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from published_shop import LISTS_OF, Shop

from recommendations.publication import Folder, Publication
from recommendations.settings import VARIABLE
from recommendations.updates import Updater
from recsync.errors import FatalError
from recsync.forget.erasure_rules import Redaction
from recsync.forget.one_object import ObjectVersion, erase_from_object, put_directly
from recsync.forget.people import Identity, People
from recsync.storage.keys import Keys

KEYS = Keys("shop")


def source(publication: Publication, person: str) -> str:
    publication.refresh()
    return publication.answer(person, 10).source


def run_of(publication: Publication) -> str:
    publication.refresh()
    assert publication.store is not None
    return publication.store.meta["run"]


def ask_again(updater: Updater) -> None:
    """Poll as if the time between two looks for publications were over."""
    updater._next = dict.fromkeys(updater._next, 0.0)
    updater.poll()


def test_a_newer_publication_replaces_the_store_and_the_old_one_leaves_the_disk(shop: Shop) -> None:
    shop.publish()
    updater, served = shop.start()
    shop.publish("20261130T060000-bb", {"ann": ["i1"]})
    ask_again(updater)
    assert run_of(served) == "20261130T060000-bb"
    assert source(served, "bob") == "fallback"
    assert len(list((shop.settings.data / "shop" / "stores").iterdir())) == 1
    before = (shop.settings.data / "shop" / "current").stat().st_mtime_ns
    ask_again(updater)
    assert (shop.settings.data / "shop" / "current").stat().st_mtime_ns == before, "built once"


def test_an_erased_person_is_gone_at_once_and_leaves_the_disk(shop: Shop) -> None:
    people = {"ann": ["i0"], "b-bob-7712": ["i1"], "cid": ["i2"]}
    shop.publish(lists=people, users={"ann": "u-ann", "b-bob-7712": "u-bob-4451", "cid": "u-cid"})
    updater, served = shop.start()
    assert source(served, "b-bob-7712") == "list"
    assert b"u-bob-4451" in shop.bytes_on_disk()
    # As make forget begins: only the id of the warehouse is known yet.
    shop.suppress(["u-bob-4451"])
    program = updater.programs["shop"]
    assert program.check_suppression()
    served.refresh()
    assert source(served, "b-bob-7712") == "none", "before the store is built anew"
    assert b"u-bob-4451" in shop.bytes_on_disk()
    assert program.check_publication()
    found = shop.bytes_on_disk()
    assert b"u-cid" in found
    assert not any(text in found for text in (b"u-bob-4451", b"b-bob-7712"))
    served.refresh()
    assert [source(served, one) for one in ("ann", "cid")] == ["list", "list"]
    shop.suppress(["u-bob-4451"], ["b-bob-7712"])
    updater.poll()
    assert source(served, "b-bob-7712") == "none"
    # Then the objects on S3 lose the person, which makes another store.
    key = f"{KEYS.recommendations('20261130T050000-aa')}lists.parquet"
    erased = People({"erasure": Identity("u-bob-4451", ("b-bob-7712",))})
    version = ObjectVersion(key, shop.bucket.etag(key) or "", 0, Redaction.TABLE)
    assert erase_from_object(shop.bucket, version, erased, put_directly(shop.bucket)).removed == {
        "erasure": 1
    }
    ask_again(updater)
    assert [source(served, one) for one in ("ann", "b-bob-7712")] == ["list", "none"]


def test_both_lists_count_where_the_data_are_another_programs(shop: Shop) -> None:
    shop.write_program("other", data="shop")
    shop.publish(program="other")
    shop.suppress([], ["ann"], program="shop")
    shop.suppress([], ["bob"], program="other")
    _, served = shop.start("other")
    assert [source(served, one) for one in ("ann", "bob", "cid", "dan")] == [
        "none",
        "none",
        "none",
        "fallback",
    ]


def test_a_suppression_list_that_vanishes_is_never_taken_for_an_empty_one(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.publish()
    shop.suppress([], ["ann"])
    updater, served = shop.start()
    checked = served.checked_at
    shop.bucket.delete(KEYS.state("suppression.json"))
    for _ in range(2):
        ask_again(updater)
    assert source(served, "ann") == "none"
    assert served.checked_at == checked
    assert (
        caplog.text.count("suppression.json is gone, and the people in it stay suppressed here. Restore it.")
        == 1
    )
    assert served.store
    served.store.close()
    _, restarted = shop.start()
    assert source(restarted, "ann") == "none"


def test_a_publication_that_vanishes_or_is_damaged_leaves_the_last_one_in_use(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.publish()
    updater, served = shop.start()
    shop.publish("20261130T060000-bb", {"ann": ["i1"]})
    shop.bucket.put(f"{KEYS.recommendations('20261130T060000-bb')}lists.parquet", b"no Parquet")
    ask_again(updater)
    assert run_of(served) == "20261130T050000-aa"
    assert "Program shop: " in caplog.text
    for key in shop.bucket.keys(KEYS.all_recommendations):
        shop.bucket.delete(key)
    with pytest.raises(FatalError, match="has no publication any more; the last one is still served"):
        updater.programs["shop"].check_publication()
    assert source(served, "ann") == "list"


def test_a_program_without_a_publication_waits_and_the_others_are_served(shop: Shop) -> None:
    shop.write_program("later")
    shop.publish()
    updater = shop.updater()
    updater.poll()
    later = Publication("later", Folder(shop.settings.data / "later"))
    assert not later.is_ready
    shop.publish(program="later")
    ask_again(updater)
    later.refresh()
    assert later.is_ready


def test_an_updater_that_is_killed_while_it_builds_leaves_the_old_store_and_the_next_one_cleans_up(
    shop: Shop, s3_url: str
) -> None:
    shop.publish()
    _, served = shop.start()
    shop.publish(
        "20261130T060000-bb", {"ann": ["i1"], "zed-9917": ["i1"]}, users={"ann": "a", "zed-9917": "z"}
    )
    code = (
        "import os, signal, recommendations.updates as updates\n"
        "real = updates.write_store\n"
        "def killed(*a, **k):\n"
        "    real(*a, **k)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "updates.write_store = killed\n"
        "updates.Updater(updates.Settings.from_environment()).poll()\n"
    )
    environment = {
        **os.environ, VARIABLE: shop.settings.model_dump_json(), "PYTHONPATH": os.pathsep.join(sys.path),
        "AWS_ENDPOINT_URL_S3": s3_url, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    folder = shop.settings.data / "shop"
    assert list(folder.glob("work-*"))
    assert run_of(served) == "20261130T050000-aa"
    assert source(served, "ann") == "list"
    assert served.store
    served.store.close()
    restarted = shop.updater()
    assert not list(folder.glob("work-*"))
    served = Publication("shop", Folder(folder))
    assert run_of(served) == "20261130T050000-aa"
    ask_again(restarted)
    assert run_of(served) == "20261130T060000-bb"


def test_the_data_of_a_program_that_is_no_longer_served_are_deleted(shop: Shop) -> None:
    shop.write_program("other")
    shop.publish()
    shop.updater().poll()
    (shop.include / "programs" / "other.yaml").unlink()
    other: Path = shop.settings.data / "other"
    assert other.exists()
    shop.updater()
    assert not other.exists()


def test_a_damaged_store_is_built_anew(shop: Shop) -> None:
    shop.publish()
    shop.updater().poll()
    (file,) = (shop.settings.data / "shop" / "stores").glob("*/data.mdb")
    file.write_bytes(b"\0" * 100)
    assert source(shop.start()[1], "ann") == "list"


def test_more_people_than_one_batch_are_all_written(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recommendations.store._BATCH_ROWS", 7)
    lists = {**LISTS_OF, **{f"user-{n}": ["i3", "i1"] for n in range(100)}}
    shop.publish(lists=lists, users={person: f"w-{person}" for person in lists})
    shop.suppress(["w-user-50"])
    _, served = shop.start()
    assert served.store is not None
    assert served.store.meta["people"] == len(lists) - 1
    assert {source(served, f"user-{n}") for n in range(100) if n != 50} == {"list"}
