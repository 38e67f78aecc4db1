"""Name the user of an object in a request: by one primary identifier, else by e-mail address, else by phone. Pure.

https://www.braze.com/docs/api/objects_filters/user_attributes_object
"""

from __future__ import annotations

from typing import Any

# In the order in which Braze looks for them: a primary identifier makes email and phone plain profile fields.
IDENTIFIERS = ("external_id", "user_alias", "braze_id", "email", "phone")
# Begins the key of every identifier but external_id, which cannot hold it.
_OTHER = "\0"


def identifier_of(identified: dict[str, Any]) -> str:
    """Return which identifier names the user of a valid object."""
    return next(name for name in IDENTIFIERS if identified.get(name) is not None)


def normalized_email(email: str) -> str:
    """Return an address as Braze stores and finds it: in lower case."""
    return email.lower()


def key_of(identified: dict[str, Any]) -> str:
    """Return a text that is the same for two objects with the same identifier; an external_id is its own key."""
    name = identifier_of(identified)
    value = identified[name]
    if name == "external_id":
        return str(value)
    if name == "user_alias":
        value = f"{value['alias_label']}{_OTHER}{value['alias_name']}"
    return f"{_OTHER}{name}{_OTHER}{normalized_email(value) if name == 'email' else value}"


def keys_of(document: dict[str, Any]) -> list[str]:
    """Return the keys of every identifier of a profile."""
    single = [{name: document[name]} for name in IDENTIFIERS if document.get(name) and name != "user_alias"]
    return [key_of(one) for one in [*single, *({"user_alias": a} for a in document.get("user_aliases", []))]]


def name_of(identified: dict[str, Any]) -> str | None:
    """Return the identifier of an object as one text, for scripted faults; None without a usable one."""
    alias = identified.get("user_alias")
    named = {**identified, "user_alias": alias.get("alias_name") if isinstance(alias, dict) else None}
    found = (named[name] for name in IDENTIFIERS if isinstance(named.get(name), str))
    return next(found, None)
