"""Erasure of people whom Braze knows by another identifier than external_id."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from small_shop import SmallShop

sys.path.insert(0, str(Path(__file__).parents[1] / "push"))
from kit import Servers, servers

from recsync.forget import tasks
from recsync.forget.batch import suppress_batch, take_open_requests
from recsync.forget.request import request_erasure
from recsync.push.store import LastSent
from recsync.suppression.store import PERSON, SuppressionStore

ALIAS = {"alias_name": "ann-alias", "alias_label": "shop"}
PEOPLE = [
    {
        "external_id": "ann",
        "email": "Ann@example.com",
        "phone": "+4915112345678",
        "recs": ["i1"],
        "color": "red",
    },
    {"external_id": "ann-2", "email": "ann@example.com", "phone": "+4915112345678", "recs": ["i1"]},
    {"user_alias": ALIAS, "_update_existing_only": False, "recs": ["i1"], "color": "blue"},
    {"external_id": "bob", "email": "bob@example.com", "phone": "+4915187654321", "recs": ["i1"]},
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with servers(tmp_path_factory.mktemp("forget")) as started:
        yield started


@pytest.fixture
def braze(running: Servers, small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch) -> Servers:
    connection = {"conn_type": "braze", "host": running.braze, "password": running.key}
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", json.dumps(connection))
    monkeypatch.setattr(tasks, "_SECONDS_BETWEEN_LOOKS", 0.2)
    running.control("POST", "profiles", json=PEOPLE)
    return running


def shown(braze: Servers) -> dict[str, Any]:
    """Give the attributes by external id, and those of the alias by ``alias``."""
    braze.control("POST", "flush")
    lines = requests.get(f"{braze.braze}/_local/profiles.ndjson?whole=true", timeout=60).text.splitlines()
    profiles = [json.loads(line) for line in lines]
    return {one.get("external_id", "alias"): one["custom_attributes"] for one in profiles}


def forget(mode: str, person: str) -> dict[str, Any]:
    return tasks.forget_in_braze("shop", request_erasure("shop", "u-ann", external_id=person))


@pytest.mark.parametrize(
    ("identifier", "person", "gone"),
    [
        ({"identifier": "user_alias", "alias_label": "shop"}, "ann-alias", {"alias"}),
        ({"identifier": "email"}, " ANN@example.com", {"ann", "ann-2"}),
        ({"identifier": "phone"}, "+4915112345678", {"ann", "ann-2"}),
    ],
)
def test_every_profile_of_the_person_is_erased_and_no_other(
    small_shop: SmallShop, braze: Servers, identifier: dict[str, str], person: str, gone: set[str]
) -> None:
    before = shown(braze)
    fields = {"attribute": "recs", **identifier}
    small_shop.write_program(braze=fields, erasure={"braze": "attributes"})
    assert forget("attributes", person)["gone"]
    attributes = shown(braze)
    assert {who for who, found in attributes.items() if "recs" not in found} == gone
    assert attributes.keys() == before.keys()
    assert [attributes[who].get("color") for who in ("ann", "alias")] == ["red", "blue"]
    small_shop.write_program(braze=fields, erasure={"braze": "profile"})
    assert forget("profile", person)["gone"]
    assert shown(braze).keys() == before.keys() - gone


def test_a_braze_id_names_its_profile(small_shop: SmallShop, braze: Servers) -> None:
    small_shop.write_program(braze={"attribute": "recs", "identifier": "braze_id"})
    braze_id = braze.control("GET", "profiles/ann")["braze_id"]
    assert forget("profile", braze_id)["gone"]
    assert shown(braze).keys() == {"ann-2", "alias", "bob"}


def test_a_person_is_erased_by_the_former_identifier_too(small_shop: SmallShop, braze: Servers) -> None:
    small_shop.write_program(braze={"attribute": "recs", "identifier": "email"})
    store = small_shop.context.store(LastSent)
    state, etag = store.read()
    store.replace(replace(state, identifier="email", former_identifiers=("external_id",)), etag)
    name = request_erasure("shop", "u-ann", external_id="ann-2")
    assert request_erasure("shop", "u-ann", external_id="nobody@example.com") == name
    assert tasks.forget_in_braze("shop", name)["gone"]
    assert shown(braze).keys() == {"ann", "alias", "bob"}


def test_the_address_of_the_audience_is_found_and_suppressed(small_shop: SmallShop, braze: Servers) -> None:
    small_shop.write_program(braze={"attribute": "recs", "identifier": "email"})
    small_shop.write_sql("audience", "SELECT user_id, user_id || '@Example.com' AS email FROM people")
    request_erasure("shop", "u1")
    (request,) = suppress_batch("shop", take_open_requests("shop", "run-1")).requests
    assert request.identity.external_ids == ("u1@example.com",)
    suppression = small_shop.context.store(SuppressionStore).read()
    assert suppression.contains(PERSON, "u1@example.com")
