"""include/iam against what the code calls: nothing that is missing, nothing that is too much."""

from __future__ import annotations

import importlib
import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import pytest

from recsync.program import DatasetType
from recsync.storage.keys import Keys, enrolment

REPO = Path(__file__).resolve().parents[2]
IAM = REPO / "include" / "iam"
# What each boto3 method of recsync's Bucket needs. `copy` and `upload_file` cut large objects into parts.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
S3_ACTIONS = {
    "put_object": {"s3:PutObject"},
    "create_multipart_upload": {"s3:PutObject"},
    "upload_part": {"s3:PutObject"},
    "complete_multipart_upload": {"s3:PutObject"},
    "delete_objects": {"s3:DeleteObject"},
    "abort_multipart_upload": {"s3:AbortMultipartUpload"},
    "upload_file": {"s3:PutObject", "s3:AbortMultipartUpload"},
    "download_file": {"s3:GetObject"},
    "get_object": {"s3:GetObject"},
    "head_object": {"s3:GetObject"},
    "copy": {"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"},
    "delete_object": {"s3:DeleteObject"},
    "list_objects_v2": {"s3:ListBucket"},
    "get_bucket_versioning": {"s3:GetBucketVersioning"},
}


MODULES = ("resources", "jobs", "inference", "delete", "update", "attribution", "events")


KEYS = Keys("shop")
READ_BY_PERSONALIZE = (
    KEYS.full("run", DatasetType.ITEMS),
    KEYS.import_object("run", DatasetType.INTERACTIONS, "20261129T0000Z"),
    KEYS.batch_input("run"),
    KEYS.segment_input("run"),
    KEYS.erasure("name", "input/users.csv"),
)
NOT_FOR_PERSONALIZE = (
    KEYS.state("suppression.json"),
    KEYS.recommendations_manifest("run"),
    KEYS.erasure("name", "request.json"),
    KEYS.delivery("delivery") + "dead_letters.jsonl",
    # An experiment may be named like a folder that Amazon Personalize reads.
    enrolment("mail", "full") + "enrolled/00000001-run.parquet",
    enrolment("imports", "autumn") + "enrolled/00000001-run.parquet",
)


def allows(document: dict[str, Any], action: str, key: str) -> bool:
    """Evaluate the S3 statements for one object; a Deny wins. In IAM, ``*`` matches slashes too."""
    effects = [
        statement["Effect"]
        for statement in document["Statement"]
        if "Condition" not in statement or "aws:SourceArn" in str(statement["Condition"])
        if any(fnmatchcase(action, pattern) for pattern in listed(statement["Action"]))
        if any(
            fnmatchcase(f"arn:aws:s3:::BUCKET/{key}", pattern) for pattern in listed(statement["Resource"])
        )
    ]
    return "Allow" in effects and "Deny" not in effects


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def policy(name: str) -> dict[str, Any]:
    return json.loads((IAM / f"{name}.json").read_text())


def actions(document: dict[str, Any], service: str) -> set[str]:
    listed = [statement["Action"] for statement in document["Statement"] if statement["Effect"] == "Allow"]
    every = {action for group in listed for action in ([group] if isinstance(group, str) else group)}
    return {action for action in every if action.startswith(f"{service}:")}


def called_on_s3() -> set[str]:
    files = ("storage/bucket.py", "storage/object_writer.py", "warehouse/hooks/unload.py")
    code = "".join((REPO / "plugins/recsync" / name).read_text() for name in files)
    methods = set(re.findall(r"client\.(\w+)\(", code)) - {"get_paginator"}
    return methods | set(re.findall(r'get_paginator\("(\w+)"\)', code))


def boto_operation(method: str) -> str:
    """Name the operation of a boto3 method."""
    return method.title().replace("_", "")


