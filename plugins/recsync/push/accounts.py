"""Account for every user of a delivery, and derive the next last-sent state."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsync.errors import FatalError
from recsync.push.diff import select_state
from recsync.push.ledger import Ledger, Status
from recsync.push.plan_format import PARTS, UNANSWERED_FILE, PlanFigures
from recsync.storage import duck
from recsync.storage.hashes import number_column, text_column


class Outcome(StrEnum):
    """The outcome of one user of the audience; exactly one each.

    ``SENT``: Braze took a changed attribute. ``UNCHANGED``: Braze has the same values already. ``REMOVED``: the user
    has no list any more, and Braze took the removal. ``REJECTED``: Braze refused the user, with a reason.
    ``DEAD_LETTERED``: no clear response for this user alone, after every try; replayable. ``SUPPRESSED``: no list, and
    nothing in Braze. ``DEFERRED``: over a cap; the next delivery writes them. ``KEPT``: the batch output has no answer
    for the user, who keeps the list that Braze has. ``HELD_OUT``: in an arm of the experiment that gets nothing, and
    nothing in Braze; an earlier list is ``REMOVED`` first, once.
    """

    SENT = "sent"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    REJECTED = "rejected"
    DEAD_LETTERED = "dead_lettered"
    SUPPRESSED = "suppressed"
    DEFERRED = "deferred"
    KEPT = "kept"
    HELD_OUT = "held_out"


# Each DuckDB thread has its own buffers: a second one takes 35 MB more for 500,000 rows and saves no CPU.
_THREADS = 1
# The writer holds one row group: 13 MB less than with groups of DuckDB's usual size.
_PARQUET = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480"

# Braze's words for an unknown user (``_update_existing_only``), and ours where Braze reports no error.
_NOBODY = "not an existing user"
UNKNOWN_TO_BRAZE = f"unknown to Braze: {_NOBODY}, and update_existing_only creates none"


def is_unknown(reason: str) -> bool:
    """Return whether a refusal means that Braze does not know the user."""
    return _NOBODY in reason


@dataclass(frozen=True)
class DeliveryAccount:
    """The counts of a delivery.

    :param outcomes: users by :class:`Outcome`; the sum is the audience.
    :param reasons: users by reason, for those who were not sent.
    :param left_audience: users outside the audience who lost the attributes.
    :param left_audience_kept: those of them who still have them, because Braze refused or never answered.
    :param data_points: of what Braze took, as Braze bills it:
        https://www.braze.com/docs/user_guide/data/infrastructure/data_points
    :param left_behind: users who still have earlier values: rejected, given up, deferred or kept, and sent before.
    """

    audience: int
    outcomes: dict[str, int]
    reasons: dict[str, int]
    left_audience: int
    left_audience_kept: int
    data_points: int
    left_behind: int


def settle(
    folder: Path, figures: PlanFigures, ledger: Ledger, state: Path | None, target: Path, work: Path
) -> DeliveryAccount:
    """Write the account of every user of the audience, and check that it adds up.

    :param folder: the plan's files.
    :param target: Parquet file to write: external_id, outcome, reason, data_points.
    :raises FatalError: when a write is not settled, or a user is counted twice or not at all.
    """
    if not ledger.complete:
        raise FatalError(
            f"{len(ledger.open_rows)} writes are not settled; the delivery cannot be closed yet."
        )
    if len(ledger.statuses) != figures.total_rows:
        raise FatalError(
            f"The delivery does not add up: its plan has {figures.total_rows} writes, and its ledger "
            f"{len(ledger.statuses)}. The last-sent state was not changed; please report this."
        )
    with duck.opened(work, threads=_THREADS) as database:
        _register(database, folder, figures, ledger)
        database.execute(
            f"COPY (SELECT external_id, outcome, reason, 0::BIGINT AS data_points "
            f"  FROM read_parquet('{folder / 'settled.parquet'}') "
            "UNION ALL SELECT external_id, outcome, reason, data_points FROM written WHERE in_audience "
            # One person is found by the statistics of the row groups.
            "ORDER BY external_id"
            f") TO '{target}' ({_PARQUET})"
        )
        accounts = f"read_parquet('{target}')"
        outcomes = dict(database.sql(f"SELECT outcome, count(*) FROM {accounts} GROUP BY 1").fetchall())
        reasons = database.sql(
            f"SELECT reason, count(*) FROM {accounts} WHERE reason <> '' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20"
        ).fetchall()
        left = "FROM written WHERE NOT in_audience"
        points = f"SELECT data_points FROM {accounts} UNION ALL SELECT data_points {left}"
        removed = _value(database, f"SELECT count(*) {left} AND outcome = '{Outcome.REMOVED}'")
        account = DeliveryAccount(
            audience=figures.audience,
            outcomes={outcome.value: outcomes.get(outcome, 0) for outcome in Outcome},
            reasons=dict(reasons),
            left_audience=removed,
            left_audience_kept=_value(database, f"SELECT count(*) {left}") - removed,
            data_points=_value(database, f"SELECT coalesce(sum(data_points), 0)::BIGINT FROM ({points})"),
            left_behind=_left_behind(database, accounts, state),
        )
    # Once DuckDB has returned its memory.
    _prove(figures.audience, outcomes, _different_people(target))
    return account


def _different_people(accounts: Path) -> int:
    """Count the different ids of a file that is sorted by them, in the memory of one row group."""
    count, last = 0, None
    with pq.ParquetFile(accounts) as file:
        for batch in file.iter_batches(columns=["external_id"]):
            ids = batch.column("external_id")
            is_new = pc.not_equal(ids[1:], ids[:-1])
            count += pc.sum(is_new).as_py() or 0
            count += len(ids) > 0 and ids[0].as_py() != last
            last = ids[-1].as_py() if len(ids) else last
    return count


def _left_behind(database: duckdb.DuckDBPyConnection, accounts: str, state: Path | None) -> int:
    if state is None:
        return 0
    outcomes = f"'{Outcome.REJECTED}', '{Outcome.DEAD_LETTERED}', '{Outcome.DEFERRED}', '{Outcome.KEPT}'"
    return _value(
        database,
        f"SELECT count(*) FROM (SELECT external_id FROM {accounts} WHERE outcome IN ({outcomes}) "
        f"UNION ALL SELECT external_id FROM written WHERE outcome IN ({outcomes}) AND NOT in_audience) "
        f"SEMI JOIN read_parquet('{state}') USING (external_id)",
    )


def _prove(audience: int, outcomes: dict[str, int], different: int) -> None:
    counted = sum(outcomes.values())
    if counted == different == audience and not outcomes.keys() - {outcome.value for outcome in Outcome}:
        return
    raise FatalError(
        f"The delivery does not add up: {audience} people in the audience, {counted} counted, {different} different "
        f"ones: {outcomes}. The last-sent state was not changed; please report this."
    )


def merge_state(
    state: Path | None,
    folder: Path,
    figures: PlanFigures,
    ledger: Ledger,
    delivery: str,
    target: Path,
    work: Path,
    *,
    moment: int = 0,
    run_level: Collection[str] = (),
) -> None:
    """Write the new last-sent state: values that Braze took replace earlier ones, unclear ones become unknown.

    :param state: the earlier state, None when there was none.
    :param target: Parquet file to write.
    :param moment: Unix seconds of the recommendations, which confirm unchanged values too; 0: they are of none.
    :param run_level: attributes that are not confirmed unless they are written: their values differ from run to run.
    """
    with duck.opened(work, threads=_THREADS) as database:
        _register(database, folder, figures, ledger)
        former = (
            f"({select_state(state)})"
            if state
            else "(SELECT *, '' AS delivery, NULL AS kept_since, NULL AS confirmed_at FROM changed LIMIT 0)"
        )
        database.execute(
            # Only temporary tables are kept in memory as they are; others are compressed, which takes as long again.
            "CREATE TEMP TABLE changed AS SELECT external_id, change.attribute AS attribute, "
            "CASE WHEN unknown OR nobody THEN NULL ELSE change.fingerprint END AS fingerprint, unknown "
            "FROM (SELECT external_id, unnest(changes) AS change, unknown, nobody "
            f"FROM written WHERE unknown OR nobody OR outcome IN ('{Outcome.SENT}', '{Outcome.REMOVED}'))"
        )
        # A replay leaves ``kept_since`` as it is.
        unanswered, since, join = folder / UNANSWERED_FILE, "s.kept_since", ""
        if unanswered.exists():
            since, join = "u.kept_since", f"LEFT JOIN read_parquet('{unanswered}') u USING (external_id)"
        confirmed, of_run, confirmations = "confirmed_at", "NULL::BIGINT", ""
        if moment:
            names = ", ".join(f"'{name}'" for name in ("", *run_level))
            confirmed = (
                f"CASE WHEN c.external_id IS NOT NULL AND attribute NOT IN ({names}) THEN {moment} "
                "ELSE f.confirmed_at END"
            )
            of_run = str(moment)
            confirmations = (
                f"LEFT JOIN (SELECT external_id FROM read_parquet('{folder / 'settled.parquet'}') "
                f"  WHERE outcome = '{Outcome.UNCHANGED}' UNION ALL SELECT external_id FROM written "
                f"  WHERE outcome = '{Outcome.SENT}') c USING (external_id) "
            )
        database.execute(
            f"COPY (SELECT external_id, attribute, fingerprint, delivery, {since}::BIGINT AS kept_since, "
            "confirmed_at::BIGINT AS confirmed_at FROM ("
            f"SELECT external_id, attribute, fingerprint, delivery, kept_since, {confirmed} AS confirmed_at "
            f"FROM {former} f ANTI JOIN changed USING (external_id, attribute) "
            "ANTI JOIN (SELECT external_id FROM written WHERE nobody) USING (external_id) "
            f"{confirmations}UNION ALL "
            f"SELECT external_id, attribute, fingerprint, '{delivery}', NULL, {of_run} FROM changed "
            "WHERE NOT unknown AND fingerprint IS NOT NULL UNION ALL "
            # Of an unclear value Braze may still have the former one, which keeps its age.
            f"SELECT external_id, attribute, NULL, '{delivery}', NULL, coalesce(f.confirmed_at, {of_run}) "
            f"FROM (FROM changed WHERE unknown) n LEFT JOIN {former} f USING (external_id, attribute)"
            f") s {join} ORDER BY external_id) TO '{target}' ({_PARQUET})"
        )


def forget(state: Path, target: Path, work: Path) -> None:
    """Write the last-sent state into ``target`` with every fingerprint unknown, so that all users are written again."""
    with duck.opened(work) as database:
        database.execute(
            f"COPY (SELECT * REPLACE (NULL::UBIGINT AS fingerprint) FROM ({select_state(state)})) "
            f"TO '{target}' ({_PARQUET})"
        )


def taken_data_points(folder: Path, figures: PlanFigures, ledger: Ledger, work: Path) -> int:
    """Sum the data points of what Braze took, also of an incomplete delivery."""
    with duck.opened(work) as database:
        _register(database, folder, figures, ledger)
        return _value(database, "SELECT coalesce(sum(data_points), 0)::BIGINT FROM written")


def dead_letters(folder: Path, figures: PlanFigures, ledger: Ledger, work: Path) -> pa.Table:
    """Collect what Braze did not take, with reason and payload, so that it can be edited and replayed.

    :returns: columns external_id, outcome, reason, object (JSON text), changes, in_audience, removal.
    """
    with duck.opened(work) as database:
        _register(database, folder, figures, ledger)
        return database.sql(
            "SELECT external_id, outcome, reason, decode(object) AS object, changes, in_audience, removal "
            f"FROM written WHERE outcome IN ('{Outcome.REJECTED}', '{Outcome.DEAD_LETTERED}') ORDER BY row"
        ).to_arrow_table()


def _register(
    database: duckdb.DuckDBPyConnection, folder: Path, figures: PlanFigures, ledger: Ledger
) -> None:
    """Create the view ``written``: every write of the plan with its outcome, ``open`` if it has none yet."""
    first, parts = 0, []
    for part in PARTS:
        path = folder / "writes" / f"{part}.parquet"
        # A plan of an earlier version has no reasons.
        reason = "reason" if "reason" in pq.read_schema(path).names else "NULL::VARCHAR AS reason"
        parts.append(
            f"SELECT file_row_number + {first} AS row, external_id, in_audience, removal, object, changes, "
            f"data_points, {reason} FROM read_parquet('{path}', file_row_number = true)"
        )
        first += figures.rows[part]
    unknown = np.zeros(len(ledger.statuses), dtype=np.bool_)
    unknown[ledger.unknown_rows] = True
    # Nearly every row is taken: only the others are joined.
    others = np.flatnonzero(unknown | (ledger.statuses != Status.TAKEN))
    statuses = [number_column(values) for values in (others, ledger.statuses[others], unknown[others])]
    database.register("others", pa.Table.from_arrays(statuses, ["row", "status", "unknown"]))
    reasons = list(ledger.reasons.values())
    rows = number_column(np.array(list(ledger.reasons), np.int64))
    nobody_there = number_column(np.array([is_unknown(reason) for reason in reasons], np.bool_))
    why = [rows, text_column(reasons), nobody_there]
    database.register("why", pa.Table.from_arrays(why, ["row", "reason", "nobody"]))
    nobody = f"(w.status = {Status.REJECTED:d} AND w.nobody)"
    # A user unknown to Braze has nothing to remove.
    gone = f"(w.removal AND {nobody})"
    database.execute(
        "CREATE VIEW written AS SELECT w.row, w.external_id, w.in_audience, w.removal, w.object, w.changes, w.unknown, "
        f"{nobody} AS nobody, "
        f"CASE WHEN {gone} OR (w.status = {Status.TAKEN:d} AND w.removal) THEN '{Outcome.REMOVED}' "
        f"WHEN w.status = {Status.TAKEN:d} THEN '{Outcome.SENT}' "
        f"WHEN w.status = {Status.REJECTED:d} THEN '{Outcome.REJECTED}' "
        f"WHEN w.status = {Status.DEAD:d} THEN '{Outcome.DEAD_LETTERED}' ELSE 'open' END AS outcome, "
        f"CASE WHEN {gone} THEN coalesce(w.reason, '') "
        f"WHEN w.status = {Status.TAKEN:d} THEN coalesce(w.refusal, w.reason, '') "
        "ELSE coalesce(w.refusal, '') END AS reason, "
        f"CASE WHEN w.status = {Status.TAKEN:d} THEN w.data_points ELSE 0 END AS data_points "
        f"FROM (SELECT p.*, coalesce(o.status, {Status.TAKEN:d}) AS status, coalesce(o.unknown, false) AS unknown, "
        "coalesce(y.nobody, false) AS nobody, y.reason AS refusal "
        f"FROM ({' UNION ALL '.join(parts)}) p LEFT JOIN others o USING (row) LEFT JOIN why y USING (row)) w"
    )


def _value(database: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(database.sql(query).fetchall()[0][0])
