"""What streamed rows change: real-time answers at once, batch jobs after a while, trainings; also after a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import urlopen

import pytest

UP = "aws-user-personalization"
ODD = [f"i{n}" for n in range(1, 25, 2)]


@pytest.fixture(scope="module")
def told(live: Any) -> Any:
    """Return the group whose model was trained before `newcomer` bought odd items only."""
    for item in ODD:
        live.put_event("newcomer", item)
    return live


def odd_share(items: list[str]) -> float:
    return sum(int(item[1:]) % 2 for item in items) / len(items)


def test_what_a_user_does_changes_what_he_gets_at_once(told: Any) -> None:
    new = told.ids(UP, userId="newcomer", numResults=10)
    assert set(new).isdisjoint(ODD)
    assert odd_share(new) == 1
    assert odd_share(told.ids(UP, userId="nobody", numResults=10)) < 1
    ranked = told.runtime.get_personalized_ranking(
        campaignArn=told.campaigns["aws-personalized-ranking"],
        userId="newcomer",
        inputList=["i40", "i41", "i42", "i43"],
    )["personalizedRanking"]
    assert [int(entry["itemId"][1:]) % 2 for entry in ranked] == [1, 1, 0, 0]


def test_it_stays_so_once_the_rows_are_in_files(told: Any) -> None:
    before = told.ids(UP, userId="newcomer")
    assert any("newcomer" in line for line in told.exported("Interactions"))
    assert told.ids(UP, userId="newcomer") == before


def test_filters_see_events_and_items_at_once(told: Any) -> None:
    viewed = told.filter('EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("wish")')
    first = told.ids(UP, userId="u8", filterArn=viewed)[0]
    told.put_event("u8", first, eventType="wish")
    assert first not in told.ids(UP, userId="u8", filterArn=viewed)
    sale = told.filter('INCLUDE ItemID WHERE Items.CATEGORY_L1 IN ("sale")')
    assert told.ids(UP, userId="u8", filterArn=sale) == []
    told.events.put_items(
        datasetArn=told.datasets["Items"],
        items=[{"itemId": "i12", "properties": '{"categoryL1": "sale"}'}],
    )
    assert told.ids(UP, userId="u8", filterArn=sale) == ["i12"]


def batch(live: Any, user_id: str, num_results: int = 5) -> list[str]:
    """Return what a batch job gives to one user."""
    prefix = f"{live.world.name('batch')}/"
    source = live.world.put(f"{prefix}in/users.json", json.dumps({"userId": user_id}) + "\n")
    destination = f"s3://{live.world.bucket}/{prefix}out/"
    job = live.world.start_batch(live.versions[UP], source, destination, numResults=num_results)
    assert live.world.wait("BatchInferenceJob", job)["status"] == "ACTIVE"
    line = json.loads(live.world.read(f"{prefix}out/users.json.out"))
    return [str(item) for item in line["output"]["recommendedItems"]]


def test_batch_jobs_see_events_that_are_old_enough(
    start_server: Callable[..., Any], make_live: Callable[..., Any]
) -> None:
    live = make_live(start_server(event_age_seconds=900.0).url).fill()
    live.train(UP)
    now = int(time.time())
    for item in ODD:
        live.put_event("old", item, sentAt=now - 1000)
        live.put_event("fresh", item, sentAt=now)
    assert odd_share(batch(live, "old")) == 1
    assert batch(live, "fresh") == batch(live, "nobody")


def test_new_items_are_candidates_of_the_newest_full_version_alone(
    start_server: Callable[..., Any], make_live: Callable[..., Any]
) -> None:
    live = make_live(start_server(event_age_seconds=0.0).url).fill()
    solution = live.world.solution(live.group, UP)
    former, newest = (live.world.train(solution)["solutionVersionArn"] for _ in range(2))
    live.events.put_items(datasetArn=live.datasets["Items"], items=[{"itemId": "brandnew"}])
    for version, expected in ((newest, True), (former, False)):
        live.versions[UP] = version
        assert ("brandnew" in batch(live, "u8", 500)) is expected


def test_a_row_that_was_streamed_and_then_imported_counts_once(
    start_server: Callable[..., Any], make_live: Callable[..., Any]
) -> None:
    live = make_live(start_server().url).fill()
    live.put_event("u8", "i16", eventType="view", sentAt=1_700_008_000)  # a row of the import
    live.put_event("u8", "i8", eventType="view", sentAt=5)
    live.train("aws-user-personalization-v2")
    with urlopen(f"{live.world.url}/_local/meter") as reply:
        assert json.load(reply)["trained_interactions"] == 60 * 20 + 1


def test_every_accepted_event_survives_a_kill_and_is_trained_on(
    start_process: Callable[..., Any], make_live: Callable[..., Any]
) -> None:
    process, url = start_process("--time-scale", "0")
    live = make_live(url).fill()
    for number in range(30):
        live.put_event(f"k{number % 3}", f"i{number}", eventId=str(number))
    live.exported("Interactions")
    for number in range(30, 50):
        live.put_event(f"k{number % 3}", f"i{number}", eventId=str(number))
    process.kill()
    process.wait()

    _, url = start_process("--time-scale", "0")
    live.connect(url)
    live.put_event("k0", "i0", eventId="49")
    rows = [line.replace('"', "").split(",")[1] for line in live.exported("Interactions")]
    assert sorted(rows) == sorted(f"i{number}" for number in range(50))
    live.campaign(UP)
    popular = live.ids(UP, userId="nobody", numResults=50)
    assert len(popular) == 50
    assert len(live.ids(UP, userId="k0", numResults=50)) == 50


def test_a_training_sees_streamed_rows(
    start_server: Callable[..., Any], make_live: Callable[..., Any]
) -> None:
    live = make_live(start_server().url).fill()
    for user in range(70):
        live.put_event(f"fan{user}", "the-hit")
    live.campaign("aws-popularity-count")
    assert live.ids("aws-popularity-count", userId="nobody")[0] == "the-hit"


def test_no_row_is_lost_or_doubled_while_jobs_move_rows(
    start_server: Callable[..., Any], make_live: Callable[..., Any]
) -> None:
    live = make_live(start_server(workers=2).url).fill()

    def put(user: int) -> None:
        for item in range(30):
            live.put_event(f"w{user}", f"i{item}")

    with ThreadPoolExecutor(4) as pool:
        puts = [pool.submit(put, user) for user in range(4)]
        while not all(future.done() for future in puts):
            live.exported("Interactions")
    for future in puts:
        future.result()
    assert len(live.exported("Interactions")) == 120
