"""People get their arms, keep them, and every change is recorded."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stage_shop import StageShop

from recsync.context import StageContext
from recsync.errors import FatalError, RetriableError
from recsync.evaluation.store import ChampionStore
from recsync.experiments.enrolment import Assignment, assign_arms
from recsync.experiments.layer import Change, Layer
from recsync.experiments.store import ENROLLED, EnrolmentStore, LayerStore
from recsync.suppression.store import SuppressionStore

START = datetime(2026, 9, 1, 5, 30, tzinfo=UTC)
SHARES = {"mailed": 0.8, "popular": 0.1, "holdout": 0.1}
GETS = {"mailed": "champion", "popular": "popular", "holdout": "nothing", "more": "champion"}
PEOPLE = 2000


def section(shares: dict[str, float], **fields: Any) -> dict[str, Any]:
    arms = {arm: {"share": share, "gets": GETS[arm]} for arm, share in shares.items()}
    return {"name": "autumn", "arms": arms, **fields}


class Shop:
    """A program that recommends day by day."""

    def __init__(self, shop: StageShop, folder: Path) -> None:
        self.shop, self.folder, self.day, self.name = shop, folder, 0, "shop"
        self.experiment: dict[str, Any] | None = section(SHARES)
        self.cities = 1

    @property
    def context(self) -> StageContext:
        return StageContext.of(self.name)

    def write(self) -> None:
        programs, sql = self.shop.include / "programs", self.shop.include / "sql" / self.name
        for path in programs.glob("*.yaml"):
            path.unlink()
        sql.mkdir(exist_ok=True)
        for query in ("audience", "catalogue", "outcomes", "interactions"):
            (sql / f"{query}.sql").write_text("SELECT 1")
        datasets = {"interactions": {"schema": "shop/interactions.json"}}
        content = {"braze": {"attribute": "recs"}, "datasets": datasets, "experiment": self.experiment}
        (programs / f"{self.name}.yaml").write_text(json.dumps(content))

    def recommend(
        self, people: int | Sequence[int] = PEOPLE, *, ids: str = "", day: int | None = None
    ) -> Assignment | None:
        """Assign arms as the run of the next day, or of an earlier one."""
        self.write()
        self.day = self.day + 1 if day is None else self.day
        number = self.day if day is None else day
        users = [f"u{n:06d}" for n in (range(people) if isinstance(people, int) else people)]
        audience = pa.table(
            {
                "user_id": users,
                "external_id": [f"{ids}{user}" for user in users],
                "priority": [1.0] * len(users),
            }
        )
        work = self.folder / f"{self.name}-{number}-{len(list(self.folder.iterdir()))}"
        work.mkdir()
        pq.write_table(audience, work / "audience.parquet")
        strata = None
        if self.experiment and self.experiment.get("stratify_by"):
            strata = work / "strata.parquet"
            cities = [f"city {int(user[1:]) % self.cities}" for user in users]
            pq.write_table(pa.table({"user_id": users, "stratum": cities}), strata)
        self.audience = work / "audience.parquet"
        moment = START + timedelta(days=number)
        return assign_arms(self.context, f"run{number}", moment, self.audience, work, strata=strata)

    @property
    def arms(self) -> dict[str, str]:
        """The arms of the last audience."""
        table = pq.read_table(self.audience)
        return dict(zip(table["user_id"].to_pylist(), table["arm"].to_pylist(), strict=True))

    @property
    def enrolled(self) -> list[dict[str, Any]]:
        store = self.context.store(EnrolmentStore)
        enrolment, _ = store.read("autumn", "autumn")
        found = store.download(enrolment, self.folder / "found.parquet")
        assert found
        table = pq.read_table(found)
        assert table.schema == ENROLLED
        assert enrolment.people == Counter(
            row["arm"] for row in table.to_pylist() if row["until"] is None and row["arm"]
        )
        return table.to_pylist()

    @property
    def layer(self) -> Layer:
        return self.context.store(LayerStore).document("autumn").get()

    @property
    def changes(self) -> list[tuple[str, int]]:
        return [(each.what, each.moved) for each in self.layer.changes]


@pytest.fixture
def shop(stage_shop: StageShop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(stage_shop, tmp_path_factory.mktemp("work"))


def unix(day: int) -> int:
    return int((START + timedelta(days=day)).timestamp())


def test_everybody_gets_an_arm_and_is_enrolled(shop: Shop) -> None:
    found = shop.recommend()
    assert found
    counted = Counter(shop.arms.values())
    assert found.people == {
        "mailed": counted["mailed"],
        "popular": counted["popular"],
        "holdout": counted["holdout"],
        "": 0,
    }
    assert (found.experiment, found.layer, found.enrolled, found.moved) == ("autumn", "autumn", PEOPLE, 0)
    assert all(abs(counted[arm] - share * PEOPLE) < 60 for arm, share in SHARES.items())
    assert {row["user_id"]: row["arm"] for row in shop.enrolled} == shop.arms
    assert {(row["since"], row["until"], row["stratum"]) for row in shop.enrolled} == {(unix(1), None, None)}
    assert pq.read_schema(shop.audience).names == ["user_id", "external_id", "priority", "arm"]
    assert shop.layer.changes == (
        Change("2026-09-02T05:30:00+00:00", "run1", "shop", "autumn", "started", {}, SHARES, 10_000),
    )


def test_people_keep_their_arms_and_new_ones_are_added(shop: Shop) -> None:
    shop.recommend()
    first, bucket = shop.arms, shop.context.bucket
    # Another champion, and the one before it again.
    for version in ("v2", "v1"):
        shop.shop.promote(version)
        assert shop.recommend()
    assert shop.context.store(ChampionStore).read()
    assert shop.arms == first
    tables = [key for key in bucket.keys("_experiments/") if key.endswith(".parquet")]
    assert tables == ["_experiments/autumn/autumn/enrolled/00000001-run1.parquet"], (
        "nothing new, no new table"
    )
    found = shop.recommend(range(PEOPLE // 2, PEOPLE + 100))
    assert found
    assert found.enrolled == 100
    assert {user: arm for user, arm in shop.arms.items() if user in first}.items() <= first.items()
    assert len(shop.enrolled) == PEOPLE + 100
    assert {row["since"] for row in shop.enrolled if row["user_id"] not in first} == {unix(4)}
    assert shop.changes == [("started", 10_000)]


@pytest.mark.skipif(
    "RECSYNC_LONG_TESTS" not in os.environ, reason="takes a minute; RECSYNC_LONG_TESTS=1 runs it"
)
@pytest.mark.parametrize("stratify_by", [None, "city"])
def test_in_30_days_nobody_changes_the_arm_without_a_record(shop: Shop, stratify_by: str | None) -> None:
    """Two retrainings, a rollback, changed shares, another program name; people come and go."""
    shop.cities, shop.experiment = 20, section(SHARES, stratify_by=stratify_by)
    rng, had, moved_by_day = np.random.default_rng(30), dict[str, str](), Counter[int]()
    for day in range(1, 31):
        if day in {5, 12, 18}:
            shop.shop.write()
            shop.shop.promote({5: "v2", 12: "v3", 18: "v2"}[day])
        if day == 10:
            shop.experiment = section(
                {"mailed": 0.7, "popular": 0.1, "holdout": 0.2}, stratify_by=stratify_by
            )
        shop.name = "shop" if day < 20 else "store"
        shop.recommend(np.flatnonzero(rng.random(PEOPLE + 50 * day) < 0.7).tolist())
        moved = {user for user, arm in shop.arms.items() if had.get(user, arm) != arm}
        had.update(shop.arms)
        moved_by_day[day] = len(moved)
        recorded = {(row["user_id"], row["since"]) for row in shop.enrolled}
        assert {(user, unix(day)) for user in moved} <= recorded
        now = {row["user_id"]: row["arm"] for row in shop.enrolled if row["until"] is None}
        assert now == had
    rows = shop.enrolled
    assert len(rows) == len(had) + moved_by_day.total()
    # With strata, people move on that day; without, those who were not in that audience when they come back.
    assert {day for day, people in moved_by_day.items() if people} <= {*range(10, 25)}
    assert moved_by_day[10] > 0.05 * PEOPLE
    assert [each.what for each in shop.layer.changes] == ["started", "shares", "program"]


def test_no_new_table_holds_a_person_who_was_erased(shop: Shop) -> None:
    """A run that read the table before an erasure rewrote it, and writes the next one after it."""
    shop.recommend(10)
    shop.context.store(SuppressionStore).add(["u000003"], ["b-other"])
    shop.context.store(SuppressionStore).add(["other"], ["u000007"])
    people = [n for n in range(12) if n not in {3, 7}]
    shop.recommend(people)
    assert [row["user_id"] for row in shop.enrolled] == [f"u{n:06d}" for n in people]


def test_a_new_identifier_in_braze_is_taken_over(shop: Shop) -> None:
    shop.recommend(10)
    found = shop.recommend(10, ids="new-")
    assert found
    assert (found.enrolled, found.moved) == (0, 0)
    assert [row["external_id"] for row in shop.enrolled] == [f"new-u{n:06d}" for n in range(10)]


def test_changed_shares_move_few_people_and_are_recorded(shop: Shop) -> None:
    shop.recommend()
    first = shop.arms
    shop.experiment = section({"mailed": 0.75, "popular": 0.1, "holdout": 0.15})
    found = shop.recommend()
    assert found
    moved = {user for user, arm in shop.arms.items() if arm != first[user]}
    assert {(first[user], shop.arms[user]) for user in moved} == {("mailed", "holdout")}
    assert found.moved == len(moved)
    assert abs(len(moved) - 0.05 * PEOPLE) < 50
    assert shop.changes == [("started", 10_000), ("shares", 500)]
    rows = [row for row in shop.enrolled if row["user_id"] in moved]
    assert [(row["arm"], row["since"], row["until"]) for row in rows] == [
        ("mailed", unix(1), unix(2)),
        ("holdout", unix(2), None),
    ] * len(moved)
    # And back: the same people return.
    shop.experiment = section(SHARES)
    shop.recommend()
    assert len([user for user, arm in shop.arms.items() if arm != first[user]]) <= 2 * len(moved)


def test_people_leave_and_enter_an_experiment_that_shrinks_and_grows(shop: Shop) -> None:
    shop.experiment = section({"mailed": 0.2, "holdout": 0.2})
    shop.recommend()
    first = shop.arms
    assert Counter(first.values())[""] > 0.5 * PEOPLE
    assert len(shop.enrolled) == PEOPLE - Counter(first.values())[""], "nobody outside is enrolled"
    shop.experiment = section({"mailed": 0.1, "holdout": 0.1})
    shop.recommend()
    left = [user for user, arm in shop.arms.items() if first[user] and not arm]
    assert abs(len(left) - 0.2 * PEOPLE) < 80
    assert {row["until"] for row in shop.enrolled if row["user_id"] in left} == {unix(2)}
    assert shop.changes[-1] == ("shares", 2000)
    shop.experiment = section({"mailed": 0.1, "popular": 0.3, "holdout": 0.1})
    before = shop.arms
    shop.recommend()
    changed = {(before[user], arm) for user, arm in shop.arms.items() if before[user] != arm}
    assert changed == {("", "popular")}


def test_a_renamed_program_keeps_everybodys_arm(shop: Shop) -> None:
    shop.recommend()
    first = shop.arms
    shop.name = "store"
    found = shop.recommend()
    assert found
    assert shop.arms == first
    assert (found.enrolled, found.moved) == (0, 0)
    assert shop.layer.experiments["autumn"].programs == ("shop", "store")
    assert shop.changes == [("started", 10_000), ("program", 0)]


def test_an_experiment_that_no_program_has_ends_and_its_name_brings_the_arms_back(shop: Shop) -> None:
    shop.recommend()
    first, running = shop.arms, shop.experiment
    shop.experiment = None
    assert shop.recommend() is None
    assert {*shop.arms.values()} == {""}
    assert shop.changes[-1] == ("ended", 10_000)
    assert shop.layer.running == {}
    assert len(shop.enrolled) == PEOPLE, "what happened is kept"
    shop.recommend()
    assert len(shop.changes) == 2, "it ends once"
    shop.experiment = running
    shop.recommend()
    assert shop.arms == first
    assert shop.changes[-1] == ("started", 10_000)


def test_another_name_draws_anew(shop: Shop) -> None:
    shop.recommend()
    first = shop.arms
    shop.experiment = section(SHARES, name="winter")
    shop.recommend()
    same = sum(arm == first[user] for user, arm in shop.arms.items()) / PEOPLE
    assert abs(same - sum(share**2 for share in SHARES.values())) < 0.05


def test_a_retry_does_the_same_again(shop: Shop) -> None:
    shop.recommend()
    first, rows = shop.arms, shop.enrolled
    found = shop.recommend(day=1)
    assert found
    assert found.enrolled == found.moved == 0
    assert (shop.arms, shop.enrolled, shop.changes) == (first, rows, [("started", 10_000)])


def test_an_earlier_run_with_an_earlier_file_changes_nothing(shop: Shop) -> None:
    shop.recommend()
    former = shop.experiment
    shop.experiment = section({"mailed": 0.75, "popular": 0.1, "holdout": 0.15})
    shop.recommend()
    rows, shop.experiment = shop.enrolled, former
    with pytest.raises(FatalError, match="start a new run instead"):
        shop.recommend(day=1)
    shop.experiment = None
    assert shop.recommend(day=1) is None
    assert shop.layer.running
    assert shop.enrolled == rows


def killed_at(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Let the next call of a method of the store end the process, as far as the test can tell."""
    original = getattr(EnrolmentStore, method)

    def die(*arguments: Any) -> None:
        monkeypatch.setattr(EnrolmentStore, method, original)
        raise KeyboardInterrupt

    monkeypatch.setattr(EnrolmentStore, method, die)


