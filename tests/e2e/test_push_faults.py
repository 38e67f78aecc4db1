"""Braze's refusals and failures: everybody is counted, nobody is lost, and a rerun sends only what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from dag_runs import states
from services import Services
from shop import Shop

from recsync.core.delivery import Wanted
from recsync.errors import FatalError, RetriableError
from recsync.stores.recommendations import RecommendationsManifest

PEOPLE = 200


@pytest.fixture(autouse=True)
def no_faults(services: Services) -> Iterator[None]:
    yield
    requests.delete(f"{services.braze}/_local/faults", timeout=30).raise_for_status()


@pytest.fixture
def context(shop: Shop) -> Any:
    """Publish recommendations as if a batch inference job had run."""
    from recsync.stages.context import StageContext

    return StageContext.of(shop.name)


def publish(context: Any, run: str, people: dict[str, list[str]]) -> RecommendationsManifest:
    manifest = RecommendationsManifest(run, run, "arn", "job", len(people), len(people), {}, 40)
    wanted = [Wanted(f"{context.program.name}-{who}", tuple(items)) for who, items in people.items()]
    items = {f"p-{n}": {"title": f"Product {n}", "price": n} for n in range(40)}
    context.recommendations.publish(manifest, wanted, items)
    return manifest


def lists(shift: int = 0) -> dict[str, list[str]]:
    return {f"{n:04d}": [f"p-{(n + k + shift) % 40}" for k in range(5)] for n in range(PEOPLE)}


def push(context: Any, manifest: RecommendationsManifest) -> Any:
    from recsync.stages.push import part_name, push

    return push(context.program.name, manifest, part=part_name(manifest))


def in_braze(shop: Shop) -> dict[str, list[str]]:
    prefix = f"{shop.name}-"
    return {
        who.removeprefix(prefix): [entry["id"] for entry in attributes["recs"]]
        for who, attributes in shop.services.profiles().items()
        if who.startswith(prefix) and "recs" in attributes
    }


def test_everybody_gets_the_list_and_a_second_push_sends_nothing(shop: Shop, context: Any) -> None:
    manifest = publish(context, "1", lists())
    report = push(context, manifest)
    assert report.outcomes["sent"] == PEOPLE
    assert in_braze(shop) == lists()
    assert report.verified == 50
    assert report.drifted == 0
    again = push(context, manifest)
    assert again.outcomes == {"sent": 0, "unchanged": PEOPLE, "removed": 0, "rejected": 0, "suppressed": 0}
    assert again.answers == {}


def test_whoever_left_the_audience_loses_the_attribute_once(shop: Shop, context: Any) -> None:
    push(context, publish(context, "1", lists()))
    fewer = {who: items for who, items in lists().items() if who >= "0010"}
    report = push(context, publish(context, "2", {**fewer, "0010": []}))
    assert (report.left_audience, report.outcomes["removed"]) == (10, 1)
    del fewer["0010"]
    assert in_braze(shop) == fewer
    assert push(context, publish(context, "3", fewer)).left_audience == 0


def test_passing_failures_are_ridden_out(shop: Shop, context: Any) -> None:
    for status in (429, 500):
        shop.services.faults(
            path="/users/track", status=status, times=1, headers={"X-Ratelimit-Retry-After": "0"}
        )
    shop.services.faults(path="/users/track", kind="truncate", times=1)
    report = push(context, publish(context, "1", lists()))
    assert report.outcomes["sent"] == PEOPLE
    assert report.answers["429"] == report.answers["500"] == 1
    assert in_braze(shop) == lists()


def test_a_wrong_key_is_a_clear_error_that_never_shows_the_key(
    shop: Shop, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "braze", "host": shop.services.braze, "password": "wrong-key-12345"}
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", json.dumps(connection))
    with pytest.raises(FatalError, match=r"HTTP 401.*Check the API key") as caught:
        push(context, publish(context, "1", lists()))
    assert "wrong-key-12345" not in str(caught.value)
    assert in_braze(shop) == {}


def test_an_outage_loses_nobody_and_the_retry_goes_on_where_it_stopped(shop: Shop, context: Any) -> None:
    manifest = publish(context, "1", lists())
    shop.services.faults(path="/users/track", status=503, times=1000, skip=1)
    with pytest.raises(RetriableError, match="503"):
        push(context, manifest)
    assert len(in_braze(shop)) == 75, "one batch was taken before the outage"
    requests.delete(f"{shop.services.braze}/_local/faults", timeout=30).raise_for_status()
    report = push(context, manifest)
    assert report.outcomes["sent"] == PEOPLE - 75
    assert report.outcomes["unchanged"] == 75
    assert in_braze(shop) == lists()


def test_refused_people_are_counted_and_the_others_are_sent(shop: Shop, context: Any) -> None:
    people = {**lists(), "x" * 990: ["p-1", "p-2", "p-3", "p-4", "p-5"]}
    report = push(context, publish(context, "1", people))
    assert report.outcomes["sent"] == PEOPLE
    assert report.outcomes["rejected"] == 1
    (reason,) = report.rejected.values()
    assert reason
    assert in_braze(shop) == lists()
    assert push(context, publish(context, "2", people)).outcomes["rejected"] == 1, (
        "refused again, not counted as sent"
    )


def test_older_recommendations_are_never_written_over_newer_ones(
    shop: Shop, context: Any, run: Callable[..., Any]
) -> None:
    from recsync.stages.push import SupersededError, choose

    publish(context, "1", lists())
    push(context, publish(context, "2", lists(shift=1)))
    with pytest.raises(SupersededError, match="older"):
        choose(shop.name, "1")
    assert states(run(f"{shop.name}_push"))["push"] == "success"
    assert in_braze(shop) == lists(shift=1)
