"""Test batch inference: input and output objects, line formats, options, refusals and repeatability."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from personalize_local.errors import JobFailed
from personalize_local.jobs import batch
from personalize_local.server import Server

ERROR = "User error: Required fields for the provided recipe are userId"
SCORED_LINE = re.compile(
    r'\{"input":\{"userId":"[^"]+"\},"output":\{"recommendedItems":\["i\d+"(,"i\d+")*\],'
    r'"scores":\[\d\.\d{7}(,\d\.\d{7})*\]\},"error":null\}'
)
UNSCORED_LINE = re.compile(
    r'\{"input":\{"userId":"[^"]+"\},"output":\{"recommendedItems":\["i\d+"(,"i\d+")*\]\}\}'
)


def users(*names: str) -> str:
    return "".join(json.dumps({"userId": name}) + "\n" for name in names)


@pytest.fixture
def infer(shop: Any, trained: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a job to its end: recipe, input text, output prefix, options."""

    def run(
        text: str, prefix: str, recipe: str = "aws-user-personalization", **options: Any
    ) -> dict[str, Any]:
        source = shop.put(f"{prefix}-in/users.json", text)
        target = f"s3://{shop.bucket}/{prefix}/"
        job = shop.start_batch(trained[recipe]["solutionVersionArn"], source, target, **options)
        return dict(shop.wait("BatchInferenceJob", job))

    return run


def test_scored_output_has_the_exact_form_of_the_service(shop: Any, infer: Callable[..., Any]) -> None:
    names = [f"u{n}" for n in range(60)] + ["a stranger"]
    job = infer(users(*names), "scored")
    assert (job["status"], job["numResults"], job["batchInferenceJobMode"]) == (
        "ACTIVE",
        25,
        "BATCH_INFERENCE",
    )
    assert shop.keys("scored/") == ["scored/_CHECK", "scored/users.json.out"]
    assert shop.read("scored/_CHECK") == ""
    text = shop.read("scored/users.json.out")
    lines = text.splitlines()
    assert all(SCORED_LINE.fullmatch(line) for line in lines)
    entries = [json.loads(line) for line in lines]
    order = [entry["input"]["userId"] for entry in entries]
    assert sorted(order) == sorted(names)
    assert order != names
    for entry in entries:
        items, scores = entry["output"]["recommendedItems"], entry["output"]["scores"]
        assert len(items) == len(scores) == len(set(items)) == 25
        assert sum(scores) <= 1.0001


def test_popularity_output_has_no_scores(shop: Any, infer: Callable[..., Any]) -> None:
    job = infer(users("u1", "u2"), "popular", "aws-popularity-count", numResults=5)
    assert job["numResults"] == 5
    lines = shop.read("popular/users.json.out").splitlines()
    assert all(UNSCORED_LINE.fullmatch(line) for line in lines)
    assert {len(json.loads(line)["output"]["recommendedItems"]) for line in lines} == {5}


def test_bad_lines_are_reported_inline_and_the_job_is_active(shop: Any, infer: Callable[..., Any]) -> None:
    text = (
        users("u1")
        + '{"itemId":"i1"}\n\nnot json\n{"userId":7}\n{"userId":"\\ud800"}\n{"userId":["u1","u2"]}\n'
        + users("u2").rstrip("\n")
    )
    assert infer(text, "mixed")["status"] == "ACTIVE"
    entries = [json.loads(line) for line in shop.read("mixed/users.json.out").splitlines()]
    failed = [entry for entry in entries if entry["error"] is not None]
    assert len(entries) == 7
    assert {entry["error"] for entry in failed} == {ERROR}
    assert all(entry["output"] == {"recommendedItems": []} for entry in failed)
    inputs = [entry["input"] for entry in failed]
    assert sorted(map(str, inputs)) == sorted(
        map(str, [{"itemId": "i1"}, {}, {"userId": 7}, {"userId": "\ud800"}, {"userId": ["u1", "u2"]}])
    )


