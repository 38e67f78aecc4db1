"""What is told about people whose lists were sent, removed or never recorded; tests/e2e has whole runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import kit as kit_module
import pytest
from crowd import NAMES, Crowd
from kit import Kit

from recsync.explain.explain import explain, item_of
from recsync.explain.explanation import Item
from recsync.freshness.removal import plan_removal
from recsync.push import read_back
from recsync.push.deliver import deliver

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def _made(monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs are of now; the local Braze applies a write after 0.2 s."""
    monkeypatch.setattr(kit_module, "time_of", lambda run: NOW.isoformat())
    monkeypatch.setattr(read_back, "WAITS_SECONDS", (0.4, 1.0, 2.0, 3.0))


@pytest.mark.parametrize("name", NAMES)
def test_people_of_every_identifier_are_explained_and_lose_an_old_list(kit: Kit, name: str) -> None:
    crowd = Crowd(kit, name, count=2)
    crowd.write_program(recommendations={"max_age_days": 14})
    kit.publish("1", crowd.lists())
    kit.push()
    kit.servers.control("POST", "flush")
    (found,) = explain(kit.name, [crowd.people[1].upper() if name == "email" else crowd.people[1]])
    assert found.person == crowd.people[1]
    assert found.summary.startswith("The list was sent.")
    assert found.items == (Item("p-1", "Product 1"), Item("p-2", "Product 2"))
    assert found.braze == {"recs": ["p-1", "p-2"]}
    assert found.as_sent is True
    # The lists of an earlier version come without a record of the rules.
    assert found.left_out is None
    remove_old(kit)
    assert crowd.shown() == dict.fromkeys(crowd.people)


def remove_old(kit: Kit) -> None:
    late = NOW + timedelta(days=15)
    manifest = plan_removal(kit.name, dag_run="x", run="x", now=late, allow_removals=True)
    assert manifest is not None
    deliver(kit.name, manifest.delivery)


def test_a_removed_list_a_changed_one_and_one_that_is_not_pushed_yet(kit: Kit) -> None:
    kit.write_program(recommendations={"max_age_days": 14})
    lists = kit.lists(3)
    kit.publish("1", lists)
    kit.push()
    first, second, third = lists
    kit.servers.control("POST", "flush")
    kit.servers.control("POST", "profiles", json=[{"external_id": second, "recs": ["by hand"]}])
    kit.servers.control("POST", "flush")
    (found,) = explain(kit.name, [second])
    assert found.as_sent is False
    remove_old(kit)
    (found,) = explain(kit.name, [first])
    assert found.summary == (
        "The list in Braze was removed, because it was too old. Braze has no list of this program."
    )
    kit.publish("2", kit.lists(3, shift=1))
    (found,) = explain(kit.name, [first])
    assert found.summary.startswith("The list in Braze was removed")
    kit.push()
    kit.publish("3", kit.lists(2))
    (found, gone) = explain(kit.name, [first, third])
    assert found.summary == (
        f"The list is published and was not pushed yet. The list in Braze was sent at {found.sent.at}."
        if found.sent
        else ""
    )
    assert gone.summary.endswith("Braze still has an earlier list, which the next push removes.")


def test_braze_that_does_not_answer_hides_nothing_else(kit: Kit) -> None:
    kit.publish("1", kit.lists(1))
    kit.push()
    kit.servers.control("POST", "faults", json={"kind": "status", "status": 500, "path": "/users/export/ids"})
    (found,) = explain(kit.name, list(kit.lists(1)))
    assert found.braze is None
    assert found.braze_problem
    assert found.items


def test_an_item_is_named_by_its_name_its_title_or_its_first_text() -> None:
    assert item_of("i", '{"title": "T", "name": "N"}').name == "N"
    assert item_of("i", '{"price": 1, "label": "L"}').name == "L"
    assert item_of("i", '{"price": 1}').name == ""
