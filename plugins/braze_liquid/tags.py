"""Braze's tags: catalogs, Connected Content, Content Blocks, aborting, message extras.

https://www.braze.com/docs/user_guide/data/activation/catalogs/use/
https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/connected_content/
https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/liquid/aborting_messages/
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TextIO

from liquid import BoundTemplate, Environment, Node, RenderContext, Tag, Token, TokenStream
from liquid.exceptions import LiquidSyntaxError
from liquid.token import TOKEN_EXPRESSION, TOKEN_TAG

from braze_liquid.syntax import line_at, translate

SOURCES = "braze_sources"
"""Variable of the render context that holds what the tags read from."""
# https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/connected_content/making_an_api_call/
TIMEOUT_SECONDS = 2.0
_MAX_ANSWER_BYTES = 1_000_000
_FLAGS = ("retry", "no_cache", "rerender")
_VALUES = (
    "save", "method", "body", "content_type", "headers", "basic_auth", "auth_credentials", "cache_max_age", "cache",
)  # fmt: skip
_OPTION = re.compile(r"(?:^|\s):([a-z_]+)(?=\s|$)")
_EXTRA = re.compile(r":key\s+(\S+)\s+:value\s+(.*)", re.DOTALL)


class MessageAborted(Exception):  # ruff: ignore[error-suffix-on-exception-name] - no error of the template
    """``abort_message`` was reached: nothing is sent.

    :param reason: shown in Braze's Message Activity Log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class ConnectedRequest:
    """One request of Connected Content.

    :param credentials: name of the credentials stored in Braze, which this machine does not have.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: str | None = None
    credentials: str = ""
    timeout_seconds: float = TIMEOUT_SECONDS


@dataclass(frozen=True)
class ConnectedAnswer:
    """The answer to it; ``status`` 0: none within the time limit."""

    status: int
    body: bytes = b""


class Sources(Protocol):
    """What the tags read from."""

    def catalog_items(self, catalog: str, item_ids: list[str]) -> list[dict[str, Any]] | None:
        """Return the items that exist, in this order; None when there is no such catalog."""

    def selection_items(self, catalog: str, selection: str) -> list[dict[str, Any]] | None:
        """Return the items of a selection; None when they cannot be read."""

    def fetch(self, request: ConnectedRequest) -> ConnectedAnswer:
        """Send a request of Connected Content."""

    def problem(self, line: int, text: str) -> None:
        """Note what Braze would leave empty."""


class _Text(Node):
    """A tag with Liquid in its text; ``act`` gets the rendered text."""

    def __init__(self, token: Token, text: BoundTemplate, act: Callable[..., str | None]) -> None:
        super().__init__(token)
        self.text, self.act, self.blank = text, act, False

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Run the tag."""
        rendered = io.StringIO()
        self.text.render_with_context(context, rendered, partial=True)
        line = line_at(self.token.source, self.token.start_index)
        written = self.act(rendered.getvalue().strip(), context, context.resolve(SOURCES), line)
        return buffer.write(written or "")


class _TextTag(Tag):
    block = False

    def parse(self, stream: TokenStream) -> Node:
        """Parse the tag, and its text as a Liquid template."""
        token, text = stream.eat(TOKEN_TAG), ""
        if stream.current.kind == TOKEN_EXPRESSION:
            text = stream.current.value
        else:
            stream.pos -= 1  # the parser steps over one token after every tag
        if message := self.refuse(text):
            raise LiquidSyntaxError(message, token=token)
        return _Text(token, self.env.from_string(text), self.act)

    def refuse(self, text: str) -> str | None:
        """Return the error of a tag that is written wrongly, or None."""
        return None

    def act(self, text: str, context: RenderContext, sources: Sources, line: int) -> str | None:
        """Execute the tag; return the text to insert."""
        raise NotImplementedError


def _assign(context: RenderContext, items: list[dict[str, Any]], *, rerender: bool) -> None:
    if rerender:  # one level deep
        items = [{key: _rerendered(value, context) for key, value in item.items()} for item in items]
    context.assign("items", items)


def _rerendered(value: object, context: RenderContext) -> object:
    if not isinstance(value, str) or "{" not in value:
        return value
    rendered = io.StringIO()
    context.env.from_string(translate(value).text).render_with_context(context, rendered, partial=True)
    return rendered.getvalue()


class _CatalogItems(_TextTag):
    name = "catalog_items"

    def refuse(self, text: str) -> str | None:
        plain = re.sub(r"\{\{.*?\}\}", "", text)
        if "[" in plain or "custom_attribute" in plain:
            return (
                "catalog_items needs double braces around a variable: {% catalog_items name {{ ids[0] }} %}"
            )
        return None

    def act(self, text: str, context: RenderContext, sources: Sources, line: int) -> None:
        words = text.split()
        ids = [word for word in words[1:] if not word.startswith(":")]
        found = sources.catalog_items(words[0], ids) if words else None
        if found is None:
            sources.problem(line, f"there is no catalog {words[0] if words else ''} in Braze")
        _assign(context, found or [], rerender=":rerender" in words)