def test_an_input_that_is_no_json_lines_at_all_fails_the_job(infer: Callable[..., Any]) -> None:
    job = infer("userId\nu1\nu2\n", "csv")
    assert job["status"] == "CREATE FAILED"
    assert "JSON" in job["failureReason"]


def test_a_prefix_takes_every_object_that_begins_with_it(shop: Any, trained: dict[str, Any]) -> None:
    shop.put("many/a.json", users("u1"))
    shop.put("many_too/b.json", users("u2"))
    version = trained["aws-popularity-count"]["solutionVersionArn"]
    target = f"s3://{shop.bucket}/many-out/"
    job = shop.start_batch(version, f"s3://{shop.bucket}/many", target)
    # many-out/ itself begins with the prefix too, but holds nothing when the job lists its input.
    assert shop.wait("BatchInferenceJob", job)["status"] == "ACTIVE"
    assert shop.keys("many-out/") == ["many-out/_CHECK", "many-out/a.json.out", "many-out/b.json.out"]


def test_a_missing_input_fails_the_job(shop: Any, trained: dict[str, Any]) -> None:
    version = trained["aws-popularity-count"]["solutionVersionArn"]
    job = shop.start_batch(version, f"s3://{shop.bucket}/nothing-here/", f"s3://{shop.bucket}/no-out/")
    failed = shop.wait("BatchInferenceJob", job)
    assert (failed["status"], failed["failureReason"]) == ("CREATE FAILED", "Invalid S3 input path")


def test_more_input_files_than_the_quota_fail_the_job(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_MOST_INPUT_FILES", 2)  # the real one would be a thousand uploads
    for number in range(3):
        shop.put(f"files-in/{number}.json", users("u1"))
    with pytest.raises(JobFailed, match="at most 2 input files"):
        batch.infer(
            recipe="aws-popularity-count",
            model_folder="not read",
            region="us-east-1",
            source=f"s3://{shop.bucket}/files-in/",
            destination=f"s3://{shop.bucket}/files-out/",
            num_results=1,
            filter_request=None,
            scratch="not used",
            seed="",
        )


def test_exploration_settings_are_taken(shop: Any, infer: Callable[..., Any]) -> None:
    config = {"itemExplorationConfig": {"explorationWeight": "0", "explorationItemAgeCutOff": "30"}}
    job = infer(users("u1"), "exploring", batchInferenceJobConfig=config)
    assert job["status"] == "ACTIVE"
    assert job["batchInferenceJobConfig"] == config


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (
            {"jobInput": {"s3DataSource": {"path": "https://b/in.json"}}},
            "InvalidInputException",
            "Invalid S3 input path",
        ),
        (
            {"jobOutput": {"s3DataDestination": {"path": "s3://bucket/out"}}},
            "InvalidInputException",
            "Invalid S3 output path",
        ),
        (
            {"jobOutput": {"s3DataDestination": {"path": "s3://bucket/in/"}}},
            "InvalidInputException",
            "Invalid S3 output path",
        ),
        ({"numResults": 0}, "InvalidInputException", "numResults"),
        ({"roleArn": "nobody"}, "InvalidInputException", "roleArn"),
        ({"batchInferenceJobMode": "THEME_GENERATION"}, "InvalidInputException", "THEME_GENERATION"),
        (
            {"batchInferenceJobConfig": {"itemExplorationConfig": {"explorationWeight": "1.5"}}},
            "InvalidInputException",
            "explorationWeight",
        ),
        (
            {"batchInferenceJobConfig": {"itemExplorationConfig": {"explorationItemAgeCutOff": "0"}}},
            "InvalidInputException",
            "explorationItemAgeCutOff",
        ),
        (
            {"batchInferenceJobConfig": {"itemExplorationConfig": {"weight": "0"}}},
            "InvalidInputException",
            "weight",
        ),
        (
            {"batchInferenceJobConfig": {"rankingInfluence": {"FRESHNESS": 0.5}}},
            "InvalidInputException",
            "rankingInfluence",
        ),
        (
            {"filterArn": "arn:aws:personalize:us-east-1:000000000000:filter/none"},
            "ResourceNotFoundException",
            "filter/none",
        ),
        (
            {"solutionVersionArn": "arn:aws:personalize:us-east-1:000000000000:solution/s/00000000"},
            "ResourceNotFoundException",
            "00000000",
        ),
    ],
)
def test_wrong_requests_are_refused(
    shop: Any,
    trained: dict[str, Any],
    refused: Callable[..., Any],
    change: dict[str, Any],
    code: str,
    text: str,
) -> None:
    params = {
        "jobName": "refused",
        "solutionVersionArn": trained["aws-user-personalization"]["solutionVersionArn"],
        "jobInput": {"s3DataSource": {"path": "s3://bucket/in/"}},
        "jobOutput": {"s3DataDestination": {"path": "s3://bucket/out/"}},
        "roleArn": "arn:aws:iam::000000000000:role/r",
        **change,
    }
    error = refused(shop.personalize.create_batch_inference_job, **params)
    assert error.code == code
    assert text in error.message


