"""The table of resources agrees with botocore's own model of the service."""

from __future__ import annotations

import botocore.session
import pytest

from recsync.hooks.personalize_resources import DATASET, RESOURCES, SOLUTION_VERSION, Arn

MODEL = botocore.session.get_session().get_service_model("personalize")
GROUP = "arn:aws-cn:personalize:cn-north-1:123456789012:dataset-group/shop"


def operation(verb, resource, plural=""):
    return MODEL.operation_model(f"{verb}{resource.member[0].upper()}{resource.member[1:]}{plural}")


def has(shape, path):
    for member in path.split("."):
        if member not in shape.members:
            return False
        shape = shape.members[member]
    return True


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.member)
def test_every_member_is_in_the_service_model(resource):
    create, describe = operation("Create", resource), operation("Describe", resource)
    listing = operation("List", resource, "s")
    described = describe.output_shape.members[resource.member]
    assert resource.arn_member in create.output_shape.members
    assert resource.arn_member in describe.input_shape.members
    assert has(create.input_shape, resource.name_member)
    assert has(described, resource.name_member)
    assert resource.arn_member in listing.output_shape.members[resource.listing].member.members
    assert resource.parent is None or resource.parent in listing.input_shape.members
    for compared in resource.compared:
        assert has(create.input_shape, compared.path)
        assert has(described, compared.path)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: each.member)
def test_every_required_member_is_compared(resource):
    shape = operation("Create", resource).input_shape
    compared = {each.path.split(".")[0] for each in resource.compared}
    assert set(shape.required_members) - compared <= {resource.name_member}


def test_the_solution_version_alone_shows_no_name_in_its_summary():
    nameless = {
        resource.member
        for resource in RESOURCES
        if resource.name_member
        not in operation("List", resource, "s").output_shape.members[resource.listing].member.members
    }
    assert nameless == {SOLUTION_VERSION.member}


def test_an_arn_keeps_partition_region_and_account():
    request = {"datasetGroupArn": GROUP, "datasetType": "ITEMS", "name": "anything"}
    assert DATASET.arn_of(request) == "arn:aws-cn:personalize:cn-north-1:123456789012:dataset/shop/ITEMS"


@pytest.mark.parametrize("text", ["", "shop", "arn:aws:personalize:eu-west-1", "urn:a:b:c:d:e"])
def test_what_is_no_arn_is_refused(text):
    with pytest.raises(ValueError, match="is not an ARN"):
        Arn.parse(text)


def test_polls_cover_the_patience():
    assert SOLUTION_VERSION.polls(60) == 24 * 60
    assert SOLUTION_VERSION.polls(7) == 12343  # rounded up
    assert SOLUTION_VERSION.polls(0) == 24 * 3600
