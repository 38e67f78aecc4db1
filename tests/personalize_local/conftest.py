"""Start what the tests of personalize_local talk to: the server itself, and moto's server as S3."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from personalize_local.server import Server
from personalize_local.service import Settings

LOCAL = Path(__file__).resolve().parents[2] / "local"
BUCKET = "personalize-local-tests"
ROLE = "arn:aws:iam::000000000000:role/PersonalizeRole"
INTERACTIONS = {
    "type": "record",
    "name": "Interactions",
    "namespace": "com.amazonaws.personalize.schema",
    "version": "1.0",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "EVENT_TYPE", "type": "string"},
        {"name": "EVENT_VALUE", "type": ["null", "float"]},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}
ITEMS = {
    **INTERACTIONS,
    "name": "Items",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "CATEGORY", "type": ["null", "string"], "categorical": True},
        {"name": "PRICE", "type": ["null", "float"]},
        {"name": "CREATION_TIMESTAMP", "type": ["null", "long"]},
    ],
}
TERMINAL = {"ACTIVE", "INACTIVE", "CREATE FAILED", "CREATE STOPPED", "COMPLETED", "FAILED"}


STATUSES = {
    *("CREATE PENDING", "CREATE IN_PROGRESS", "CREATE FAILED", "CREATE STOPPING", "CREATE STOPPED", "ACTIVE"),
    *("DELETE PENDING", "DELETE IN_PROGRESS"),
    *("STOP PENDING", "STOP IN_PROGRESS", "INACTIVE", "START PENDING", "START IN_PROGRESS"),
    *("PENDING", "IN_PROGRESS", "COMPLETED", "FAILED"),
}
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
}


def check_shape(value: Any, shape: Any, at: str) -> None:
    """Assert that a raw JSON reply is what the service's model allows: no unknown member, right types."""
    if shape.type_name == "structure":
        assert isinstance(value, dict), at
        assert set(value) <= set(shape.members), at
        for name, member in value.items():
            check_shape(member, shape.members[name], f"{at}.{name}")
    elif shape.type_name == "list":
        assert isinstance(value, list), at
        for member in value:
            check_shape(member, shape.member, f"{at}[]")
    elif shape.type_name == "map":
        assert isinstance(value, dict), at
        for key, member in value.items():
            check_shape(key, shape.key, f"{at} key")
            check_shape(member, shape.value, f"{at}.{key}")
    else:
        check_scalar(value, shape, at)


def check_scalar(value: Any, shape: Any, at: str) -> None:
    """Assert type, enum and the exact spelling of states."""
    types = _PYTHON_TYPES[shape.type_name]
    assert isinstance(value, types), at
    assert bool in types or not isinstance(value, bool), at
    if getattr(shape, "enum", None):
        assert value in shape.enum, at
    if shape.name == "Status":
        assert value in STATUSES, at
    if shape.name == "Arn":
        assert value.startswith("arn:aws:"), at


def _check_reply(http_response: Any, model: Any, **_: Any) -> None:
    assert http_response.headers["x-amzn-RequestId"]
    assert http_response.headers["Content-Type"] == "application/x-amz-json-1.1"
    if http_response.status_code == 200 and model.output_shape is not None:
        check_shape(json.loads(http_response.content), model.output_shape, model.name)
    if http_response.status_code >= 400:
        assert set(json.loads(http_response.content)) == {"__type", "message"}


def client(url: str, region: str = "us-east-1") -> Any:
    """Return a real boto3 client that never repeats a call, and checks each raw reply against the model."""
    config = Config(retries={"max_attempts": 0})
    personalize = boto3.client("personalize", endpoint_url=url, region_name=region, config=config)
    personalize.meta.events.register("after-call.personalize", _check_reply)
    return personalize


def make_checkerboard_csv(users: int = 60, per_user: int = 20) -> str:
    """Return interactions in which even users like even items and odd users odd items."""
    rows = ["USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,TIMESTAMP"]
    for user, step in itertools.product(range(users), range(per_user)):
        item = (user % 2) + 2 * ((user + step * 3) % 25)
        event = "buy" if step % 4 else "view"
        rows.append(f"u{user},i{item},{event},{step},{1_700_000_000 + user * 1000 + step * 60}")
    return "\n".join(rows) + "\n"


