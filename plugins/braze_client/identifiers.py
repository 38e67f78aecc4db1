"""How Braze names a person: in an attribute object, in an export and in a deletion.

https://www.braze.com/docs/api/objects_filters/user_attributes_object/
https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier/
https://www.braze.com/docs/api/endpoints/user_data/post_user_delete/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from braze_client.payloads import Json

IdentifierName = Literal["external_id", "braze_id", "user_alias", "email", "phone"]
# /users/export/ids takes at most 50 external ids or aliases a call, and one of every other identifier.
MAX_EXPORT_IDS = 50
_LABELLED = ":"


@dataclass(frozen=True)
class _Members:
    """The names of an identifier in the calls.

    :param export: member of ``/users/export/ids``.
    :param field: the profile's field that holds it.
    :param is_list: whether an export takes many.
    :param delete: member of ``/users/delete``; None where that needs more than the identifier: with an address or a
        number that several profiles share, Braze deletes none, or one.
    """

    export: str
    field: str
    is_list: bool
    delete: str | None


_MEMBERS: Final[Mapping[str, _Members]] = {
    "external_id": _Members("external_ids", "external_id", True, "external_ids"),
    "user_alias": _Members("user_aliases", "user_aliases", True, "user_aliases"),
    "braze_id": _Members("braze_id", "braze_id", False, "braze_ids"),
    "email": _Members("email_address", "email", False, None),
    "phone": _Members("phone", "phone", False, None),
}


@dataclass(frozen=True)
class Identifier:
    """The identifier of a program's people; each person is then one text, such as the name of the alias.

    :param name: as in an attribute object.
    :param alias_label: of every ``user_alias``; else empty.
    """

    name: IdentifierName = "external_id"
    alias_label: str = ""

    @classmethod
    def parse(cls, tag: str) -> Self:
        """Read a :attr:`tag`."""
        name, _, label = tag.partition(_LABELLED)
        if name not in _MEMBERS:
            raise ValueError(f"{name} is no identifier of Braze")
        return cls(name, label)  # type: ignore[arg-type]  # a key of _MEMBERS

    @property
    def tag(self) -> str:
        """Return the identifier as one text."""
        return f"{self.name}{_LABELLED}{self.alias_label}" if self.alias_label else self.name

    @property
    def per_export(self) -> int:
        """Return how many people one export takes."""
        return MAX_EXPORT_IDS if _MEMBERS[self.name].is_list else 1

    @property
    def profile_field(self) -> str:
        """Return the field to export, from which :meth:`people_of` reads the person."""
        return _MEMBERS[self.name].field

    @property
    def can_delete(self) -> bool:
        """Return whether a deletion by this identifier deletes every profile that has it."""
        return _MEMBERS[self.name].delete is not None

    def object_of(self, person: str) -> Json:
        """Return the members of an attribute object that name the person."""
        return {self.name: self._value(person)}

    def export_of(self, people: Sequence[str]) -> Json:
        """Return the members of an export of at most :attr:`per_export` people."""
        members = _MEMBERS[self.name]
        if not members.is_list:
            (person,) = people
            return {members.export: person}
        return {members.export: [self._value(person) for person in people]}

    def delete_of(self, people: Sequence[str]) -> Json:
        """Return the members of a deletion.

        :raises ValueError: unless :attr:`can_delete`.
        """
        member = _MEMBERS[self.name].delete
        if member is None:
            raise ValueError(f"/users/delete by {self.name} may leave profiles; delete by braze_id")
        return {member: [self._value(person) for person in people]}

    def people_of(self, profile: Json) -> list[str]:
        """Return the people whom an exported profile is of; several aliases may have one label."""
        shown = profile.get(self.profile_field)
        if self.name != "user_alias":
            return [shown] if isinstance(shown, str) else []
        return [alias["alias_name"] for alias in shown or () if alias.get("alias_label") == self.alias_label]

    def _value(self, person: str) -> Any:
        if self.name != "user_alias":
            return person
        return {"alias_name": person, "alias_label": self.alias_label}


EXTERNAL_ID: Final = Identifier()
BRAZE_ID: Final = Identifier("braze_id")


def named_in(payload: Json) -> tuple[Identifier, str]:
    """Return the identifier of an attribute object and the person.

    :raises ValueError: unless the object has exactly one identifier, and a text as its value.
    """
    found = [name for name in _MEMBERS if payload.get(name) is not None]
    if len(found) != 1:
        raise ValueError(f"needs exactly one of {', '.join(_MEMBERS)}")
    value = payload[found[0]]
    if found[0] == "user_alias":
        alias = value if isinstance(value, dict) else {}
        label, value = alias.get("alias_label"), alias.get("alias_name")
        if isinstance(label, str) and label and isinstance(value, str) and value:
            return Identifier("user_alias", label), value
        raise ValueError("user_alias needs alias_name and alias_label")
    if not isinstance(value, str) or not value:
        raise ValueError(f"{found[0]} must be a text")
    return Identifier(found[0]), value  # type: ignore[arg-type]  # a key of _MEMBERS


IDENTIFIER_MEMBERS: Final = frozenset(_MEMBERS)
"""Members of an attribute object that name the person."""
