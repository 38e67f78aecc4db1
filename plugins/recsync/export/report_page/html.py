"""Write HTML: escaping, tables and the frame every page shares; no page loads anything from elsewhere."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from itertools import starmap
from typing import Any

from recsync.export.report_page.style import STYLE

# More of a value says nothing more, and a warehouse may hold megabytes in one cell.
VALUE_CHARACTERS_MAX = 200
# Control, format (among them the marks that turn the reading direction), surrogate and line separating characters.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Html(str):
    """Mark a string as HTML already, so that it is not escaped again."""

    __slots__ = ()


def visible(text: str) -> str:
    """Write characters that nobody sees, or that reorder what is around them, as escapes.

    >>> visible("a\\u202eb")
    'a\\\\u202eb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSEEN else c for c in text)


def text(content: Any) -> Html:
    """Escape a sentence or a name; HTML stays as it is, None gives nothing."""
    if isinstance(content, Html):
        return content
    return Html("" if content is None else escape(visible(str(content))))


def value(content: Any) -> Html:
    """Show a value of the warehouse as it is, apart from the text around it; None as a dash."""
    if content is None:
        return Html('<span class="soft">—</span>')
    shown = str(content)
    if shown == "":
        return Html('<span class="soft">(empty)</span>')
    cut = "…" if len(shown) > VALUE_CHARACTERS_MAX else ""
    return Html(f'<code><bdi dir="auto">{text(shown[:VALUE_CHARACTERS_MAX] + cut)}</bdi></code>')


def element(tag: str, *content: Any, **attributes: Any) -> Html:
    """Write one element; ``class_`` stands for ``class``, other underscores for hyphens, None leaves one out."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text(content)}"'
        for name, content in attributes.items()
        if content is not None
    )
    return Html(f"<{tag}{written}>{''.join(map(text, content))}</{tag}>")


def join(*parts: Any) -> Html:
    """Put parts one after the other."""
    return Html("".join(map(text, parts)))


def link(target: str, label: Any) -> Html:
    """Write a link."""
    return element("a", label, href=target)


def section(title: str, *content: Any) -> Html:
    """Write a titled card."""
    return element("section", element("h2", title), *content)


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: int = 0) -> Html:
    """Write a table whose first column names its rows; a narrow screen scrolls it.

    :param numbers: how many of the last columns hold numbers, which stand on the right.
    """
    first_number = len(heads) - numbers

    def cell(place: int, content: Any) -> Html:
        kind = "n" if place >= first_number else None
        return element("td", content, class_=kind) if place else element("th", content, scope="row")

    head = (
        element("th", h, scope="col", class_="n" if i >= first_number else None) for i, h in enumerate(heads)
    )
    body = (element("tr", *starmap(cell, enumerate(row))) for row in rows)
    written = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )
    # Focusable, so that a keyboard can scroll it.
    return element("div", written, class_="scroll", tabindex="0", role="region", aria_label=caption)


def document(title: str, *content: Any, trail: Html | None = None) -> str:
    """Write a whole page.

    :param trail: links to the pages above this one.
    """
    head = join(
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", f"{title} · recsync"),
        Html(f"<style>{STYLE}</style>"),
    )
    above = element("nav", trail, aria_label="Pages above") if trail else ""
    body = element("body", above, element("main", *content))
    return f'<!doctype html>\n<html lang="en">{element("head", head)}{body}</html>\n'


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
