"""A new user's mistakes: each is named with file and line before anything is billed, and nothing is changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dag_runs import states
from meters import metered
from services import BUCKET, Services
from shop import LENIENT, SQL, Shop

from recsync.errors import FatalError

PROGRAM = f"""\
datasets:
  interactions: {{}}
  items: {{}}
{LENIENT.rstrip()}
recommendations:
  length: 5
personalize: {{num_results: 20}}
braze:
  attribute: recs
  payload: objects
  item_fields: [title, price]
"""
# Braze allows 50 calls a minute that read catalogs, so few of the mistakes are about one.
CATALOG = """  attribute: recs
  catalog:
    name: products
    fields:
      title: string
      price: number
"""
OBJECTS = PROGRAM[PROGRAM.index("  attribute") :]
Mistake = Callable[[Shop, pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def shared_shop(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Load one shop for all the mistakes; none of them changes anything."""
    shop = Shop(services, tmp_path_factory.mktemp("include"), "preflight-shop")
    shop.load()
    return shop


@pytest.fixture
def shop(shared_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Give the shop with files that are right."""
    monkeypatch.setenv("AIRFLOW__RECSYNC__INCLUDE_FOLDER", str(shared_shop.include))
    shared_shop.write_files(PROGRAM)
    yield shared_shop
    for folder in shared_shop.include.iterdir():
        shutil.rmtree(folder)


def look(shop: Shop) -> Any:
    from recsync.preflight.run import look

    return look(shop.name)


def problems(shop: Shop) -> list[str]:
    """Run the preflight and return what it says, its own errors included."""
    try:
        found = look(shop)
    except FatalError as error:
        return str(error).splitlines()
    return [*found.problems, *found.unreachable]


def everything(services: Services) -> tuple[Any, ...]:
    """Read all that a preflight must leave as it is."""
    s3 = services.boto3("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    groups = services.boto3("personalize").list_dataset_groups()["datasetGroups"]
    return (
        metered(services),
        sorted((entry["Key"], entry["ETag"]) for entry in s3),
        sorted(group["name"] for group in groups),
        services.profiles(),
    )


def program(right: str, wrong: str) -> Mistake:
    """Make a mistake in the program file."""

    def make(shop: Shop, _: pytest.MonkeyPatch) -> None:
        assert right in PROGRAM
        shop.write_files(PROGRAM.replace(right, wrong, 1))

    return make


def sql(query: str, text: str | bytes, right: str = "", wrong: str = "") -> Mistake:
    """Make a mistake in a SQL file, and one in the program file with it."""

    def make(shop: Shop, _: pytest.MonkeyPatch) -> None:
        shop.write_files(PROGRAM.replace(right, wrong, 1) if right else PROGRAM)
        path = shop.include / "sql" / shop.name / f"{query}.sql"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    return make


def setting(name: str, value: str | None) -> Mistake:
    """Make a mistake in the deployment's settings or connections."""

    def make(_: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)

    return make


def braze_key(**changed: Any) -> Mistake:
    """Make a mistake in the connection to Braze."""

    def make(_: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        given = json.loads(os.environ["AIRFLOW_CONN_BRAZE_DEFAULT"])
        monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", json.dumps(given | changed))

    return make


def sixth_dataset_group(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    client = shop.services.boto3("personalize")
    # The other files of this process have made theirs already: five or more.
    while len(groups := client.list_dataset_groups()["datasetGroups"]) < 5:
        client.create_dataset_group(name=f"other-{len(groups)}")
    monkeypatch.delenv("AIRFLOW__RECSYNC__DATASET_GROUPS_QUOTA")


def wrong_password(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    address = shop.services.dsn.rsplit("@", 1)[1]
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"postgres://nobody:wrong@{address}")


def rival(shop: Shop, _: pytest.MonkeyPatch) -> None:
    folder = shop.include / "programs"
    (folder / "rival.yaml").write_text(PROGRAM)
    for kind in ("sql", "schemas"):
        shutil.copytree(shop.include / kind / shop.name, shop.include / kind / "rival", dirs_exist_ok=True)


def rival_by_another_connection(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    rival(shop, monkeypatch)
    path = shop.include / "programs" / "rival.yaml"
    path.write_text(PROGRAM.replace("braze:\n", "braze:\n  connection: braze_other\n"))
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_OTHER", os.environ["AIRFLOW_CONN_BRAZE_DEFAULT"])


NAME = "preflight-shop"
SQL_FOLDER = f"include/sql/{NAME}"
CATALOGUE = SQL["catalogue"]
MISTAKES: dict[str, tuple[Mistake, str]] = {
    "a typing error": (program("length: 5", "lenght: 5"), f"{NAME}.yaml:6: recommendations.lenght: unknown field; did you mean length?"),
    "a reserved name": (program("attribute: recs", "attribute: first_name"), f"{NAME}.yaml:9: braze.attribute: first_name is a profile field of Braze"),
    "a shared attribute": (rival, f"{NAME}.yaml:9: braze.attribute: rival.yaml writes to the same Braze attribute"),
    "a shared attribute of two connections to one workspace": (rival_by_another_connection, f"{NAME}.yaml:9: braze.attribute: rival.yaml writes to the same Braze attribute"),
    "no such program": (lambda shop, _: (shop.include / "programs" / f"{NAME}.yaml").rename(shop.include / "programs" / "preflight.yaml") and None, "did you mean preflight?"),
    # SQL.
    "UTF-16": (sql("items", SQL["items"].encode("utf-16")), f"{SQL_FOLDER}/items.sql:1: UTF-16"),
    "an unknown variable": (sql("audience", "SELECT customer AS user_id\nFROM shop.orders WHERE at > '{{ data_interval_begin }}'"), f"{SQL_FOLDER}/audience.sql:2: unknown variable data_interval_begin; did you mean data_interval_end?"),
    "an unknown table": (sql("catalogue", CATALOGUE.replace("shop.products", "shop.goods")), f'{SQL_FOLDER}/catalogue.sql:1: The warehouse (warehouse) refused {NAME}/catalogue.sql: relation "shop.goods" does not exist'),
    "a missing column": (program("title, price", "titel, price"), f"{NAME}.yaml:11: braze.item_fields.0: {SQL_FOLDER}/catalogue.sql returns no column titel; it returns item_id, title, price; did you mean title?"),
    "a missing column for the catalog": (program(OBJECTS, CATALOG.replace("title:", "titel:")), f"{NAME}.yaml:13: braze.catalog.fields.titel: {SQL_FOLDER}/catalogue.sql returns no column titel"),
    "ids that no catalog holds": (sql("catalogue", CATALOGUE.replace("product AS item_id", "replace(product, '-', '.') AS item_id"), OBJECTS, CATALOG), "a Braze catalog takes ids of 1 to 250 letters, digits, _ and - only; replace other characters"),
    "a missing column of the schema": (sql("items", SQL["items"].replace("price,", "price AS cost,")), f"include/schemas/{NAME}/items.json:1: field PRICE: {SQL_FOLDER}/items.sql returns no column PRICE"),
    "a missing column in the star": (sql("catalogue", "SELECT product AS item_id, * FROM shop.products"), f"{NAME}.yaml:11: braze.item_fields.0: {SQL_FOLDER}/catalogue.sql returns no column title"),
    "no in_stock": (program("  length: 5", "  length: 5\n  rules: {in_stock: in_stock}"), f"{NAME}.yaml:7: recommendations.rules.in_stock: {SQL_FOLDER}/catalogue.sql returns no column in_stock"),
    "in_stock that is no boolean": (sql("catalogue", CATALOGUE.replace("price", "price, 'maybe' AS in_stock"), "  length: 5", "  length: 5\n  rules: {in_stock: in_stock}"), "recommendations.rules.in_stock needs a boolean column"),
    "a segment fallback without segment": (program("  length: 5", "  length: 5\n  fallback: [popular, popular_in_segment]"), f"{NAME}.yaml:7: recommendations.fallback.1: {SQL_FOLDER}/audience.sql returns no column segment"),
    "a filter value without column": (program("personalize:", "filters: {recommend: {expression: EXCLUDE ItemID WHERE Items.PRICE > $MOST, values: {MOST: most}}}\npersonalize:"), f"{NAME}.yaml:7: filters.recommend.values.MOST: {SQL_FOLDER}/audience.sql returns no column most"),
    "an unknown event type column": (program("personalize:", "events: {types: {buy: null}}\npersonalize:"), f"{NAME}.yaml:7: events.types: {SQL_FOLDER}/interactions.sql returns no column EVENT_TYPE"),
    # What the queries return.
    "an empty catalog": (sql("catalogue", CATALOGUE + " WHERE false"), f"{SQL_FOLDER}/catalogue.sql:1: {NAME}/catalogue.sql returns no row"),
    "an empty audience": (sql("audience", SQL["audience"] + " WHERE false"), f"{SQL_FOLDER}/audience.sql:1: returns nobody"),
    "an audience without ids": (sql("audience", "SELECT nullif(customer, 'c 1') AS user_id FROM shop.orders"), f"{SQL_FOLDER}/audience.sql:1: returns 1 row(s) without user_id or external_id"),
    "people twice": (sql("audience", SQL["audience"].replace("'braze-' || customer", "left(customer, 3)")), f"{SQL_FOLDER}/audience.sql:1: returns 60 rows for 10 Braze users: 50 row(s) have the external_id of another one"),
    "other ids of people": (sql("audience", "SELECT DISTINCT 'u' || md5(customer) AS user_id FROM shop.orders"), f"{SQL_FOLDER}/audience.sql:1: none of its user_id is a USER_ID of {SQL_FOLDER}/interactions.sql"),
    "other ids of items": (sql("catalogue", CATALOGUE.replace("product AS item_id", "replace(product, '-', '_') AS item_id")), f"{SQL_FOLDER}/catalogue.sql:1: none of its item_id is a ITEM_ID of {SQL_FOLDER}/interactions.sql, so no list could be made: here they look like 'a_9', there like 'a-9'"),
    "no seeds": (sql("seeds", "SELECT customer AS user_id, product AS item_id FROM shop.orders WHERE false", "personalize: {num_results: 20}", f"inputs: {{seeds: {NAME}/seeds.sql}}\npersonalize: {{num_results: 20, recipe: aws-similar-items}}"), f"{SQL_FOLDER}/seeds.sql:1: returns no item"),
    # Connections, quotas, permissions.
    "no such connection": (program("personalize:", "warehouse: warehose\npersonalize:"), f"{NAME}.yaml:7: warehouse: There is no Airflow connection warehose"),
    "no connection": (setting("AIRFLOW_CONN_BRAZE_DEFAULT", None), f"{NAME}.yaml:8: braze.connection: There is no Airflow connection braze_default"),
    "no connection for alerts": (program("personalize:", "alerts: [{via: slack, connection: team}]\npersonalize:"), f"{NAME}.yaml:7: alerts.0.connection: There is no Airflow connection team"),
    "a wrong password": (wrong_password, f"{NAME}.yaml:1: warehouse: The warehouse (warehouse) refused"),
    "a connection that cannot be read": (setting("AIRFLOW_CONN_WAREHOUSE", "postgres://nobody:pass/word@:here"), "AIRFLOW_CONN_WAREHOUSE holds neither JSON nor a URI"),
    "a wrong port": (setting("AIRFLOW_CONN_WAREHOUSE", "postgres://nobody:wrong@127.0.0.1:9/warehouse"), f"{NAME}.yaml:1: warehouse: The warehouse (warehouse) failed"),
    "no bucket": (setting("AIRFLOW__RECSYNC__BUCKET", "not-there"), f"{NAME}.yaml:1: bucket: "),
    "no role": (setting("AIRFLOW__RECSYNC__PERSONALIZE_ROLE_ARN", ""), "AIRFLOW__RECSYNC__PERSONALIZE_ROLE_ARN"),
    "a sixth dataset group": (sixth_dataset_group, f"{NAME}.yaml:1: aws: the account has "),
    "a wrong key": (braze_key(password="wrong"), f"{NAME}.yaml:8: braze.connection: Braze refused"),
    "a wrong host": (braze_key(host="http://127.0.0.1:9"), f"{NAME}.yaml:8: braze.connection: cannot be reached"),
}  # fmt: skip


def test_a_sound_program_passes_and_nothing_is_changed(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    from recsync.preflight.run import main

    shop.write_files(PROGRAM.replace(OBJECTS, CATALOG))
    before = everything(shop.services)
    assert main(NAME) == 0
    told = capfd.readouterr()
    assert told.err == ""
    assert f"{NAME}: no problems (4 queries at warehouse, 60 people, 40 items, bucket {BUCKET}, " in told.out
    assert everything(shop.services) == before


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_nothing_is_billed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    make, told = MISTAKES[mistake]
    make(shop, monkeypatch)
    before = everything(shop.services)
    found = problems(shop)
    assert any(told in problem for problem in found), found
    assert everything(shop.services) == before


def test_all_mistakes_are_told_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from recsync.preflight.run import main

    rival(shop, monkeypatch)
    for query in ("catalogue", "items"):
        path = shop.include / "sql" / NAME / f"{query}.sql"
        path.write_text("SELECT product AS item_id FROM shop.products")
    braze_key(password="wrong")(shop, monkeypatch)
    assert main(NAME) == 1
    lines = capfd.readouterr().err.splitlines()
    assert [line.rsplit(": ", 1)[0].split(": ")[0] for line in lines] == [
        f"{NAME}.yaml:9",  # the shared attribute
        f"include/schemas/{NAME}/items.json:1",
        f"include/schemas/{NAME}/items.json:1",
        f"{NAME}.yaml:11",  # title
        f"{NAME}.yaml:11",  # price
        f"{NAME}.yaml:8",  # the key
    ]


def test_a_key_without_a_permission_is_told_which(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write_files(PROGRAM.replace(OBJECTS, CATALOG))
    braze_key(password=shop.services.braze_narrow_key)(shop, monkeypatch)
    (line,) = problems(shop)
    assert line.startswith(
        f"{NAME}.yaml:8: braze.connection: the API key of the connection braze_default lacks users.delete (for make "
        "forget, as erasure.braze is profile), catalogs.delete_items (for braze.catalog); "
    )
    status = PROGRAM.replace("  attribute: recs", "  attribute: recs\n  status_catalog: recsync_status")
    shop.write_files(status.replace("  length: 5", "  length: 5\n  max_age_days: 9"))
    assert "catalogs.delete_items (for braze.status_catalog)" in problems(shop)[0]
    shop.write_files("erasure: {braze: attributes}\n" + PROGRAM)
    assert problems(shop) == []


@pytest.mark.parametrize("stage", ["train_full", "recommend"])
def test_the_first_task_of_a_run_stops_it_before_anything_is_billed(
    shop: Shop, run: Callable[..., Any], stage: str
) -> None:
    shop.write_files(PROGRAM, sql={"catalogue": CATALOGUE + " WHERE false"})
    before = everything(shop.services)
    found = states(run(f"{NAME}_{stage}"))
    assert found.pop("preflight") == "failed"
    assert set(found.values()) == {"upstream_failed"}
    assert everything(shop.services) == before