# One for all modules: they share the bucket, where a name's number makes a prefix.
_NUMBERS = itertools.count(1)


@dataclass
class World:
    """Drive one server through boto3, with names that no test used before."""

    url: str
    s3: Any
    region: str = "us-east-1"
    bucket: str = BUCKET

    def __post_init__(self) -> None:
        self.personalize = client(self.url, self.region)

    def name(self, stem: str) -> str:
        return f"{stem}-{next(_NUMBERS)}"

    def put(self, key: str, text: str | bytes) -> str:
        body = text.encode() if isinstance(text, str) else text
        self.s3.upload_fileobj(io.BytesIO(body), BUCKET, key)
        return f"s3://{BUCKET}/{key}"

    def read(self, key: str) -> str:
        return str(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode())

    def keys(self, prefix: str) -> list[str]:
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"] for entry in found.get("Contents", [])]

    def describe(self, noun: str, arn: str) -> dict[str, Any]:
        member = noun[0].lower() + noun[1:]
        snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in member)
        reply: dict[str, Any] = getattr(self.personalize, f"describe_{snake}")(**{f"{member}Arn": arn})
        return dict(reply[member])

    def wait(self, noun: str, arn: str, seen: list[str] | None = None) -> dict[str, Any]:
        """Return the description once its state is final; collect the states on the way."""
        while True:
            found = self.describe(noun, arn)
            if seen is not None and (not seen or seen[-1] != found["status"]):
                seen.append(found["status"])
            if found["status"] in TERMINAL:
                return found
            time.sleep(0.02)

    def group(self) -> str:
        arn = self.personalize.create_dataset_group(name=self.name("group"))["datasetGroupArn"]
        self.wait("DatasetGroup", arn)
        return str(arn)

    def schema(self, record: dict[str, Any]) -> str:
        reply = self.personalize.create_schema(name=self.name("schema"), schema=json.dumps(record))
        return str(reply["schemaArn"])

    def dataset(self, group: str, record: dict[str, Any] = INTERACTIONS) -> str:
        arn = self.personalize.create_dataset(
            name=self.name("dataset"),
            schemaArn=self.schema(record),
            datasetGroupArn=group,
            datasetType=record["name"],
        )["datasetArn"]
        self.wait("Dataset", arn)
        return str(arn)

    def start_import(self, dataset: str, location: str, mode: str = "FULL") -> str:
        reply = self.personalize.create_dataset_import_job(
            jobName=self.name("import"),
            datasetArn=dataset,
            dataSource={"dataLocation": location},
            roleArn=ROLE,
            importMode=mode,
        )
        return str(reply["datasetImportJobArn"])

    def import_csv(self, dataset: str, text: str | bytes, mode: str = "FULL") -> dict[str, Any]:
        location = self.put(f"in/{self.name('rows')}.csv", text)
        return self.wait("DatasetImportJob", self.start_import(dataset, location, mode))

    def solution(self, group: str, recipe: str = "aws-user-personalization", **options: Any) -> str:
        arn = self.personalize.create_solution(
            name=self.name("solution"),
            datasetGroupArn=group,
            recipeArn=f"arn:aws:personalize:::recipe/{recipe}",
            **options,
        )["solutionArn"]
        self.wait("Solution", arn)
        return str(arn)

    def train(self, solution: str, **options: Any) -> dict[str, Any]:
        reply = self.personalize.create_solution_version(solutionArn=solution, **options)
        return self.wait("SolutionVersion", reply["solutionVersionArn"])

    def start_batch(self, version: str, source: str, destination: str, **options: Any) -> str:
        reply = self.personalize.create_batch_inference_job(
            jobName=self.name("batch"),
            solutionVersionArn=version,
            jobInput={"s3DataSource": {"path": source}},
            jobOutput={"s3DataDestination": {"path": destination}},
            roleArn=ROLE,
            **options,
        )
        return str(reply["batchInferenceJobArn"])

    def remove_group(self, group: str) -> None:
        """Delete a group with all that is in it, in the service's order, to keep below its quota."""
        listed = self.personalize
        for entry in listed.list_solutions(datasetGroupArn=group)["solutions"]:
            listed.delete_solution(solutionArn=entry["solutionArn"])
        self.wait_gone(lambda: listed.list_solutions(datasetGroupArn=group)["solutions"])
        for entry in listed.list_datasets(datasetGroupArn=group)["datasets"]:
            listed.delete_dataset(datasetArn=entry["datasetArn"])
        self.wait_gone(lambda: listed.list_datasets(datasetGroupArn=group)["datasets"])
        listed.delete_dataset_group(datasetGroupArn=group)
        self.wait_gone(
            lambda: [
                g for g in listed.list_dataset_groups()["datasetGroups"] if g["datasetGroupArn"] == group
            ]
        )

    def wait_gone(self, remaining: Callable[[], list[Any]]) -> None:
        while remaining():
            time.sleep(0.02)


