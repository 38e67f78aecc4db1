"""ARNs and waits of one kind of resource."""

from __future__ import annotations

import pytest

from airflow_personalize.resource import Arn, ready
from airflow_personalize.resources import CAMPAIGN, DATASET, SOLUTION_VERSION

GROUP = "arn:aws-cn:personalize:cn-north-1:123456789012:dataset-group/shop"


def test_an_arn_keeps_partition_region_and_account():
    request = {"datasetGroupArn": GROUP, "datasetType": "ITEMS", "name": "anything"}
    assert DATASET.arn_of(request) == "arn:aws-cn:personalize:cn-north-1:123456789012:dataset/shop/ITEMS"


def test_a_campaign_takes_account_and_region_from_its_solution_version():
    version = "arn:aws:personalize:eu-west-1:123456789012:solution/up/0a1b2c3d"
    arn = CAMPAIGN.arn_of({"solutionVersionArn": version, "name": "mail"})
    assert arn == "arn:aws:personalize:eu-west-1:123456789012:campaign/mail"


@pytest.mark.parametrize("text", ["", "shop", "arn:aws:personalize:eu-west-1", "urn:a:b:c:d:e"])
def test_what_is_no_arn_is_refused(text):
    with pytest.raises(ValueError, match="is not an ARN"):
        Arn.parse(text)


def test_polls_cover_the_patience():
    assert ready(SOLUTION_VERSION).polls(60) == 24 * 60
    assert ready(SOLUTION_VERSION).polls(7) == 12343  # rounded up
    assert ready(SOLUTION_VERSION).polls(0) == 24 * 3600