def test_jobs_are_listed_by_version_and_names_are_used_up(
    shop: Any, trained: dict[str, Any], infer: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    job = infer(users("u1"), "named", "aws-popularity-count")
    listed = shop.personalize.list_batch_inference_jobs(solutionVersionArn=job["solutionVersionArn"])
    assert job["jobName"] in [entry["jobName"] for entry in listed["batchInferenceJobs"]]
    again = {key: job[key] for key in ("jobName", "solutionVersionArn", "jobInput", "jobOutput", "roleArn")}
    error = refused(shop.personalize.create_batch_inference_job, **again)
    assert error.message == f"Another resource with Arn {job['batchInferenceJobArn']} already exists."


def recommendations(world: Any, version: str, users: list[str]) -> dict[str, Any]:
    """Run a batch job of its own name, and return the output by user: the order of lines is the job's."""
    name = world.name("repeat")
    source = world.put(f"{name}/in.json", "".join(f'{{"userId":"{user}"}}\n' for user in users))
    arn = world.start_batch(version, source, f"s3://{world.bucket}/{name}-out/")
    assert world.wait("BatchInferenceJob", arn)["status"] == "ACTIVE"
    lines = [json.loads(line) for line in world.read(f"{name}-out/in.json.out").splitlines()]
    return {line["input"]["userId"]: line["output"] for line in lines}


@pytest.mark.parametrize("recipe", ["aws-user-personalization", "aws-user-personalization-v2"])
def test_the_output_depends_on_version_and_input_only(
    start_server: Callable[..., Server], make_world: Callable[..., Any], checkerboard_csv: str, recipe: str
) -> None:
    server = start_server()
    world = make_world(server.url)
    dataset = world.dataset(world.group())
    world.import_csv(dataset, checkerboard_csv)
    solution = world.solution(world.describe("Dataset", dataset)["datasetGroupArn"], recipe)
    version = world.train(solution)["solutionVersionArn"]
    users = [f"u{number}" for number in range(60)] + ["nobody"]
    first = recommendations(world, version, users)

    assert recommendations(world, version, users[::-1]) == first
    some = recommendations(world, version, users[5:9])
    assert some == {user: first[user] for user in users[5:9]}

    # Neither a newer version nor newer data nor a restart changes what the former version says.
    later = checkerboard_csv.replace("u5,", "u500,").replace("17000", "17001")
    world.import_csv(dataset, later, mode="INCREMENTAL")
    newer = world.train(solution)["solutionVersionArn"]
    assert recommendations(world, version, users) == first
    assert recommendations(world, newer, users) != first
    server.close()
    again = make_world(start_server().url)
    assert recommendations(again, version, users) == first