@pytest.mark.parametrize(
    ("method", "stratify_by"),
    [("read", "city"), ("publish", None), ("publish", "city"), ("_delete_old_tables", "city")],
)
def test_a_run_that_was_killed_is_done_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, method: str, stratify_by: str | None
) -> None:
    """After the layer's document, before and after the table, after the table's document."""
    shop.cities = 5
    shop.experiment = section(SHARES, stratify_by=stratify_by)
    shop.recommend()
    first = shop.arms
    shop.experiment = section({"mailed": 0.7, "popular": 0.1, "holdout": 0.2}, stratify_by=stratify_by)
    killed_at(monkeypatch, method)
    with pytest.raises(KeyboardInterrupt):
        shop.recommend(PEOPLE + 50)
    shop.recommend(PEOPLE + 50, day=2)
    assert [each.what for each in shop.layer.changes] == ["started", "shares"]
    now = {row["user_id"]: row["arm"] for row in shop.enrolled if row["until"] is None}
    assert now == shop.arms
    assert len(now) == PEOPLE + 50
    moved = {user for user in first if first[user] != now[user]}
    # With strata, newcomers and those who move are dealt together.
    assert {first[user] for user in moved} == {"mailed"}
    assert 0.08 * PEOPLE < len(moved) < 0.12 * PEOPLE
    assert len(shop.enrolled) == PEOPLE + 50 + len(moved)


