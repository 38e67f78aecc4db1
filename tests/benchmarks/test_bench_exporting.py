import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from benchmarks.contenders import EXPORT, IDLE_TASK
from benchmarks.export.servers import BUCKET, Servers, running_servers
from benchmarks.settings import Settings

from benchmarks import exporting

ROWS = 3_000
COPY, UPLOAD, PEER, UNCHECKED, CHECKED = EXPORT


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with running_servers() as running:
        running.create_tables(ROWS)
        yield running


# Each starts Airflow, which takes half a minute of CPU; `make bench` runs them. What recsync's operator exports is
# tested in tests/recsync/export, and its checks without Airflow below.
LONG = pytest.mark.skipif(
    "RECSYNC_LONG_TESTS" not in os.environ, reason="takes long: RECSYNC_LONG_TESTS=1 runs it"
)
IN_AIRFLOW = [pytest.param(contender, marks=LONG) for contender in (IDLE_TASK, PEER, CHECKED)]


# The unchecked one is the checked one less the checks.
@pytest.mark.parametrize("contender", [COPY, UPLOAD, *IN_AIRFLOW], ids=lambda c: c.name)
def test_a_contender_exports_every_row(servers, contender):
    (result,) = exporting._measure(contender, servers, ROWS)

    assert result["truth"] == ("-" if contender in (COPY, IDLE_TASK) else "all 3,000")
    assert result["wall_seconds"] > 0
    assert ("task_peak_bytes" in result) == (contender in (IDLE_TASK, PEER, CHECKED))


def test_an_object_with_a_row_missing_is_no_result(servers):
    servers.empty_bucket()
    servers._s3().put_object(Bucket=BUCKET, Key=exporting._KEY, Body=b"USER_ID\n" + b"a\n" * (ROWS - 1))

    with pytest.raises(AssertionError, match=r"exported 2,999 rows, not 3,000"):
        exporting._judge(UPLOAD, {}, servers, ROWS)


@pytest.mark.long(reason="make bench checks its contenders, too")
def test_past_hours_are_counted_object_by_object(servers):
    settings = replace(Settings(), export_flat_rows=(ROWS - 1,), export_hours=12)

    (text,) = exporting._past_hours(servers, settings)

    assert text.startswith(f"12 hourly intervals with {servers.events_of_last_hours(ROWS, 12)} rows")


def test_the_ratios_are_of_the_right_pairs():
    def run(seconds: float, **more: Any) -> list[dict[str, Any]]:
        return [{"wall_seconds": seconds, "peak_rss_bytes": 9e6, **more}]

    measured = {
        COPY: run(2.0),
        UPLOAD: run(1.0),
        PEER: run(40.0, task_peak_bytes=4e9),
        UNCHECKED: run(3.0, task_peak_bytes=300e6),
        CHECKED: run(4.0, task_peak_bytes=320e6),
    }
    found = [row[1] for row in exporting._ratios(measured, idle_bytes=200e6)]
    assert found == ["2x", "1.5x", "10x", "13.3x", "1.33x", "100 MB", "120 MB"]

    found = [row[1] for row in exporting._ratios({**measured, COPY: [], CHECKED: []}, idle_bytes=None)]
    assert found == ["-", "-", "-", "13.3x", "-", "-", "-"]
