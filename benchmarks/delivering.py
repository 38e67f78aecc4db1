"""The experiments on the delivery stage: speed against latency, transports, faults, a rate limit."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.contenders import DELIVERY, TRANSPORTS, Contender
from benchmarks.data import ATTRIBUTE, OBJECTS_PER_CALL, DeliveryData, delivery_data, quoted_items, user_id
from benchmarks.places import folder
from benchmarks.processes import ContenderFailedError, Sink, run_prepared, running_sink
from benchmarks.settings import Settings
from benchmarks.sink_rules import is_refused
from benchmarks.tables import median, megabytes, number, ratio, table

_CALLS_AT_ONCE = 10  # contenders with batching of their own get users for ten calls at a time
_NOT_INSTALLED = "not installed: run make bench"
_NO_END_SECONDS = 1e9
_LIMIT = (60, 3)  # requests, seconds
_PROGRAMS = 2
_HOOK = "Airflow HttpHook.run in a loop"
_COLUMNS = [
    "",
    "connections",
    "users/s",
    "calls/s",
    "x of floor",
    "x of HttpHook",
    "CPU us/call",
    "peak MB",
    "users at the sink",
]


@dataclass(frozen=True)
class Cell:
    """One contender under one condition."""

    contender: Contender
    delay_ms: int
    scheme: str = "http"


def speed(sink: Sink, settings: Settings) -> Iterator[str]:
    """Yield one table per delay and scheme."""
    yield (
        f"Up to {settings.delivery_users:,} users, {OBJECTS_PER_CALL} per call (13.5 KB). Peers hold their users "
        "as dicts in memory before the clock starts; the floor holds finished requests. "
        f"Whoever is not through after {settings.cell_seconds:g} s is stopped there."
    )
    for scheme, delays in (("http", settings.delays_ms), ("https", settings.tls_delays_ms)):
        for delay_ms in delays:
            contenders = [contender for contender in DELIVERY if contender.speed]
            yield f"**{delay_ms} ms answers{', TLS' if scheme == 'https' else ''}**"
            yield _speed_table([Cell(each, delay_ms, scheme) for each in contenders], sink, settings)


def transports(sink: Sink, settings: Settings) -> Iterator[str]:
    """Yield tables of bare transports: the same prepared bodies, no retries, no limiter, no bookkeeping."""
    ours = [contender for contender in DELIVERY if contender.role == "recsync"]
    for connections in settings.transport_connections:
        contenders = [replace(each, connections=connections) for each in TRANSPORTS + ours]
        for scheme in ("http", "https"):
            for delay_ms in settings.transport_delays_ms:
                yield f"**{connections} connections, {delay_ms} ms answers{', TLS' if scheme == 'https' else ''}**"
                yield _speed_table([Cell(each, delay_ms, scheme) for each in contenders], sink, settings)
                if line := _wrk(sink, connections, delay_ms, scheme, settings):
                    yield line


def _speed_table(cells: Sequence[Cell], sink: Sink, settings: Settings) -> str:
    data = delivery_data(settings.delivery_users)
    measured = [(cell, _measure(cell, data, sink, settings)) for cell in cells]
    rates = {cell.contender.name: median(runs, "rate") for cell, runs in measured if runs}
    floor = max((rate for name, rate in rates.items() if name.startswith("floor")), default=None)
    rows = [_speed_row(cell, runs, floor, rates.get(_HOOK)) for cell, runs in measured]
    return table(_COLUMNS, rows)


def _measure(cell: Cell, data: DeliveryData, sink: Sink, settings: Settings) -> list[dict[str, Any]]:
    """Run a cell once, or three times where that is quick; [] when it cannot run."""
    runs: list[dict[str, Any]] = []
    while cell.contender.is_installed and len(runs) < settings.repeats:
        sink.set(delay_seconds=cell.delay_ms / 1_000)
        try:
            result = run_prepared(cell.contender, options(cell, data, sink, settings)).result()
        except ContenderFailedError as error:
            print(error, flush=True)
            return []
        arrived = sink.stats()
        result["rate"] = result["claimed"] / result["wall_seconds"]
        result["calls"] = arrived["requests"]
        result["truth"] = _truth(result["claimed"], arrived)
        runs.append(result)
        if result["wall_seconds"] > settings.repeat_below_seconds:
            break
    return runs


def options(cell: Cell, data: DeliveryData, sink: Sink, settings: Settings) -> dict[str, Any]:
    """Return what a delivery contender is told."""
    return {
        "kind": "delivery",
        "url": sink.url(cell.scheme),
        "certificate": str(sink.certificate) if cell.scheme == "https" else None,
        "connections": cell.contender.connections,
        "users": data.users,
        "objects": str(data.objects),
        "bodies": str(data.bodies),
        "attribute": ATTRIBUTE,
        "seconds": settings.cell_seconds,
        "most_users": _most_users(cell, settings),
    }


def _most_users(cell: Cell, settings: Settings) -> int | None:
    if cell.contender.connections > 1 or not cell.delay_ms:
        return None
    calls = settings.cell_seconds / (cell.delay_ms / 1_000)
    return math.ceil(calls / _CALLS_AT_ONCE + 1) * _CALLS_AT_ONCE * OBJECTS_PER_CALL


def _truth(claimed: int, arrived: dict[str, Any]) -> str:
    if claimed == arrived["users"] == arrived["objects"]:
        return "all claimed"
    return f"claimed {claimed:,}, distinct {arrived['users']:,}, objects {arrived['objects']:,}"


def _speed_row(cell: Cell, runs: list[dict[str, Any]], floor: float | None, hook: float | None) -> list[str]:
    contender = cell.contender
    if not runs:
        reason = "failed" if contender.is_installed else _NOT_INSTALLED
        return [contender.name, str(contender.connections), reason, *["-"] * 6]
    rate, wall, calls = median(runs, "rate"), median(runs, "wall_seconds"), median(runs, "calls")
    return [
        contender.name + (f" (x{len(runs)})" if len(runs) > 1 else ""),
        str(contender.connections),
        number(rate),
        number(calls / wall),
        ratio(rate, floor),
        ratio(rate, hook),
        number(median(runs, "cpu_seconds") / calls * 1e6),
        megabytes(median(runs, "peak_rss_bytes")),
        runs[-1]["truth"],
    ]


def faults(settings: Settings) -> Iterator[str]:
    """Yield the table of who says what is not so."""
    data = delivery_data(settings.fault_users)
    refused = sum(is_refused(user_id(number)) for number in range(data.users))
    yield (
        f"{data.users:,} users; 5 % of the calls are answered 429, 2 % 502, 1 % 200 with a proxy's HTML page (none "
        f"of these is taken), and {refused} users are bad records that a 201 names in its `errors`. Each error "
        "that a client raises is caught and the loop goes on, which is kinder than most programs are. *Lost in "
        "silence*: claimed as sent, never taken. *Lost with an error*: neither claimed nor taken, without the bad "
        "records. *Sent yet reported failed*: taken, but not claimed."
    )
    columns = [
        "",
        "claimed as sent",
        "taken",
        "**lost in silence**",
        "of them bad records",
        "lost with an error",
    ]
    columns += ["sent yet reported failed", "wrong values", "calls", "seconds"]
    yield table(columns, _at_once(_fault_row, [each for each in DELIVERY if each.faults], data))


def _at_once(
    row: Callable[[Contender, DeliveryData, Sink], list[str]], contenders: list[Contender], data: DeliveryData
) -> list[list[str]]:
    """Return each contender's row. They mostly wait, so they run at the same time, each with its own sink."""

    def measure(contender: Contender) -> list[str]:
        if not contender.is_installed:
            return [contender.name, _NOT_INSTALLED]
        try:
            with running_sink() as sink:
                return row(contender, data, sink)
        except ContenderFailedError as error:
            return [contender.name, str(error)]

    with ThreadPoolExecutor(max_workers=len(contenders)) as pool:
        return list(pool.map(measure, contenders))