@pytest.fixture(scope="session")
def checkerboard_csv() -> str:
    """Return 1200 interactions of 60 users with 50 items as CSV."""
    return make_checkerboard_csv()


@pytest.fixture(scope="session")
def s3() -> Iterator[Any]:
    """Return an S3 client; the server under test finds the same S3 through boto3's environment."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    host, port = moto.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
        s3_client = boto3.client("s3", region_name="us-east-1")
        s3_client.create_bucket(Bucket=BUCKET)
        yield s3_client
    moto.stop()


@pytest.fixture(scope="session")
def fast_server(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server whose jobs finish as fast as they compute."""
    with Server(Settings(tmp_path_factory.mktemp("fast"), time_scale=0, min_import_interactions=1)) as server:
        yield server


@pytest.fixture
def start_server(s3: Any, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Return a function that starts a server of the test's own, with `Settings` as arguments."""
    started: list[Server] = []

    def start(**settings: Any) -> Server:
        server = Server(Settings(**{"data": tmp_path / "data", "time_scale": 0, **settings}))
        started.append(server.start())
        return server

    yield start
    for server in started:
        server.close()


@pytest.fixture
def make_world(s3: Any) -> Callable[..., World]:
    """Return a function that makes a driver for any server."""
    return lambda url, **options: World(url, s3, **options)


_REGIONS = (f"test-{number}" for number in itertools.count(1))


@dataclass(frozen=True)
class Refused:
    """Hold what an AWS error said."""

    code: str
    message: str
    http_status: int


@pytest.fixture(scope="session")
def refused() -> Callable[..., Refused]:
    """Return a function that makes a call which must fail, and returns the error."""

    def call(operation: Callable[..., Any], **params: Any) -> Refused:
        with pytest.raises(ClientError) as caught:
            operation(**params)
        response = caught.value.response
        error = response["Error"]
        return Refused(error["Code"], error["Message"], response["ResponseMetadata"]["HTTPStatusCode"])

    return call


@pytest.fixture(scope="module")
def world(fast_server: Server, s3: Any) -> World:
    """Return a driver of the fast server, with a region (and so quotas) of the test module's own."""
    return World(fast_server.url, s3, region=next(_REGIONS))


@pytest.fixture(scope="session")
def shop(fast_server: Server, s3: Any) -> World:
    """Return a driver of the fast server in the region in which `interactions` and `trained` are."""
    return World(fast_server.url, s3, region="shop-1")


@pytest.fixture(scope="session")
def interactions(shop: World, checkerboard_csv: str) -> str:
    """Return the ARN of an Interactions dataset with the checkerboard in it."""
    dataset = shop.dataset(shop.group())
    assert shop.import_csv(dataset, checkerboard_csv)["status"] == "ACTIVE"
    return dataset


@pytest.fixture(scope="session")
def trained(shop: World, interactions: str) -> dict[str, dict[str, Any]]:
    """Return one ACTIVE solution version per recipe that this server trains."""
    group = shop.describe("Dataset", interactions)["datasetGroupArn"]
    recipes = ("aws-user-personalization", "aws-popularity-count")
    versions = {recipe: shop.train(shop.solution(group, recipe)) for recipe in recipes}
    assert {version["status"] for version in versions.values()} == {"ACTIVE"}
    return versions


@pytest.fixture
def start_process(s3: Any, tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Return a function that starts a server as a process on one data folder, and gives it with its URL."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> tuple[subprocess.Popen[str], str]:
        command = [
            sys.executable,
            "-m",
            "personalize_local",
            "--port",
            "0",
            "--data",
            str(tmp_path),
            *options,
        ]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(LOCAL), *sys.path])}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().split()[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
