"""### Rollback

Makes a former champion the champion again: by default the one before, or `version`, the ARN of a solution version that
was champion and is still ACTIVE. Recommend runs at once with it, and push brings Braze in step.

Later hourly updates skip until the next FULL training is promoted: they would update the abandoned version. That
version is never promoted again automatically.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context

from recsync.airflow_tasks import task
from recsync.dag_kit import asset, optional_text, programs, stage_dag
from recsync.notes import note

PARAMS = {"version": optional_text("ARN of the solution version to go back to; empty: the champion before")}


@task(multiple_outputs=False, has_page=True)
def roll_back(program: str) -> dict[str, Any]:
    """Make a former champion the champion again, which starts recommend."""
    from recsync.evaluation import promotion
    from recsync.evaluation.promotion import short

    context = get_current_context()
    run = context["dag_run"]
    by = getattr(run, "triggering_user_name", None) or ""
    champion = promotion.roll_back(program, run.run_id, context["params"]["version"] or "", by)
    for outlet in context["ti"].task.outlets:
        context["outlet_events"][outlet].extra = champion
    note(f"rolled back to {short(champion['solution_version_arn'])}", page=f"/models/{program}")
    return champion


for program in programs("rollback", __file__):
    with stage_dag(program, "rollback", schedule=None, doc_md=__doc__, params=PARAMS):
        roll_back.override(outlets=[asset(program, "champion")])(program.name)
