"""The documentation site: complete, strict, and without anything from another server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mkdocs.config import load_config

from docs_site.hooks import DARK, DIAGRAMS, diagrams
from stack.browser import CHROMIUM, open_browser

REPO = Path(__file__).resolve().parents[2]
MAX_PICTURE_BYTES = 1_000_000


def build(repo: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(target)]
    environ = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=repo, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(REPO, target)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_every_page_is_there_and_found_by_the_search(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    found = {entry["location"].partition("#")[0] for entry in index}
    pages = {path.with_suffix(".html").name for path in (REPO / "docs").glob("*.md")}
    assert pages == found
    assert all((site / page).is_file() for page in pages)


def test_a_page_loads_nothing_from_another_server(site: Path) -> None:
    pages = {path: path.read_text() for path in site.rglob("*.html")}
    loaded = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
    assert {path.name: loaded.findall(text) for path, text in pages.items() if loaded.search(text)} == {}
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.search(r"url\([\"']?(?:https?:)?//|@import", styles)
    # With this class Material loads Mermaid from a CDN.
    assert [path.name for path, text in pages.items() if 'class="mermaid"' in text] == []


def test_each_diagram_is_drawn_and_no_other_is_kept() -> None:
    assert set(DIAGRAMS.glob("*.svg")) == diagrams().keys(), "run make docs-diagrams"


def test_a_file_of_the_repository_is_shown_in_the_site(site: Path) -> None:
    page = (site / "repository/plugins/recsync/alerts/failure.py.html").read_text()
    assert "PromotionRefusedError" in re.sub(r"<[^>]+>", "", page)
    assert 'href="repository/plugins/recsync/alerts/failure.py.html"' in (site / "alerts.html").read_text()


@pytest.mark.skipif(not CHROMIUM, reason="no browser here: apt-get install chromium")
def test_the_search_of_the_site_on_disk_leads_to_the_page(site: Path, tmp_path: Path) -> None:
    wanted = {
        "preview": "See an e-mail before it is sent",
        "why no recommendations": "Why somebody has this list, or none",
        "connected content": "Connected Content: ask for the newest list",
    }
    first = "document.querySelector('.md-search-result__item h1')?.innerText"
    with open_browser(tmp_path) as browser:
        for words, title in wanted.items():
            browser.open((site / "index.html").as_uri())
            browser.click("input.md-search__input")
            for letter in words:
                for kind in ("keyDown", "keyUp"):
                    text = {"text": letter} if kind == "keyDown" else {}
                    browser.call("Input.dispatchKeyEvent", type=kind, key=letter, **text)
            browser.until(
                lambda title=title: browser.evaluate(first) == title, f"{title!r} as first result", seconds=30
            )


def test_mistakes_fail_the_build_and_are_named(tmp_path: Path) -> None:
    for name in ("docs", "local/docs_site"):
        shutil.copytree(REPO / name, tmp_path / name)
    shutil.copy(REPO / "mkdocs.yml", tmp_path)
    for page in (tmp_path / "docs").glob("*.md"):
        page.write_text(f"# {page.stem}\n")
    wrong = {
        "[x](../plugins/no_such_file.py)": "which is not in the repository",
        "[x](no-such-page.md)": "no-such-page.md",
        "[x](push.md#no-such-part)": "no-such-part",
        "```mermaid\nflowchart LR\n  a --> b\n```": "run make docs-diagrams",
    }
    (tmp_path / "docs/alerts.md").write_text("# Alerts\n\n" + "\n\n".join(wrong) + "\n")
    (tmp_path / "docs/new-page.md").write_text("# New\n")
    done = build(tmp_path, tmp_path / "site")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert [text for text in (*wrong.values(), "new-page.md") if text not in said] == []


def test_each_picture_is_shown_in_both_colours_and_they_are_small(site: Path) -> None:
    pictures = {path.name: path.stat().st_size for path in (REPO / "docs/pictures").glob("*")}
    shown = {
        name
        for page in site.glob("*.html")
        for name in re.findall(r"pictures/([\w-]+\.webp)", page.read_text())
    }
    assert {name for name in pictures if name.endswith(".webp")} == shown
    light = {name for name in shown if not name.endswith(f"{DARK}.webp")}
    assert {name.replace(".webp", f"{DARK}.webp") for name in light} == shown - light
    assert sum(pictures.values()) < MAX_PICTURE_BYTES


def test_every_command_is_on_the_page_of_commands() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (REPO / "Makefile").read_text(), re.MULTILINE))
    page = (REPO / "docs/commands.md").read_text()
    assert set(re.findall(r"`make ([a-z-]+)", page)) == targets


def test_the_two_commands_come_first() -> None:
    for page in ("README.md", "docs/index.md"):
        first = re.search(r"^```\w*\n(.*?)^```$", (REPO / page).read_text(), re.MULTILINE | re.DOTALL)
        assert first
        assert first[1] == "make demo\nmake test\n"


def test_each_reader_has_a_part() -> None:
    nav = load_config(str(REPO / "mkdocs.yml")).nav
    assert [next(iter(part)) for part in nav] == [
        "Start", "For the marketer", "For the data engineer", "Reference", "What it does not do",
    ]  # fmt: skip