class _CatalogSelectionItems(_TextTag):
    name = "catalog_selection_items"

    def act(self, text: str, context: RenderContext, sources: Sources, line: int) -> None:
        words = text.split()
        found = sources.selection_items(words[0], words[1]) if len(words) > 1 else None
        if found is None:
            named = " ".join(words[:2]) or "without a name"
            sources.problem(
                line, f"selection {named} cannot be read through Braze's REST API: shown without items"
            )
        _assign(context, found or [], rerender=":rerender" in words)


class _ConnectedContent(_TextTag):
    name = "connected_content"

    def refuse(self, text: str) -> str | None:
        unknown = [name for name in _OPTION.findall(text) if name not in (*_FLAGS, *_VALUES)]
        return f"connected_content has no option :{unknown[0]}" if unknown else None

    def act(self, text: str, context: RenderContext, sources: Sources, line: int) -> str | None:
        first, *rest = _OPTION.split(text)
        options = dict(zip(rest[::2], (value.strip() for value in rest[1::2]), strict=True))
        url = first.strip()
        if not re.match(r"https?://[^/\s]+", url) or " " in url:
            sources.problem(line, "connected_content needs an address that begins with http:// or https://")
            return None
        try:
            headers = json.loads(options.get("headers", "{}"))
        except ValueError:
            sources.problem(line, "connected_content: :headers is no JSON object, so Braze sends none")
            headers = {}
        if kind := options.get("content_type"):
            headers["Content-Type"] = kind
        answer = sources.fetch(
            ConnectedRequest(
                options.get("method", "get").upper(),
                url,
                headers,
                options.get("body"),
                options.get("basic_auth") or options.get("auth_credentials", ""),
            )
        )
        if len(answer.body) > _MAX_ANSWER_BYTES or not 200 <= answer.status < 300:
            why = f"HTTP {answer.status}" if answer.status else f"no answer within {TIMEOUT_SECONDS:g} s"
            why = "more than 1 MB" if len(answer.body) > _MAX_ANSWER_BYTES else why
            sources.problem(line, f"connected_content: {why}, so nothing is inserted")
            if saved := options.get("save"):
                context.assign(saved, None)
            return None
        return self._insert(answer, options, context)

    @staticmethod
    def _insert(answer: ConnectedAnswer, options: Mapping[str, str], context: RenderContext) -> str | None:
        body = answer.body.decode(errors="replace")
        try:
            value = json.loads(body)
        except ValueError:
            if saved := options.get("save"):
                context.assign(saved, body)
                return None
            return str(_rerendered(body, context)) if "rerender" in options else body
        if isinstance(value, dict):
            value["__http_status_code__"] = answer.status
        context.assign(options.get("save") or "connected", value)
        return None


class _AbortMessage(_TextTag):
    name = "abort_message"

    def refuse(self, text: str) -> str | None:
        return None if text.startswith("(") and text.endswith(")") else "abort_message needs parentheses"

    def act(self, text: str, context: RenderContext, sources: Sources, line: int) -> None:
        raise MessageAborted(text[1:-1].strip().strip("'\""))


class _MessageExtras(_TextTag):
    name = "message_extras"

    def refuse(self, text: str) -> str | None:
        return None if _EXTRA.fullmatch(text) else "message_extras needs :key <name> :value <value>"

    def act(self, text: str, context: RenderContext, sources: Sources, line: int) -> None:
        """Write nothing: Braze puts the pair into the Send event of Currents."""


class _ContentBlock(_TextTag):
    """``{{content_blocks.${name}}}``: its variables stay assigned for the rest of the message."""

    name = "content_block"
    blocks: ClassVar[Mapping[str, BoundTemplate]] = {}

    def refuse(self, text: str) -> str | None:
        name = text.strip('"')
        if name not in self.blocks:
            return f"there is no Content Block {name}"
        return None

    def parse(self, stream: TokenStream) -> Node:
        """Take the block of that name."""
        token = stream.eat(TOKEN_TAG)
        if message := self.refuse(stream.current.value):
            raise LiquidSyntaxError(message, token=token)
        return _Block(token, self.blocks[stream.current.value.strip('"')])


class _Block(Node):
    def __init__(self, token: Token, block: BoundTemplate) -> None:
        super().__init__(token)
        self.block, self.blank = block, False

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Render the block in the message's context."""
        # Not partial: its variables are the message's.
        self.block.render_with_context(context, buffer, partial=True)
        return 1


_TAGS = (_CatalogItems, _CatalogSelectionItems, _ConnectedContent, _AbortMessage, _MessageExtras)
# python-liquid's tags that Liquid for messages does not have.
_REMOVED = ("include", "render", "doc", "#")


def install(env: Environment, blocks: Mapping[str, BoundTemplate]) -> None:
    """Add Braze's tags to an environment, and take away those that it does not have.

    :param blocks: Content Blocks by name, parsed.
    """
    for name in _REMOVED:
        env.tags.pop(name, None)
    for tag in _TAGS:
        env.add_tag(tag)
    block = _ContentBlock(env)
    block.blocks = blocks  # type: ignore[misc]  # of this environment
    env.tags[_ContentBlock.name] = block
