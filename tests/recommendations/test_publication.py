from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from published_shop import Shop

from recommendations.publication import Folder, Publication
from recsync.suppression.store import Suppression


def test_an_address_is_compared_as_braze_keeps_it(shop: Shop) -> None:
    shop.publish(lists={"ann@shop.example": ["i3"], "bob@shop.example": ["i2"]}, identifier="email")
    shop.suppress([], ["bob@shop.example"])
    _, served = shop.start()
    assert [served.answer(one, 5).source for one in (" Ann@Shop.example", "BOB@shop.example")] == [
        "list",
        "none",
    ]


def test_without_an_audience_the_id_counts_as_both_kinds(shop: Shop) -> None:
    shop.publish()
    shop.suppress(["ann"])
    _, served = shop.start()
    assert [served.answer(one, 5).source for one in ("ann", "bob")] == ["none", "list"]


def test_live_items_count_only_if_enough_of_them_are_in_the_catalog(shop: Shop) -> None:
    shop.publish()
    _, served = shop.start()
    assert served.answer("ann", 5, live=["i3", "gone"], least=1).source == "live"
    assert served.answer("ann", 5, live=["i3", "gone"], least=2).source == "list"
    assert served.answer("ann", 1, live=["i3", "gone"], least=2).source == "live", "as many as were asked for"


def test_held_out_people_get_nothing_and_only_those_of_the_champion_live_items(shop: Shop) -> None:
    arms = {"ann": "out", "bob": "popular", "cid": "best", "dot": ""}
    lists = {"ann": [], "bob": ["i1"], "cid": ["i2"], "dot": ["i2"]}
    shop.publish(
        lists=lists,
        columns={"arm": list(arms.values())},
        solution_version_arn="arn:v",
        arms={"out": 1, "popular": 1, "best": 1},
        held_out=("out",),
        versions={"best": "arn:v"},
    )
    _, served = shop.start()
    assert [served.warehouse_id(person) for person in [*arms, "new"]] == [None, None, "cid", "dot", "new"]
    for live in (["i3", "i2"], None):
        held_out = served.answer("ann", 5, live=live)
        assert (held_out.source, held_out.items, held_out.labels["arm"]) == ("none", b"[]", "out")
    assert served.answer("bob", 5).labels == {"tier": "personal", "arm": "popular"}
    assert served.answer("new", 5).source == "fallback"


def test_nothing_is_ready_before_it_is_known_who_is_suppressed(shop: Shop) -> None:
    shop.publish()
    shop.updater().programs["shop"].check_publication()
    folder = Folder(shop.settings.data / "shop")
    served = Publication("shop", folder)
    assert served.store is not None
    assert not served.is_ready
    assert served.answer("ann", 5).source == "none"
    folder.write_suppression([Suppression()], [None])
    folder.checked.touch()
    served.refresh()
    assert served.is_ready


def test_what_cannot_be_opened_leaves_the_store_in_use(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.publish()
    _, served = shop.start()
    served._folder.current.write_text("a store that was swept")
    served.refresh()
    assert "cannot open what is in" in caplog.text
    assert served.answer("ann", 5).source == "list"


def test_lists_that_are_older_than_the_program_allows_are_shown_to_nobody(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish()
    _, served = shop.start()
    assert served.store is not None
    made = datetime.fromisoformat(served.store.meta["created_at"])
    monkeypatch.setattr(
        "recommendations.publication.time.time", lambda: (made + timedelta(days=2)).timestamp()
    )
    for days, sources in ((1, ["none", "none"]), (3, ["list", "fallback"])):
        served.close()
        served = Publication("shop", served._folder, timedelta(days=days))
        assert [served.answer(one, 5).source for one in ("ann", "nobody")] == sources
        assert served.answer("ann", 5, live=["i3"]).source == "live"
