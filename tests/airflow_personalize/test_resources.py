"""The table of resources agrees with botocore's own model of the service."""

from __future__ import annotations

import botocore.session
import pytest

from airflow_personalize.resources import RESOURCES, SOLUTION_VERSION
from airflow_personalize.triggers import personalize

MODEL = botocore.session.get_session().get_service_model("personalize")


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
        apart = resource.listed_apart and resource.listed_apart[0] == compared.path
        assert apart or has(described, compared.path)


@pytest.mark.parametrize(
    "resource", [each for each in RESOURCES if each.update], ids=lambda each: each.member
)
def test_every_update_is_in_the_service_model(resource):
    asked = operation("Update", resource).input_shape
    described = operation("Describe", resource).output_shape.members[resource.member]
    assert resource.arn_member in asked.members
    for compared in resource.update.compared:
        assert has(asked, compared.path)
        assert has(described, compared.found or compared.path)
        assert resource.update.member is None or has(described, f"{resource.update.member}.{compared.path}")


def test_every_resource_that_can_be_updated_or_deleted_has_its_way():
    updated = {name.removeprefix("Update") for name in MODEL.operation_names if name.startswith("Update")}
    deleted = {name.removeprefix("Delete") for name in MODEL.operation_names if name.startswith("Delete")}
    created = {name.removeprefix("Create") for name in MODEL.operation_names if name.startswith("Create")}
    words = {each: each.member[0].upper() + each.member[1:] for each in RESOURCES}
    assert {words[each] for each in RESOURCES if each.update} == updated
    assert set(words.values()) == created
    for each, word in words.items():
        trigger = hasattr(personalize, f"Personalize{word}DeletedTrigger")
        assert trigger == (word in deleted)
        # What nothing deletes uses up its name.
        assert each.single_use == (word not in deleted)


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
