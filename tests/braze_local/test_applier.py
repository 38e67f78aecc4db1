"""Property: every object that /users/track accepts can be applied; an error would stop the writer."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from braze_local.applier import Change, apply_changes
from braze_local.attribute_rules import AttributeRules
from braze_local.store import SCHEMA
from braze_local.track_validation import PROBLEM_OF

_words = st.sampled_from(
    ["u1", "u2", "a@example.com", "2026-01-01T00:00:00Z", "0001-01-01", "opted_in", "USD", "F"]
)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "add", "inc", "$add", "$remove", "$time"]), inner, max_size=2)
    ),
    max_leaves=6,
)


_ids = st.sampled_from(["u1", "u2", "u3"])


_identifiers = st.one_of(
    st.fixed_dictionaries({"external_id": _ids}),
    st.fixed_dictionaries({"braze_id": _ids}),
    st.fixed_dictionaries({"email": st.sampled_from(["a@example.com", "b@example.com"])}),
    st.fixed_dictionaries({"phone": _ids}),
    st.fixed_dictionaries({"user_alias": st.fixed_dictionaries({"alias_name": _ids, "alias_label": _ids})}),
)


_keys = st.sampled_from(
    [
        *(
            "recs",
            "x ",
            "",
            "$x",
            "first_name",
            "dob",
            "country",
            "gender",
            "email",
            "phone",
            "email_subscribe",
        ),
        *(
            "_merge_objects",
            "_update_existing_only",
            "subscription_groups",
            "external_id",
            "push_token_import",
        ),
    ]
)


_attributes = st.builds(
    lambda one, other: other | one, _identifiers, st.dictionaries(_keys, _json, max_size=4)
)


_event = st.builds(
    lambda one, name, when, more: {**one, "name": name, "time": when, "properties": more},
    *(_identifiers, _json, _json, _json),
)


_purchase = st.builds(
    lambda one, price, quantity, when: {
        **one,
        **{"product_id": "p", "currency": "USD", "price": price, "quantity": quantity, "time": when},
    },
    *(_identifiers, _json, _json, _words),
)


@settings(max_examples=100, deadline=None, database=None)
@given(
    attributes=st.lists(_attributes, max_size=4),
    events=st.lists(_event, max_size=2),
    purchases=st.lists(_purchase, max_size=2),
    locking=st.sampled_from(["off", "on", "strict"]),
)
def test_whatever_is_accepted_can_be_applied(
    attributes: Any, events: Any, purchases: Any, locking: Any
) -> None:
    arrays = {"attributes": attributes, "events": events, "purchases": purchases}
    valid = {name: [one for one in array if PROBLEM_OF[name](one) is None] for name, array in arrays.items()}
    change = Change(0, "track", msgspec.json.encode(valid))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    rules = AttributeRules()
    rules.configure(locking, ())
    apply_changes(connection, [change, change], time.time(), rules)
    _check_profiles(connection)
    connection.close()


def _check_profiles(connection: sqlite3.Connection) -> None:
    for external_id, braze_id, document in connection.execute(
        "SELECT external_id, braze_id, document FROM profiles"
    ):
        profile = msgspec.json.decode(document)
        assert (profile.get("external_id"), profile["braze_id"]) == (external_id, braze_id)
        assert None not in profile["custom_attributes"].values()
