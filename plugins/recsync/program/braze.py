"""The program file: what arrives in Braze, and how it is sent."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from recsync.program.section import Strict, matching, with_underscores

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
# Braze catalogue and field names. https://www.braze.com/docs/api/endpoints/catalogs/
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


class Catalog(Strict):
    """The Braze catalogue that holds the items' fields in ``ids`` mode.

    :param name: catalogue name; it is created when missing.
    :param fields: Braze types of the columns of ``catalogue.sql`` that are sent, beside ``id``.
    """

    name: CatalogName
    fields: dict[CatalogName, Literal["string", "number", "boolean", "time"]] = Field(min_length=1)

    @field_validator("fields")
    @classmethod
    def _field_names(cls, value: dict[str, str]) -> dict[str, str]:
        if "id" in value:
            raise ValueError(
                "must not be 'id': every Braze catalog has that field for the item's id; remove it"
            )
        return value


class Delivery(Strict):
    """The brakes of a delivery.

    :param max_users_per_run: at most so many people are written by one delivery; the others are deferred, lowest
        ``priority`` of ``audience.sql`` first. None: no cap.
    :param max_users_per_day: the same over all deliveries of one day (UTC).
    :param canary_share: share of the people written and judged before the others; 0 sends no canary.
    :param max_rejected_share: a delivery stops when Braze refuses more than this share of the people written so far.
    :param max_removed_share: a delivery stops before anything is sent when more than ten people and more than this
        share of those who have a list would lose it; with ``approve_above_users``, a person is asked. 1: never.
    :param approve_above_users: ask a person in the Airflow UI before more people than this are written; None never
        asks, 0 always.
    :param verify_users: people read back after a delivery; 0 reads nobody.
    """

    max_users_per_run: int | None = Field(default=None, ge=1)
    max_users_per_day: int | None = Field(default=None, ge=1)
    canary_share: float = Field(default=0.01, ge=0, le=1)
    max_rejected_share: float = Field(default=0.05, ge=0, le=1)
    max_removed_share: float = Field(default=0.1, ge=0, le=1)
    approve_above_users: int | None = Field(default=None, ge=0)
    verify_users: int = Field(default=500, ge=0, le=10_000)


class Braze(Strict):
    """What arrives in Braze.

    :param connection: Airflow connection of type ``braze``.
    :param attribute: custom attribute that holds the list.
    :param tier_attribute: custom attribute that says where the list came from: ``personal`` or a fallback tier;
        None sends no such attribute. One data point, when it changes.
    :param payload: ``ids``: an array of item ids, one data point per changed user; ``objects``: an array of
        objects with ``item_fields``, one data point per field and item.
    :param catalog: with ``ids``: the catalogue kept in step; None sends ids only.
    :param item_fields: with ``objects``: columns of ``catalogue.sql`` sent beside ``id``.
    :param update_existing_only: never create a Braze user; somebody unknown to Braze counts as rejected.
    """

    connection: str = "braze_default"
    attribute: AttributeName
    tier_attribute: AttributeName | None = None
    payload: Literal["ids", "objects"] = "ids"
    catalog: Catalog | None = None
    item_fields: tuple[str, ...] = ()
    update_existing_only: bool = False
    delivery: Delivery = Delivery()

    @model_validator(mode="after")
    def _mode_fits(self) -> Self:
        if self.payload == "ids" and self.item_fields:
            raise ValueError("item_fields belong to payload: objects; with ids use catalog.fields")
        if self.payload == "objects" and self.catalog is not None:
            raise ValueError("catalog belongs to payload: ids; with objects use item_fields")
        if self.payload == "objects" and not self.item_fields:
            raise ValueError("payload: objects needs item_fields, e.g. [name, price]")
        if self.tier_attribute == self.attribute:
            raise ValueError("tier_attribute must be another attribute than attribute")
        return self

    @property
    def attributes(self) -> dict[str, str]:
        """The custom attributes that the program writes, by the field of this section that names them."""
        named = {"attribute": self.attribute, "tier_attribute": self.tier_attribute}
        return {field: name for field, name in named.items() if name}

    @property
    def sent_fields(self) -> dict[str, str | None]:
        """Columns of the catalogue query that reach Braze, with the types declared for the Braze catalog."""
        return {**self.catalog.fields} if self.catalog else dict.fromkeys(self.item_fields)
