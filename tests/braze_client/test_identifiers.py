from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from braze_calls import Braze
from scripted_http import Reply

from braze_client.identifiers import BRAZE_ID, EXTERNAL_ID, Identifier, named_in

ALIAS = Identifier("user_alias", "shop")
EMAIL, PHONE = Identifier("email"), Identifier("phone")
EVERY = (EXTERNAL_ID, BRAZE_ID, ALIAS, EMAIL, PHONE)


@pytest.mark.parametrize("identifier", EVERY, ids=lambda each: each.name)
def test_an_identifier_is_read_from_its_tag_and_its_object(identifier: Identifier) -> None:
    assert Identifier.parse(identifier.tag) == identifier
    assert named_in({**identifier.object_of("one"), "recs": ["a"]}) == (identifier, "one")


def test_an_alias_has_a_name_and_a_label() -> None:
    assert ALIAS.tag == "user_alias:shop"
    assert Identifier.parse("user_alias:a:b").alias_label == "a:b"
    assert ALIAS.object_of("one") == {"user_alias": {"alias_name": "one", "alias_label": "shop"}}


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"external_id": "a", "email": "a@example.com"},
        {"external_id": ""},
        {"braze_id": 1},
        {"user_alias": "a"},
        {"user_alias": {"alias_name": "a"}},
        {"user_alias": {"alias_name": "", "alias_label": "shop"}},
    ],
)
def test_an_object_that_names_nobody_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needs|must be"):
        named_in(payload)


def test_an_unknown_tag_is_refused() -> None:
    with pytest.raises(ValueError, match="no identifier"):
        Identifier.parse("device_id")


@pytest.mark.parametrize(
    ("identifier", "people", "body"),
    [
        (EXTERNAL_ID, ["a", "b"], {"external_ids": ["a", "b"]}),
        (ALIAS, ["a"], {"user_aliases": [{"alias_name": "a", "alias_label": "shop"}]}),
        (BRAZE_ID, ["a"], {"braze_id": "a"}),
        (EMAIL, ["a@example.com"], {"email_address": "a@example.com"}),
        (PHONE, ["+4915112345678"], {"phone": "+4915112345678"}),
    ],
    ids=lambda each: each.name if isinstance(each, Identifier) else "",
)
def test_profiles_are_exported_by_each_identifier(
    tmp_path: Path, identifier: Identifier, people: list[str], body: dict[str, Any]
) -> None:
    braze = Braze(tmp_path, Reply(201, {"users": [], "message": "success"}))
    braze.run(lambda client: client.export_users(people, ["braze_id"], identifier))
    assert braze.bodies == [{**body, "fields_to_export": ["braze_id"]}]
    assert identifier.per_export == (50 if identifier in (EXTERNAL_ID, ALIAS) else 1)


@pytest.mark.parametrize(
    ("identifier", "body"),
    [
        (EXTERNAL_ID, {"external_ids": ["a", "b"]}),
        (BRAZE_ID, {"braze_ids": ["a", "b"]}),
        (ALIAS, {"user_aliases": [{"alias_name": n, "alias_label": "shop"} for n in "ab"]}),
    ],
    ids=lambda each: each.name if isinstance(each, Identifier) else "",
)
def test_profiles_are_deleted_by_what_names_one_profile(
    tmp_path: Path, identifier: Identifier, body: dict[str, Any]
) -> None:
    braze = Braze(tmp_path, Reply(201, {"deleted": 2, "message": "success"}))
    braze.run(lambda client: client.delete_users(["a", "b"], identifier))
    assert braze.bodies == [body]


def test_an_address_or_number_deletes_nobody_because_profiles_may_share_it(tmp_path: Path) -> None:
    for shared in (EMAIL, PHONE):
        assert not shared.can_delete
        braze = Braze(tmp_path, Reply(201, {"deleted": 1, "message": "success"}))
        with pytest.raises(ValueError, match="delete by braze_id"):
            braze.run(lambda client, by=shared: client.delete_users(["a"], by))  # type: ignore[misc]
        assert braze.bodies == []


def test_a_profile_is_of_the_people_whom_its_fields_name() -> None:
    aliases = [
        {"alias_name": n, "alias_label": label} for n, label in (("a", "shop"), ("b", "app"), ("c", "shop"))
    ]
    profile = {"external_id": "e", "user_aliases": aliases, "email": "a@example.com"}
    assert EXTERNAL_ID.people_of(profile) == ["e"]
    assert ALIAS.people_of(profile) == ["a", "c"]
    assert EMAIL.people_of(profile) == ["a@example.com"]
    assert PHONE.people_of(profile) == []
