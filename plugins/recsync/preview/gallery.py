"""Show previewed mails side by side: desktop and phone, light and dark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from recsync.export.report_page.templates import environment
from recsync.preview.mails import Mail, Preview

_DARK_RULES = re.compile(r"@media\s*\(\s*prefers-color-scheme\s*:\s*dark\s*\)")
_SCHEMES = re.compile(
    r"((?:supported-)?color-schemes?\s*:\s*|name=\"(?:supported-)?color-schemes?\" content=\")light dark"
)
# Label, CSS width of the frame, dark mode.
_VARIANTS = (
    ("desktop, light", "640px", False),
    ("390 px, light", "390px", False),
    ("desktop, dark", "640px", True),
    ("390 px, dark", "390px", True),
)


def in_mode(html: str, *, dark: bool) -> str:
    """Return a mail that shows one mode, whatever the reader's own setting is."""
    html = _DARK_RULES.sub("@media all" if dark else "@media not all", html)
    return _SCHEMES.sub(rf"\g<1>{'dark' if dark else 'light'}", html)


def as_it_is(text: str) -> Markup:
    """Escape a text for HTML only: the environment also makes line breaks visible."""
    return escape(text)


def _variants(mail: Mail) -> list[tuple[str, str, Markup]]:
    return [(name, width, as_it_is(in_mode(mail.html, dark=dark))) for name, width, dark in _VARIANTS]


_ENVIRONMENT = environment(Path(__file__).parent)
_ENVIRONMENT.filters["variants"] = _variants


def gallery(preview: Preview | None, title: str, *, template: str = "gallery.html", **values: Any) -> str:
    """Return the page with a preview's mails; frames without permissions, so nothing in a mail runs or is followed.

    :param template: one that extends ``gallery.html``.
    """
    return _ENVIRONMENT.get_template(template).render(title=title, preview=preview, **values)