def _fault_row(contender: Contender, data: DeliveryData, sink: Sink) -> list[str]:
    sink.set(faults=True, delay_seconds=0.002)
    run = run_prepared(contender, _unhurried(contender, data, sink))
    result = run.result()
    taken, claimed = sink.users(), set(run.claimed())
    everyone = {user_id(number) for number in range(data.users)}
    bad = {user for user in everyone if is_refused(user)}
    wrong = sum(_is_wrong(user, attributes) for user, attributes in taken.items())
    return [
        contender.name,
        f"{len(claimed):,}",
        f"{len(taken):,}",
        f"**{len(claimed - taken.keys()):,}**",
        f"{len((claimed & bad) - taken.keys()):,}",
        f"{len(everyone - bad - claimed - taken.keys()):,}",
        f"{len(taken.keys() - claimed):,}",
        f"{wrong:,}",
        f"{sink.stats()['requests']:,}",
        number(result["wall_seconds"]),
    ]


def _unhurried(contender: Contender, data: DeliveryData, sink: Sink) -> dict[str, Any]:
    return options(Cell(contender, 0), data, sink, replace(Settings(), cell_seconds=_NO_END_SECONDS))


def _is_wrong(user: str, attributes: dict[str, Any]) -> bool:
    expected = quoted_items(int(user[1:])).replace('"', "").split(",")
    return list(attributes.values()) != [expected]


