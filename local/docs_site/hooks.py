"""MkDocs hooks: links into the repository, and diagrams that need no script.

A link of a page to a file outside ``docs/`` leads to a page of the site that shows the file, so that the site is
complete without a network and without knowing where the repository is hosted. A link to a file that does not exist is a
warning, which ``mkdocs build --strict`` refuses.

Material for MkDocs draws Mermaid diagrams in the browser with a script of 3 MB from a CDN:
https://squidfunk.github.io/mkdocs-material/reference/diagrams/. Here each diagram is an SVG that
``make docs-diagrams`` draws, named after a hash of its text.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPO = Path(__file__).resolve().parents[2]
DIAGRAMS = REPO / "docs" / "pictures" / "diagrams"
# Ends the name of the picture that is shown in place of another one where colours are dark.
DARK = "-dark"
# Pages of the site that show files of the repository.
_SHOWN = "repository"
_PICTURE = re.compile(r"!\[([^\]]*)\]\(([\w/.-]+)(\.webp)\)")
_NAMED = re.compile(r"\[([\w-]+\.md)\]\((?=\1)")
_LINK = re.compile(r"\]\((?!\w+:|#|//)([^)\s#]+)(#[^)\s]*)?\)")
_MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LANGUAGES = {"": "text", ".liquid": "liquid", ".sql": "sql", ".jinja": "jinja", ".yml": "yaml"}
_log = logging.getLogger("mkdocs.hooks.docs_site")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file of the repository that a page links to, and for those that such a page links to."""
    pages = {
        f"docs/{f.src_uri}": (REPO / "docs" / f.src_uri).read_text() for f in files.documentation_pages()
    }
    seen = set(pages)
    while pages:
        page, text = pages.popitem()
        for linked in sorted(_linked(page, text) - seen):
            seen.add(linked)
            if _is_shown(linked):
                content = _shown_text(linked)
                files.append(File.generated(config, _shown_uri(linked), content=content))
                if _has_links(linked):
                    pages[linked] = content
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to files of the repository to their pages, name linked pages, and show diagrams as SVGs."""
    shown = {_shown_uri(path): path for path in _shown_paths(files)}
    origin = shown.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    if page.file.src_uri in shown and not _has_links(origin):
        return markdown
    here = PurePosixPath(page.file.src_uri).parent

    def link(found: re.Match[str]) -> str:
        target, anchor = _resolved(origin, found[1]), found[2] or ""
        if target.startswith("docs/"):
            uri = target.removeprefix("docs/")
        elif _is_shown(target):
            uri = _shown_uri(target)
        else:
            _log.warning("%s links to %s, which is not in the repository.", origin, found[1])
            return found[0]
        return f"]({os.path.relpath(uri, here)}{anchor})"

    def titled(found: re.Match[str]) -> str:
        # On GitHub a page is named after its file; here it has a title.
        file = REPO / "docs" / found[1]
        heading = re.search(r"^# (.+)$", file.read_text(), re.MULTILINE) if file.exists() else None
        return f"[{heading[1]}](" if heading else found[0]

    def picture(found: re.Match[str]) -> str:
        # https://squidfunk.github.io/mkdocs-material/reference/images/#light-and-dark-mode
        text, path, suffix = found.groups()
        light, dark = f"{path}{suffix}", f"{path}{DARK}{suffix}"
        return f"![{text}]({light}#only-light)![{text}]({dark}#only-dark)"

    def diagram(found: re.Match[str]) -> str:
        picture = diagram_path(found[1])
        if not picture.exists():
            _log.warning("A diagram of %s was changed: run make docs-diagrams.", origin)
            return found[0]
        return f'<div class="diagram">{picture.read_text()}</div>'

    return _MERMAID.sub(diagram, _PICTURE.sub(picture, _LINK.sub(link, _NAMED.sub(titled, markdown))))


def diagram_path(text: str) -> Path:
    """Return the SVG of a Mermaid diagram."""
    return DIAGRAMS / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.svg"


def diagrams() -> dict[Path, str]:
    """Return the text of each diagram of the README and the docs by the path of its SVG."""
    pages = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
    return {diagram_path(text): text for page in pages for text in _MERMAID.findall(page.read_text())}


def _resolved(page: str, link: str) -> str:
    return os.path.normpath(PurePosixPath(page).parent / link)


def _linked(page: str, text: str) -> set[str]:
    found = {_resolved(page, link) for link, _ in _LINK.findall(text)}
    return {path for path in found if not path.startswith("docs/")}


def _has_links(path: str) -> bool:
    return path.endswith(".md") or (REPO / path).is_dir()


def _is_shown(path: str) -> bool:
    return not path.startswith("..") and (REPO / path).exists()


def _shown_uri(path: str) -> str:
    return f"{_SHOWN}/{path}" if path.endswith(".md") else f"{_SHOWN}/{path}.md"


def _shown_paths(files: Files) -> list[str]:
    """Return the paths in the repository that the generated pages show."""
    uris = [
        file.src_uri.removeprefix(f"{_SHOWN}/") for file in files if file.src_uri.startswith(f"{_SHOWN}/")
    ]
    return [uri if (REPO / uri).exists() else uri.removesuffix(".md") for uri in uris]


def _shown_text(path: str) -> str:
    """Return a page that shows a file as it is, or lists the files of a folder; search does not find it."""
    file, head = REPO / path, f"---\nsearch: {{exclude: true}}\ntitle: {path}\n---\n"
    if path.endswith(".md"):
        return head + file.read_text()
    if file.is_dir():
        listed = sorted(p.relative_to(file.parent).as_posix() for p in file.rglob("*") if p.is_file())
        return f"{head}# `{path}`\n\n" + "".join(f"- [`{name}`]({name})\n" for name in listed)
    language = _LANGUAGES.get(file.suffix, file.suffix.removeprefix("."))
    return f"{head}# `{path}`\n\n````{language}\n{file.read_text()}\n````\n"
