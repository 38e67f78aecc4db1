"""### Lift

Only for programs with an `experiment`: compares the outcomes of its arms with the control's.

* **measure** reads `outcomes.sql` from before the experiment until now, joins it with the arms, and stores a report:
  users, conversion, value per user and recommended items bought; the difference of each arm with its 95 % interval and
  its always-valid interval; the sample ratio; the days until the planned effect can be detected; guardrails, which
  alert. Its log ends with the result in one sentence.

Each run reads all outcomes again, so late ones count in the next report. `until` sets another end than now;
`days_before` also makes missing reports of earlier days.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import Param, get_current_context

from recsync.airflow_tasks import task
from recsync.dag_kit import optional_text, programs, schedule, stage_dag, start_once
from recsync.notes import note

PARAMS = {
    "until": optional_text(
        "count outcomes before this moment, ISO 8601; empty: the time of the run", format="date-time"
    ),
    "days_before": Param(
        0,
        type="integer",
        minimum=0,
        maximum=365,
        description="also make missing reports of this number of earlier days",
    ),
}


@task(has_page=True)
def measure(program: str) -> str:
    """Compare the arms of the experiment, and return the verdict."""
    from recsync.lift.run import measure

    context = get_current_context()
    run, params = context["dag_run"], context["params"]
    moment = datetime.fromisoformat(params["until"]) if params["until"] else run.run_after
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    verdict = measure(program, run.run_id, moment, days_before=params["days_before"])
    note(verdict.rstrip("."), page=f"/experiments/{program}")
    return verdict


for program in programs("lift", __file__):
    if program.experiment is None:
        continue
    due = schedule(program, "lift")
    with stage_dag(program, "lift", schedule=due, doc_md=__doc__, params=PARAMS) as dag:
        measure(program.name)
        start_once(dag, program, "lift")
