"""A worked example: what became of a program's recommendations, from its tables. ``make notebook`` opens it.

A notebook of marimo, which is a plain Python file: ``python examples/notebook/deliveries.py`` runs every cell. Outputs
are not stored in it.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import os
    from datetime import UTC, datetime, timedelta

    import altair as alt
    import duckdb
    import marimo as mo

    from recsync import frames
    from recsync.tables.ddl import person_query

    return UTC, alt, datetime, duckdb, frames, mo, os, person_query, timedelta


@app.cell
def _(UTC, datetime, mo, os, timedelta):
    today = datetime.now(UTC).date()
    program = mo.ui.text(os.environ.get("PROGRAM", "grocery"), label="program")
    since = mo.ui.date(value=today - timedelta(days=30), label="since")
    until = mo.ui.date(value=today, label="until")
    mo.vstack(
        [
            mo.md("# What became of the recommendations\n\nThe columns are those of `docs/tables.md`."),
            mo.hstack([program, since, until], justify="start"),
        ]
    )
    return program, since, until


@app.cell
def _(frames, mo, program, since, until):
    days = {"since": since.value, "until": until.value}
    deliveries = frames.deliveries(program.value, **days)
    mo.stop(
        deliveries.empty,
        mo.md("No delivery is in the tables. Is `tables: {}` in the program file, and did the DAG run?"),
    )
    mo.vstack([mo.md("## Deliveries"), deliveries])
    return days, deliveries


@app.cell
def _(alt, deliveries, mo):
    outcomes_of_people = [
        "sent",
        "unchanged",
        "removed",
        "rejected",
        "dead_lettered",
        "suppressed",
        "deferred",
        "kept",
        "held_out",
    ]
    counted = deliveries.melt(["planned_at"], outcomes_of_people, "outcome", "people").query("people > 0")
    chart = (
        alt.Chart(counted)
        .mark_bar()
        .encode(x="planned_at:T", y="people:Q", color="outcome:N", tooltip=["outcome", "people"])
    )
    mo.vstack([mo.md("## People by outcome"), chart])
    return


@app.cell
def _(alt, frames, mo, program):
    versions = frames.versions(program.value)
    measured = versions.dropna(subset=["metric"]).melt(
        ["evaluated_at", "metric"], ["metric_value", "baseline_value"], "of", "value"
    )
    lines = alt.Chart(measured).mark_line(point=True).encode(x="evaluated_at:T", y="value:Q", color="of:N")
    mo.vstack([mo.md("## Metrics of evaluated versions"), lines.facet("metric:N", columns=2)])
    return


@app.cell
def _(days, deliveries, duckdb, frames, mo, program):
    assert len(deliveries)
    accounts = frames.accounts(program.value, **days)
    outcomes = frames.outcomes(program.value, **days)
    # DuckDB reads frames by the names of their variables.
    by_arm = duckdb.sql(
        """
        SELECT coalesce(arm, 'outside') AS arm, count(DISTINCT user_id) AS people,
          count(*) FILTER (WHERE outcome = 'sent') AS lists_sent,
          count(DISTINCT user_id) FILTER (WHERE user_id IN (
            SELECT user_id FROM outcomes WHERE event = 'conversion')) AS converted
        FROM accounts GROUP BY 1 ORDER BY 1
        """
    ).df()
    mo.vstack(
        [
            mo.md(
                "## Arms\n\nCounts only: whether an arm sells more is for the report of lift, with its intervals."
            ),
            by_arm,
        ]
    )
    return (accounts,)


@app.cell
def _(accounts, mo):
    known = accounts["user_id"].dropna()
    user_id = mo.ui.text(known.iloc[0] if len(known) else "", label="user_id")
    mo.vstack([mo.md("## One person"), user_id])
    return (user_id,)


@app.cell
def _(days, duckdb, frames, mo, person_query, program, since, until, user_id):
    mo.stop(not user_id.value)
    with duckdb.connect() as database:
        database.execute("CREATE SCHEMA t")
        for table in ("accounts", "lists", "deliveries", "outcomes"):
            of_person = {} if table == "deliveries" else {"user_id": user_id.value}
            database.register("frame", frames.read(table, program.value, **days, **of_person))
            database.execute(f"CREATE TABLE t.{table} AS SELECT * FROM frame")
        query = person_query("duckdb", "t", user_id.value, since.value, until.value)
        person = database.sql(query).df()
    person
    return


@app.cell
def _(frames, mo, program):
    costs = frames.costs(program.value)
    mo.vstack(
        [mo.md("## Costs"), costs.groupby(["month", "step"], as_index=False)[["quantity", "cost"]].sum()]
    )
    return


if __name__ == "__main__":
    app.run()
