"""One program per class of recipes, all the way: from the shop's tables to each person's list."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from dag_runs import load_dag, states
from services import Services
from shop import CUSTOMERS, NOW, SCHEMAS, SQL, Shop

from recsync.evaluation.store import ChampionStore
from recsync.recommend.store import RecommendationsStore

# `make recipes` goes the whole way of every recipe too.
LONG = pytest.mark.skipif(
    "RECSYNC_LONG_TESTS" not in os.environ, reason="takes long: RECSYNC_LONG_TESTS=1 runs it"
)

Run = Callable[..., Any]

_AVRO = {key: SCHEMAS["items"][key] for key in ("type", "namespace", "version")}
TEXT_ITEMS = {
    **_AVRO,
    "name": "Items",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        {"name": "NAME", "type": "string", "itemName": True},
        {"name": "STORY", "type": ["null", "string"], "textual": True},
        {"name": "COLOUR", "type": ["null", "string"], "categorical": True},
    ],
}
ITEMS_SQL = """
    SELECT product AS item_id, 'Product ' || product AS name,
        CASE WHEN right(product, 1) < '5' THEN 'a red shirt of wool' ELSE 'blue shoes for the rain' END AS story,
        CASE WHEN right(product, 1) < '5' THEN 'red' ELSE 'blue' END AS colour
    FROM shop.products
"""
LAST_BOUGHT = """
    SELECT customer AS user_id, 'braze-' || customer AS external_id, product AS item_id
    FROM (SELECT *, row_number() OVER (PARTITION BY customer ORDER BY at DESC, product) AS n FROM shop.orders) AS o
    WHERE n <= 2 ORDER BY customer, n
"""
ACTIONS = {
    "actions": (
        {
            **_AVRO,
            "name": "Actions",
            "fields": [{"name": "ACTION_ID", "type": "string"}, {"name": "VALUE", "type": ["null", "long"]}],
        },
        "SELECT 'a-' || n AS action_id, n AS value FROM generate_series(1, 6) AS n",
    ),
    "action_interactions": (
        {
            **_AVRO,
            "name": "ActionInteractions",
            "fields": [
                {"name": "USER_ID", "type": "string"},
                {"name": "ACTION_ID", "type": "string"},
                {"name": "EVENT_TYPE", "type": "string"},
                {"name": "TIMESTAMP", "type": "long"},
            ],
        },
        """
        SELECT customer AS user_id, 'a-' || 1 + abs(hashtext(customer || product)) % 6 AS action_id,
            CASE WHEN hashtext(customer || at) % 3 = 0 THEN 'TAKEN' ELSE 'VIEWED' END AS event_type,
            floor(extract(epoch FROM at))::bigint AS "timestamp"
        FROM shop.orders WHERE at >= '{{ data_interval_start }}' AND at < '{{ data_interval_end }}'
        """,
    ),
}


def program(recipe: str, more: str = "", *, length: int = 5, shortest: int = 1, datasets: str = "") -> str:
    return f"""
datasets: {{interactions: {{}}, items: {{}}{datasets}}}
personalize: {{recipe: {recipe}}}
recommendations: {{length: {length}, min_length: {shortest}}}
braze: {{attribute: recs, payload: objects, item_fields: [title]}}
{more}
"""


def run_stages(shop: Shop, run: Run, *stages: str) -> None:
    for stage in stages:
        dag_run = run(f"{shop.name}_{stage}")
        assert dag_run.state == "success", states(dag_run)


class Published:
    """What a shop's last recommend run made."""

    def __init__(self, shop: Shop) -> None:
        from recsync.context import StageContext

        self.context = StageContext.of(shop.name)
        newest = self.context.store(RecommendationsStore).latest_run()
        assert newest is not None
        self.run = newest
        self.manifest = self.context.store(RecommendationsStore).manifest(newest)
        lists = shop.published(newest).lists
        self.lists = {who: row["item_ids"] for who, row in lists.items() if row["item_ids"]}

    @property
    def asked(self) -> list[Any]:
        return self._lines([self.context.keys.batch_input(self.run)])

    @property
    def answers(self) -> list[Any]:
        prefix = self.manifest.source.removeprefix(self.context.bucket.uri(""))
        return self._lines([key for key in self.context.bucket.keys(prefix) if key.endswith(".out")])

    def _lines(self, keys: list[str]) -> list[Any]:
        bodies = [self.context.bucket.get(key) or b"" for key in keys]
        return [json.loads(line) for body in bodies for line in body.splitlines()]


