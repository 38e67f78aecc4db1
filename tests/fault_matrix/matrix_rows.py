"""One row of the matrix: three deliveries, the second of them under a fault."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from kit import CATALOG, Kit, Servers
from matrix_s3 import Door
from matrix_truth import Account, World, compare, dangling, shown

from recsync.errors import FATAL
from recsync.push.store import Deliveries

T = TypeVar("T")
# What an Airflow task has, here without waiting in between.
TRIES = 5
# Ten people a call: 2 % of the calls of a few thousand people are some calls, and not one.
PEOPLE_PER_CALL = 10
CONNECTION = {"connections": 8, "max_tries": 4, "max_objects": PEOPLE_PER_CALL}


@dataclass(frozen=True)
class Row:
    """What one scenario came to.

    :param fault: what went wrong.
    :param share: of the calls, or of the people; empty where it is no share.
    :param hits: how often it struck.
    :param people: of the audience.
    :param tries: of the delivering task.
    :param lost: people who do not have what they should and are accounted as if they had.
    :param wrong: anybody with a wrong value: after the delivery, plus after the one that turns everything back.
    :param exact: whether the account is the audience, each person once, as reported.
    :param resent: people that the report says may have been sent twice.
    :param rewritten: writes beyond the first that the sandbox applied to anybody during the delivery.
    :param explained: how many of them are explained: ``resent``, and the people of calls that a fault hit.
    :param rejected: accounted as such.
    :param dead: accounted as dead-lettered.
    :param kept: accounted as keeping their list, because the batch output has no answer for them.
    :param repaired: deliveries that verification made.
    """

    fault: str
    share: str = ""
    hits: int = 0
    people: int = 0
    tries: int = 1
    lost: int = 0
    wrong: int = 0
    exact: bool = False
    resent: int = 0
    rewritten: int = 0
    explained: int = 0
    rejected: int = 0
    dead: int = 0
    kept: int = 0
    repaired: int = 0
    seconds: float = 0.0
    note: str = ""

    @property
    def good(self) -> bool:
        """Say whether nobody was lost, nothing is wrong and everything is accounted for."""
        return (
            self.lost == self.wrong == 0 and self.exact and self.rewritten <= self.explained and not self.note
        )


@dataclass(frozen=True)
class Place:
    """The servers, and where program files lie."""

    servers: Servers
    door: Door
    include: Path


@dataclass
class Stage:
    """What a scenario works with: a program whose first version is in Braze, and the door to its S3.

    :ivar tries: of the delivering task so far.
    :ivar hits: writes to S3 that were refused, and tasks that were stopped.
    :ivar closed: deliveries that were given up for the one that counts.
    :ivar missed: what went otherwise than the scenario meant it; nothing when all is well.
    """

    kit: Kit
    world: World
    door: Door
    tries: int = 0
    hits: int = 0
    missed: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def connect(self, **extra: Any) -> None:
        """Let the Braze connection differ from the usual one."""
        os.environ |= self.kit.servers.environment(self.kit.include, **(CONNECTION | extra))

    def publish(self, version: int) -> None:
        """Publish a version of the recommendations."""
        lists = self.world.second if version == 2 else self.world.first
        self.kit.publish(str(version), lists, items=self.world.items(version))

    def plan(self, version: int | str, dag_run: str) -> str:
        """Plan the delivery of a version, with Airflow's retries; name it."""
        from recsync.push.plan import plan

        return str(retried(lambda: plan(self.kit.name, str(version), dag_run=dag_run))[0].delivery)

    def deliver(self, delivery: str) -> None:
        """Deliver, with Airflow's retries."""
        from recsync.push.deliver import deliver

        self.tries += retried(lambda: deliver(self.kit.name, delivery))[1]

    def push(self, version: int) -> str:
        """Publish, plan and deliver a version; name the delivery."""
        self.publish(version)
        delivery = self.plan(version, f"run-{version}")
        self.deliver(delivery)
        return delivery


Deliver = Callable[[Stage], str]
"""Deliver the second version under a fault, and name the delivery."""


@dataclass(frozen=True)
class Scenario:
    """One fault.

    :param deliver: how the second version is delivered; None: as usual.
    :param faults: given the world, what the sandbox does meanwhile, and while the delivery is verified.
    :param settings: of the sandbox meanwhile.
    :param braze: fields of the program file from the second delivery on.
    :param catalog: whether the program keeps a catalogue.
    :param verify_users: how many people are read back.
    :param mends: whether verification may have to write people again.
    :param max_tries: of a call, by the Braze connection.
    """

    fault: str
    share: str = ""
    deliver: Deliver | None = None
    faults: Callable[[World], Sequence[dict[str, Any]]] = field(default=lambda world: ())
    settings: dict[str, Any] = field(default_factory=dict)
    braze: dict[str, Any] = field(default_factory=dict)
    catalog: bool = False
    mends: bool = False
    verify_users: int = 500
    max_tries: int = CONNECTION["max_tries"]


