"""The program file: what arrives in Braze, and the table of attributes that recsync can write about a person.

Plan, fingerprint, payload, read-back, removal, retirement and erasure all read the table. Another source is another
entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from braze_client.identifiers import Identifier, IdentifierName
from recsync.program.section import Strict, matching, with_underscores

AttributeSource = Literal["scores", "tier", "arm", "generated_at", "version"]
"""Values of ``from`` in ``braze.attributes``."""


@dataclass(frozen=True)
class Source:
    """Where the value of an attribute comes from, and how it is written.

    :param name: ``from`` in the program file.
    :param column: a column of the published ``lists.parquet``, or a field of the recommendations' manifest, which is
        the same for all users.
    :param kind: how it is rendered and fingerprinted: the list's ``items``, a list of ``numbers``, or ``text``.
    :param alone: whether a change of it alone is written. If not, it is written along with another change of the
        person: an attribute that is new in every run would cost a data point per person and run.
    :param ages: whether it is also written alone once it is half as old as ``recommendations.max_age_days`` allows, so
        that a list confirmed by newer recommendations never looks too old.
    :param by_arm: a field of the manifest with a value for each arm of the experiment; arms that are missing there have
        no value, and people outside the experiment get that of ``column``. Empty: none.
    :param has_blanks: whether an empty text means that there is no value.
    :param convert: makes the text that Braze gets.
    """

    name: str
    column: str
    kind: Literal["items", "numbers", "text"]
    alone: bool = True
    ages: bool = False
    by_arm: str = ""
    has_blanks: bool = False
    convert: Callable[[str], str] = str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it may read of the published lists."""
        return (self.column, "arm") if self.by_arm else (self.column,)


@dataclass(frozen=True)
class Attribute:
    """One custom attribute of a program.

    :param field: where the program file names it, below ``braze``.
    """

    name: str
    source: Source
    field: tuple[str | int, ...]


def to_seconds(moment: str) -> str:
    """Return an ISO 8601 time to the second in UTC, as Braze recognises a time."""
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _version(arn: str) -> str:
    """Return solution and version of an ARN: the account number has no business in Braze."""
    return arn.rpartition(":")[2].removeprefix("solution/")


ITEMS = Source("items", "items", "items")
SOURCES = {
    source.name: source
    for source in (
        Source("scores", "scores", "numbers"),
        Source("tier", "tier", "text"),
        Source("arm", "arm", "text", has_blanks=True),
        Source("generated_at", "created_at", "text", alone=False, ages=True, convert=to_seconds),
        Source("version", "solution_version_arn", "text", alone=False, by_arm="versions", convert=_version),
    )
}

# Braze: attribute names may not start with "$"; spaces around them are stripped, so they are refused here.
ATTRIBUTE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_\-]{0,254}$"
# Braze writes these into the profile itself, or reads them as instructions; letter case matters to it.
# https://www.braze.com/docs/user_guide/data/activation/attributes/standard_attributes/
# https://www.braze.com/docs/api/objects_filters/user_attributes_object
RESERVED_ATTRIBUTES = frozenset(
    {
        "external_id", "user_alias", "alias_name", "alias_label", "braze_id", "device_id", "app_id",
        "first_name", "last_name", "email", "phone", "dob", "gender", "country", "language", "home_city", "time_zone",
        "current_location", "image_url", "facebook", "twitter",
        "date_of_first_session", "date_of_last_session", "marked_email_as_spam_at",
        "email_subscribe", "push_subscribe", "email_open_tracking_disabled", "email_click_tracking_disabled",
        "subscription_groups", "push_tokens", "push_token_import",
        "_update_existing_only", "_merge_objects",
    }
)  # fmt: skip
# Braze catalog and field names. https://www.braze.com/docs/api/endpoints/catalogs/
CATALOG_NAME_PATTERN = r"^[A-Za-z0-9_\-]{1,250}$"


def _not_reserved(name: str) -> str:
    if name in RESERVED_ATTRIBUTES:
        raise ValueError(
            f"{name} is a profile field of Braze, which every write would replace; "
            f"write another name, such as recs_{name.strip('_')}"
        )
    return name


AttributeName = Annotated[
    str,
    matching(
        ATTRIBUTE_PATTERN,
        "be at most 255 letters, digits, _ and -, beginning with a letter or _",
        suggest=with_underscores,
    ),
    AfterValidator(_not_reserved),
]
"""The name of a custom attribute that recsync writes: every such field of the program file has this type."""
CatalogName = Annotated[
    str,
    matching(CATALOG_NAME_PATTERN, "be at most 250 letters, digits, _ and -", suggest=with_underscores),
]


CatalogType = Literal["string", "number", "boolean", "time", "array", "object"]


class Catalog(Strict):
    """The Braze catalog that holds the items' fields in ``ids`` mode.

    :param name: created when missing.
    :param fields: Braze types of the columns of ``catalogue.sql`` that are sent, beside ``id``.
    """

    name: CatalogName
    fields: dict[CatalogName, CatalogType] = Field(min_length=1)

    @field_validator("fields")
    @classmethod
    def _field_names(cls, value: dict[str, str]) -> dict[str, str]:
        if "id" in value:
            raise ValueError(
                "must not be 'id': every Braze catalog has that field for the item's id; remove it"
            )
        return value


# Fields of the status catalog. The time is for people; Liquid compares seconds.
STATUS_FIELDS: dict[str, CatalogType] = {"generated_at": "time", "fresh_until": "number"}


