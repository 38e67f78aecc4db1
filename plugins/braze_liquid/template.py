"""Render a message's template for one profile, and report what Braze would refuse or leave empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from liquid import BoundTemplate, Environment, Mode, is_undefined
from liquid.builtin.expressions import logical
from liquid.builtin.expressions.primitive import Blank
from liquid.exceptions import LiquidError
from liquid.token import Token

from braze_liquid import filters, tags
from braze_liquid.syntax import STANDARD, LiquidProblem, line_at, translate
from braze_liquid.tags import ConnectedAnswer, ConnectedRequest, MessageAborted, Sources

__all__ = [
    "EXPORT_FIELDS",
    "ConnectedAnswer",
    "ConnectedRequest",
    "LiquidProblem",
    "Rendered",
    "Sources",
    "Template",
    "TemplateSources",
]

# Standard attribute -> field of /users/export/ids. The others need a device, or exist only when a message is sent.
# https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier/
EXPORT_FIELDS = {
    "braze_id": "braze_id",
    "city": "home_city",
    "country": "country",
    "date_of_birth": "dob",
    "email_address": "email",
    "first_name": "first_name",
    "gender": "gender",
    "language": "language",
    "last_name": "last_name",
    "phone_number": "phone",
    "random_bucket_number": "random_bucket",
    "time_zone": "time_zone",
    "user_id": "external_id",
}
# Braze replaces them by its own links when it sends.
_LINKS = (
    "set_user_to_opted_in_url",
    "set_user_to_subscribed_url",
    "set_user_to_unsubscribed_url",
    "unsubscribe_url",
)
# https://www.braze.com/docs/user_guide/messaging/design_and_edit/content_blocks/
MAX_BLOCK_BYTES = 50_000


@dataclass(frozen=True)
class Rendered:
    """A rendered message.

    :param aborted: the reason when ``abort_message`` was reached: nothing would be sent, and ``text`` is empty.
    """

    text: str
    aborted: str | None = None
    problems: tuple[LiquidProblem, ...] = ()


@dataclass
class TemplateSources:
    """Catalogs and selections in memory, without Connected Content.

    :param catalogs: items by id, by catalog.
    :param selections: items by catalog and selection.
    """

    catalogs: Mapping[str, Mapping[str, dict[str, Any]]] = field(default_factory=dict)
    selections: Mapping[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    problems: list[LiquidProblem] = field(default_factory=list)

    def catalog_items(self, catalog: str, item_ids: list[str]) -> list[dict[str, Any]] | None:
        """Return the items that exist."""
        items = self.catalogs.get(catalog)
        return None if items is None else [items[item_id] for item_id in item_ids if item_id in items]

    def selection_items(self, catalog: str, selection: str) -> list[dict[str, Any]] | None:
        """Return the items of a selection."""
        return self.selections.get((catalog, selection))

    def fetch(self, request: ConnectedRequest) -> ConnectedAnswer:
        """Answer nothing."""
        return ConnectedAnswer(0)

    def problem(self, line: int, text: str) -> None:
        """Note a problem."""
        self.problems.append(LiquidProblem(line, text))


_eq = logical._eq


def _eq_blank(left: object, right: object) -> bool:
    """Compare as Braze does: a missing value and false are blank. python-liquid has no option for it."""
    if isinstance(right, Blank):
        left, right = right, left
    if isinstance(left, Blank) and (right is None or right is False or is_undefined(right)):
        return True
    return _eq(left, right)


logical._eq = _eq_blank


class _Environment(Environment):
    """Collect all errors instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[LiquidProblem] = []
        self.block, self.last_line = "", 1
        super().__init__(tolerance=Mode.STRICT)
        filters.install(self)

    def error(self, exc: Any, msg: str | None = None, token: Token | None = None) -> None:
        """Note an error with its line."""
        error = exc if isinstance(exc, LiquidError) else exc(msg or "", token=token)
        at = error.token or token
        # An error at the end of the template, such as a tag that is not closed, has no position.
        line = line_at(at.source, at.start_index) if at and at.start_index >= 0 else self.last_line
        problem = LiquidProblem(line, str(error.message), self.block)
        if problem not in self.problems:
            self.problems.append(problem)


class Template:
    """A message's template, parsed once and rendered for many people.

    :param blocks: Content Blocks by name.
    :param problems: problems of the template itself, the same for each profile.
    """

    def __init__(self, source: str, blocks: Mapping[str, str] | None = None) -> None:
        self._env, parsed = _Environment(), dict[str, BoundTemplate]()
        tags.install(self._env, parsed)
        for name, text in (blocks or {}).items():
            self._env.block = name
            parsed[name] = self._parse(text)
            if len(text.encode()) > MAX_BLOCK_BYTES:
                self._env.problems.append(LiquidProblem(1, "a Content Block holds at most 50 KB", name))
        self._env.block = ""
        self._template = self._parse(source)
        self.problems: Sequence[LiquidProblem] = tuple(self._env.problems)

    def _parse(self, source: str) -> BoundTemplate:
        translated = translate(source)
        block = self._env.block
        self._env.problems += [LiquidProblem(each.line, each.text, block) for each in translated.problems]
        self._env.last_line = line_at(translated.text, len(translated.text))
        template = self._env.from_string(translated.text)
        for name, spans in template.analyze().filters.items():
            if name not in self._env.filters:
                line = line_at(translated.text, spans[0].index)
                self._env.problems.append(
                    LiquidProblem(line, f"Braze's documentation has no filter {name}", block)
                )
        return template

    def render(
        self,
        profile: Mapping[str, Any],
        sources: Sources,
        *,
        now: datetime | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> Rendered:
        """Render the message for a profile in the form of ``/users/export/ids``.

        :param now: the time of sending.
        :param variables: such as ``event_properties`` and ``api_trigger_properties``.
        """
        standard = {**profile, **{name: profile.get(field) for name, field in EXPORT_FIELDS.items()}}
        standard |= {name: f"https://braze.example/{name.removesuffix('_url')}" for name in _LINKS}
        self._env.problems = []
        values = {
            **(variables or {}),
            STANDARD: standard,
            "custom_attribute": profile.get("custom_attributes") or {},
            filters.NOW: now or datetime.now(UTC),
            tags.SOURCES: sources,
        }
        try:
            text, aborted = self._template.render(values), None
        except MessageAborted as abort:
            text, aborted = "", abort.reason
        known = {problem.text for problem in self.problems}
        # An unknown filter is also an error of each rendering.
        new = [
            p for p in self._env.problems if p.text not in known and not p.text.startswith("unknown filter")
        ]
        return Rendered(text, aborted, tuple(new))
