"""The operators of the push DAG: plan, approve, deliver, verify."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from recsync.airflow_tasks import WithholdsRecords
from recsync.notes import PageLink, link_to, note

if TYPE_CHECKING:
    from airflow.sdk import Context

# pyarrow and DuckDB are heavy: the stages are imported when a task runs, so that DAG files parse fast.

# By then the next day's recommendations are published.
_RESPONSE_TIMEOUT = timedelta(hours=24)


class BrazePlanDeliveryOperator(WithholdsRecords, BaseOperator):
    """Plan what must be written so that Braze shows the recommendations; nothing is sent.

    :param program: name of the program; its file names the connection and the attributes.
    :param recommendations: the recommend run to deliver; empty takes the newest. (templated) Scheduled and triggered
        runs ignore what ``make push`` published, and a scheduled one skips when the newest was pushed already.
    :param plan_only: ``true``: write the plan and sample payloads, which are not delivered. (templated)
    :param replay: send the dead letters of this delivery again instead; empty for none. (templated)
    :param resync: ``true``: write every user, whatever was sent before. (templated)
    :param allow_removals: ``true``: users may lose their lists, however many. (templated)
    :return: the plan's figures and estimate; ``delivery`` is its name.
    """

    template_fields: Sequence[str] = ("recommendations", "plan_only", "replay", "resync", "allow_removals")
    operator_extra_links = (PageLink(),)
    ui_color = "#ffe3d8"

    def __init__(
        self,
        *,
        program: str,
        recommendations: str = "",
        plan_only: str | bool = False,
        replay: str = "",
        resync: str | bool = False,
        allow_removals: str | bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.program = program
        self.recommendations = recommendations
        self.plan_only = plan_only
        self.replay = replay
        self.resync = resync
        self.allow_removals = allow_removals

    def execute(self, context: Context) -> dict[str, Any]:
        from recsync.costs.budget import delivery_cost
        from recsync.push.plan import SupersededError, plan, summary
        from recsync.push.replay import replay

        run_id, dry_run = context["run_id"], _is_true(self.plan_only)
        if self.replay:
            manifest = replay(self.program, self.replay, dag_run=run_id, dry_run=dry_run)
        else:
            try:
                manifest = plan(
                    self.program,
                    self.recommendations or None,
                    dag_run=run_id,
                    run_type=context["dag_run"].run_type,
                    dry_run=dry_run,
                    resync=_is_true(self.resync),
                    allow_removals=_is_true(self.allow_removals),
                )
            except SupersededError as error:
                raise AirflowSkipException(str(error)) from None
        page = f"/deliveries/{self.program}/{manifest.delivery}"
        planned = f"{manifest.figures.writes:,} lists and {manifest.figures.removals:,} removals planned"
        note(f"dry run: {planned}" if dry_run else planned, page=page, of_run=dry_run)
        cost = delivery_cost(self.program, manifest.delivery, manifest.estimate.data_points)
        return {**summary(manifest), "cost": cost}


class BrazeApproveDeliveryOperator(WithholdsRecords, ApprovalOperator):
    """Ask for approval, with the plan's figures, before a large delivery or one that removes many lists.

    :param program: name of the program.
    :param plan: the plan's figures, as the planning task returned them. (templated)
    :param above_users: ask when more users than this would be written.
    :param response_timeout: after this the task fails, and nothing is delivered. Default: 24 hours.
    """

    template_fields: Sequence[str] = (*ApprovalOperator.template_fields, "plan")
    operator_extra_links = (PageLink(),)
    ui_color = "#ffe3d8"

    def __init__(
        self,
        *,
        program: str,
        plan: Any,
        above_users: int,
        response_timeout: timedelta = _RESPONSE_TIMEOUT,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            subject="Deliver recommendations to Braze?", body="", response_timeout=response_timeout, **kwargs
        )
        self.program = program
        self.plan = plan
        self.above_users = above_users

    def execute(self, context: Context) -> Any:
        if self.plan["dry_run"]:
            raise AirflowSkipException("A dry run delivers nothing, so there is nothing to approve.")
        if self.plan["people"] <= self.above_users and not self.plan.get("brake"):
            people, limit = self.plan["people"], self.above_users
            note(f"{people:,} people to write, no more than {limit:,}: no approval needed", of_run=False)
            return None
        link_to(f"/deliveries/{self.program}/{self.plan['delivery']}")
        self.body = _question(self.plan)
        return super().execute(context)


class BrazeDeliveryBaseOperator(WithholdsRecords, BaseOperator):
    """Common parameters of the steps after the plan.

    :param program: name of the program.
    :param delivery: name of the plan, as the planning task returned it. (templated)
    """

    template_fields: Sequence[str] = ("delivery",)
    operator_extra_links = (PageLink(),)
    ui_color = "#ffe3d8"

    def __init__(self, *, program: str, delivery: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.program = program
        self.delivery = delivery


class BrazeDeliverOperator(BrazeDeliveryBaseOperator):
    """Send a plan to Braze and account for every user; a retry goes on where the earlier try stopped.

    https://www.braze.com/docs/api/endpoints/user_data/post_user_track/

    :return: the delivery's report.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        from recsync.push.deliver import DryRunError, deliver

        link_to(f"/deliveries/{self.program}/{self.delivery}")
        try:
            report = deliver(self.program, self.delivery)
        except DryRunError as error:
            raise AirflowSkipException(str(error)) from None
        note(_sentence(report.outcomes))
        return asdict(report)


