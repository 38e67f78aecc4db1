"""The index of delivered lists against a plain loop over them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mails import Mail, last_list, tables

from recsync.attribution.mailed import MailedLists, MailedListsWriter, RunFiles, TimedAccounts
from recsync.storage.hashes import Hashes, string_hashes

DAY = 86_400
USERS = [f"u{number}" for number in range(40)]
ITEMS = [f"item {number}" for number in range(30)]


def index(
    mails: list[Mail], folder: Path, *, source: str | None = "arm", users: Hashes | None = None
) -> MailedLists | None:
    writer = MailedListsWriter(folder, "shop", source, users)
    for mail in mails:
        lists, catalog, audience, accounts = tables(mail)
        pq.write_table(lists, folder / "lists.parquet")
        pq.write_table(audience, folder / "audience.parquet")
        timed = []
        for number, (told, moment) in enumerate(zip(accounts, mail.moments, strict=True)):
            pq.write_table(told, folder / f"accounts-{number}.parquet")
            timed.append(TimedAccounts(folder / f"accounts-{number}.parquet", moment))
        files = RunFiles(
            folder / "lists.parquet",
            folder / "audience.parquet",
            catalog["item_id"].combine_chunks(),
            tuple(timed),
        )
        writer.add(files)
        files.delete()
    return writer.finish()


def simulated(seed: int, runs: int = 12) -> list[Mail]:
    """Simulate runs with one to three deliveries each, and every outcome of a person."""
    chance = random.Random(seed)
    outcomes = ["sent", "unchanged", "removed", "rejected", "deferred", "kept", "suppressed", "held_out"]
    mails = []
    for number in range(runs):
        times = sorted(number * DAY + chance.randrange(1, DAY) for _ in range(chance.randint(1, 3)))
        audience = chance.sample(USERS, chance.randint(5, len(USERS)))
        mails.append(
            Mail(
                f"run{number:02}",
                tuple(times),
                {user: chance.sample(ITEMS, chance.randint(0, 8)) for user in audience},
                {user: chance.choices(outcomes, k=len(times)) for user in audience},
                {user: chance.choice(["sims", "recommended"]) for user in audience if chance.random() < 0.7},
            )
        )
    return mails


@pytest.mark.parametrize("seed", range(2))
def test_the_last_list_before_an_event_is_that_of_a_plain_loop(seed: int, tmp_path: Path) -> None:
    mails, chance = simulated(seed), random.Random(seed)
    # An interval asks for the users of its events only, and "u39" has none.
    wanted = None if seed % 2 else np.sort(string_hashes(pa.array([*USERS[:-1], "nobody"])))
    asked = USERS if wanted is None else USERS[:-1]
    mailed = index(mails, tmp_path, users=wanted)
    (tmp_path / "whole").mkdir()
    whole = index(mails, tmp_path / "whole")
    assert whole is not None
    assert mailed is not None
    moments = [moment for mail in mails for moment in mail.moments]
    events = [
        (
            chance.choice([*asked, "nobody"]),
            chance.choice(moments) + chance.choice([-1, 0, 1, 500, DAY, 3 * DAY]),
        )
        for _ in range(1_000)
    ]
    users = string_hashes(pa.array([user for user, _ in events]))
    rows = mailed.latest(users, np.array([time for _, time in events]), 3 * DAY)
    assert (rows >= 0).any()
    assert (rows < 0).any()
    assert (len(mailed.hashes) < len(whole.hashes)) is (wanted is not None)
    names = mailed.item_ids.to_pylist()
    for (user, time), row in zip(events, rows.tolist(), strict=True):
        expected = last_list(mails, user, time, 3 * DAY)
        if expected is None:
            assert row == -1
            continue
        moment, items, arm = expected
        assert mailed.moments[row] == moment
        found = mailed.items[mailed.starts[row] : mailed.starts[row + 1]].tolist()
        assert [names[code].decode() for code in found] == list(items)
        assert mailed.sources[mailed.source_codes[row]] == (f"shop/{arm}" if arm else "shop")


def test_a_list_is_said_to_hold_its_items_and_no_others(tmp_path: Path) -> None:
    mail = Mail("r", (5,), {"a": ["x", "y"], "b": ["z"]}, {"a": ["sent"], "b": ["unchanged"]})
    mailed = index([mail], tmp_path, source="program")
    assert mailed is not None
    rows = mailed.latest(string_hashes(pa.array(["a", "a", "b", "b"])), np.full(4, 6), DAY)
    names = mailed.item_ids.to_pylist()
    codes = np.array([names.index(b"y"), names.index(b"z"), names.index(b"z"), -1])
    assert mailed.contains(rows, codes).tolist() == [True, False, True, False]
    assert mailed.sources == ("shop",)


def test_texts_are_cut_at_an_item_and_leave_out_ids_with_a_bar(tmp_path: Path) -> None:
    items = ["a|b", "cc", "äöü", "d" * 20]
    mailed = index([Mail("r", (5,), {"a": items}, {"a": ["sent"]})], tmp_path)
    assert mailed is not None
    row = mailed.latest(string_hashes(pa.array(["a"])), np.array([6]), DAY)

    def text(most: int, characters: int) -> str:
        return mailed.texts(row, most, characters)[0].as_py().decode()

    assert text(25, 1_000) == f"cc|äöü|{'d' * 20}"
    assert text(2, 1_000) == "cc|äöü"
    assert text(25, 6) == "cc|äöü"
    assert text(25, 5) == "cc"
    assert text(25, 1) == ""


def test_nobody_who_was_reached_is_no_index(tmp_path: Path) -> None:
    assert index([], tmp_path) is None
    assert index([Mail("r", (5,), {"a": ["x"]}, {"a": ["rejected"]})], tmp_path) is None
