"""Write HTML: escaping, tables, and the frame every page shares. Pure; no page loads anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #667085; --line: #e3e7ee; --page: #f5f6f9;
  --card: #fff; --accent: #5b46d8; --mark: #efecff; --warn: #b4540a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7e9f0; --soft: #98a1b3; --line: #2d3340;
  --page: #13161c; --card: #1b1f28; --accent: #a99bff; --mark: #2a2650; --warn: #f0a35e; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
header { background: var(--card); border-bottom: 1px solid var(--line); }
header div, main { max-width: 68rem; margin: 0 auto; padding: .8rem 1.2rem; }
header div { display: flex; gap: 1.4rem; align-items: baseline; flex-wrap: wrap; }
header strong { letter-spacing: .01em; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
h1 { font-size: 1.45rem; margin: 1.2rem 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 .6rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); } .warn { color: var(--warn); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem;
  margin: 1rem 0; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: .85rem; }
th, td { padding: .42rem .9rem .42rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; } td { overflow-wrap: anywhere; } td.n, th.n { text-align: right; }
code, .id { font: .88em ui-monospace, monospace; }
.chip { display: inline-block; background: var(--mark); border-radius: 6px; padding: .05rem .45rem;
  margin: .1rem .25rem .1rem 0; font: .88em ui-monospace, monospace; }
form { display: flex; gap: .5rem; margin: .8rem 0; } input, button { font: inherit; color: inherit;
  background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .35rem .7rem; }
input { flex: 1; max-width: 26rem; } button { cursor: pointer; } nav a { margin-right: 1rem; }
pre { margin: 0; white-space: pre-wrap; font: .88em ui-monospace, monospace; }
"""


class Markup(str):
    """Mark a string as HTML already, so that it is not escaped again."""

    __slots__ = ()


def text(value: Any) -> Markup:
    """Return any value as escaped text; markup stays as it is, anything but a string is shown as JSON."""
    if isinstance(value, Markup):
        return value
    return Markup(escape(value if isinstance(value, str) else msgspec.json.encode(value).decode()))


def link(target: str, label: Any) -> Markup:
    """Return a link to a path on this server."""
    return Markup(f'<a href="{escape(target)}">{text(label)}</a>')


def path(*parts: str, **query: object) -> str:
    """Return a path of escaped parts with a query."""
    joined = "/" + "/".join(quote(part, safe="") for part in parts)
    return f"{joined}?{urlencode(query)}" if query else joined


def chips(values: Iterable[Any]) -> Markup:
    """Return short values as a row of labels."""
    return Markup("".join(f'<span class="chip">{text(value)}</span>' for value in values))


def soft(value: Any) -> Markup:
    """Return a side remark."""
    return Markup(f'<span class="soft">{text(value)}</span>')


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markup:
    """Return a table; numbers stand on the right, None is an empty cell."""
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    if not body:
        return Markup('<p class="soft">Nothing here yet.</p>')
    head = "".join(f"<th>{text(name)}</th>" for name in heads)
    return Markup(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def section(title: Any, content: Markup) -> Markup:
    """Return a titled card."""
    return Markup(f"<section><h2>{text(title)}</h2>{content}</section>")


def pager(target: str, offset: int, size: int, total: int, **query: object) -> Markup:
    """Return links to the pages before and after this one, and where it stands."""
    links = []
    if offset > 0:
        links.append(link(f"{target}?{urlencode(query | {'offset': max(0, offset - size)})}", "← back"))
    if offset + size < total:
        links.append(link(f"{target}?{urlencode(query | {'offset': offset + size})}", "more →"))
    last = min(offset + size, total)
    here = soft(f"{offset + 1:,} to {last:,} of {total:,}") if last > offset else soft(f"{total:,} in all")
    return Markup(f"<nav>{''.join(links)}{here}</nav>")


def document(title: str, *content: Markup) -> bytes:
    """Return a whole page."""
    menu = "".join(
        [link("/", "Profiles"), " ", link("/ui/catalogs", "Catalogs"), " ", link("/ui/meter", "Meter")]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)} · braze_local</title><style>{_STYLE}</style></head>"
        f"<body><header><div><strong>braze_local</strong> {menu}</div></header>"
        f"<main><h1>{text(title)}</h1>{''.join(content)}</main></body></html>"
    ).encode()


def _cell(value: Any) -> str:
    if value is None:
        return "<td></td>"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f'<td class="n">{value:,}</td>' if number else f"<td>{text(value)}</td>"
