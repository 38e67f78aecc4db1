"""Use every operation once as a pipeline would, from the first schema to the last deletion."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from personalize_local.parity import data
from personalize_local.parity.driver import ROLE, Driver, Recorder, kind_of
from personalize_local.parity.table import OperationResult, make_rows
from personalize_local.resources import (
    BATCH_INFERENCE_JOB,
    BATCH_SEGMENT_JOB,
    DATA_DELETION_JOB,
    DATASET,
    DATASET_EXPORT_JOB,
    DATASET_GROUP,
    DATASET_IMPORT_JOB,
    FILTER,
    SOLUTION,
    SOLUTION_VERSION,
    service_owned_arn,
)

_RECIPE = "aws-user-personalization"
_BRAND = {"name": "BRAND", "type": ["null", "string"], "categorical": True}


@dataclass
class Walk:
    """Run the steps in order; the operations of a failed step stay untested."""

    driver: Driver
    group: str = ""
    schemas: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Run all steps; print failures to standard error."""
        for step in (
            self.catalog,
            self.data,
            self.streaming,
            self.attribution,
            self.training,
            self.batch,
            self.segments,
            self.real_time,
            self.actions,
            self.recommenders,
            self.changes,
            self.removal,
        ):
            self._try(step)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # ruff: ignore[blind-except] - the next step tests other operations
            self.failures.append(f"{step.__name__}: {error}")
            traceback.print_exc(file=sys.stderr)

    def catalog(self) -> None:
        """Look up recipes, algorithms and feature transformations."""
        call = self.driver.call
        call("ListRecipes")
        call("DescribeRecipe", recipeArn=service_owned_arn(f"recipe/{_RECIPE}"))
        call("DescribeAlgorithm", algorithmArn=service_owned_arn(f"algorithm/{_RECIPE}"))
        transformation = service_owned_arn(f"feature-transformation/{_RECIPE}")
        call("DescribeFeatureTransformation", featureTransformationArn=transformation)

    def data(self) -> None:
        """Create a tagged dataset group with all five datasets, and import into them."""
        call = self.driver.call
        self.group = self.driver.create(DATASET_GROUP, tags=[{"tagKey": "a", "tagValue": "b"}])
        call("TagResource", resourceArn=self.group, tags=[{"tagKey": "c", "tagValue": "d"}])
        call("UntagResource", resourceArn=self.group, tagKeys=["a"])
        call("ListTagsForResource", resourceArn=self.group)
        for name in data.NAMES:
            self._dataset(name)
        self.driver.create(
            DATASET_EXPORT_JOB,
            datasetArn=self.datasets["Items"],
            ingestionMode="ALL",
            roleArn=ROLE,
            jobOutput={"s3DataDestination": {"path": self.driver.folder("exports")}},
        )

    def _dataset(self, name: str) -> None:
        schema = self.driver.call("CreateSchema", name=f"parity-{name}", schema=data.schema(name))[
            "schemaArn"
        ]
        self.schemas[name] = schema
        self.driver.call("DescribeSchema", schemaArn=schema)
        self.driver.call("ListSchemas")
        self.datasets[name] = self.driver.create(
            DATASET,
            schemaArn=schema,
            datasetGroupArn=self.group,
            datasetType=data.DATASET_TYPES.get(name, name),
        )
        location = self.driver.put(f"{name}.csv", data.csv_rows(name))
        self.driver.create(
            DATASET_IMPORT_JOB,
            datasetArn=self.datasets[name],
            dataSource={"dataLocation": location},
            roleArn=ROLE,
        )

    def streaming(self) -> None:
        """Send one record by each Put operation."""
        tracker = self._create_tracked()
        session = {"trackingId": tracker, "sessionId": "s1", "userId": "u1"}
        event = {"eventType": "buy", "sentAt": 1_700_000_000, "itemId": "i1"}
        self._events("PutEvents", **session, eventList=[event])
        self._events("PutItems", datasetArn=self.datasets["Items"], items=[{"itemId": "i99"}])
        self._events("PutUsers", datasetArn=self.datasets["Users"], users=[{"userId": "u99"}])
        self._events("PutActions", datasetArn=self.datasets["Actions"], actions=[{"actionId": "a99"}])
        tracked = self.driver.wait(DATASET, self.datasets["ActionInteractions"])["trackingId"]
        taken = {
            "actionId": "a1",
            "userId": "u1",
            "sessionId": "s1",
            "eventType": "Taken",
            "timestamp": 1_700_000_000,
        }
        self._events("PutActionInteractions", trackingId=tracked, actionInteractions=[taken])

    def _create_tracked(self) -> str:
        arn = self.driver.create(kind_of("EventTracker"), datasetGroupArn=self.group)
        return str(self.driver.wait(kind_of("EventTracker"), arn)["trackingId"])

    def _events(self, operation: str, **params: Any) -> None:
        self.driver.call(operation, "personalize-events", **params)

    def attribution(self) -> None:
        """Make, change and remove a metric attribution."""
        kind = kind_of("MetricAttribution")
        metric = {"eventType": "buy", "metricName": "buys", "expression": "SAMPLECOUNT()"}
        arn = self.driver.create(
            kind, datasetGroupArn=self.group, metrics=[metric], metricsOutputConfig={"roleArn": ROLE}
        )
        self.driver.call(
            "UpdateMetricAttribution", metricAttributionArn=arn, addMetrics=[{**metric, "metricName": "more"}]
        )
        self.driver.call("ListMetricAttributionMetrics", metricAttributionArn=arn)
        self.driver.delete(kind, arn)

    def training(self) -> None:
        """Train a version, stop another, and change the solution's schedule."""
        solution = self._solution(_RECIPE)
        stopped = self.driver.call("CreateSolutionVersion", solutionArn=solution)["solutionVersionArn"]
        self.driver.call("StopSolutionVersionCreation", solutionVersionArn=stopped)
        self.driver.wait(SOLUTION_VERSION, stopped)
        self.driver.call("UpdateSolution", solutionArn=solution, performAutoTraining=False)
        self.driver.wait(SOLUTION, solution)
        self.driver.delete(SOLUTION, solution)

    def _solution(self, recipe: str) -> str:
        arn = service_owned_arn(f"recipe/{recipe}")
        return self.driver.create(
            SOLUTION, datasetGroupArn=self.group, recipeArn=arn, performAutoTraining=True
        )

    def _version(self, recipe: str) -> str:
        version = self.driver.create(SOLUTION_VERSION, solutionArn=self._solution(recipe))
        self.driver.call("GetSolutionMetrics", solutionVersionArn=version)
        return version

    def batch(self) -> None:
        """Make a filter and recommend through it."""
        expression = 'INCLUDE ItemID WHERE Items.CATEGORY IN ("c1")'
        arn = self.driver.create(FILTER, datasetGroupArn=self.group, filterExpression=expression)
        self._job(
            BATCH_INFERENCE_JOB, self._version("aws-popularity-count"), '{"userId":"u1"}\n', filterArn=arn
        )
        self.driver.delete(FILTER, arn)

    def segments(self) -> None:
        """Find the users of an item."""
        self._job(BATCH_SEGMENT_JOB, self._version("aws-item-affinity"), '{"itemId":"i1"}\n')

    def _job(self, kind: Any, version: str, lines: str, **options: Any) -> None:
        source = self.driver.put(f"{kind.tail}/in.json", lines)
        arn = self.driver.create(
            kind,
            solutionVersionArn=version,
            jobInput={"s3DataSource": {"path": source}},
            jobOutput={"s3DataDestination": {"path": self.driver.folder(f"{kind.tail}-out")}},
            roleArn=ROLE,
            **options,
        )
        described = self.driver.wait(kind, arn)
        if described["status"] != "ACTIVE":
            raise RuntimeError(f"{arn}: {described['failureReason']}")

    def real_time(self) -> None:
        """Ask campaigns for recommendations and for a ranking."""
        campaign = self._campaign("aws-popularity-count")
        self.driver.call(
            "GetRecommendations", "personalize-runtime", campaignArn=campaign, userId="u1", numResults=5
        )
        self.driver.call("UpdateCampaign", campaignArn=campaign, minProvisionedTPS=2)
        self.driver.wait(kind_of("Campaign"), campaign)
        self.driver.delete(kind_of("Campaign"), campaign)
        campaign = self._campaign("aws-personalized-ranking-v2")
        self.driver.call(
            "GetPersonalizedRanking",
            "personalize-runtime",
            campaignArn=campaign,
            userId="u1",
            inputList=["i1", "i2"],
        )
        self.driver.delete(kind_of("Campaign"), campaign)

    def actions(self) -> None:
        """Ask for the next best actions of a user."""
        campaign = self._campaign("aws-next-best-action")
        self.driver.call("GetActionRecommendations", "personalize-runtime", campaignArn=campaign, userId="u1")
        self.driver.delete(kind_of("Campaign"), campaign)

    def _campaign(self, recipe: str) -> str:
        return self.driver.create(kind_of("Campaign"), solutionVersionArn=self._version(recipe))

    def recommenders(self) -> None:
        """Train a recommender in a domain dataset group; ask, update, stop, start and delete it."""
        call, kind = self.driver.call, kind_of("Recommender")
        group = self.driver.create(DATASET_GROUP, domain="ECOMMERCE")
        text = data.schema("Interactions")
        schema = call("CreateSchema", name="parity-domain", schema=text, domain="ECOMMERCE")["schemaArn"]
        dataset = self.driver.create(
            DATASET, schemaArn=schema, datasetGroupArn=group, datasetType="Interactions"
        )
        rows = data.csv_rows("Interactions").replace(",buy,", ",View,")
        location = self.driver.put("domain/Interactions.csv", rows)
        self.driver.create(
            DATASET_IMPORT_JOB, datasetArn=dataset, dataSource={"dataLocation": location}, roleArn=ROLE
        )
        recipe = service_owned_arn("recipe/aws-ecomm-popular-items-by-views")
        arn = self.driver.create(kind, datasetGroupArn=group, recipeArn=recipe)
        call("GetRecommendations", "personalize-runtime", recommenderArn=arn, userId="u1", numResults=5)
        config = {"minRecommendationRequestsPerSecond": 2}
        call("UpdateRecommender", recommenderArn=arn, recommenderConfig=config)
        self.driver.wait(kind, arn)
        for operation in ("StopRecommender", "StartRecommender"):
            call(operation, recommenderArn=arn)
            self.driver.wait(kind, arn)
        for each, each_arn in ((kind, arn), (DATASET, dataset), (DATASET_GROUP, group)):
            self.driver.delete(each, each_arn)
        call("DeleteSchema", schemaArn=schema)

    def changes(self) -> None:
        """Replace a schema, and delete a user's data."""
        schema = self.driver.call("CreateSchema", name="parity-grown", schema=data.schema("Items", _BRAND))
        self.driver.call("UpdateDataset", datasetArn=self.datasets["Items"], schemaArn=schema["schemaArn"])
        self.driver.wait(DATASET, self.datasets["Items"])
        location = self.driver.put("deletions/users.csv", "USER_ID\nu1\n")
        self.driver.create(
            DATA_DELETION_JOB,
            datasetGroupArn=self.group,
            dataSource={"dataLocation": location},
            roleArn=ROLE,
        )

    def removal(self) -> None:
        """Delete all remaining resources, in the order that the service requires."""
        listed = self.driver.call
        for campaign in listed("ListCampaigns")["campaigns"]:
            self.driver.delete(kind_of("Campaign"), campaign["campaignArn"])
        for solution in listed("ListSolutions", datasetGroupArn=self.group)["solutions"]:
            self.driver.delete(SOLUTION, solution["solutionArn"])
        for tracker in listed("ListEventTrackers", datasetGroupArn=self.group)["eventTrackers"]:
            self.driver.delete(kind_of("EventTracker"), tracker["eventTrackerArn"])
        for dataset in self.datasets.values():
            self.driver.delete(DATASET, dataset)
        self.driver.delete(DATASET_GROUP, self.group)
        for schema in self.schemas.values():
            self.driver.call("DeleteSchema", schemaArn=schema)


def examine(url: str, bucket: str, region: str) -> tuple[list[OperationResult], list[str]]:
    """Call every operation of the server at `url`; return a result for each, and the failed steps.

    :param bucket: an S3 bucket that this process and the server reach by boto3's environment.
    """
    recorder = Recorder(url, region)
    walk = Walk(Driver(recorder, bucket, region))
    walk.run()
    return make_rows(recorder, region), walk.failures