class BrazeVerifyDeliveryOperator(BrazeDeliveryBaseOperator):
    """Read a sample of a delivery back from Braze, and write again what Braze lost.

    https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier/

    :return: the number of users read back, drifted and repaired.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        from recsync.push.verify import verify

        link_to(f"/deliveries/{self.program}/{self.delivery}")
        found = verify(self.program, self.delivery, dag_run=context["run_id"])
        if found["skipped"]:
            note(f"no one was read back: {found['skipped'].rstrip('.')}")
        elif found["drifted"]:
            note(f"{found['drifted']:,} people differed and were written again")
        else:
            note(f"{found['read_back']:,} people read back, all as sent", of_run=False)
        return found


def _is_true(value: str | bool) -> bool:
    return str(value).lower() == "true"


def _sentence(outcomes: dict[str, int]) -> str:
    """Write the people by outcome: sent and rejected always, other outcomes only when not 0."""
    always = ("sent", "rejected")
    shown = [name for name in outcomes if name in always or outcomes[name]]
    return ", ".join(f"{outcomes[name]:,} {name.replace('_', ' ')}" for name in shown)


def _question(plan: dict[str, Any]) -> str:
    rows = {
        "people of the audience": plan["audience"],
        "get another list": plan["writes"],
        "lose their list": plan["removals"],
        **({"of them held out by the experiment": plan["held_out"]} if plan.get("held_out") else {}),
        "outside the audience, lose their list": plan["left_audience"],
        "requests": plan["requests"],
        "minutes at the rate limit": plan["minutes"],
        "data points": plan["data_points"],
        **({"of them for the date of unchanged lists": plan["refreshed"]} if plan.get("refreshed") else {}),
        **{f"not written: {outcome}": people for outcome, people in plan["settled"].items()},
    }
    table = "\n".join(f"| {name} | {value:,} |" for name, value in rows.items())
    title = f"Delivery `{plan['delivery']}` of recommendations `{plan['recommendations']}`"
    if plan.get("resync"):
        title += ", a resync: everybody is written anew"
    if plan.get("brake"):
        title += f"\n\n**Many lists go: {plan['brake']}.** Missing input looks like this; approve it if it is meant."
    return f"{title}\n\n| | |\n|---|---|\n{table}\n\n{plan.get('cost', '')}"