def called_on_personalize() -> set[str]:
    """Name the operations behind the operators that the DAGs use."""
    folders = (REPO / "dags", REPO / "plugins/recsync/task_groups", REPO / "plugins/recsync/recommend")
    # A retirement has a policy of its own.
    texts = [path.read_text() for f in folders for path in f.glob("*.py") if path.name != "retire.py"]
    names = set(re.findall(r"\bPersonalize(?:Create|Get|Delete|List|Update)\w+Operator\b", "".join(texts)))
    operators = {
        name: getattr(importlib.import_module(module), name)
        for module in (f"airflow_personalize.operators.{m}" for m in MODULES)
        for name in names
        if hasattr(importlib.import_module(module), name)
    }
    assert set(operators) == names
    used = {"GetSolutionMetrics", "StopSolutionVersionCreation"}
    for name, operator in operators.items():
        if resource := getattr(operator, "resource", None):
            kind = resource.member[0].upper() + resource.member[1:]
            verb = next(verb for verb in ("Delete", "Update", "Create") if verb in name)
            used |= {f"{verb}{kind}", f"Describe{kind}", f"List{kind}s"}
            used |= {boto_operation(resource.listed_apart[1])} if resource.listed_apart else set()
    # What has no operator of its own in the DAGs.
    clients = (REPO / "plugins/recsync/recommend/campaign_inference.py").read_text()
    used |= {boto_operation(word) for word in re.findall(r"client\.(get_\w+)", clients)}
    if "hook.delete(FILTER" in (REPO / "plugins/recsync/recommend/filters.py").read_text():
        used.add("DeleteFilter")
    puts = (REPO / "plugins/recsync/imports/streaming.py").read_text()
    used |= {boto_operation(word) for word in set(re.findall(r"\bPUT_\w+", puts))}
    used |= called_by_maintain()
    return {f"personalize:{operation}" for operation in used}


def called_by_maintain() -> set[str]:
    """Name the operations that the maintain stage alone needs."""
    text = (REPO / "plugins/recsync/maintain/resources.py").read_text()
    removed = re.findall(r"^        ([A-Z_]+): \w*decide", text, re.MULTILINE)
    made_by_hand = re.findall(r"for resource in \(([^)]+)\)", text)[0].split(", ")
    made_by_hand += ["RECOMMENDER"] if "hook.listed(RECOMMENDER)" in text else []
    assert removed
    camel = [{"verb": "Delete", "kind": kind, "end": ""} for kind in removed]
    camel += [{"verb": "List", "kind": kind, "end": "s"} for kind in made_by_hand]
    return {f"{e['verb']}{e['kind'].title().replace('_', '')}{e['end']}" for e in camel}


def test_airflow_may_do_what_the_dags_do_and_no_more() -> None:
    airflow = policy("airflow-policy")
    assert called_on_s3() <= set(S3_ACTIONS)
    assert actions(airflow, "s3") == set().union(*(S3_ACTIONS[method] for method in called_on_s3()))
    assert actions(airflow, "personalize") == called_on_personalize()
    assert actions(airflow, "iam") == {"iam:PassRole"}
    assert len(called_on_personalize()) > 20


def test_deleting_and_stopping_is_limited_to_names_of_the_program() -> None:
    for statement in policy("airflow-policy")["Statement"]:
        ends_something = [a for a in listed(statement["Action"]) if re.match(r"personalize:(Delete|Stop)", a)]
        assert not ends_something or statement["Resource"] == "arn:aws:personalize:REGION:ACCOUNT:*/PROGRAM*"


def test_a_retirement_may_delete_all_that_a_dataset_group_holds() -> None:
    contents = (REPO / "plugins/airflow_personalize/hooks/personalize_client.py").read_text()
    # Recommenders are of domain dataset groups, which recsync does not make.
    held = set(re.findall(r"_of_group\(hook, ([A-Z_]+),", contents)) - {"RECOMMENDER"} | {
        "DATASET_GROUP",
        "CAMPAIGN",
    }
    kinds = {kind.title().replace("_", "") for kind in held}
    needed = {f"personalize:{verb}{kind}" for kind in kinds for verb in ("Delete", "Describe")}
    always, retiring = (actions(policy(name), "personalize") for name in ("airflow-policy", "retire-policy"))
    assert needed <= always | retiring
    # The stages may delete the one that has the program's name, a retirement every one of the dataset group.
    by_hand = {"personalize:DeleteMetricAttribution"}
    assert retiring <= needed - (always - by_hand)


