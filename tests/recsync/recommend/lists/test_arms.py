"""Lists of an experiment: each person's is what a run without an experiment makes of what the arm gets."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from list_kit import bought, with_ids
from list_reference import NOW

from recsync.program import Recommendations
from recsync.recommend.lists.arms import Arms
from recsync.recommend.lists.audience import AUDIENCE
from recsync.recommend.lists.build import ArmOutput, build_lists
from recsync.recommend.lists.catalog import read_catalog
from recsync.recommend.lists.left_out import LEFT_OUT
from recsync.recommend.lists.list_partition import LISTS, ListsReport
from recsync.recommend.lists.output_mapping import by_user, for_everybody

ITEMS = [f"p{n}" for n in range(12)]
USERS = [f"u{n:02}" for n in range(40)]
NAMES = [None, "", "best", "sims", "popular", "out"]
ARMS = Arms("autumn", frozenset(["popular"]), frozenset(["out"]), frozenset(["sims"]))
Rows = dict[str, dict[str, Any]]


class World:
    """People with arms and purchases, and two models' answers, of which some are missing or failed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, rng = folder, np.random.default_rng(seed)
        self.arms = dict(zip(USERS, rng.permutation(NAMES * 7)[: len(USERS)].tolist(), strict=True))
        people = [{"user_id": u, "external_id": f"b-{u}", "arm": arm} for u, arm in self.arms.items()]
        pq.write_table(pa.Table.from_pylist(people, schema=AUDIENCE), folder / "audience.parquet")
        self.events = [
            {"user_id": str(u), "item_id": str(i), "timestamp": int(NOW.timestamp()) - int(t)}
            for u, i, t in zip(
                rng.choice(USERS, 120), rng.choice(ITEMS, 120), rng.integers(1, 86_400 * 40, 120), strict=True
            )
        ]
        self.answers = {model: self._answers(rng) for model in ("best", "sims")}

    def _answers(self, rng: np.random.Generator) -> dict[str, Any]:
        found = {user: rng.choice([*ITEMS, "unknown"], 6, replace=False).tolist() for user in USERS}
        for user in rng.choice(USERS, 6, replace=False).tolist():
            found[user] = "failed"
        for user in rng.choice(USERS, 4, replace=False).tolist():
            found.pop(user)
        return found

    def lines(self, model: str, users: list[str]) -> list[tuple[str, io.BytesIO]]:
        body = "".join(
            json.dumps(
                {
                    "input": {"userId": user},
                    "output": {"recommendedItems": [] if answer == "failed" else answer},
                    "error": "failed" if answer == "failed" else None,
                }
            )
            + "\n"
            for user, answer in self.answers[model].items()
            if user in users
        )
        return [("lines.out", io.BytesIO(body.encode()))]

    def build(
        self, policy: Recommendations, champion: list[tuple[str, io.BytesIO]], **rest: Any
    ) -> tuple[Rows, ListsReport]:
        columns = pa.RecordBatch.from_pydict({"item_id": ITEMS})
        catalog = read_catalog([columns], {}, {}, policy.rules, name="c.sql")
        work = self.folder / f"work-{len(list(self.folder.iterdir()))}"
        work.mkdir()
        report = build_lists(
            champion, self.folder / "audience.parquet", catalog, policy, work / "lists.parquet", work,
            moment=NOW, people_per_partition=7,
            purchases=bought(self.events, catalog, work / "purchases.parquet"),
            left_out=work / "left_out.parquet", **rest,
        )  # fmt: skip
        table = pq.read_table(work / "lists.parquet")
        assert table.schema.equals(LISTS)
        left_out = pq.read_table(work / "left_out.parquet")
        assert left_out.schema.equals(LEFT_OUT)
        assert left_out["external_id"].equals(table["external_id"])
        return {row["external_id"].removeprefix("b-"): row for row in with_ids(table, catalog)}, report

    def those(self, *arms: str | None) -> list[str]:
        return [user for user, arm in self.arms.items() if arm in arms]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fallback", [(), ("similar",), ("similar", "popular")])
def test_everybody_gets_the_list_of_a_run_with_what_the_arm_gets(
    tmp_path: Path, seed: int, fallback: tuple[str, ...]
) -> None:
    world = World(tmp_path, seed)
    rules = {"not_bought_in_days": 30}
    policy = Recommendations.model_validate(
        {"length": 5, "min_length": 3, "fallback": fallback, "rules": rules}
    )
    popular = policy.model_copy(update={"fallback": ("popular",)})
    inside = world.those(None, "", "best")
    rows, report = world.build(
        policy,
        world.lines("best", inside),
        arms=ARMS,
        arm_outputs={"sims": ArmOutput(world.lines("sims", world.those("sims")), by_user)},
    )
    champion, _ = world.build(policy, world.lines("best", inside))
    sims, _ = world.build(policy, world.lines("sims", world.those("sims")))
    nothing, _ = world.build(popular, [])
    assert list(rows) == list(champion), "the order of the rows stays that of the audience"
    for user, row in rows.items():
        match world.arms[user]:
            case None | "" | "best":
                assert row == champion[user]
            case "sims":
                assert row == sims[user]
            case "popular":
                assert (row["items"], row["unanswered"]) == (nothing[user]["items"], "")
                assert row["tier"] == ("popular" if row["items"] else "")
                assert row["put_by"] == ["popular"] * len(row["items"])
                assert row["reason"] in {"", "fewer than 3 items that may be mailed"}
            case _:
                assert (row["items"], row["put_by"]) == ([], [])
                assert row["reason"] == "held out by experiment autumn"
                assert (row["tier"], row["unanswered"], row["arm"]) == ("", "", "out")
    assert report.users == len(USERS)
    assert report.questions == len(inside) + len(world.those("sims")), "only of people who were asked about"
    assert report.suppressed["held out by experiment autumn"] == len(world.those("out")) > 0
    assert report.tiers == Counter(row["tier"] for row in rows.values() if row["tier"])
    assert report.unknown_users == 0


def test_a_list_for_everybody_and_lines_of_other_arms_reach_nobody_else(tmp_path: Path) -> None:
    world = World(tmp_path, 1)
    policy = Recommendations(length=3, min_length=1)
    line = {"input": {"itemId": "x"}, "output": {"recommendedItems": ["p1", "p2"]}, "error": None}
    everybody = [("lines.out", io.BytesIO(json.dumps(line).encode()))]
    arms = Arms("autumn", nothing=frozenset(["out", "popular", "sims"]))
    rows, report = world.build(policy, everybody, mapping=for_everybody, arms=arms)
    assert {user for user, row in rows.items() if row["items"]} == {*world.those(None, "", "best")}
    assert (report.unknown_users, report.lists) == (0, len(world.those(None, "", "best")))
    # The champion's answer about somebody of another arm is not used.
    arms = Arms("autumn", nothing=frozenset(["out", "popular"]), models=frozenset(["sims"]))
    rows, report = world.build(policy, world.lines("best", USERS), arms=arms, arm_outputs={
        "sims": ArmOutput(world.lines("sims", []), by_user)
    })  # fmt: skip
    assert not any(rows[user]["items"] for user in world.those("sims", "out", "popular"))
    assert any(rows[user]["items"] for user in world.those("best"))


def test_an_audience_that_an_earlier_release_kept_has_no_arms(tmp_path: Path) -> None:
    world = World(tmp_path, 2)
    path = tmp_path / "audience.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["arm"]), path)
    policy = Recommendations(length=3, min_length=1)
    rows, report = world.build(policy, world.lines("best", USERS))
    assert {row["arm"] for row in rows.values()} == {None}
    assert report.lists > len(USERS) / 2
