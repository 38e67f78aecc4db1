"""Add up an experiment's outcomes by arm, in DuckDB and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from recsync.experiments.statistics import Moments, VarianceComponents
from recsync.program.experiment import CONVERSION
from recsync.storage.duck import quoted_path

DAY_SECONDS = 86_400


@dataclass(frozen=True)
class ArmSums:
    """The sums of one arm's people until a moment.

    :param moved: people who changed their arm, by their last one; no other figure includes them.
    :param value: of the value per user, with the pre-period.
    :param converted: of having a conversion; only the counts are used.
    :param recommended: of the number of recommended items bought per user.
    :param events: users by guardrail event.
    """

    moved: int
    delivered: int
    value: Moments
    converted: Moments
    recommended: Moments
    total: float
    bought_recommended: int
    events: Mapping[str, int]


@dataclass(frozen=True)
class Figures:
    """The sums of an experiment until a moment.

    :param before: mean value of the pre-period over all people.
    :param has_before: whether the query returned conversions from before the experiment.
    :param spread: variance components of the values per user and day; None without values.
    :param by_day: rows by UTC day (days since 1970).
    :param enrolled: people by time of their enrolment (Unix seconds).
    """

    arms: Mapping[str, ArmSums]
    before: float
    has_before: bool
    spread: VarianceComponents | None
    by_day: Mapping[int, int]
    enrolled: Mapping[int, int]

    @property
    def users(self) -> int:
        """People of all arms who never moved."""
        return sum(arm.value.users for arm in self.arms.values())


def load(
    database: duckdb.DuckDBPyConnection, enrolled: Path, outcomes: Path, arms: Iterable[str]
) -> dict[str, int]:
    """Create the tables for the other functions: ``enrolled``, ``everybody``, ``outcomes`` and ``bought``.

    :param enrolled: Parquet file of ``ENROLLED``; ``outcomes``: of ``OUTCOMES``.
    :returns: number of repeated rows, rows of unknown users, and refunds.
    """
    names = ", ".join(f"'{arm}'" for arm in arms)
    source = f"(FROM read_parquet({quoted_path(enrolled)}) WHERE arm IN ({names}))"
    # The other tables refer to people by number: the ids of ten million people would take most of the memory.
    database.execute(
        "CREATE TABLE everybody AS SELECT row_number() OVER ()::INTEGER AS person, user_id, external_id, since FROM "
        f"(SELECT user_id, any_value(external_id) AS external_id, min(since) AS since FROM {source} GROUP BY 1)"
    )
    database.execute(
        "CREATE TABLE enrolled AS SELECT person, arm, e.since, e.until "
        f"FROM {source} e JOIN everybody USING (user_id)"
    )
    database.execute(
        "CREATE TABLE known AS SELECT person, happened, coalesce(value, 0) AS value, item_id, event, "
        "CASE WHEN outcome_id IS NOT NULL THEN hash(outcome_id) END AS key "
        f"FROM read_parquet({quoted_path(outcomes)}) JOIN everybody USING (user_id)"
    )
    # Keep one row per outcome_id: services such as Currents deliver at least once.
    database.execute(
        "CREATE TABLE outcomes AS SELECT row_number() OVER () AS n, person, happened, value, item_id, event, "
        f"event = '{CONVERSION}' AS conversion, value < 0 AS refund FROM (SELECT * FROM known WHERE key IS NULL "
        "UNION ALL (SELECT DISTINCT ON (key) * FROM known WHERE key IS NOT NULL))"
    )
    rows, known, different, refunds = database.sql(
        f"SELECT (SELECT count(*) FROM read_parquet({quoted_path(outcomes)})), (SELECT count(*) FROM known), "
        "(SELECT count(*) FROM outcomes), (SELECT count(*) FROM outcomes WHERE refund)"
    ).fetchall()[0]
    database.execute("DROP TABLE known")
    database.execute(
        "CREATE TABLE bought AS SELECT n, external_id, item_id, happened, since FROM outcomes "
        "JOIN everybody USING (person) WHERE conversion AND NOT refund AND item_id IS NOT NULL AND happened >= since"
    )
    return {"repeated": known - different, "unknown user": rows - known, "refunds": refunds}


def select_people(database: duckdb.DuckDBPyConnection, moment: int) -> None:
    """Create the table ``people``: those with one arm only until a moment; ``persons`` has the movers too."""
    database.execute(
        "CREATE OR REPLACE TABLE persons AS SELECT person, arg_max(arm, since) AS arm, min(since) AS since, "
        f"count(*) = 1 AND bool_and(until IS NULL OR until >= {moment}) AS stayed "
        f"FROM enrolled WHERE since < {moment} GROUP BY 1"
    )
    database.execute("CREATE OR REPLACE TABLE people AS SELECT * EXCLUDE (stayed) FROM persons WHERE stayed")


def figures_by_arm(
    database: duckdb.DuckDBPyConnection,
    arms: Sequence[str],
    moment: int,
    pre_days: int,
    guardrails: Iterable[str],
) -> Figures:
    """Sum the outcomes of each arm until a moment; ``load``, ``select_people`` and ``load_exposure`` must run first.

    Everybody counts in their arm, from their enrolment on.
    """
    database.execute("CREATE OR REPLACE TABLE marked AS SELECT DISTINCT n FROM recommended")
    rows = database.sql(
        "WITH counted AS (SELECT person, sum(o.value) AS y, bool_or(NOT o.refund) AS c, count(m.n) AS r "
        "  FROM outcomes o JOIN people p USING (person) LEFT JOIN marked m USING (n) "
        f"  WHERE o.conversion AND o.happened >= p.since AND o.happened < {moment} GROUP BY 1), "
        "former AS (SELECT person, sum(o.value) AS x FROM outcomes o JOIN people p USING (person) "
        "  WHERE o.conversion AND o.happened < p.since "
        f"  AND o.happened >= p.since - {pre_days * DAY_SECONDS} GROUP BY 1), "
        "wide AS (SELECT arm, coalesce(y, 0) AS y, coalesce(x, 0) AS x, coalesce(r, 0)::DOUBLE AS r, "
        "  coalesce(c, false) AS c, d.person IS NOT NULL AS d FROM people LEFT JOIN counted USING (person) "
        f"  LEFT JOIN former USING (person) LEFT JOIN (SELECT * FROM delivered WHERE sent < {moment}) d "
        "  USING (person)) "
        "SELECT arm, count(*), count(*) FILTER (y <> 0), avg(y), coalesce(var_samp(y), 0), avg(x), "
        "coalesce(var_samp(x), 0), coalesce(covar_samp(y, x), 0), sum(y), count(*) FILTER (c), "
        "count(*) FILTER (r > 0), avg(r), coalesce(var_samp(r), 0), sum(r)::BIGINT, count(*) FILTER (d) "
        "FROM wide GROUP BY 1"
    ).fetchall()
    by_arm = {row[0]: row[1:] for row in rows}
    events = _events(database, moment, guardrails)
    moved = dict(database.sql("SELECT arm, count(*) FROM persons WHERE NOT stayed GROUP BY 1").fetchall())
    sums = {arm: _sums(by_arm.get(arm), moved.get(arm, 0), events.get(arm, {})) for arm in arms}
    people = sum(each.value.users for each in sums.values())
    before = sum(each.value.users * each.value.before for each in sums.values()) / people if people else 0.0
    first = database.sql("SELECT min(since) FROM people").fetchall()[0][0]
    has_before = bool(pre_days) and database.sql(
        "SELECT EXISTS (FROM outcomes o JOIN people p USING (person) WHERE conversion AND o.happened < p.since)"
    ).fetchall() == [(True,)]
    days = pre_days if has_before else (moment - (first or moment)) // DAY_SECONDS
    by_day = database.sql(
        f"SELECT happened // {DAY_SECONDS}, count(*) FROM outcomes "
        f"WHERE happened < {moment} AND happened >= {first or moment} GROUP BY 1"
    ).fetchall()
    enrolled = database.sql("SELECT since, count(*) FROM people GROUP BY 1").fetchall()
    spread = _spread(database, days, moment, before=has_before)
    return Figures(sums, before, has_before, spread, dict(by_day), dict(enrolled))


def _sums(row: Sequence[float] | None, moved: int, events: Mapping[str, int]) -> ArmSums:
    if row is None:
        nobody = Moments(0, 0, 0.0, 0.0)
        return ArmSums(moved, 0, nobody, nobody, nobody, 0.0, 0, events)
    users, positive, y, var_y, x, var_x, covariance, total, converted, with_r, r, var_r, sum_r, sent = row
    value = Moments(int(users), int(positive), y, var_y, x, var_x, covariance)
    share = converted / users
    conversion = Moments(int(users), int(converted), share, share * (1 - share))
    recommended = Moments(int(users), int(with_r), r, var_r)
    return ArmSums(moved, int(sent), value, conversion, recommended, float(total), int(sum_r), events)


def _events(
    database: duckdb.DuckDBPyConnection, moment: int, guardrails: Iterable[str]
) -> dict[str, dict[str, int]]:
    """Count the users of each arm with each guardrail event."""
    found: dict[str, dict[str, int]] = {}
    for event in guardrails:
        rows = database.execute(
            "SELECT arm, count(DISTINCT person) FROM outcomes o JOIN people p USING (person) "
            "WHERE o.event = ? AND o.happened >= p.since AND o.happened < ? GROUP BY 1",
            [event, moment],
        ).fetchall()
        for arm, users in rows:
            found.setdefault(arm, {})[event] = users
    return found


def _spread(
    database: duckdb.DuckDBPyConnection, days: int, moment: int, *, before: bool
) -> VarianceComponents | None:
    """Estimate the variance components: in the pre-period, else in the first days after enrolment.

    :param before: whether there is a pre-period of ``days``.
    """
    if days < 1:
        return None
    since = f"o.happened - (p.since - {days * DAY_SECONDS})" if before else "o.happened - p.since"
    length = days * DAY_SECONDS
    # Without a pre-period, people who were enrolled later have fewer days.
    all_people = "true" if before else f"since <= {moment - length}"
    users, total, squares, sums = database.sql(
        f"WITH whole AS (SELECT * FROM people WHERE {all_people}), "
        f"daily AS (SELECT person, ({since}) // {DAY_SECONDS} AS day, sum(value) AS v FROM outcomes o "
        f"  JOIN whole p USING (person) WHERE o.conversion AND {since} >= 0 AND {since} < {length} "
        f"  AND o.happened < {moment} GROUP BY 1, 2), "
        "totals AS (SELECT person, sum(v) AS t, sum(v * v) AS s FROM daily GROUP BY 1) "
        "SELECT (SELECT count(*) FROM whole), coalesce(sum(t), 0), coalesce(sum(s), 0), coalesce(sum(t * t), 0) "
        "FROM totals"
    ).fetchall()[0]
    if not users:
        return None
    mean = total / users / days
    return VarianceComponents.of(
        days, mean, squares / users / days - mean**2, sums / users - (mean * days) ** 2
    )
