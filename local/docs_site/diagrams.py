"""Draw the Mermaid diagrams of the README and the docs as SVGs, with Mermaid from npm in Chromium."""

from __future__ import annotations

import json
import re
import subprocess  # ruff: ignore[suspicious-subprocess-import] - npm
import sys
import tempfile
from pathlib import Path

from docs_site.hooks import DIAGRAMS, REPO, diagrams
from stack.browser import Browser, open_browser

_MERMAID = "mermaid@11"
_TOOLS = REPO / ".stack" / "docs-tools"
# Mermaid computes with its colours, so it takes no CSS variables: each of these is replaced in the SVG by one of the
# theme's, so that a diagram changes with it.
_COLOURS = {
    "#e1f5fe": "var(--md-code-bg-color, #f5f5f5)",
    "#01579b": "var(--md-typeset-a-color, #00796b)",
    "#212121": "var(--md-default-fg-color, #212121)",
    "#616161": "var(--md-default-fg-color--light, #616161)",
    "#fafafa": "var(--md-default-bg-color, #fff)",
}
_FILL, _BORDER, _TEXT, _LINE, _BACKGROUND = _COLOURS
_CONFIG = {
    "startOnLoad": False,
    "theme": "base",
    # Labels as SVG text: HTML inside of an SVG is lost where it is shown as an image.
    "htmlLabels": False,
    "flowchart": {"htmlLabels": False, "rankSpacing": 30, "nodeSpacing": 30},
    "themeVariables": {
        "primaryColor": _FILL,
        "primaryBorderColor": _BORDER,
        "primaryTextColor": _TEXT,
        "lineColor": _LINE,
        "edgeLabelBackground": _BACKGROUND,
        "fontFamily": "Roboto, Helvetica, Arial, sans-serif",
        "fontSize": "15px",
    },
}


def main() -> int:
    """Draw new diagrams, and remove those that no page uses."""
    wanted = diagrams()
    for old in set(DIAGRAMS.glob("*.svg")) - wanted.keys():
        old.unlink()
    missing = {path: text for path, text in wanted.items() if not path.exists()}
    if missing:
        _draw(missing)
    print(f"{len(wanted)} diagrams, {len(missing)} of them drawn")
    return 0


def _draw(texts: dict[Path, str]) -> None:
    script = _TOOLS / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"
    if not script.exists():
        _TOOLS.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(_TOOLS), _MERMAID]
        subprocess.run(command, check=True)  # ruff: ignore[subprocess-without-shell-equals-true]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page = Path(folder) / "page.html"
        page.write_text(f'<!doctype html><script src="{script.as_uri()}"></script><body></body>')
        with open_browser(Path(folder) / "profile") as browser:
            browser.open(page.as_uri())
            browser.until(lambda: browser.evaluate("typeof mermaid === 'object'"), "Mermaid in the page")
            browser.evaluate(f"mermaid.initialize({json.dumps(_CONFIG)})")
            DIAGRAMS.mkdir(parents=True, exist_ok=True)
            for path, text in texts.items():
                path.write_text(_svg(browser, path.stem, text) + "\n")


def _svg(browser: Browser, name: str, text: str) -> str:
    # An id of HTML begins with a letter.
    svg = str(browser.evaluate(f"mermaid.render('d{name}', {json.dumps(text)}).then(r => r.svg)"))
    for colour, variable in _COLOURS.items():
        svg = re.sub(colour, variable, svg, flags=re.IGNORECASE)
    # Blank lines end a block of HTML in Markdown.
    return re.sub(r"\n\s*\n", "\n", svg)


if __name__ == "__main__":
    sys.exit(main())