def test_one_of_two_runs_at_once_wins(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    original = EnrolmentStore.publish

    def overtaken(store: EnrolmentStore, *arguments: Any) -> Any:
        layer, name, enrolment, *rest = arguments
        original(store, layer, name, replace(enrolment, run="another"), *rest)
        return original(store, *arguments)

    monkeypatch.setattr(EnrolmentStore, "publish", overtaken)
    with pytest.raises(RetriableError, match="Another run changed"):
        shop.recommend()
    monkeypatch.setattr(EnrolmentStore, "publish", original)
    shop.recommend(day=1)
    assert {row["user_id"]: row["arm"] for row in shop.enrolled} == shop.arms


def by_city(shop: Shop) -> dict[str, Counter[str]]:
    counted: dict[str, Counter[str]] = {}
    for row in shop.enrolled:
        if row["until"] is None:
            counted.setdefault(row["stratum"], Counter())[row["arm"]] += 1
    return counted


def test_shares_hold_within_each_stratum(shop: Shop) -> None:
    shop.cities, shop.experiment = 13, section(SHARES, stratify_by="city")
    for day in range(1, 4):
        shop.recommend(day * 600)
        for arms in by_city(shop).values():
            for arm, share in SHARES.items():
                assert abs(arms[arm] - share * arms.total()) < 2.5
    assert {row["user_id"]: row["arm"] for row in shop.enrolled} == shop.arms


def test_a_person_keeps_the_arm_when_the_stratum_changes(shop: Shop) -> None:
    shop.cities, shop.experiment = 13, section(SHARES, stratify_by="city")
    shop.recommend()
    first, rows = shop.arms, shop.enrolled
    shop.cities = 7
    found = shop.recommend()
    assert found
    assert (found.enrolled, found.moved) == (0, 0)
    assert (shop.arms, shop.enrolled) == (first, rows)


def test_changed_shares_move_few_people_of_each_stratum(shop: Shop) -> None:
    shop.cities, shop.experiment = 13, section(SHARES, stratify_by="city")
    shop.recommend()
    first = shop.arms
    after = {"mailed": 0.7, "popular": 0.15, "holdout": 0.15}
    shop.experiment = section(after, stratify_by="city")
    found = shop.recommend()
    assert found
    moved = Counter((first[user], arm) for user, arm in shop.arms.items() if first[user] != arm)
    assert {*moved} == {("mailed", "popular"), ("mailed", "holdout")}
    assert abs(found.moved - 0.1 * PEOPLE) <= 2 * 13
    for arms in by_city(shop).values():
        assert all(abs(arms[arm] - share * arms.total()) < 2.5 for arm, share in after.items())
    assert shop.recommend()
    assert len(shop.layer.changes) == 2


def test_people_of_strata_leave_and_enter_an_experiment(shop: Shop) -> None:
    """Also those outside are remembered, as nothing else says who they are."""
    shop.cities, shop.experiment = 5, section({"mailed": 0.4, "holdout": 0.4}, stratify_by="city")
    shop.recommend()
    first = shop.arms
    shop.experiment = section({"mailed": 0.4, "holdout": 0.2}, stratify_by="city")
    shop.recommend()
    second = shop.arms
    changed = Counter((first[user], arm) for user, arm in second.items() if first[user] != arm)
    assert {*changed} == {("holdout", "")}
    assert abs(changed.total() - 0.2 * PEOPLE) < 60
    shop.experiment = section({"mailed": 0.4, "holdout": 0.2, "popular": 0.4}, stratify_by="city")
    shop.recommend()
    third = shop.arms
    changed = Counter((second[user], arm) for user, arm in third.items() if second[user] != arm)
    # Chance decided how many people of a city were in the experiment, so a few balance their city.
    assert changed["", "popular"] > 0.95 * changed.total()
    assert Counter(third.values())[""] == 0


def test_people_of_an_arm_that_is_gone_are_dealt_again_when_they_come_back(shop: Shop) -> None:
    shop.cities, shop.experiment = 5, section(SHARES, stratify_by="city")
    shop.recommend()
    first = shop.arms
    shop.experiment = section({"mailed": 0.9, "holdout": 0.1}, stratify_by="city")
    shop.recommend(PEOPLE // 2)
    shop.recommend()
    now = shop.arms
    assert {first[user] for user, arm in now.items() if first[user] != arm} == {"popular"}
    assert {*now.values()} == {"mailed", "holdout"}
    for arms in by_city(shop).values():
        assert abs(arms["holdout"] - 0.1 * arms.total()) < 2.5


def test_strata_cannot_change_in_a_running_experiment(shop: Shop) -> None:
    shop.recommend()
    shop.experiment = section(SHARES, stratify_by="city")
    with pytest.raises(FatalError, match="give the experiment another name"):
        shop.recommend()


def test_a_person_with_two_addresses_is_in_one_arm(shop: Shop, tmp_path: Path) -> None:
    shop.write()
    users = [f"u{n // 2}" for n in range(200)]
    audience = tmp_path / "audience.parquet"
    pq.write_table(pa.table({"user_id": users, "external_id": [f"a{n}" for n in range(200)]}), audience)
    found = assign_arms(shop.context, "run1", START, audience, tmp_path)
    assert found
    assert found.enrolled == 100
    table = pq.read_table(audience).to_pylist()
    assert len(table) == 200
    assert len({(row["user_id"], row["arm"]) for row in table}) == 100