def write(shop: Shop, text: str, sql: dict[str, str], **schemas: dict[str, Any]) -> None:
    shop.write_files(text, sql)
    for dataset, schema in schemas.items():
        path = shop.include / "schemas" / shop.name / f"{dataset}.json"
        path.write_text(json.dumps(schema))


def campaigns(services: Services) -> list[dict[str, Any]]:
    return list(services.boto3("personalize").list_campaigns()["campaigns"])


def test_related_items_are_merged_from_what_each_person_bought_last(
    shop: Shop, run: Run, services: Services
) -> None:
    write(shop, program("aws-similar-items"), {"audience": LAST_BOUGHT})
    run_stages(shop, run, "train_full", "recommend", "push")
    made = Published(shop)
    seeds: dict[str, list[str]] = {}
    for _, person, item in services.query(LAST_BOUGHT):
        seeds.setdefault(person, []).append(item)
    assert made.asked == [{"itemId": item} for item in sorted({i for mine in seeds.values() for i in mine})]
    related = {line["input"]["itemId"]: line["output"]["recommendedItems"] for line in made.answers}
    assert set(made.lists) == set(seeds)
    for person, items in made.lists.items():
        first, *others = (related[seed] for seed in seeds[person])
        merged = [item for rank in zip(first, *others, strict=True) for item in rank]
        assert items == list(dict.fromkeys(merged))[:5]
    held = services.profiles()
    assert all([item["id"] for item in held[p]["recs"]] == items for p, items in made.lists.items())


@pytest.mark.long(reason="make recipes runs every recipe, too")
@LONG
def test_each_persons_own_list_is_ranked(shop: Shop, run: Run) -> None:
    candidates = "SELECT DISTINCT customer AS user_id, product AS item_id FROM shop.orders ORDER BY product"
    text = program(
        "aws-personalized-ranking-v2", f"inputs: {{candidates: {shop.name}/candidates.sql}}", length=4
    )
    write(shop, text, {"candidates": candidates})
    run_stages(shop, run, "train_full", "recommend")
    made = Published(shop)
    mine = {line["userId"]: line["itemList"] for line in made.asked}
    assert len(mine) == CUSTOMERS
    for line in made.answers:
        user, ranked = line["input"]["userId"], line["output"]["recommendedItems"]
        assert sorted(ranked) == sorted(mine[user])
        assert made.lists[f"braze-{user}"] == ranked[:4]


@pytest.mark.long(reason="make recipes runs every recipe, too")
@LONG
def test_people_get_the_items_of_the_attributes_they_were_found_for(shop: Shop, run: Run) -> None:
    segments = """
        SELECT 'ITEMS.COLOUR = "red"' AS attributes, product AS item_id
        FROM shop.products WHERE product IN ('p-1', 'p-2')
        UNION ALL SELECT 'ITEMS.COLOUR = "blue"', 'p-9'
    """
    text = program("aws-item-attribute-affinity").replace("affinity}", "affinity, num_results: 7}")
    write(shop, text, {"items": ITEMS_SQL, "segments": segments}, items=TEXT_ITEMS)
    run_stages(shop, run, "train_full", "recommend")
    made = Published(shop)
    items = {'ITEMS.COLOUR = "red"': {"p-1", "p-2"}, 'ITEMS.COLOUR = "blue"': {"p-9"}}
    assert {line["itemAttributes"] for line in made.asked} == set(items)
    expected: dict[str, set[str]] = {}
    for line in made.answers:
        found = line["output"].get("recommendedUsers") or line["output"]["usersList"]
        assert len(found) == 7
        for user in found:
            query = line.get("itemAttributes") or line["input"]["itemAttributes"]
            expected.setdefault(f"braze-{user}", set()).update(items[query])
    assert {person: set(got) for person, got in made.lists.items()} == expected


@pytest.mark.long(reason="make recipes runs every recipe, too")
def test_only_those_likely_to_want_a_promotion_are_the_audience(shop: Shop, run: Run) -> None:
    text = program("aws-popularity-count", "audience: {segment: {items: [p-1, p-2], users_per_item: 9}}")
    some = SQL["audience"] + " WHERE right(customer, 1) <> '0'"
    write(shop, text, {"audience": some})
    run_stages(shop, run, "train_full", "recommend")
    made = Published(shop)
    output = made.context.keys.segment_output(made.run)
    (key,) = [key for key in made.context.bucket.keys(output) if key.endswith(".out")]
    lines = [json.loads(line) for line in (made.context.bucket.get(key) or b"").splitlines()]
    found = {
        u for line in lines for u in line["output"].get("recommendedUsers", line["output"].get("usersList"))
    }
    assert [len(lines), made.manifest.users] == [2, len(made.lists)]
    assert set(made.lists) == {f"braze-{user}" for user in found if not user.endswith("0")}
    champion = made.context.store(ChampionStore).read()
    assert champion
    assert "item-affinity" in champion.segment_version_arn


