"""The experiment on the export stage: PostgreSQL to S3 against its floors and Airflow's own operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.contenders import EXPORT, IDLE_TASK, PAST_HOURS, Contender
from benchmarks.export.data import COLUMNS, END, EPOCH, select
from benchmarks.export.servers import Servers, running_servers
from benchmarks.places import emptied_folder
from benchmarks.processes import ContenderFailedError, Run
from benchmarks.settings import Settings
from benchmarks.tables import median, megabytes, number, ratio, table

_COLUMNS = ["", "s", "x of COPY", "CPU s", "peak MB", "above idle MB", "rows"]
# A year of hours takes longer than any one export.
_TIMEOUT_SECONDS = 3_600
_KEY = "bench/exports/full/run/interactions.csv"
_COPY, _UPLOAD, _PEER, _UNCHECKED, _CHECKED = EXPORT
Runs = list[dict[str, Any]]


def export(settings: Settings) -> Iterator[str]:
    """Yield the tables."""
    with running_servers() as servers:
        idle = _measure(IDLE_TASK, servers, settings.export_rows)
        idle_bytes = median(idle, "task_peak_bytes") if idle else None
        rows = settings.export_rows
        measured = _measure_all(servers, rows, settings.repeats)
        yield _method(rows, measured)
        floor = _seconds(measured[_COPY])
        yield table(_COLUMNS, [_row(who, runs, floor, idle_bytes) for who, runs in measured.items()])
        yield table(["", "ratio", "aim"], list(_ratios(measured, idle_bytes)))
        yield "The same by size, all checks on; memory should not grow with the rows."
        yield table(["rows", *_COLUMNS[1:]], list(_sizes(servers, settings, measured[_CHECKED], idle_bytes)))
        yield from _past_hours(servers, settings)


def _measure_all(servers: Servers, rows: int, repeats: int) -> dict[Contender, Runs]:
    servers.create_tables(rows)
    # In turn, so that a noisy minute of the machine falls on everybody.
    measured: dict[Contender, Runs] = {contender: [] for contender in EXPORT}
    for turn in range(repeats):
        for contender in EXPORT:
            if turn == 0 or measured[contender]:
                measured[contender] += _measure(contender, servers, rows)
    servers.drop_tables(rows)
    return measured


def _measure(contender: Contender, servers: Servers, rows: int, **more: Any) -> Runs:
    """Run a contender once; nothing when it fails."""
    options = {
        **more,
        "kind": "export",
        "rows": rows,
        "query": select(rows, EPOCH.isoformat(), END.isoformat()),
        "key": _KEY,
        "dsn": servers.dsn,
        "s3_url": servers.s3_url,
        "state": str(emptied_folder(f"state/{contender.module}")),
        "environment": servers.environment(),
    }
    servers.empty_bucket()
    try:
        if contender.prepares:
            Run(contender, options, function="prepare").result()
        result = Run(contender, options).result(_TIMEOUT_SECONDS)
    except ContenderFailedError as error:
        print(error, flush=True)
        return []
    if contender is not PAST_HOURS:
        _judge(contender, result, servers, rows)
    return [result]


def _past_hours(servers: Servers, settings: Settings) -> Iterator[str]:
    """Yield what hourly intervals cost without a scheduler."""
    rows, hours = settings.export_flat_rows[0], settings.export_hours
    servers.create_tables(rows)
    servers.index_time(rows)
    for result in _measure(PAST_HOURS, servers, rows, hours=hours):
        expected = servers.events_of_last_hours(rows, hours)
        objects, found = servers.count_hourly_rows()
        if (result["intervals"], objects, found) != (hours, hours, expected):
            raise AssertionError(f"{objects} of {hours} objects, {found:,} of {expected:,} rows")
        yield (
            f"{hours:,} hourly intervals with {found:,} rows, exported with all checks, reported and published without "
            f"a scheduler (`export_past`, 4 threads): {number(result['wall_seconds'])} s, "
            f"{number(hours / result['wall_seconds'])} intervals per second. The rows are all there."
        )
    servers.drop_tables(rows)


def _judge(contender: Contender, result: dict[str, Any], servers: Servers, rows: int) -> None:
    if contender in (_COPY, IDLE_TASK):
        result["truth"] = "-"
        return
    found = servers.count_rows(_KEY)
    if found != rows:
        raise AssertionError(f"{contender.name} exported {found:,} rows, not {rows:,}")
    result["truth"] = f"all {found:,}"


def _method(rows: int, measured: dict[Contender, Runs]) -> str:
    how = measured[_COPY][0]["how"] if measured[_COPY] else "failed"
    size = f"{megabytes(measured[_UPLOAD][0]['size_bytes'])} MB" if measured[_UPLOAD] else "?"
    return (
        f"{rows:,} interactions of {len(COLUMNS)} columns ({size} of CSV) from PostgreSQL to moto's S3; medians of "
        f"{len(measured[_COPY])}, in turn. The first floor is {how}. Operators run inside an Airflow task, each in a "
        "process of its own; from the begin of `execute` to its end, imports left out. Memory is the peak during "
        "`execute`, imports included, and pages that a child process shares are counted once; the idle task is one "
        "that does nothing."
    )


def _row(who: Contender, runs: Runs, floor: float | None, idle_bytes: float | None) -> list[str]:
    if not runs:
        return [who.name, "failed", *["-"] * (len(_COLUMNS) - 2)]
    seconds, peak = _seconds(runs), _peak(runs)
    above = megabytes(peak - idle_bytes) if idle_bytes and "task_peak_bytes" in runs[0] else "-"
    cpu = number(median(runs, "cpu_seconds"))
    return [
        who.name,
        number(seconds or 0),
        ratio(seconds or 0, floor),
        cpu,
        megabytes(peak),
        above,
        runs[-1]["truth"],
    ]


def _ratios(measured: dict[Contender, Runs], idle_bytes: float | None) -> Iterator[list[str]]:
    floor, peer = _seconds(measured[_COPY]), _seconds(measured[_PEER])
    ours, checked = _seconds(measured[_UNCHECKED]), _seconds(measured[_CHECKED])
    yield ["all checks / COPY to nowhere", _over(checked, floor), "at most 2.0x"]
    yield ["unchecked / COPY to nowhere", _over(ours, floor), "at most 1.7x"]
    yield ["SqlToS3Operator / all checks", _over(peer, checked), "at least 7x"]
    yield ["SqlToS3Operator / unchecked", _over(peer, ours), "at least 7x"]
    yield ["all checks / unchecked", _over(checked, ours), "at most 1.5x"]
    for name, runs in (("unchecked", measured[_UNCHECKED]), ("all checks", measured[_CHECKED])):
        above = f"{megabytes(_peak(runs) - idle_bytes)} MB" if runs and idle_bytes else "-"
        yield [f"memory above the idle task, {name}", above, "at most 150 MB"]


def _sizes(
    servers: Servers, settings: Settings, known: Runs, idle_bytes: float | None
) -> Iterator[list[str]]:
    by_rows = {settings.export_rows: known}
    for rows in settings.export_flat_rows:
        if rows not in by_rows:
            servers.create_tables(rows)
            by_rows[rows] = _measure(_CHECKED, servers, rows)
            servers.drop_tables(rows)
    for rows in sorted(by_rows):
        yield [f"{rows:,}", *_row(_CHECKED, by_rows[rows], None, idle_bytes)[1:]]


def _seconds(runs: Runs) -> float | None:
    return median(runs, "wall_seconds") if runs else None


def _peak(runs: Runs) -> float:
    return median(runs, "task_peak_bytes" if "task_peak_bytes" in runs[0] else "peak_rss_bytes")


def _over(value: float | None, base: float | None) -> str:
    return "-" if value is None else ratio(value, base)
