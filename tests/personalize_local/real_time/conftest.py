"""Drive campaigns and streams through boto3's own clients for the real-time services."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
import pytest
from botocore.config import Config

NAMESPACE = {"type": "record", "namespace": "com.amazonaws.personalize.schema", "version": "1.0"}
ITEMS = {
    **NAMESPACE,
    "name": "Items",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "CATEGORY_L1", "type": ["null", "string"], "categorical": True},
        {"name": "PRICE", "type": ["null", "float"]},
        {"name": "CREATION_TIMESTAMP", "type": ["null", "long"]},
    ],
}
USERS = {
    **NAMESPACE,
    "name": "Users",
    "fields": [{"name": "USER_ID", "type": "string"}, {"name": "AGE", "type": ["null", "int"]}],
}
INTERACTIONS = {
    **NAMESPACE,
    "name": "Interactions",
    "fields": [
        {"name": "USER_ID", "type": "string"},
        {"name": "ITEM_ID", "type": "string"},
        {"name": "EVENT_TYPE", "type": "string"},
        {"name": "EVENT_VALUE", "type": ["null", "float"]},
        {"name": "IMPRESSION", "type": ["null", "string"]},
        {"name": "DEVICE_TYPE", "type": ["null", "string"], "categorical": True},
        {"name": "TIMESTAMP", "type": "long"},
    ],
}
NOW = 1_700_100_000  # after every interaction of the checkerboard


def items_csv(count: int = 50) -> str:
    rows = ["ITEM_ID,CATEGORY_L1,PRICE,CREATION_TIMESTAMP"]
    rows += [f"i{n},{'even' if n % 2 == 0 else 'odd'}|all,{n}.5,{1_600_000_000 + n}" for n in range(count)]
    return "\n".join(rows) + "\n"


def interactions_csv(users: int = 60, per_user: int = 20) -> str:
    """Even users like even items and odd users odd items."""
    rows = ["USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,IMPRESSION,DEVICE_TYPE,TIMESTAMP"]
    for user, step in itertools.product(range(users), range(per_user)):
        item = (user % 2) + 2 * ((user + step * 3) % 25)
        event = "buy" if step % 4 else "view"
        rows.append(f"u{user},i{item},{event},,,,{1_700_000_000 + user * 1000 + step * 60}")
    return "\n".join(rows) + "\n"


def real_time_client(service: str, url: str, region: str) -> Any:
    """Return a boto3 client that never repeats a call and checks the headers of each reply."""
    client = boto3.client(
        service, endpoint_url=url, region_name=region, config=Config(retries={"max_attempts": 0})
    )

    def check(http_response: Any, model: Any, **_: Any) -> None:
        assert http_response.headers["x-amzn-RequestId"]
        assert http_response.headers["Content-Type"] == "application/json"
        if http_response.status_code >= 400:
            assert set(json.loads(http_response.content)) == {"message"}
            declared = {shape.name for shape in model.error_shapes}
            assert http_response.headers["x-amzn-ErrorType"] in declared
        elif model.output_shape is None:
            assert http_response.content == b""
        else:
            assert set(json.loads(http_response.content)) <= set(model.output_shape.members)

    client.meta.events.register(f"after-call.{service}", check)
    return client


@dataclass
class Live:
    """Hold a dataset group with all that campaigns and streams need."""

    world: Any
    group: str = ""
    datasets: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    campaigns: dict[str, str] = field(default_factory=dict)
    tracking_id: str = ""

    def __post_init__(self) -> None:
        self.connect(self.world.url)

    def connect(self, url: str) -> None:
        """Talk to the server at this URL from now on: the same one as before, started anew."""
        self.world = replace(self.world, url=url)
        self.personalize = self.world.personalize
        region = self.world.region
        self.runtime = real_time_client("personalize-runtime", url, region)
        self.events = real_time_client("personalize-events", url, region)

    def fill(self) -> Live:
        """Make the datasets with their rows, and the event tracker."""
        self.group = self.world.group()
        for record in (INTERACTIONS, ITEMS, USERS):
            self.datasets[str(record["name"])] = self.world.dataset(self.group, record)
        self.world.import_csv(self.datasets["Interactions"], interactions_csv())
        self.world.import_csv(self.datasets["Items"], items_csv())
        reply = self.personalize.create_event_tracker(
            name=self.world.name("tracker"), datasetGroupArn=self.group
        )
        self.world.wait("EventTracker", reply["eventTrackerArn"])
        self.tracking_id = reply["trackingId"]
        return self

    def train(self, recipe: str, **options: Any) -> str:
        version = self.world.train(self.world.solution(self.group, recipe, **options))
        assert version["status"] == "ACTIVE", version
        self.versions[recipe] = version["solutionVersionArn"]
        return str(version["solutionVersionArn"])

    def campaign(self, recipe: str, **options: Any) -> str:
        """Return a campaign on a recipe's version, which is trained when there is none."""
        version = self.versions.get(recipe) or self.train(recipe)
        arn = self.personalize.create_campaign(
            name=self.world.name("campaign"), solutionVersionArn=version, **options
        )["campaignArn"]
        self.world.wait("Campaign", arn)
        self.campaigns[recipe] = arn
        return str(arn)

    def filter(self, expression: str) -> str:
        arn = self.personalize.create_filter(
            name=self.world.name("filter"), datasetGroupArn=self.group, filterExpression=expression
        )["filterArn"]
        self.world.wait("Filter", arn)
        return str(arn)

    def ids(self, recipe: str, **params: Any) -> list[str]:
        reply = self.runtime.get_recommendations(campaignArn=self.campaigns[recipe], **params)
        return [entry["itemId"] for entry in reply["itemList"]]

    def put_event(self, user_id: str, item_id: str, **event: Any) -> None:
        self.events.put_events(
            trackingId=self.tracking_id,
            userId=user_id,
            sessionId="s1",
            eventList=[{"eventType": "buy", "sentAt": NOW, "itemId": item_id, **event}],
        )

    def exported(self, kind: str, mode: str = "PUT") -> list[str]:
        """Return the rows of a dataset as lines of CSV, by an export job."""
        prefix = f"{self.world.name('export')}/"
        job = self.personalize.create_dataset_export_job(
            jobName=self.world.name("export"),
            datasetArn=self.datasets[kind],
            ingestionMode=mode,
            roleArn="arn:aws:iam::000000000000:role/PersonalizeRole",
            jobOutput={"s3DataDestination": {"path": f"s3://{self.world.bucket}/{prefix}"}},
        )["datasetExportJobArn"]
        assert self.world.wait("DatasetExportJob", job)["status"] == "ACTIVE"
        texts = [self.world.read(key) for key in self.world.keys(prefix) if key.endswith(".csv")]
        return [line for text in texts for line in text.splitlines()[1:]]


@pytest.fixture(scope="session")
def live(shop: Any) -> Live:
    """Return a filled dataset group with campaigns of three recipes, in a region of its own."""
    found = Live(replace(shop, region="live-1")).fill()
    found.campaign("aws-user-personalization", campaignConfig={"enableMetadataWithRecommendations": True})
    found.campaign("aws-personalized-ranking")
    found.campaign("aws-sims")
    return found


@pytest.fixture
def make_live(make_world: Callable[..., Any]) -> Callable[..., Live]:
    """Return a function that makes a driver of any server."""
    return lambda url, **options: Live(make_world(url, **options))