def limit(settings: Settings) -> Iterator[str]:
    """Yield the table of two programs that share 60 calls per 3 seconds."""
    data = delivery_data(settings.limit_users)
    calls = math.ceil(data.users / OBJECTS_PER_CALL) * _PROGRAMS
    yield (
        f"Two programs at once, {data.users:,} users each: {calls} calls under {_LIMIT[0]} per {_LIMIT[1]} s "
        f"(windows aligned to the clock), so {_ideal_seconds(data):g} s at best; up to one window less for who "
        "begins at the end of one. A call that is refused and not repeated leaves its users unsent."
    )
    columns = [
        "",
        "seconds",
        "x of ideal",
        "refused calls",
        "refused share",
        "users unsent",
        "users claimed",
    ]
    yield table(columns, _at_once(_limit_row, [each for each in DELIVERY if each.limit], data))


def _ideal_seconds(data: DeliveryData) -> float:
    return math.ceil(data.users / OBJECTS_PER_CALL) * _PROGRAMS / _LIMIT[0] * _LIMIT[1]


def _limit_row(contender: Contender, data: DeliveryData, sink: Sink) -> list[str]:
    sink.set(limit=_LIMIT, delay_seconds=0.01)
    told = _unhurried(contender, data, sink)
    runs = [run_prepared(contender, told, program) for program in range(_PROGRAMS)]
    claimed = sum(run.result()["claimed"] for run in runs)
    arrived = sink.stats()
    refused = arrived["statuses"].get("429", 0)
    return [
        contender.name,
        number(arrived["seconds"]),
        ratio(arrived["seconds"], _ideal_seconds(data)),
        f"{refused:,}",
        f"{refused / max(arrived['requests'], 1):.1%}",
        f"{data.users * _PROGRAMS - arrived['objects']:,}",
        f"{claimed:,}",
    ]


def _wrk(sink: Sink, connections: int, delay_ms: int, scheme: str, settings: Settings) -> str:
    """Return what wrk reaches with one body again and again, where wrk is on PATH."""
    program = shutil.which("wrk")
    if not program:
        return ""
    with delivery_data(settings.delivery_users).bodies.open() as file:
        body = file.readline().strip()
    script = folder("scratch") / "post.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [=[{body}]=]\n'
    )
    sink.set(delay_seconds=delay_ms / 1_000)
    command = [
        program,
        "-t1",
        f"-c{connections}",
        "-d3s",
        "-s",
        str(script),
        f"{sink.url(scheme)}/users/track",
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rates = [line.split()[-1] for line in output.splitlines() if line.startswith("Requests/sec")]
    return f"wrk, one thread: {number(float(rates[0]))} calls/s" if rates else "wrk gave no figure"
