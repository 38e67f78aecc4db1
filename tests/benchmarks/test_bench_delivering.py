"""Every contender that runs on the project's own environment delivers a tiny input; `make bench` runs the rest."""

import json
import os

import pytest
from benchmarks.contenders import DELIVERY, PEERS_VENV, TRANSPORTS, Contender
from benchmarks.data import ATTRIBUTE, delivery_data, quoted_items, user_id
from benchmarks.delivering import Cell, faults, options
from benchmarks.engine.data import FILMS_PACKAGE
from benchmarks.peers import apart
from benchmarks.processes import Run, run_prepared, running_sink
from benchmarks.settings import Settings

USERS = 160  # two full calls and a small one
OWN = {
    f"{contender.module}.{contender.function}": contender
    for contender in DELIVERY + TRANSPORTS
    if contender.apart is None
}
# Each imports Airflow, which takes seconds of CPU; over TLS they differ in nothing of theirs.
IN_AIRFLOW = [name for name in OWN if name.startswith(("delivery.airflow", "delivery.recsync"))]
LONG = pytest.mark.skipif(
    "RECSYNC_LONG_TESTS" not in os.environ, reason="takes long: RECSYNC_LONG_TESTS=1 runs it"
)


@pytest.fixture(scope="module")
def sink():
    with running_sink() as sink:
        yield sink


def deliver(contender: Contender, sink, scheme: str) -> tuple[Run, dict]:
    sink.set()
    run = run_prepared(contender, options(Cell(contender, 0, scheme), delivery_data(USERS), sink, Settings()))
    return run, run.result()


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        pytest.param(name, scheme, marks=LONG if name in IN_AIRFLOW and scheme == "https" else ())
        for name in OWN
        for scheme in ("http", "https")
    ],
)
@pytest.mark.long(reason="make bench checks its contenders, too")
def test_each_user_arrives_once_with_the_right_list(name, scheme, sink):
    run, result = deliver(OWN[name], sink, scheme)

    everyone = {user_id(number) for number in range(USERS)}
    arrived = sink.stats()
    assert (arrived["users"], arrived["objects"], arrived["requests"]) == (USERS, USERS, 3)
    assert sink.users() == {
        user_id(number): {ATTRIBUTE: json.loads(f"[{quoted_items(number)}]")} for number in range(USERS)
    }
    assert sorted(run.claimed()) == sorted(everyone)
    assert result["wall_seconds"] > 0
    assert result["peak_rss_bytes"] > 1e6
    assert result["errors"] == {}


def test_every_peer_that_is_kept_apart_has_its_folder():
    folders = {contender.apart for contender in DELIVERY + TRANSPORTS if contender.apart}
    assert folders | {FILMS_PACKAGE} == set(apart())
    assert all(
        contender.python.is_relative_to(PEERS_VENV) for contender in DELIVERY if contender.apart is not None
    )


@pytest.mark.long(reason="make bench checks its contenders, too")
def test_the_fault_table_tells_a_silent_loss_from_a_reported_one(monkeypatch):
    hook = [contender for contender in DELIVERY if contender.name == "Airflow HttpHook.run in a loop"]
    monkeypatch.setattr("benchmarks.delivering.DELIVERY", hook)
    _, markdown = faults(Settings.quick(7_500))

    cells = [cell.strip() for cell in markdown.splitlines()[-1].strip("| ").split("|")]
    claimed, taken, silent, bad, reported = (int(cell.strip("*").replace(",", "")) for cell in cells[1:6])
    # One call in a hundred is answered 200 by a proxy, and the hook takes that for delivered.
    assert silent == claimed - taken
    assert silent - bad == 75
    assert claimed + reported + (2 - bad) == 7_500
