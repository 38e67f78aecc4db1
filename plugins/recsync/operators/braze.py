"""Deliver recommendations to Braze."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

from recsync.airflow_errors import fatal_errors_fail_the_task

if TYPE_CHECKING:
    from airflow.sdk import Context


class BrazePushRecommendationsOperator(BaseOperator):
    """Bring Braze in step with published recommendations; only what differs is sent.

    A retry goes on where the killed try stopped. Recommendations older than those already pushed are
    skipped. https://www.braze.com/docs/api/endpoints/user_data/post_user_track/

    :param program: name of the program; its file names the connection and the attribute.
    :param recommendations: the recommend run to push; empty pushes the newest. (templated)
    :return: the delivery's report; ``rejected`` counts people by reason, the ten most frequent ones.
    """

    template_fields: Sequence[str] = ("recommendations",)
    ui_color = "#ffe3d8"

    def __init__(self, *, program: str, recommendations: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.program = program
        self.recommendations = recommendations

    def execute(self, context: Context) -> dict[str, Any]:
        """Push, and return the report."""
        # pyarrow is heavy; a DAG file that imports this operator must parse fast.
        from recsync.stages.push import SupersededError, choose, part_name, push

        with fatal_errors_fail_the_task():
            try:
                manifest = choose(self.program, self.recommendations or None)
            except SupersededError as error:
                raise AirflowSkipException(str(error)) from None
            report = push(self.program, manifest, part=part_name(manifest))
        self.log.info("Delivery of %s: %s", report.recommendations, report.outcomes)
        # The report on S3 names who was rejected; XCom and logs only count.
        return {**asdict(report), "rejected": dict(Counter(report.rejected.values()).most_common(10))}
