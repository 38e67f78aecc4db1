"""The program file: what is checked before an export is published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from recsync.formatting import did_you_mean
from recsync.program.section import Strict

Level = Literal["note", "warn", "stop"]


class Limits(Strict):
    """From which share on a broken rule warns, and from which on it stops the export.

    :param warn: a larger share of the rows warns; None never does.
    :param stop: a larger share of the rows stops the export; None never does. 0 stops at the first row.
    """

    warn: float | None = Field(default=0.0, ge=0)
    stop: float | None = Field(default=None, ge=0)

    def level(self, share: float, *, few: bool = False) -> Level:
        """Judge a share of rows, or for a rule about the whole export 1.

        :param few: the rows are so few that only a rule that stops at the first one stops.
        """
        if self.stop is not None and share > self.stop and not (few and self.stop > 0):
            return "stop"
        return "warn" if self.warn is not None and share > self.warn else "note"


_FEW = Limits(stop=0.01)
_ANY = Limits(stop=0)
_WARN = Limits()
_NOTE = Limits(warn=None)

# Rules about single rows, in the order in which they are tried: a row that breaks one is left out of the export and
# kept in the quarantine. Shares are of all rows.
ROW_RULES: Mapping[str, Limits] = {
    "cells": _FEW,
    "value_length": _FEW,
    "encoding": _FEW,
    "missing": _FEW,
    "id_empty": _FEW,
    "id_length": _FEW,
    "id_characters": _FEW,
    "type": _FEW,
    "timestamp_positive": _FEW,
    "timestamp_unit": _FEW,
    # Rows outside the interval are in no other export either: the query and its interval disagree.
    "timestamp_range": _ANY,
    "keyword": _FEW,
    "text_length": _FEW,
    "category_length": _FEW,
    "impression_length": _FEW,
    "duplicate_id": _FEW,
}
# Rules about a whole export; nothing is left out. Those that count no rows have the share 1 when they are broken.
DATASET_RULES: Mapping[str, Limits] = {
    "no_rows": _ANY,
    "min_interactions": _ANY,
    "min_users": _ANY,
    "min_user_share": _ANY,
    "recommended_interactions": _NOTE,
    "recommended_users": _NOTE,
    "duplicate_rows": Limits(warn=0.01),
    "unknown_users": Limits(warn=0.05),
    "unknown_items": Limits(warn=0.01),
    "null_words": _WARN,
    "category_form": _WARN,
    "category_values": _WARN,
    "completeness": Limits(warn=0.3),
    "empty_column": _WARN,
    "textual_length": _WARN,
    "event_columns": _ANY,
    "object_size": _ANY,
}
# Rules about the ids of an audience and a catalog that no export knows; shares are of their rows. Subscribers who never
# bought are unknown too, so only an audience of which nearly nobody is known is taken for one of other ids.
LIST_RULES: Mapping[str, Limits] = {
    "unknown_audience": Limits(warn=0.5, stop=0.99),
    "unknown_catalog": Limits(warn=0.5, stop=0.99),
}
RULES: Mapping[str, Limits] = {**ROW_RULES, **DATASET_RULES, **LIST_RULES}
# Rows that break these cannot be read at all.
ALWAYS = frozenset({"cells", "encoding", "type", "value_length"})
_WORDS: Mapping[str, Limits | None] = {"off": None, "note": _NOTE, "warn": _WARN, "stop": _ANY}


class VolumeLimits(Strict):
    """How many times more or fewer rows than usual: 2 means half as many or twice as many."""

    warn: float | None = Field(default=2.0, gt=1)
    stop: float | None = Field(default=None, gt=1)


class EventMixLimits(Strict):
    """Which share of the events would have to be of another type to give the usual mix."""

    warn: float | None = Field(default=0.2, ge=0, le=1)
    stop: float | None = Field(default=None, ge=0, le=1)


class FreshnessLimits(Strict):
    """How many times older than usual the newest row is, measured at the end of the interval."""

    warn: float | None = Field(default=10.0, gt=1)
    stop: float | None = Field(default=None, gt=1)


class NewItemsLimits(Strict):
    """How far the share of new items lies from the usual one, upwards or downwards."""

    warn: float | None = Field(default=0.2, ge=0, le=1)
    stop: float | None = Field(default=None, ge=0, le=1)


class UnknownIdsLimits(Strict):
    """How far the share of the audience, or of the catalog, that no export knows lies above the usual one."""

    warn: float | None = Field(default=0.1, ge=0, le=1)
    stop: float | None = Field(default=None, ge=0, le=1)


class Drift(Strict):
    """Comparison with the median of earlier exports.

    :param min_exports: fewer earlier exports than this are compared with nothing.
    """

    min_exports: int = Field(default=3, ge=1)
    volume: VolumeLimits = VolumeLimits()
    event_mix: EventMixLimits = EventMixLimits()
    freshness: FreshnessLimits = FreshnessLimits()
    new_items: NewItemsLimits = NewItemsLimits()
    unknown_ids: UnknownIdsLimits = UnknownIdsLimits()


class Checks(Strict):
    """Checks of the exported rows.

    :param enabled: False exports whatever the queries return.
    :param rules: what replaces the default of a rule: a word, or shares from which on it warns and stops.
    :param max_quarantined_share: an export of which a larger share is left out stops, whatever the rules say.
    :param tolerated_rows: so many bad rows stop no export by their share: one of an hour with fifty rows is no
        disaster. A rule whose ``stop`` is 0 stops at the first row all the same.
    """

    enabled: bool = True
    rules: dict[str, Limits | Literal["off", "note", "warn", "stop"]] = Field(default={})
    max_quarantined_share: float = Field(default=0.01, ge=0, le=1)
    tolerated_rows: int = Field(default=10, ge=0)
    drift: Drift = Drift()

    @field_validator("rules")
    @classmethod
    def _known(cls, rules: dict[str, Limits | str]) -> dict[str, Limits | str]:
        unknown = sorted(rules.keys() - RULES.keys())
        if unknown:
            hint = did_you_mean(unknown[0], RULES)
            raise ValueError(
                f"no such rule: {', '.join(unknown)}{hint or '.'} There are {', '.join(sorted(RULES))}"
            )
        always = [rule for rule in sorted(ALWAYS) if rules.get(rule) == "off"]
        if always:
            raise ValueError(f"cannot be off, as such rows cannot be read: {', '.join(always)}")
        return rules

    def limits(self, rule: str) -> Limits | None:
        """Give the limits of a rule; None when it is off."""
        chosen = self.rules.get(rule)
        if chosen is None:
            return RULES[rule]
        return chosen if isinstance(chosen, Limits) else _WORDS[chosen]
