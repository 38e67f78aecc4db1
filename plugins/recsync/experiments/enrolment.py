"""Give the people of an audience their arms, and record who is in which arm since when.

The shares are written to the layer document first, then a new table of people is uploaded, then a small document is
changed to point to it. A run that is killed in between leaves at most an unreferenced table, and its retry is safe.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsync import settings
from recsync.context import StageContext
from recsync.errors import FatalError
from recsync.experiments import layer as layers
from recsync.experiments.assignment import (
    BUCKETS,
    OUTSIDE,
    assign_within_strata,
    person_buckets,
    salted_hashes,
)
from recsync.experiments.layer import LayerExperiment, ProgramFiles
from recsync.experiments.store import ENROLLED, EnrolmentStore, LayerStore
from recsync.program import Experiment, Program
from recsync.program.files import read_programs
from recsync.storage.duck import opened, quoted_path
from recsync.suppression.store import PERSON, USER, Suppression, read_suppression

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 200_000
_HASHED = pa.schema(
    [
        ("user_id", pa.string()),
        ("external_id", pa.string()),
        ("stratum", pa.string()),
        # Null for people who are assigned within their stratum.
        ("arm", pa.string()),
        ("draw", pa.uint64()),
    ]
)


@dataclass(frozen=True)
class Assignment:
    """The arms of the people of one recommend run.

    :param people: number of people of the audience by arm; under the empty text, those outside the experiment.
    :param enrolled: number of them who are in an arm for the first time.
    :param moved: number of them who changed their arm or left it.
    """

    experiment: str
    layer: str
    people: Mapping[str, int]
    enrolled: int
    moved: int


def assign_arms(
    context: StageContext,
    run: str,
    moment: datetime,
    audience: Path,
    folder: Path,
    *,
    strata: Path | None = None,
) -> Assignment | None:
    """Give each person of an audience an arm, and record it.

    Experiments that no program file has any more end here, too.

    :param run: key of the recommend run.
    :param moment: when the run was created; a retry has the same one.
    :param audience: Parquet with ``user_id`` and ``external_id``. It is replaced by the same rows, sorted, with the
        last column ``arm``: empty for people outside the experiment, and for everybody without an experiment.
    :param folder: for temporary files.
    :param strata: with ``experiment.stratify_by``: Parquet with ``user_id`` and ``stratum``. Missing people and people
        without a value are together in one more stratum.
    :returns: None when the program has no experiment.
    :raises FatalError: when another program runs the experiment, or its layer has too few free buckets.
    """
    experiment, at = context.program.experiment, moment.isoformat()
    end_missing_experiments(context, run, at)
    work = folder / "arms"
    work.mkdir(exist_ok=True)
    with opened(work) as connection:
        if experiment is None:
            _write_arms(connection, audience, None)
            return None
        entry = _reconcile_layer(context, experiment, run, at)
        if experiment.stratify_by and strata is None:
            raise FatalError("experiment.stratify_by needs the strata of the audience.")
        return _enrol(context, experiment, entry, run, moment, audience, strata, work, connection)


def program_files() -> Callable[[str], ProgramFiles]:
    """Read the program files, and return a function that finds the experiments of a layer in them."""
    sound, broken = read_programs(settings.include_folder())
    return lambda layer: _files_of(layer, sound, broken)


def _files_of(layer: str, sound: Mapping[str, Program], broken: Collection[str]) -> ProgramFiles:
    owners: dict[str, tuple[str, ...]] = {}
    for name, program in sound.items():
        experiment = program.experiment
        if experiment and experiment.layer_name == layer:
            owners[experiment.name] = (*owners.get(experiment.name, ()), name)
    return ProgramFiles(owners, frozenset(broken))


def check_layer(context: StageContext, moment: datetime) -> None:
    """Check that the program may run its experiment, and change nothing.

    :raises FatalError: when a run would be refused: another program runs the experiment, its layer has too few free
        buckets, or ``stratify_by`` changed.
    """
    experiment, at = context.program.experiment, moment.isoformat()
    if experiment is not None:
        files = program_files()(experiment.layer_name)
        layer = context.store(LayerStore).document(experiment.layer_name).get()
        layer = layers.end_missing(layer, files, at=at, run="")
        layers.reconcile(layer, experiment, context.program.name, files, at=at, run="")


def end_missing_experiments(context: StageContext, run: str, at: str) -> None:
    """End the experiments of all layers that no program file has any more."""
    store = context.store(LayerStore)
    files_of = program_files()
    for name in store.names():
        files, before = files_of(name), store.document(name).get()
        if layers.end_missing(before, files, at=at, run=run) == before:
            continue
        after = store.document(name).update(
            lambda layer, files=files: layers.end_missing(layer, files, at=at, run=run)  # type: ignore[misc]
        )
        for ended in before.running.keys() - after.running.keys():
            log.warning("Experiment %s of layer %s ended: no program file has it any more", ended, name)


def _reconcile_layer(context: StageContext, experiment: Experiment, run: str, at: str) -> LayerExperiment:
    """Bring the document of the layer in line with the program file."""
    document = context.store(LayerStore).document(experiment.layer_name)
    program, files = context.program.name, program_files()(experiment.layer_name)
    before = len(document.get().changes)
    layer = document.update(lambda found: layers.reconcile(found, experiment, program, files, at=at, run=run))
    for change in layer.changes[before:]:
        log.warning(
            "Experiment %s, %s: %s became %s; %d of %d buckets moved",
            change.experiment, change.what, dict(change.before), dict(change.after), change.moved, BUCKETS,
        )  # fmt: skip
    return layer.experiments[experiment.name]


def _enrol(
    context: StageContext,
    experiment: Experiment,
    entry: LayerExperiment,
    run: str,
    moment: datetime,
    audience: Path,
    strata: Path | None,
    folder: Path,
    connection: duckdb.DuckDBPyConnection,
) -> Assignment:
    store, layer = context.store(EnrolmentStore), experiment.layer_name
    enrolment, etag = store.read(layer, experiment.name)
    former, table = store.download(enrolment, folder / "enrolled.parquet"), folder / "enrolled-now.parquet"
    _open_enrolled(connection, former)
    _write_hashed(connection, audience, strata, experiment, entry, folder / "hashed.parquet")
    connection.execute(
        f"CREATE VIEW hashed AS SELECT * FROM read_parquet({quoted_path(folder / 'hashed.parquet')})"
    )
    if experiment.stratify_by:
        claimed = len(entry.allocation.claimed) / BUCKETS
        # Buckets beyond the shares (they shrank) count as one more arm: its people are outside the experiment.
        shares = {OUTSIDE: max(claimed - experiment.share, 0), **experiment.shares}
        assign_within_strata(
            connection, experiment.name, shares, rebalance=enrolment.revision != entry.revision
        )
    else:
        connection.execute("CREATE VIEW assigned AS SELECT user_id, external_id, stratum, arm FROM hashed")
    _find_erased(connection, read_suppression(context))
    enrolled, moved, renamed = _differences(connection)
    if enrolled or moved or renamed or enrolment.revision != entry.revision:
        changed = replace(enrolment, revision=entry.revision, run=run)
        if enrolled or moved or renamed or former is None:
            changed = replace(changed, people=_write_enrolled(connection, int(moment.timestamp()), table))
        store.publish(layer, experiment.name, changed, table if table.exists() else None, etag)
    people = _write_arms(connection, audience, [*experiment.arms])
    log.info(
        "Experiment %s: %s; %d people are new, %d have another arm",
        experiment.name, ", ".join(f"{arm or 'outside'} {n:,}" for arm, n in people.items()), enrolled, moved,
    )  # fmt: skip
    return Assignment(experiment.name, layer, people, enrolled, moved)


def _open_enrolled(connection: duckdb.DuckDBPyConnection, former: Path | None) -> None:
    """Create the views ``history`` (all former rows) and ``present`` (rows of the current arms)."""
    if former is None:
        columns = ", ".join(
            f"NULL::{'BIGINT' if f.type == pa.int64() else 'VARCHAR'} AS {f.name}" for f in ENROLLED
        )
        connection.execute(f"CREATE VIEW history AS SELECT {columns} WHERE false")
    else:
        connection.execute(f"CREATE VIEW history AS SELECT * FROM read_parquet({quoted_path(former)})")
    connection.execute("CREATE VIEW present AS SELECT * FROM history WHERE until IS NULL")


def _write_hashed(
    connection: duckdb.DuckDBPyConnection,
    audience: Path,
    strata: Path | None,
    experiment: Experiment,
    entry: LayerExperiment,
    target: Path,
) -> None:
    """Write each person once with the arm of their bucket (``_HASHED``)."""
    # One user_id may have several addresses: all of them are in one arm.
    people = f"SELECT user_id, min(external_id) AS external_id FROM read_parquet({quoted_path(audience)}) GROUP BY 1"
    query = f"SELECT user_id, external_id, NULL::VARCHAR AS stratum FROM ({people})"
    if strata:
        values = f"SELECT user_id, min(stratum::VARCHAR) AS stratum FROM read_parquet({quoted_path(strata)}) GROUP BY 1"
        query = (
            f"SELECT user_id, external_id, coalesce(stratum, '') AS stratum FROM ({people}) LEFT JOIN ({values}) "
            "USING (user_id)"
        )
    names = [OUTSIDE] if experiment.stratify_by else [*experiment.arms]
    # The last entry is for buckets of other experiments and free ones.
    arms = pa.array([None if experiment.stratify_by else name for name in names] + [OUTSIDE], pa.string())
    table = entry.allocation.table(names)
    with pq.ParquetWriter(target, _HASHED, compression="zstd") as writer:
        for batch in connection.sql(query).fetch_record_batch(_ROWS_AT_ONCE):
            ids = batch["user_id"].cast(pa.string())
            places = table[person_buckets(experiment.layer_name, ids)].astype(np.int64)
            places[places < 0] = len(names)
            draw = salted_hashes(f"{experiment.name}/draw", ids)
            columns = [
                ids,
                batch["external_id"],
                batch["stratum"],
                arms.take(pa.array(places)),
                pa.array(draw),
            ]
            writer.write_batch(
                pa.RecordBatch.from_arrays(
                    [column.cast(field.type) for column, field in zip(columns, _HASHED, strict=True)],
                    schema=_HASHED,
                )
            )


def _find_erased(connection: duckdb.DuckDBPyConnection, suppression: Suppression) -> None:
    """Create the table ``erased``: former people who must not be written again.

    The history may have been read before an erasure removed them from it. People of the audience need no check: it was
    read without erased people.
    """
    connection.execute("CREATE TABLE erased (user_id VARCHAR)")
    if not suppression:
        return
    absent = connection.sql("SELECT user_id, external_id FROM history ANTI JOIN hashed USING (user_id)")
    found: list[list[str]] = []
    for batch in absent.fetch_record_batch(_ROWS_AT_ONCE):
        rows = suppression.mask(USER, batch["user_id"]) | suppression.mask(PERSON, batch["external_id"])
        found += [[user] for user in batch["user_id"].filter(pa.array(rows)).to_pylist()]
    if found:
        connection.executemany("INSERT INTO erased VALUES (?)", found)


def _differences(connection: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
    """Return how many people are new, changed their arm, and changed only their identifier in Braze."""
    # People outside the experiment are recorded only with strata.
    connection.execute(
        "CREATE VIEW recorded AS SELECT * FROM assigned WHERE arm <> '' OR stratum IS NOT NULL"
    )
    new = connection.sql("SELECT user_id FROM recorded ANTI JOIN present USING (user_id)")
    both = connection.sql(
        "SELECT p.arm <> a.arm AS moved, p.external_id <> a.external_id AS renamed "
        "FROM assigned a JOIN present p USING (user_id)"
    )
    return len(new), len(both.filter("moved")), len(both.filter("renamed AND NOT moved"))


def _write_enrolled(connection: duckdb.DuckDBPyConnection, since: int, target: Path) -> dict[str, int]:
    """Write the new table of people (``ENROLLED``), and return the people by arm."""
    former = (
        "SELECT h.user_id, coalesce(a.external_id, h.external_id) AS external_id, h.arm, h.stratum, h.since, "
        f"CASE WHEN h.until IS NULL AND a.arm <> h.arm THEN greatest({since}, h.since) ELSE h.until END AS until "
        "FROM history h LEFT JOIN assigned a USING (user_id) ANTI JOIN erased e USING (user_id)"
    )
    # A cleared run may be older than the arm that it changes; GREATEST ignores NULL.
    new = (
        f"SELECT r.user_id, r.external_id, r.arm, r.stratum, greatest({since}, p.since), NULL "
        "FROM recorded r LEFT JOIN present p USING (user_id) WHERE p.arm IS DISTINCT FROM r.arm"
    )
    ordered = connection.sql(
        f"SELECT * FROM ({former} UNION ALL {new}) ORDER BY user_id, since, until NULLS LAST"
    )
    with pq.ParquetWriter(target, ENROLLED, compression="zstd") as writer:
        for batch in ordered.fetch_record_batch(_ROWS_AT_ONCE):
            writer.write_batch(batch.cast(ENROLLED))
    counted = connection.sql(
        f"SELECT arm, count(*) FROM read_parquet({quoted_path(target)}) WHERE until IS NULL AND arm <> '' GROUP BY 1 "
        "ORDER BY 1"
    )
    return {arm: int(people) for arm, people in counted.fetchall()}


def _write_arms(
    connection: duckdb.DuckDBPyConnection, audience: Path, arms: list[str] | None
) -> dict[str, int]:
    """Write the column ``arm`` into the audience, and return the people by arm."""
    written, source = audience.with_suffix(".arms"), f"read_parquet({quoted_path(audience)})"
    columns = [name for name in pq.read_schema(audience).names if name != "arm"]
    query = f"SELECT {', '.join(columns)}, '' AS arm FROM {source}"
    if arms is not None:
        named = ", ".join(f"a.{column}" for column in columns)
        query = f"SELECT {named}, f.arm FROM {source} a JOIN assigned f USING (user_id)"
    connection.sql(query).order("ALL").write_parquet(str(written), compression="zstd")
    written.replace(audience)
    counted = connection.sql(f"SELECT arm, count(*) FROM {source} GROUP BY 1").fetchall()
    found = {arm: int(people) for arm, people in counted}
    return {arm: found.get(arm, 0) for arm in (*(arms or ()), OUTSIDE)}
