"""Every operator against the running local Personalize: a shop is built, trained, asked, changed and taken down."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import pytest
from operator_runs import call, run

from airflow_personalize.errors import PersonalizeFatalError, PersonalizeRetriableError
from airflow_personalize.hooks.personalize import PersonalizeHook
from airflow_personalize.operators import (
    PersonalizeCreateBatchInferenceJobOperator,
    PersonalizeCreateBatchSegmentJobOperator,
    PersonalizeCreateCampaignOperator,
    PersonalizeCreateDataDeletionJobOperator,
    PersonalizeCreateDatasetExportJobOperator,
    PersonalizeCreateDatasetGroupOperator,
    PersonalizeCreateDatasetImportJobOperator,
    PersonalizeCreateDatasetOperator,
    PersonalizeCreateEventTrackerOperator,
    PersonalizeCreateFilterOperator,
    PersonalizeCreateMetricAttributionOperator,
    PersonalizeCreateSchemaOperator,
    PersonalizeCreateSolutionOperator,
    PersonalizeCreateSolutionVersionOperator,
    PersonalizeDeleteCampaignOperator,
    PersonalizeDeleteDatasetGroupOperator,
    PersonalizeDeleteDatasetOperator,
    PersonalizeDeleteEventTrackerOperator,
    PersonalizeDeleteFilterOperator,
    PersonalizeDeleteMetricAttributionOperator,
    PersonalizeDeleteSchemaOperator,
    PersonalizeDeleteSolutionOperator,
    PersonalizeGetActionRecommendationsOperator,
    PersonalizeGetPersonalizedRankingOperator,
    PersonalizeGetRecommendationsOperator,
    PersonalizeGetSolutionMetricsOperator,
    PersonalizePutActionInteractionsOperator,
    PersonalizePutActionsOperator,
    PersonalizePutEventsOperator,
    PersonalizePutItemsOperator,
    PersonalizePutUsersOperator,
    PersonalizeStopSolutionVersionCreationOperator,
    PersonalizeTagResourceOperator,
    PersonalizeUntagResourceOperator,
    PersonalizeUpdateCampaignOperator,
    PersonalizeUpdateDatasetOperator,
    PersonalizeUpdateMetricAttributionOperator,
    PersonalizeUpdateSolutionOperator,
)
from airflow_personalize.resources import (
    BATCH_INFERENCE_JOB,
    CAMPAIGN,
    DATA_DELETION_JOB,
    DATASET,
    DATASET_EXPORT_JOB,
    DATASET_GROUP,
    SCHEMA,
    SOLUTION,
    SOLUTION_VERSION,
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


@pytest.fixture(scope="module")
def campaign(shop):
    return run(PersonalizeCreateCampaignOperator, campaign_name="popular", solution_version_arn=shop.version)


@pytest.fixture(scope="module")
def tracker(shop):
    return run(PersonalizeCreateEventTrackerOperator, event_tracker_name="shop", dataset_group_arn=shop.group)


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


def test_what_was_made_is_adopted_by_a_second_run(account, shop):
    group, datasets = make_group("shop")
    assert (group, datasets) == (shop.group, shop.datasets)
    assert train(group, "popular") == (shop.solution, shop.version)
    metrics = call(PersonalizeGetSolutionMetricsOperator, solution_version_arn=shop.version)
    assert 0 <= metrics["coverage"] <= 1


def test_tags_are_given_at_creation_and_after(shop):
    assert tags_of(shop.group) == tags_of(shop.solution) == {"team": "mail"}
    call(PersonalizeTagResourceOperator, resource_arn=shop.group, tags={"cost": "7", "team": "post"})
    assert tags_of(shop.group) == {"team": "post", "cost": "7"}
    call(PersonalizeUntagResourceOperator, resource_arn=shop.group, tag_keys=["cost", "never"])
    run(PersonalizeCreateDatasetGroupOperator, dataset_group_name="shop", tags={"team": "mail", "new": "1"})
    assert tags_of(shop.group) == {"team": "mail", "new": "1"}


def test_a_batch_inference_job_with_filter_and_configuration(account, shop):
    filter_arn = run(
        PersonalizeCreateFilterOperator,
        filter_name="even-ones",
        dataset_group_arn=shop.group,
        filter_expression="INCLUDE ItemID WHERE Items.CATEGORY IN ($WANTED)",
    )
    lines = [
        {"userId": "u1", "filterValues": {"WANTED": '"c1"'}},
        {"userId": "u2", "filterValues": {"WANTED": '"c0"'}},
    ]
    parameters = {
        "job_name": "shop-recommend",
        "solution_version_arn": shop.version,
        "input_path": account.put("batch/in.json", "\n".join(map(json.dumps, lines))),
        "output_path": account.location("batch/out/"),
        "role_arn": ROLE,
        "num_results": "5",
        "filter_arn": filter_arn,
        "batch_inference_job_mode": "BATCH_INFERENCE",
        "tags": {"run": "1"},
    }
    arn = run(PersonalizeCreateBatchInferenceJobOperator, **parameters)
    (text,) = [text for key, text in account.read("batch/out/").items() if key.endswith(".out")]
    answers = [json.loads(line) for line in text.splitlines()]
    parities = {
        answer["input"]["userId"]: {int(item[1:]) % 2 for item in answer["output"]["recommendedItems"]}
        for answer in answers
    }
    assert parities == {"u1": {1}, "u2": {0}}
    assert run(PersonalizeCreateBatchInferenceJobOperator, **parameters) == arn
    assert tags_of(arn) == {"run": "1"}
    with pytest.raises(PersonalizeFatalError) as raised:
        run(
            PersonalizeCreateBatchInferenceJobOperator,
            **{**parameters, "output_path": account.location("batch/elsewhere/")},
        )
    assert "jobOutput.s3DataDestination.path: asked for" in str(raised.value)
    assert describe(BATCH_INFERENCE_JOB, arn)["numResults"] == 5
    run(PersonalizeDeleteFilterOperator, filter_arn=filter_arn)
    assert run(PersonalizeDeleteFilterOperator, filter_arn=filter_arn) == filter_arn


def test_a_batch_segment_job_finds_users(account, shop):
    _, version = train(shop.group, "affinity", recipe="item-affinity")
    arn = run(
        PersonalizeCreateBatchSegmentJobOperator,
        job_name="shop-segment",
        solution_version_arn=version,
        input_path=account.put("segment/in.json", json.dumps({"itemId": "i2"})),
        output_path=account.location("segment/out/"),
        role_arn=ROLE,
        num_results=10,
    )
    (text,) = [text for key, text in account.read("segment/out/").items() if key.endswith(".out")]
    users = json.loads(text)["output"]["recommendedUsers"]
    assert len(users) == 10
    assert {int(user[1:]) % 2 for user in users} == {0}
    assert arn.endswith("batch-segment-job/shop-segment")


def test_a_campaign_answers_and_is_moved_to_another_version(shop, campaign):
    (answer,) = call(
        PersonalizeGetRecommendationsOperator, campaign_arn=campaign, user_ids=["u1"], num_results="3"
    )
    assert answer["userId"] == "u1"
    assert call(PersonalizeGetRecommendationsOperator, campaign_arn=campaign, user_ids=[]) == []
    assert len({each["itemId"] for each in answer["itemList"]}) == 3
    newer = run(
        PersonalizeCreateSolutionVersionOperator, solution_version_name="second", solution_arn=shop.solution
    )
    moved = {"campaign_arn": campaign, "solution_version_arn": newer, "min_provisioned_tps": "2"}
    assert run(PersonalizeUpdateCampaignOperator, **moved) == campaign
    found = describe(CAMPAIGN, campaign)
    assert (found["solutionVersionArn"], found["minProvisionedTPS"]) == (newer, 2)
    first_update = found["latestCampaignUpdate"]["creationDateTime"]
    run(PersonalizeUpdateCampaignOperator, **moved)
    assert describe(CAMPAIGN, campaign)["latestCampaignUpdate"]["creationDateTime"] == first_update
    with pytest.raises(
        PersonalizeFatalError, match=r"(?s)solutionVersionArn: asked for .*UpdateCampaign moves it"
    ):
        run(PersonalizeCreateCampaignOperator, campaign_name="popular", solution_version_arn=shop.version)


def test_a_campaign_that_follows_its_solution_is_adopted(shop):
    follower = {
        "campaign_name": "follower",
        "solution_version_arn": f"{shop.solution}/$LATEST",
        "campaign_config": {"syncWithLatestSolutionVersion": True},
    }
    arn = run(PersonalizeCreateCampaignOperator, **follower)
    assert run(PersonalizeCreateCampaignOperator, **follower) == arn
    run(PersonalizeDeleteCampaignOperator, campaign_arn=arn)
    assert PersonalizeHook().describe_if_any(CAMPAIGN, arn) is None


def test_a_ranking_campaign_ranks(shop):
    _, version = train(shop.group, "ranking", recipe="personalized-ranking")
    arn = run(PersonalizeCreateCampaignOperator, campaign_name="ranking", solution_version_arn=version)
    answers = call(
        PersonalizeGetPersonalizedRankingOperator,
        campaign_arn=arn,
        user_ids=["u0", "u1"],
        input_list=["i0", "i1", "i2", "i3"],
    )
    ranked = [[each["itemId"] for each in answer["personalizedRanking"]] for answer in answers]
    assert [sorted(each) for each in ranked] == [["i0", "i1", "i2", "i3"]] * 2
    run(PersonalizeDeleteCampaignOperator, campaign_arn=arn)


def test_events_items_and_users_are_put_once_however_often(account, shop, tracker):
    events = [
        {"userId": f"n{n % 3}", "eventType": "buy", "itemId": f"i{n}", "sentAt": 1_710_000_000 + n}
        for n in range(25)
    ]
    location = account.put("streamed/events.jsonl", "\n".join(map(json.dumps, events)))
    for _ in range(2):
        sent = call(PersonalizePutEventsOperator, event_tracker_arn=tracker, data_location=location)
        assert sent == {"records": 25, "requests": 3}
    items = [{"itemId": f"new{n}", "properties": {"category": "c9", "price": n}} for n in range(12)]
    sent = call(PersonalizePutItemsOperator, dataset_arn=shop.datasets["items"], records=items)
    assert sent == {"records": 12, "requests": 2}
    call(
        PersonalizePutUsersOperator,
        dataset_arn=shop.datasets["users"],
        records=[{"userId": "n1", "properties": json.dumps({"tier": "gold"})}],
    )
    rows = exported(account, shop, "interactions", "PUT", "streamed-events")
    assert len(rows) == 1 + len(events)
    assert len(exported(account, shop, "items", "PUT", "streamed-items")) == 1 + len(items)
    assert any("gold" in row for row in exported(account, shop, "users", None, "streamed-users"))


def test_a_folder_of_records_is_put_and_what_is_no_record_is_named(account, shop):
    for name, number in (("b", 2), ("a", 1)):
        account.put(f"folder/{name}.jsonl", json.dumps({"userId": f"f{number}"}) + "\n\n")
    into = {"dataset_arn": shop.datasets["users"]}
    sent = call(PersonalizePutUsersOperator, **into, data_location=account.location("folder/"))
    assert sent == {"records": 2, "requests": 1}
    for text, told in (("{}\nnonsense", "line 2 is not JSON"), ("[1]", "line 1 holds no JSON object")):
        location = account.put("broken.jsonl", text)
        with pytest.raises(PersonalizeFatalError, match=f"broken.jsonl, {told}"):
            call(PersonalizePutUsersOperator, **into, data_location=location)
    for nowhere in ("broken", "nothing/"):
        with pytest.raises(PersonalizeFatalError, match="There is no object at"):
            call(PersonalizePutUsersOperator, **into, data_location=account.location(nowhere))


def test_actions_are_streamed_and_recommended(shop):
    records = {
        "Actions": schema("Actions", ("ACTION_ID", "string"), ("VALUE", ["null", "long"])),
        "Action_Interactions": schema(
            "ActionInteractions",
            *((name, "string") for name in ("USER_ID", "ACTION_ID", "EVENT_TYPE")),
            ("TIMESTAMP", "long"),
        ),
    }
    actions, interactions = (
        run(
            PersonalizeCreateDatasetOperator,
            dataset_name=f"shop-{kind}",
            dataset_type=kind,
            schema_arn=run(PersonalizeCreateSchemaOperator, schema_name=f"shop-{kind}", schema=text),
            dataset_group_arn=shop.group,
        )
        for kind, text in records.items()
    )
    call(
        PersonalizePutActionsOperator,
        dataset_arn=actions,
        records=[{"actionId": name, "properties": {"value": 5}} for name in ("join", "rate")],
    )
    taken = [
        {
            "userId": f"u{user}",
            "actionId": action,
            "eventType": "Taken" if (user % 2 == 0) == (action == "join") else "Viewed",
            "timestamp": 1_700_000_000 + user,
        }
        for user, action in itertools.product(range(USERS), ("join", "rate"))
    ]
    sent = call(PersonalizePutActionInteractionsOperator, dataset_arn=interactions, records=taken)
    assert sent == {"records": 2 * USERS, "requests": 2 * USERS / 10}
    _, version = train(shop.group, "actions", recipe="next-best-action")
    arn = run(PersonalizeCreateCampaignOperator, campaign_name="actions", solution_version_arn=version)
    (answer,) = call(
        PersonalizeGetActionRecommendationsOperator, campaign_arn=arn, user_ids=["nobody"], num_results="2"
    )
    assert {each["actionId"] for each in answer["actionList"]} == {"join", "rate"}
    run(PersonalizeDeleteCampaignOperator, campaign_arn=arn)


def test_a_deletion_job_takes_users_out(account, shop):
    arn = run(
        PersonalizeCreateDataDeletionJobOperator,
        job_name="forget",
        dataset_group_arn=shop.group,
        data_location=account.put("forget/users.csv", "USER_ID\nu58\nu59\n"),
        role_arn=ROLE,
    )
    assert describe(DATA_DELETION_JOB, arn)["status"] == "COMPLETED"
    rows = exported(account, shop, "interactions", "BULK", "after-deletion")
    assert len(rows) == 1 + (USERS - 2) * EVENTS_EACH
    assert not any("u58" in row for row in rows)


def test_an_event_tracker_of_another_name_is_named_as_drift(shop, tracker, context):
    arn = run(
        PersonalizeCreateEventTrackerOperator,
        context,
        event_tracker_name="shop",
        dataset_group_arn=shop.group,
    )
    assert arn == tracker
    assert len(context["ti"].pushed["tracking_id"]) == 36
    with pytest.raises(PersonalizeFatalError, match='name: asked for "another", found "shop"'):
        run(PersonalizeCreateEventTrackerOperator, event_tracker_name="another", dataset_group_arn=shop.group)


def test_a_schema_is_replaced_once(account, shop):
    wider = schema("Items", *ITEM_FIELDS, ("BRAND", NULLABLE))
    schema_arn = run(PersonalizeCreateSchemaOperator, schema_name="shop-items-2", schema=wider)
    replaced = {"dataset_arn": shop.datasets["items"], "schema_arn": schema_arn}
    run(PersonalizeUpdateDatasetOperator, **replaced)
    update = describe(DATASET, shop.datasets["items"])["latestDatasetUpdate"]
    assert (update["schemaArn"], update["status"]) == (schema_arn, "ACTIVE")
    run(PersonalizeUpdateDatasetOperator, **replaced)
    assert describe(DATASET, shop.datasets["items"])["latestDatasetUpdate"] == update
    narrower = run(PersonalizeCreateSchemaOperator, schema_name="shop-items-3", schema=SCHEMAS["users"])
    with pytest.raises(PersonalizeFatalError, match="Cannot update dataset"):
        run(PersonalizeUpdateDatasetOperator, dataset_arn=shop.datasets["items"], schema_arn=narrower)


def test_a_solution_is_updated(shop):
    changes = {
        "solution_arn": shop.solution,
        "perform_auto_training": True,
        "solution_update_config": {"autoTrainingConfig": {"schedulingExpression": "rate(3 days)"}},
    }
    run(PersonalizeUpdateSolutionOperator, **changes)
    found = describe(SOLUTION, shop.solution)
    assert found["performAutoTraining"] is True
    assert found["solutionConfig"]["autoTrainingConfig"] == {"schedulingExpression": "rate(3 days)"}
    run(PersonalizeUpdateSolutionOperator, **changes)
    assert describe(SOLUTION, shop.solution)["latestSolutionUpdate"] == found["latestSolutionUpdate"]
    run(PersonalizeUpdateSolutionOperator, solution_arn=shop.solution, perform_auto_training=False)


def test_a_training_that_has_ended_is_not_stopped(shop):
    assert (
        run(PersonalizeStopSolutionVersionCreationOperator, solution_version_arn=shop.version) == shop.version
    )
    assert describe(SOLUTION_VERSION, shop.version)["status"] == "ACTIVE"


def test_a_metric_attribution_is_changed_by_what_is_missing(account, shop):
    bought = {"eventType": "buy", "metricName": "bought", "expression": "SAMPLECOUNT()"}
    turnover = {"eventType": "buy", "metricName": "turnover", "expression": "SUM(Items.PRICE)"}
    made = {
        "metric_attribution_name": "shop",
        "dataset_group_arn": shop.group,
        "metrics": [bought],
        "role_arn": ROLE,
        "output_path": account.location("metrics/"),
    }
    arn = run(PersonalizeCreateMetricAttributionOperator, **made)
    assert run(PersonalizeCreateMetricAttributionOperator, **made) == arn
    with pytest.raises(PersonalizeFatalError, match=r"metrics: asked for .*turnover"):
        run(PersonalizeCreateMetricAttributionOperator, **{**made, "metrics": [bought, turnover]})
    changes = {"metric_attribution_arn": arn, "add_metrics": [turnover], "remove_metrics": ["bought"]}
    for _ in range(2):
        assert run(PersonalizeUpdateMetricAttributionOperator, **changes) == arn
    viewed = {**turnover, "eventType": "view"}
    run(
        PersonalizeUpdateMetricAttributionOperator,
        metric_attribution_arn=arn,
        add_metrics=[viewed],
        remove_metrics=["turnover"],
    )
    changed = {**made, "metrics": [viewed]}
    assert run(PersonalizeCreateMetricAttributionOperator, **changed) == arn
    run(PersonalizeDeleteMetricAttributionOperator, metric_attribution_arn=arn)
    assert run(PersonalizeDeleteMetricAttributionOperator, metric_attribution_arn=arn) == arn


def test_an_output_of_a_metric_attribution_is_not_passed_over_for_want_of_a_role():
    with pytest.raises(ValueError, match="output_path but no role_arn"):
        PersonalizeUpdateMetricAttributionOperator(
            task_id="t", metric_attribution_arn="arn:a", output_path="s3://b/reports/"
        )


def test_each_part_of_a_group_can_be_deleted_in_order(account):
    group, datasets = make_group("parts")
    solution = run(
        PersonalizeCreateSolutionOperator,
        solution_name="parts",
        dataset_group_arn=group,
        recipe_arn=RECIPE + "popularity-count",
    )
    tracker_arn = run(
        PersonalizeCreateEventTrackerOperator, event_tracker_name="parts", dataset_group_arn=group
    )
    with pytest.raises(PersonalizeRetriableError, match="Cannot delete dataset group"):
        run(PersonalizeDeleteDatasetGroupOperator, dataset_group_arn=group)
    schemas = [describe(DATASET, arn)["schemaArn"] for arn in datasets.values()]
    with pytest.raises(PersonalizeRetriableError, match="Cannot delete schema"):
        run(PersonalizeDeleteSchemaOperator, schema_arn=schemas[0])
    run(PersonalizeDeleteSolutionOperator, solution_arn=solution)
    run(PersonalizeDeleteEventTrackerOperator, event_tracker_arn=tracker_arn)
    for arn in datasets.values():
        run(PersonalizeDeleteDatasetOperator, dataset_arn=arn)
    run(PersonalizeDeleteDatasetGroupOperator, dataset_group_arn=group)
    for arn in schemas:
        run(PersonalizeDeleteSchemaOperator, schema_arn=arn)
    hook = PersonalizeHook()
    assert hook.describe_if_any(DATASET_GROUP, group) is None
    assert [hook.describe_if_any(SCHEMA, arn) for arn in schemas] == [None] * 3


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_cascade_takes_the_group_and_nothing_beside_it(account, shop, deferrable, monkeypatch, capsys):
    if deferrable:
        # Every step defers.
        monkeypatch.setattr("airflow_personalize.hooks.personalize_client.QUICK_LOOKS", 0)
    group, datasets = make_group(f"doomed-{deferrable}")
    import_rows(
        account, f"doomed-{deferrable}", datasets["interactions"], "in/doomed.csv", interactions_csv()
    )
    _, version = train(group, f"doomed-{deferrable}")
    run(PersonalizeCreateCampaignOperator, campaign_name=f"doomed-{deferrable}", solution_version_arn=version)
    run(
        PersonalizeCreateFilterOperator,
        filter_name=f"doomed-{deferrable}",
        dataset_group_arn=group,
        filter_expression='EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")',
    )
    schemas = [describe(DATASET, arn)["schemaArn"] for arn in datasets.values()]
    capsys.readouterr()
    run(PersonalizeDeleteDatasetGroupOperator, dataset_group_arn=group, cascade=True, deferrable=deferrable)
    told = capsys.readouterr().out.partition("Will delete, in this order:\n")[2]
    order = [line.strip().split(" arn:")[0] for line in told.splitlines()[:7]]
    assert order == ["campaign", "solution", "filter", *["dataset"] * 3, "dataset group"]
    hook = PersonalizeHook()
    assert hook.describe_if_any(DATASET_GROUP, group) is None
    assert hook.describe(SOLUTION_VERSION, shop.version)["status"] == "ACTIVE"
    assert all(hook.describe(SCHEMA, arn) for arn in schemas)
    assert run(PersonalizeDeleteDatasetGroupOperator, dataset_group_arn=group, cascade=True) == group


def test_a_second_export_under_the_same_name_is_adopted(account, shop):
    first = exported(account, shop, "users", "BULK", "twice")
    assert exported(account, shop, "users", "BULK", "twice") == first
    hook = PersonalizeHook()
    listed = hook.listed(DATASET_EXPORT_JOB, datasetArn=shop.datasets["users"])
    assert [each["jobName"] for each in listed].count("twice") == 1
