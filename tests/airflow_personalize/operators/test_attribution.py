"""Metric attributions in the running local Personalize."""

from __future__ import annotations

import pytest
from local_shop import ROLE
from operator_runs import run

from airflow_personalize.errors import PersonalizeFatalError
from airflow_personalize.operators import (
    PersonalizeCreateMetricAttributionOperator,
    PersonalizeDeleteMetricAttributionOperator,
    PersonalizeUpdateMetricAttributionOperator,
)


def test_a_metric_attribution_is_changed_by_what_is_missing(account, shop):
    bought = {"eventType": "buy", "metricName": "bought", "expression": "SAMPLECOUNT()"}
    turnover = {"eventType": "buy", "metricName": "turnover", "expression": "SUM(Items.PRICE)"}
    made = {
        "metric_attribution_name": "shop",
        "dataset_group_arn": shop.group,
        "metrics": [bought],
        "role_arn": ROLE,
        "output_path": account.location("metrics/"),
    }
    arn = run(PersonalizeCreateMetricAttributionOperator, **made)
    assert run(PersonalizeCreateMetricAttributionOperator, **made) == arn
    with pytest.raises(PersonalizeFatalError, match=r"metrics: asked for .*turnover"):
        run(PersonalizeCreateMetricAttributionOperator, **{**made, "metrics": [bought, turnover]})
    changes = {"metric_attribution_arn": arn, "add_metrics": [turnover], "remove_metrics": ["bought"]}
    for _ in range(2):
        assert run(PersonalizeUpdateMetricAttributionOperator, **changes) == arn
    viewed = {**turnover, "eventType": "view"}
    run(
        PersonalizeUpdateMetricAttributionOperator,
        metric_attribution_arn=arn,
        add_metrics=[viewed],
        remove_metrics=["turnover"],
    )
    changed = {**made, "metrics": [viewed]}
    assert run(PersonalizeCreateMetricAttributionOperator, **changed) == arn
    run(PersonalizeDeleteMetricAttributionOperator, metric_attribution_arn=arn)
    assert run(PersonalizeDeleteMetricAttributionOperator, metric_attribution_arn=arn) == arn


def test_an_output_of_a_metric_attribution_is_not_passed_over_for_want_of_a_role():
    with pytest.raises(ValueError, match="output_path but no role_arn"):
        PersonalizeUpdateMetricAttributionOperator(
            task_id="t", metric_attribution_arn="arn:a", output_path="s3://b/reports/"
        )
