"""The HTML pages."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

FIELDS = [
    {"name": "id", "type": "string"},
    {"name": "name", "type": "string"},
    {"name": "price", "type": "number"},
]


class _Outline(HTMLParser):
    """Collect the cells of every table, and fail on tags that do not close in order."""

    VOID = frozenset({"meta", "input", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def _rows(braze: Any, path: str) -> list[list[str]]:
    response = braze.get(path, headers={})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    outline = _Outline()
    outline.feed(response.text)
    assert outline.open == []
    return outline.rows


@pytest.fixture
def catalog(braze: Any, catalog_name: str) -> str:
    braze.post("/catalogs", {"catalogs": [{"name": catalog_name, "description": "all", "fields": FIELDS}]})
    items = [{"id": f"{catalog_name}-{i}", "name": f"Item <{i}>", "price": i + 0.5} for i in range(1, 6)]
    braze.call("PUT", f"/catalogs/{catalog_name}/items", {"items": items})
    braze.flush()
    return catalog_name


def test_recommended_ids_are_shown_as_items_in_their_order(braze: Any, user: str, catalog: str) -> None:
    recs = [f"{catalog}-3", "gone", f"{catalog}-1"]
    braze.applied({"external_id": user, "recs": recs, "tier": "gold", "other": ["x", "y"]})
    rows = _rows(braze, f"/profiles/{user}")
    assert ["", "id", "name", "price"] in rows
    first = rows.index(["1", f"{catalog}-3", "Item <3>", "3.5"])
    assert rows[first + 1] == ["2", "gone", "not in the catalog"]
    assert rows[first + 2] == ["3", f"{catalog}-1", "Item <1>", "1.5"]
    assert ["tier", "gold"] in rows
    text = braze.get(f"/profiles/{user}").text
    assert f'<a href="/ui/catalogs/{catalog}">' in text
    assert '<span class="chip">x</span><span class="chip">y</span>' in text


def test_addresses_are_links_and_nothing_else_is(braze: Any, user: str) -> None:
    page, script = 'https://shop.example/p/7?a="b', "javascript:alert(1)"
    braze.applied({"external_id": user, "recs": [{"id": "a", "url": page}, {"id": "b", "url": script}]})
    rows = _rows(braze, f"/profiles/{user}")
    assert ["1", "a", '7?a="b'] in rows
    assert ["2", "b", script] in rows
    text = braze.get(f"/profiles/{user}").text
    assert 'href="https://shop.example/p/7?a=&#34;b"' in text
    assert 'href="javascript' not in text


def test_objects_events_and_fields_are_shown(braze: Any, user: str) -> None:
    braze.applied(
        {"external_id": user, "recs": [{"id": "a", "price": 1}, {"id": "b"}], "city": {"name": "Oslo"}},
        events=[{"external_id": user, "name": "opened", "time": "2026-01-01"}],
    )
    rows = _rows(braze, f"/profiles/{user}")
    assert ["1", "a", "1"] in rows
    assert ["2", "b", ""] in rows
    assert ["name", "Oslo"] in rows
    assert ["external_id", user] in rows
    assert any(row[:2] == ["opened", "1"] for row in rows)


def test_everything_is_escaped(braze: Any, user: str) -> None:
    nasty = f'{user}<script>alert("1")</script>'
    braze.applied({"external_id": nasty, "<b>x</b>": "<i>y</i>", "list": ["<u>z</u>"]})
    for path in (f"/?q={user}", f"/profiles/{user}%3Cscript%3Ealert(%221%22)%3C%2Fscript%3E"):
        rows = _rows(braze, path)
        assert any(nasty in row for row in rows)
        assert not re.search(r"<(script|b|i|u)>", braze.get(path).text)


def test_profiles_are_found_by_prefix_and_paged(braze: Any, user: str) -> None:
    for first in range(0, 120, 60):
        braze.track(*({"external_id": f"{user}-{n:03}", "a": 1} for n in range(first, first + 60)))
    braze.flush()
    rows = _rows(braze, f"/?q={user}-")
    assert [row[0] for row in rows[1:]] == [f"{user}-{n:03}" for n in range(50)]
    text = braze.get(f"/?q={user}-").text
    assert "1 to 50 of 120" in text
    (more,) = re.findall(r'href="([^"]+offset[^"]+)"', text)
    assert _rows(braze, more.replace("&amp;", "&"))[1][0] == f"{user}-050"


def test_catalogs_and_their_items_are_shown(braze: Any, catalog: str) -> None:
    assert [catalog, "all", "5", "idnameprice"] in _rows(braze, "/ui/catalogs")
    assert [f"{catalog}-2", "Item <2>", "2.5"] in _rows(braze, f"/ui/catalogs/{catalog}")


def test_the_meter_is_shown(braze: Any, user: str) -> None:
    for _ in range(2):
        braze.applied({"external_id": user, f"recs_{user}": ["a"], "long": "x" * 256})
    rows = _rows(braze, "/ui/meter")
    assert [f"recs_{user}", "2", "1", "2"] in rows
    assert any(row[:2] == ["long", "string over 255 characters"] for row in rows)
    assert any(row[1:4] == ["POST", "/users/track", "201"] for row in rows)


@pytest.mark.parametrize("path", ["/profiles/no-such-user", "/ui/catalogs/none", "/ui/other"])
def test_unknown_pages_are_a_404(braze: Any, path: str) -> None:
    assert braze.get(path).status_code == 404
