"""Choose whom to read back, and mark in the last-sent state whom Braze shows something else for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from recsync.push.outcomes import Outcome
from recsync.storage import duck

# Most of the sample is what was just written; the rest tells whether older values are still there.
STRATA = {Outcome.SENT: 0.6, Outcome.REMOVED: 0.2, Outcome.UNCHANGED: 0.2}

Expectation = dict[str, dict[str, int | None]]
"""Attribute -> fingerprint by external id; None when it must be gone."""


@dataclass(frozen=True)
class Delivered:
    """What a delivery left behind.

    :param accounts: its account, of the audience.
    :param removals: its plan's removals, which name those who left the audience.
    :param state: the last-sent state after it.
    """

    accounts: Path
    removals: Path
    state: Path


def sample(delivered: Delivered, attribute: str, people: int, seed: str, work: Path) -> Expectation:
    """Choose people of each outcome, and say what Braze must show for them.

    :param attribute: what must be gone from people whose list was removed.
    :param people: how many, at most; an outcome that has fewer leaves its share unused.
    :param seed: another one chooses others.
    """
    quotas = {outcome: max(1, int(people * share)) for outcome, share in STRATA.items()}
    chosen = " UNION ALL ".join(
        f"(SELECT external_id FROM accounts WHERE outcome = '{outcome}' "
        f"ORDER BY hash(external_id || '{seed}'), external_id LIMIT {quota})"
        for outcome, quota in quotas.items()
    )
    return _expect(delivered, chosen, attribute, work)


def everybody_sent(delivered: Delivered, attribute: str, work: Path) -> Expectation:
    """Say what Braze must show for everybody whom the delivery wrote."""
    chosen = f"SELECT external_id FROM accounts WHERE outcome IN ('{Outcome.SENT}', '{Outcome.REMOVED}')"
    return _expect(delivered, chosen, attribute, work)


def unmended(delivered: Delivered, work: Path) -> list[str]:
    """Name the people whom a former try marked as drifted and did not get to write again.

    Whatever a complete delivery took is known: only such a mark makes it unknown.
    """
    with duck.opened(work) as database:
        _view_accounts(database, delivered)
        rows = database.sql(
            f"SELECT DISTINCT external_id FROM accounts JOIN read_parquet('{delivered.state}') s USING (external_id) "
            f"WHERE s.fingerprint IS NULL AND outcome IN ({', '.join(repr(o.value) for o in STRATA)}) ORDER BY 1"
        ).fetchall()
    return [external_id for (external_id,) in rows]


def _expect(delivered: Delivered, chosen: str, attribute: str, work: Path) -> Expectation:
    with duck.opened(work) as database:
        _view_accounts(database, delivered)
        return _read(database, chosen, delivered.state, attribute)


def _view_accounts(database: duckdb.DuckDBPyConnection, delivered: Delivered) -> None:
    # Those who left count as removed. Of those among them whom Braze refused, the state says what they still have.
    database.execute(
        f"CREATE VIEW accounts AS SELECT external_id, outcome FROM read_parquet('{delivered.accounts}') UNION ALL "
        f"SELECT external_id, '{Outcome.REMOVED}' FROM read_parquet('{delivered.removals}') WHERE NOT in_audience"
    )


def _read(database: duckdb.DuckDBPyConnection, chosen: str, state: Path, attribute: str) -> Expectation:
    rows = database.sql(
        f"SELECT c.external_id, s.attribute, s.fingerprint FROM ({chosen}) c "
        f"LEFT JOIN read_parquet('{state}') s USING (external_id)"
    ).fetchall()
    expected: Expectation = {}
    unknown = set()
    for external_id, name, fingerprint in rows:
        if name is not None and fingerprint is None:
            unknown.add(external_id)
        expected.setdefault(external_id, {})[name or attribute] = fingerprint
    return {who: attributes for who, attributes in expected.items() if who not in unknown}


def mark_unknown(
    state: Path,
    external_ids: Sequence[str],
    attributes: Sequence[str],
    delivery: str,
    target: Path,
    work: Path,
) -> None:
    """Write the last-sent state with these people's fingerprints unknown, so that the next plan writes them anew.

    :param attributes: which somebody may have of whom the state says that nothing is left.
    :param delivery: that Braze took and did not apply.
    :param target: Parquet file to write.
    """
    with duck.opened(work) as database:
        database.register("drifted", pa.table({"external_id": pa.array(external_ids, pa.string())}))
        database.register("attributes", pa.table({"attribute": pa.array(attributes, pa.string())}))
        database.execute(
            "COPY (SELECT external_id, attribute, "
            "CASE WHEN external_id IN (SELECT external_id FROM drifted) THEN NULL ELSE fingerprint END AS fingerprint, "
            f"delivery FROM read_parquet('{state}') "
            f"UNION ALL SELECT external_id, attribute, NULL, '{delivery}' FROM drifted CROSS JOIN attributes "
            f"WHERE external_id NOT IN (SELECT external_id FROM read_parquet('{state}'))"
            f") TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        )