class Delivery(Strict):
    """The limits of a delivery.

    :param max_users_per_run: most people that one delivery writes; the others are deferred, lowest ``priority`` of
        ``audience.sql`` first. None: no cap.
    :param max_users_per_day: the same over all deliveries of one day (UTC).
    :param canary_share: share of the people written and judged before the others; 0 sends no canary.
    :param max_rejected_share: a delivery stops when Braze refuses more than this share of the people written so far.
    :param max_removed_share: a delivery stops before anything is sent when more than ten people and more than this
        share of those who have a list would lose it; with ``approve_above_users``, a person is asked. 1: never.
    :param approve_above_users: ask a person in the Airflow UI before more people than this are written; None never
        asks, 0 always.
    :param verify_users: people read back after a delivery; 0 reads back none.
    """

    max_users_per_run: int | None = Field(default=None, ge=1)
    max_users_per_day: int | None = Field(default=None, ge=1)
    canary_share: float = Field(default=0.01, ge=0, le=1)
    max_rejected_share: float = Field(default=0.05, ge=0, le=1)
    max_removed_share: float = Field(default=0.1, ge=0, le=1)
    approve_above_users: int | None = Field(default=None, ge=0)
    verify_users: int = Field(default=500, ge=0, le=10_000)


class FurtherAttribute(Strict):
    """One more custom attribute beside the list.

    :param source: where its value comes from, see :data:`SOURCES`.
    """

    name: AttributeName
    source: AttributeSource = Field(alias="from")


class Braze(Strict):
    """What arrives in Braze.

    :param connection: Airflow connection of type ``braze``.
    :param identifier: how Braze knows the people: a column of ``audience.sql`` with this name holds it. Without a
        column ``external_id``, ``user_id`` is the external id.
    :param alias_label: the label of every ``user_alias``.
    :param attribute: custom attribute that holds the list.
    :param tier_attribute: custom attribute that says where the list came from: ``personal`` or a fallback tier;
        None sends no such attribute. One data point, when it changes.
    :param attributes: further custom attributes.
    :param payload: ``ids``: an array of item ids, one data point per changed user; ``objects``: an array of
        objects with ``item_fields``, one data point per field and item.
    :param catalog: with ``ids``: the catalog kept in step; None sends ids only.
    :param status_catalog: a Braze catalog with one item per program, named like it: when its newest lists were
        generated, and until when they may be mailed. Written once a delivery; programs may share it.
    :param item_fields: with ``objects``: columns of ``catalogue.sql`` sent beside ``id``.
    :param update_existing_only: never create a Braze user; a person unknown to Braze counts as rejected. Otherwise a
        wrong id makes a profile for ever, which counts for billing and can never be mailed.
    """

    connection: str = "braze_default"
    identifier: IdentifierName = "external_id"
    alias_label: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    attribute: AttributeName
    tier_attribute: AttributeName | None = None
    attributes: tuple[FurtherAttribute, ...] = ()
    payload: Literal["ids", "objects"] = "ids"
    catalog: Catalog | None = None
    status_catalog: CatalogName | None = None
    item_fields: tuple[str, ...] = ()
    update_existing_only: bool = True
    delivery: Delivery = Delivery()

    @model_validator(mode="after")
    def _mode_fits(self) -> Self:
        if self.payload == "ids" and self.item_fields:
            raise ValueError("item_fields belong to payload: objects; with ids use catalog.fields")
        if self.payload == "objects" and self.catalog is not None:
            raise ValueError("catalog belongs to payload: ids; with objects use item_fields")
        if self.catalog and self.catalog.name == self.status_catalog:
            raise ValueError(
                "status_catalog must be another catalog than catalog: its items have other fields"
            )
        if self.payload == "objects" and not self.item_fields:
            raise ValueError("payload: objects needs item_fields, e.g. [name, price]")
        if (self.identifier == "user_alias") != (self.alias_label is not None):
            raise ValueError("identifier: user_alias and alias_label belong together: name both or neither")
        if self.tier_attribute == self.attribute:
            raise ValueError("tier_attribute must be another attribute than attribute")
        names = self.attribute_names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"attributes: {', '.join(twice)} is there twice; each needs a name of its own")
        return self

    @property
    def known_by(self) -> Identifier:
        """How Braze knows the people."""
        return Identifier(self.identifier, self.alias_label or "")

    @property
    def creates_people(self) -> bool:
        """Whether a write makes a profile for an unknown person; Braze gives every ``braze_id`` itself."""
        return not self.update_existing_only and self.identifier != "braze_id"

    @property
    def written(self) -> tuple[Attribute, ...]:
        """The custom attributes that the program writes, the list's first."""
        tier, further = SOURCES["tier"], enumerate(self.attributes)
        return (
            Attribute(self.attribute, ITEMS, ("attribute",)),
            *([Attribute(self.tier_attribute, tier, ("tier_attribute",))] if self.tier_attribute else []),
            *(Attribute(a.name, SOURCES[a.source], ("attributes", n, "name")) for n, a in further),
        )

    @property
    def status(self) -> Catalog | None:
        """The status catalog with its fields."""
        return Catalog(name=self.status_catalog, fields=STATUS_FIELDS) if self.status_catalog else None

    @property
    def attribute_names(self) -> list[str]:
        """The names of the custom attributes that the program writes."""
        return [attribute.name for attribute in self.written]

    @property
    def sent_fields(self) -> dict[str, str | None]:
        """Columns of the catalogue query that reach Braze, with the types declared for the Braze catalog."""
        return {**self.catalog.fields} if self.catalog else dict.fromkeys(self.item_fields)