def retried(call: Callable[[], T]) -> tuple[T, int]:
    """Call as Airflow runs a task: again after a failure, not after one that a person must mend.

    :returns: the result, and how many tries it took.
    """
    for tries in range(1, TRIES):
        try:
            return call(), tries
        except FATAL:
            raise
        except Exception:  # ruff: ignore[blind-except] - Airflow retries after any
            continue
    return call(), TRIES


def run(scenario: Scenario, name: str, place: Place, people: int) -> Row:
    """Run one scenario."""
    started = time.monotonic()
    kit = Kit(place.servers, place.include, name)
    catalog = {"catalog": {**CATALOG, "name": name.replace("-", "_")}} if scenario.catalog else {}
    kit.write_program(**catalog, delivery={"verify_users": scenario.verify_users})
    stage = Stage(kit, World(name, people), place.door)
    stage.connect(max_objects=75)
    stage.push(1)
    stage.connect(max_tries=scenario.max_tries)
    kit.write_program(**catalog, **scenario.braze, delivery={"verify_users": scenario.verify_users})
    stage.tries = 0
    kit.servers.control("POST", "flush")
    kit.servers.control("POST", "meter/reset")
    kit.servers.control("DELETE", "faults/fired")
    row = Row(scenario.fault, scenario.share, people=len(stage.world.second))
    try:
        row = _judged(row, stage, scenario)
    except Exception as error:  # ruff: ignore[blind-except] - a row that fails is a finding, the others go on
        row = replace(row, note=f"{type(error).__name__}: {str(error)[:200]}")
    return replace(row, seconds=round(time.monotonic() - started, 1))


def _judged(row: Row, stage: Stage, scenario: Scenario) -> Row:
    kit, world = stage.kit, stage.world
    with _disturbed(stage, scenario):
        delivery = (scenario.deliver or (lambda stage: stage.push(2)))(stage)
        kit.servers.control("POST", "flush")
        rewritten = sum(times - 1 for times in _writes(kit).values())
        # What a store refuses or a kill ends is in the ledger, and so among the resent.
        explained = sum(f["calls"] for f in _fired(kit).values()) * PEOPLE_PER_CALL
        repaired = len(_verify(kit, delivery)["repairs"])
        hits = stage.hits + sum(f["calls"] for f in _fired(kit).values()) + _reordered(kit)
    if repaired and not scenario.mends:
        stage.missed.append("people had to be written again")
    report = kit.context.store(Deliveries).report(delivery, "report") or {}
    account = Account.of(kit, delivery)
    last = Account.of(kit, kit.context.store(Deliveries).newest())
    found = shown(kit)
    second = compare(found, world.first, world.second, last.not_written())
    dangling_items = dangling(kit, found, world.items(2), last.not_written())
    tries = stage.tries
    stage.connect(max_objects=75)
    stage.push(3)
    found = shown(kit)
    third = compare(found, world.second, world.first, {})
    dangling_items |= dangling(kit, found, world.items(3), {})
    outcomes = report.get("outcomes", {})
    resent = report.get("resent", 0) + sum(_under_way(kit, name) for name in stage.closed)
    return replace(
        row,
        hits=hits,
        tries=tries,
        lost=len(second.lost) + len(third.lost),
        wrong=len(second.wrong) + len(third.wrong) + len(dangling_items),
        exact=account.adds_up(world.second, outcomes) and set(last.outcomes) == set(world.second),
        resent=resent,
        rewritten=rewritten,
        explained=resent + explained,
        rejected=outcomes.get("rejected", 0),
        dead=outcomes.get("dead_lettered", 0),
        kept=outcomes.get("kept", 0),
        repaired=repaired,
        note="; ".join(stage.missed),
    )


def _verify(kit: Kit, delivery: str) -> dict[str, Any]:
    from recsync.push.verify import verify

    return retried(lambda: verify(kit.name, delivery, dag_run="run-2"))[0]


def _under_way(kit: Kit, closed: str) -> int:
    """Count the people whom a delivery may have written when it was closed; the next one wrote them again."""
    rows = kit.context.store(Deliveries).plan(closed).figures.total_rows
    return int(kit.context.store(Deliveries).read_ledger(closed, rows)[0].under_way)


@contextmanager
def _disturbed(stage: Stage, scenario: Scenario) -> Generator[None]:
    control = stage.kit.servers.control
    usual = control("GET", "settings")
    control("PATCH", "settings", json=scenario.settings)
    control("POST", "faults", json=list(scenario.faults(stage.world)))
    try:
        yield
    finally:
        stage.door.open()
        control("DELETE", "faults")
        control("PATCH", "settings", json={name: usual[name] for name in scenario.settings})
        control("POST", "flush")


def _writes(kit: Kit) -> dict[str, int]:
    by_user: dict[str, int] = kit.servers.control("GET", "writes", params={"min": 2})["by_user"]
    return by_user


def _fired(kit: Kit) -> dict[str, dict[str, int]]:
    fired: dict[str, dict[str, int]] = kit.servers.control("GET", "faults/fired")["fired"]
    return fired


def _reordered(kit: Kit) -> int:
    return int(kit.servers.control("GET", "meter")["reordered_requests"])