@pytest.mark.long(reason="make recipes runs every recipe, too")
@LONG
def test_everybody_gets_what_rises_and_the_campaign_is_deleted(
    shop: Shop, run: Run, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(shop, program("aws-trending-now"), {})
    run_stages(shop, run, "train_full", "recommend")
    made = Published(shop)
    (line,) = made.answers
    assert len(made.lists) == CUSTOMERS
    assert {tuple(items) for items in made.lists.values()} == {tuple(line["output"]["recommendedItems"][:5])}
    assert campaigns(services) == []

    # A run that cannot ask fails, and leaves nothing that is billed.
    connection = json.loads(services.environment()["AIRFLOW_CONN_AWS_DEFAULT"])
    connection["extra"]["service_config"]["personalize-runtime"] = {
        "endpoint_url": f"{services.braze}/nowhere"
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    dag_run = run(f"{shop.name}_recommend")
    assert dag_run.state == "failed"
    ended = states(dag_run)
    assert (ended["campaign"], ended["ask"], ended["delete_campaign"]) == ("success", "failed", "success")
    assert campaigns(services) == []


@pytest.mark.long(reason="make recipes runs every recipe, too")
def test_each_person_gets_own_actions_and_answers_are_asked_for_once(
    shop: Shop, run: Run, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsync.recommend import campaign_inference as ask_campaign
    from recsync.recommend.prepare import prepare

    sql = {name: query for name, (_, query) in ACTIONS.items()}
    catalogue = "SELECT 'a-' || n AS item_id, 'Action ' || n AS title FROM generate_series(1, 6) AS n"
    text = program("aws-next-best-action", length=2, datasets=", actions: {}, action_interactions: {}")
    write(
        shop, text, {**sql, "catalogue": catalogue}, **{name: schema for name, (schema, _) in ACTIONS.items()}
    )
    monkeypatch.setattr(ask_campaign, "PEOPLE_PER_PART", 25)
    run_stages(shop, run, "train_full", "recommend", "push")
    made = Published(shop)
    answers = {line["input"]["userId"]: line["output"]["recommendedItems"] for line in made.answers}
    assert len(answers) == CUSTOMERS
    assert made.lists == {f"braze-{user}": actions[:2] for user, actions in answers.items()}
    held = services.profiles()
    assert all([item["id"] for item in held[p]["recs"]] == actions for p, actions in made.lists.items())
    assert campaigns(services) == []

    # Killed in its middle and tried again, the task asks only for the parts that are missing.
    personalize, bucket = services.boto3("personalize"), made.context.bucket
    plan = prepare(shop.name, "again", NOW)
    arn = personalize.create_campaign(
        name=plan["campaign"], solutionVersionArn=plan["solution_version_arn"], minProvisionedTPS=1
    )["campaignArn"]
    assert arn == plan["campaign_arn"]
    while personalize.describe_campaign(campaignArn=arn)["campaign"]["status"] != "ACTIVE":
        time.sleep(0.05)
    ask_campaign.ask(shop.name, plan, arn)
    prefix = plan["output"].removeprefix(bucket.uri(""))
    first, second, third = sorted(bucket.keys(prefix))
    before = bucket.get(second)
    bucket.put(first, b"kept")
    bucket.delete(second)
    ask_campaign.ask(shop.name, plan, arn)
    assert (bucket.get(first), bucket.get(second)) == (b"kept", before)
    assert len((bucket.get(third) or b"").splitlines()) == CUSTOMERS - 50

    # Another number of actions is another question: no answer of the former one may be taken for it.
    other_text = text.replace("aws-next-best-action", "aws-next-best-action, num_results: 2")
    write(shop, other_text, {"catalogue": catalogue})
    other = prepare(shop.name, "again", NOW)
    assert other["output"] != plan["output"]
    assert other["job"] != plan["job"]


def test_a_recipe_without_update_has_no_dag_for_it(shop: Shop) -> None:
    write(shop, program("aws-sims"), {"audience": LAST_BOUGHT})
    with pytest.raises(KeyError):
        load_dag(f"{shop.name}_train_update")
    tasks = {"preflight", "prepare", "batch_inference", "ask_again", "batch_inference_again", "publish"}
    assert set(load_dag(f"{shop.name}_recommend").task_ids) == tasks
