"""Render the e-mails of a folder for one profile, as Braze would send them now.

The folder has a folder per e-mail: `email.html`, and the Content Blocks that it names as `.liquid` files: the block
`recs_shop_cards` is `cards.liquid`, or `recs_shop_cards.liquid`. `braze_liquid`, which must be on the path beside
`local/`, renders Braze's Liquid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from braze_local.sandbox import Sandbox
from braze_local.store import Json

TEMPLATE = "email.html"
_BLOCKS = re.compile(r"content_blocks\.\$\{([A-Za-z0-9_-]+)\}")


class Email(NamedTuple):
    """A rendered e-mail.

    :param reason: why nothing would be sent; empty when the e-mail is.
    """

    name: str
    html: str
    reason: str = ""


def names(folder: Path | None) -> list[str]:
    """List the e-mails of a folder; none without one."""
    return sorted(path.parent.name for path in folder.glob(f"*/{TEMPLATE}")) if folder else []


def render(sandbox: Sandbox, name: str, profile: Json) -> Email:
    """Render one e-mail of :func:`names` from the profile and the catalogs as they are now."""
    # Loaded here: python-liquid takes a tenth of a second, and most runs of the sandbox show no e-mail.
    try:
        from braze_liquid.template import Template
    except ImportError:
        return Email(name, "", "braze_liquid is not on the path: add plugins/ to PYTHONPATH")
    assert sandbox.settings.emails is not None
    folder = sandbox.settings.emails / name
    source = (folder / TEMPLATE).read_text()
    rendered = Template(source, _blocks(folder, source)).render(profile, _Sources(sandbox))
    return Email(name, rendered.text, rendered.aborted or "")


def _blocks(folder: Path, source: str) -> dict[str, str]:
    files = {path.stem: path.read_text() for path in folder.glob("*.liquid")}
    return {
        block: text
        for block in _BLOCKS.findall(source)
        for stem, text in files.items()
        if block == stem or block.endswith(f"_{stem}")
    }


@dataclass(frozen=True)
class _Sources:
    """What the tags of a template read, of `braze_liquid.tags.Sources`."""

    sandbox: Sandbox

    def catalog_items(self, catalog: str, item_ids: list[str]) -> list[dict[str, Any]] | None:
        """Return the items that exist; None when there is no such catalog."""
        known = self.sandbox.catalogs.get(catalog)
        if known is None:
            return None
        items = self.sandbox.reader.items_by_id(known.id, item_ids)
        return [items[item_id] for item_id in item_ids if item_id in items]

    def selection_items(self, _catalog: str, _selection: str) -> None:
        """Return nothing: the sandbox has no selections."""

    def fetch(self, _request: object) -> Any:
        """Answer nothing: pages ask no other server."""
        from braze_liquid.tags import ConnectedAnswer

        return ConnectedAnswer(0)

    def problem(self, _line: int, _text: str) -> None:
        """Ignore it: the preview tells problems of a template."""
