"""The program file: what arrives in Braze, and how it is sent."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from recsync.core.program.section import Strict

# Braze: attribute names may not start with "$"; spaces around them are stripped, so they are refused here.
ATTRIBUTE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_\-]{0,254}$"
# Braze catalogue and field names. https://www.braze.com/docs/api/endpoints/catalogs/
CATALOG_NAME_PATTERN = r"^[A-Za-z0-9_\-]{1,250}$"


class Catalog(Strict):
    """The Braze catalogue that holds the items' fields in ``ids`` mode.

    :param name: catalogue name; it is created when missing.
    :param fields: Braze types of the columns of ``catalogue.sql`` that are sent, beside ``id``.
    """

    name: str = Field(pattern=CATALOG_NAME_PATTERN)
    fields: dict[str, Literal["string", "number", "boolean", "time"]] = Field(min_length=1)

    @field_validator("fields")
    @classmethod
    def _field_names(cls, value: dict[str, str]) -> dict[str, str]:
        bad = [name for name in value if not re.match(CATALOG_NAME_PATTERN, name) or name == "id"]
        if bad:
            raise ValueError(f"field names {bad} must match {CATALOG_NAME_PATTERN} and not be 'id'")
        return value


class Delivery(Strict):
    """The brakes of a delivery.

    :param max_users_per_run: at most so many people are written by one delivery; the others are deferred, lowest
        ``priority`` of ``audience.sql`` first. None: no cap.
    :param max_users_per_day: the same over all deliveries of one day (UTC).
    :param canary_share: share of the people written and judged before the others; 0 sends no canary.
    :param max_rejected_share: a delivery stops when Braze refuses more than this share of the people written so far.
    :param approve_above_users: ask a person in the Airflow UI before more people than this are written; None never
        asks, 0 always.
    :param verify_users: people read back after a delivery; 0 reads nobody.
    """

    max_users_per_run: int | None = Field(default=None, ge=1)
    max_users_per_day: int | None = Field(default=None, ge=1)
    canary_share: float = Field(default=0.01, ge=0, le=1)
    max_rejected_share: float = Field(default=0.05, ge=0, le=1)
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
    attribute: str = Field(pattern=ATTRIBUTE_PATTERN)
    tier_attribute: str | None = Field(default=None, pattern=ATTRIBUTE_PATTERN)
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
    def sent_fields(self) -> tuple[str, ...]:
        """Columns of the catalogue query that reach Braze."""
        return tuple(self.catalog.fields) if self.catalog else self.item_fields
