"""A shop in the running local Personalize: dataset group, rows, a trained solution version, a campaign."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from operator_runs import run

from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.operators import (
    PersonalizeCreateDatasetExportJobOperator,
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeCreateSolutionOperator,
    PersonalizeCreateSolutionVersionOperator,
)

ROLE = "arn:aws:iam::123456789012:role/personalize"


RECIPE = "arn:aws:personalize:::recipe/aws-"


USERS, EVENTS_EACH, ITEMS = 60, 20, 50


NULLABLE = ["null", "string"]


def schema(name, *fields):
    return {
        "type": "record",
        "name": name,
        "namespace": "com.amazonaws.personalize.schema",
        "version": "1.0",
        "fields": [
            {"name": field, "type": kind} | ({"categorical": True} if kind == NULLABLE else {})
            for field, kind in fields
        ],
    }


INTERACTION_FIELDS = [
    ("USER_ID", "string"),
    ("ITEM_ID", "string"),
    ("EVENT_TYPE", "string"),
    ("TIMESTAMP", "long"),
]


ITEM_FIELDS = [("ITEM_ID", "string"), ("CATEGORY", NULLABLE), ("PRICE", ["null", "float"])]


SCHEMAS = {
    "interactions": schema("Interactions", *INTERACTION_FIELDS),
    "items": schema("Items", *ITEM_FIELDS),
    "users": schema("Users", ("USER_ID", "string"), ("TIER", NULLABLE)),
}


def interactions_csv():
    """Even users like even items, odd users odd ones."""
    rows = ["USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP"]
    for user, step in itertools.product(range(USERS), range(EVENTS_EACH)):
        item = (user % 2) + 2 * ((user + step * 3) % 25)
        rows.append(
            f"u{user},i{item},{'buy' if step % 4 else 'view'},{1_700_000_000 + user * 1000 + step * 60}"
        )
    return "\n".join(rows) + "\n"


def items_csv():
    return "ITEM_ID,CATEGORY,PRICE\n" + "".join(f"i{n},c{n % 2},{n}.5\n" for n in range(ITEMS))


def users_csv():
    return "USER_ID,TIER\n" + "".join(f"u{n},t{n % 3}\n" for n in range(USERS))


def make_group(name, tags=None):
    group = run(PersonalizeCreateDatasetGroupOperator, dataset_group_name=name, tags=tags)
    datasets = {}
    for kind, text in SCHEMAS.items():
        schema_arn = run(PersonalizeCreateSchemaOperator, schema_name=f"{name}-{kind}", schema=text)
        datasets[kind] = run(
            PersonalizeCreateDatasetOperator,
            dataset_name=f"{name}-{kind}",
            dataset_type=kind.title(),
            schema_arn=schema_arn,
            dataset_group_arn=group,
        )
    return group, datasets


def import_rows(account, job_name, dataset_arn, key, text):
    return run(
        PersonalizeCreateDatasetImportJobOperator,
        job_name=job_name,
        dataset_arn=dataset_arn,
        data_location=account.put(key, text),
        role_arn=ROLE,
    )


def train(group, name, recipe="popularity-count", **more):
    solution = run(
        PersonalizeCreateSolutionOperator,
        solution_name=name,
        dataset_group_arn=group,
        recipe_arn=RECIPE + recipe,
        **more,
    )
    return solution, run(
        PersonalizeCreateSolutionVersionOperator, solution_version_name=f"{name}-full", solution_arn=solution
    )


@pytest.fixture(scope="module")
def shop(account):
    """A dataset group with rows of three types, and a trained solution version."""
    group, datasets = make_group("shop", tags={"team": "mail"})
    for kind, text in {
        "interactions": interactions_csv(),
        "items": items_csv(),
        "users": users_csv(),
    }.items():
        import_rows(account, f"shop-{kind}", datasets[kind], f"in/{kind}.csv", text)
    solution, version = train(group, "popular", tags={"team": "mail"})
    return SimpleNamespace(group=group, datasets=datasets, solution=solution, version=version)


def describe(resource, arn):
    return PersonalizeHook().describe(resource, arn)


def tags_of(arn):
    return PersonalizeHook().tags(arn)


def exported(account, shop, kind, mode, job_name):
    """Return the rows of an export, header first, as one set of lines."""
    prefix = f"exported/{job_name}/"
    run(
        PersonalizeCreateDatasetExportJobOperator,
        job_name=job_name,
        dataset_arn=shop.datasets[kind],
        output_path=account.location(prefix),
        role_arn=ROLE,
        ingestion_mode=mode,
    )
    return [line for text in account.read(prefix).values() for line in text.splitlines()]