def test_every_personalize_action_is_an_operation() -> None:
    model = boto3.client("personalize", region_name="us-east-1").meta.service_model
    listed = {
        action.removeprefix("personalize:") for action in actions(policy("airflow-policy"), "personalize")
    }
    # IAM knows one prefix for all three.
    others = (
        boto3.client(f"personalize-{name}", region_name="us-east-1").meta.service_model
        for name in ("runtime", "events")
    )
    assert listed <= {*model.operation_names, *(name for other in others for name in other.operation_names)}


def test_personalize_may_read_and_write_the_bucket_from_this_account_only() -> None:
    needed = {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}
    assert actions(policy("personalize-role-policy"), "s3") == needed
    assert actions(policy("bucket-policy"), "s3") == needed
    for name in ("personalize-role-policy", "bucket-policy"):
        assert all(allows(policy(name), "s3:GetObject", key) for key in READ_BY_PERSONALIZE)
        assert allows(policy(name), "s3:PutObject", KEYS.batch_output("run") + "users.json.out")
        assert allows(policy(name), "s3:PutObject", KEYS.attribution_reports + "report.csv")
        assert not any(allows(policy(name), "s3:GetObject", key) for key in NOT_FOR_PERSONALIZE)
    for name in ("bucket-policy", "personalize-role-trust"):
        statement = policy(name)["Statement"][0]
        assert statement["Principal"] == {"Service": "personalize.amazonaws.com"}
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "ACCOUNT"}


@pytest.mark.parametrize("path", sorted(IAM.glob("*.json")), ids=lambda path: path.stem)
def test_nothing_is_allowed_on_everything(path: Path) -> None:
    for statement in json.loads(path.read_text())["Statement"]:
        if statement["Effect"] != "Allow":
            continue
        granted = actions({"Statement": [statement]}, "s3") | actions({"Statement": [statement]}, "iam")
        assert not [action for action in granted if action.endswith("*")]
        if statement["Action"] == "cloudwatch:PutMetricData":  # it has no resources, only a namespace
            assert statement["Condition"] == {"StringEquals": {"cloudwatch:namespace": "AWS/Personalize"}}
        elif statement["Action"] == "personalize:PutEvents":
            # The reference asks for the wildcard: docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutEvents.html
            assert statement["Resource"] == "*"
        elif statement.get("Resource") == "*":
            assert {a.split(":")[1][:4] for a in statement["Action"]} == {"List"}
        assert "*" not in str(statement.get("Principal", ""))


def test_the_page_explains_every_file_and_every_braze_permission_is_one_that_the_client_needs() -> None:
    page = (REPO / "docs/real-services.md").read_text()
    assert [path.name for path in IAM.glob("*.json") if f"`{path.name}`" not in page] == []
    clients = REPO / "plugins/braze_client"
    code = "".join((clients / name).read_text() for name in ("client.py",))
    # https://www.braze.com/docs/api/basics#rest-api-key
    permissions = {
        "track_attributes": {"users.track", "users.track.bulk"},
        "export_users": {"users.export.ids"},
        "catalogs": {"catalogs.get"},
        "create_catalog": {"catalogs.create"},
        "put_catalog_items": {"catalogs.replace_items"},
        "delete_catalog_items": {"catalogs.delete_items"},
        "catalog_item": {"catalogs.get_item"},
        "catalog_items": {"catalogs.get_items"},
        "delete_users": {"users.delete"},
    }
    verbs = set(re.findall(r"^    (?:async )?def ([a-z]\w+)\(", code, re.MULTILINE)) & permissions.keys()
    assert verbs == permissions.keys()
    stages = "".join(path.read_text() for path in (REPO / "plugins/recsync").rglob("*.py"))
    called = {verb for verb in verbs if f"client.{verb}(" in stages}
    listed = set(re.findall(r"^\| `((?:users|catalogs)\.[\w.]+)` \|", page, re.MULTILINE))
    assert listed == set().union(*(permissions[verb] for verb in called))
