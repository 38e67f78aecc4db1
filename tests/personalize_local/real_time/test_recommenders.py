"""GetRecommendations of recommenders: what each use case answers, requires and leaves out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

NAMESPACE = {"type": "record", "namespace": "com.amazonaws.personalize.schema", "version": "1.0"}
SCHEMAS = {
    "Interactions": {"USER_ID": "string", "ITEM_ID": "string", "EVENT_TYPE": "string", "TIMESTAMP": "long"},
    "Items": {"ITEM_ID": "string", "PRICE": "float", "CATEGORY_L1": "string"},
    "VideoItems": {"ITEM_ID": "string", "GENRES": "string", "CREATION_TIMESTAMP": "long"},
}
USE_CASES = {
    "ECOMMERCE": [
        "aws-ecomm-recommended-for-you",
        "aws-ecomm-customers-who-viewed-x-also-viewed",
        "aws-ecomm-popular-items-by-views",
        "aws-ecomm-popular-items-by-purchases",
        "aws-ecomm-frequently-bought-together",
    ],
    "VIDEO_ON_DEMAND": [
        "aws-vod-top-picks",
        "aws-vod-because-you-watched-x",
        "aws-vod-more-like-x",
        "aws-vod-most-popular",
        "aws-vod-trending-now",
    ],
}
OF_AN_ITEM = ("viewed-x", "bought-together", "watched-x", "more-like-x")
LEAVES_OUT = {"recommended-for-you": "Purchase", "viewed-x": "Purchase", "top-picks": "Watch"}
LEAVES_OUT |= {"watched-x": "Watch", "more-like-x": "Watch"}


def events_csv(*events: str) -> str:
    """Even users like even items and odd users odd ones; each has every event on 20 of 25 of them."""
    rows = ["USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP"]
    for user, step, (place, event) in itertools.product(range(60), range(20), enumerate(events)):
        item = (user % 2) + 2 * ((user + (step + place * 3) * 3) % 25)
        rows.append(f"u{user},i{item},{event},{1_700_000_000 + user * 1000 + step * 60 + place}")
    return "\n".join(rows) + "\n"


def schema(name: str) -> dict[str, Any]:
    fields = [
        {"name": field, "type": kind} | ({"categorical": True} if field in ("CATEGORY_L1", "GENRES") else {})
        for field, kind in SCHEMAS[name].items()
    ]
    return {**NAMESPACE, "name": name.removeprefix("Video"), "fields": fields}


@pytest.fixture(scope="module")
def recommenders(live: Any) -> dict[str, str]:
    """Return a recommender for each use case of both domains, by recipe."""
    world, made = live.world, {}
    for domain, recipes in USE_CASES.items():
        name = world.name("domain")
        group = live.personalize.create_dataset_group(name=name, domain=domain)["datasetGroupArn"]
        world.wait("DatasetGroup", group)
        shop = domain == "ECOMMERCE"
        items = [f"i{n},{n}.5,c{n % 2}" if shop else f"i{n},g{n % 2},{1_600_000_000 + n}" for n in range(50)]
        kind = "Items" if shop else "VideoItems"
        texts = {
            "Interactions": events_csv("View", "Purchase") if shop else events_csv("Watch"),
            kind: "\n".join([",".join(SCHEMAS[kind]), *items]) + "\n",
        }
        for each, text in texts.items():
            record = schema(each)
            schema_arn = live.personalize.create_schema(
                name=f"{name}-{each}", schema=json.dumps(record), domain=domain
            )["schemaArn"]
            dataset = live.personalize.create_dataset(
                name=f"{name}-{each}", schemaArn=schema_arn, datasetGroupArn=group, datasetType=record["name"]
            )["datasetArn"]
            world.wait("Dataset", dataset)
            assert world.import_csv(dataset, text)["status"] == "ACTIVE"
        for recipe in recipes:
            made[recipe] = live.personalize.create_recommender(
                name=world.name("recommender"),
                datasetGroupArn=group,
                recipeArn=f"arn:aws:personalize:::recipe/{recipe}",
                recommenderConfig={"enableMetadataWithRecommendations": True},
            )["recommenderArn"]
    assert {world.wait("Recommender", arn)["status"] for arn in made.values()} == {"ACTIVE"}
    return made


def bare(recipe: str, words: Any) -> str | None:
    return next((word for word in words if word in recipe), None)


@pytest.mark.parametrize("recipe", [recipe for recipes in USE_CASES.values() for recipe in recipes])
def test_a_use_case_answers_without_scores_and_leaves_out_what_the_user_has(
    live: Any, recommenders: dict[str, str], refused: Callable[..., Any], recipe: str
) -> None:
    get, arn = live.runtime.get_recommendations, recommenders[recipe]
    related = {"itemId": "i2"} if bare(recipe, OF_AN_ITEM) else {}
    found = get(recommenderArn=arn, userId="u4", numResults=10, **related)["itemList"]
    assert found
    assert {key for entry in found for key in entry} == {"itemId"}
    events = events_csv("View", "Purchase") if "ecomm" in recipe else events_csv("Watch")
    word = bare(recipe, LEAVES_OUT)
    kind = LEAVES_OUT[word] if word else "Purchase"
    had = {row.split(",")[1] for row in events.splitlines() if row.startswith("u4,") and f",{kind}," in row}
    if word:
        assert not had & {entry["itemId"] for entry in found}
    if related:
        error = refused(get, recommenderArn=arn, userId="u4")
        assert "itemId is required" in error.message
    if "bought-together" in recipe:
        assert get(recommenderArn=arn, **related)["itemList"]
    else:
        assert "userId is required" in refused(get, recommenderArn=arn, **related).message


def test_metadata_filters_and_the_other_operations(
    live: Any, recommenders: dict[str, str], refused: Callable[..., Any]
) -> None:
    arn = recommenders["aws-ecomm-popular-items-by-views"]
    get = live.runtime.get_recommendations
    reply = get(recommenderArn=arn, userId="u1", numResults=2, metadataColumns={"ITEMS": ["PRICE"]})
    assert all(float(entry["metadata"]["PRICE"]) >= 0.5 for entry in reply["itemList"])
    group = live.world.describe("Recommender", arn)["datasetGroupArn"]
    only = live.personalize.create_filter(
        name=live.world.name("filter"),
        datasetGroupArn=group,
        filterExpression='INCLUDE ItemID WHERE Items.CATEGORY_L1 IN ("c1")',
    )["filterArn"]
    live.world.wait("Filter", only)
    kept = get(recommenderArn=arn, userId="u1", numResults=5, filterArn=only)["itemList"]
    assert [int(entry["itemId"][1:]) % 2 for entry in kept] == [1] * 5
    both = refused(get, recommenderArn=arn, campaignArn=live.campaigns["aws-sims"], userId="u1")
    assert "not both" in both.message
    absent = refused(get, recommenderArn=f"{arn}-none", userId="u1")
    assert (absent.code, absent.http_status) == ("ResourceNotFoundException", 404)


def test_an_update_of_the_columns_trains_again_and_one_of_the_capacity_does_not(
    live: Any, recommenders: dict[str, str]
) -> None:
    arn = recommenders["aws-vod-more-like-x"]

    def update(**config: Any) -> dict[str, Any]:
        live.personalize.update_recommender(recommenderArn=arn, recommenderConfig=config)
        while True:
            found = live.world.describe("Recommender", arn)
            if found["latestRecommenderUpdate"]["status"] in ("ACTIVE", "CREATE FAILED"):
                assert found["latestRecommenderUpdate"]["status"] == "ACTIVE"
                return dict(found)

    before = live.world.describe("Recommender", arn)["modelMetrics"]
    config = update(minRecommendationRequestsPerSecond=2)["recommenderConfig"]
    assert config == {"minRecommendationRequestsPerSecond": 2, "enableMetadataWithRecommendations": True}
    assert live.world.describe("Recommender", arn)["modelMetrics"] == before
    columns = {"excludedDatasetColumns": {"ITEMS": ["GENRES"]}}
    after = update(trainingDataConfig=columns)
    assert after["recommenderConfig"]["trainingDataConfig"] == columns
    assert after["modelMetrics"] != before
    assert live.runtime.get_recommendations(recommenderArn=arn, userId="u1", itemId="i3")["itemList"]
