"""Find faults of a rendered mail: missing values, broken images, bare numbers, poor contrast."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from recsync.email_kit.fields import ItemFields

MIN_CONTRAST, MIN_CONTRAST_LARGE = 4.5, 3.0  # https://www.w3.org/TR/WCAG22/#contrast-minimum
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)
_UNSEEN = frozenset({"head", "style", "title", "script", "noscript"})
_DARK = re.compile(r"@media[^{]*prefers-color-scheme\s*:\s*dark[^{]*\{((?:[^{}]*\{[^{}]*\})*)[^{}]*\}")
_ANY_MEDIA = re.compile(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_NAMED_COLORS = {
    "black": "#000000",
    "white": "#ffffff",
    "red": "#ff0000",
    "gray": "#808080",
    "grey": "#808080",
}
_NUMBER_ALONE = re.compile(r"\d+(?:[.,]\d+)?")
_MONEY = r"[$€£¥₹]|\b(?:USD|EUR|GBP|CHF|JPY|SEK|NOK|DKK|PLN|kr|zł)\b"
_AMOUNT_BEFORE, _AMOUNT_AFTER = re.compile(r"\d\s*$"), re.compile(r"\s*-?\d")
_ZERO = re.compile(
    rf"(?:(?:{_MONEY})\s*0(?:[.,]0+)?(?![\d.,]*\d))|(?:(?<![\d.,])0(?:[.,]0+)?\s*(?:{_MONEY}))"
)
Color = tuple[int, int, int]


@dataclass(frozen=True)
class MailFinding:
    """Something that a person should look at.

    :param level: ``stop``: the mail is broken; ``warn``: it is ugly, or something is missing; ``note``.
    """

    level: str
    text: str


@dataclass
class _Element:
    tag: str
    classes: frozenset[str]
    hidden: bool
    color: dict[str, Color]
    back: dict[str, Color]
    size: float
    bold: bool


@dataclass
class _Seen(HTMLParser):
    """Pictures, links and texts with their colors, in the light and the dark mode."""

    rules: Mapping[str, Sequence[tuple[str, dict[str, str]]]]
    images: list[dict[str, str | None]] = field(default_factory=list)
    links: list[str | None] = field(default_factory=list)
    texts: list[tuple[str, _Element]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        black, white = {"light": (0, 0, 0), "dark": (0, 0, 0)}, {"light": (255,) * 3, "dark": (255,) * 3}
        self._stack = [_Element("", frozenset(), False, dict(black), dict(white), 16, False)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note pictures and links, and compute the colors of the element."""
        given = dict(attrs)
        if tag == "img":
            self.images.append(given)
        if tag == "a":
            self.links.append(given.get("href"))
        if tag not in _VOID:
            self._stack.append(self._element(tag, given))

    def handle_endtag(self, tag: str) -> None:
        """Close the element."""
        if any(element.tag == tag for element in self._stack[1:]):
            while self._stack.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Note a text that is seen."""
        if (text := " ".join(data.split())) and not self._stack[-1].hidden:
            self.texts.append((text, self._stack[-1]))

    def _element(self, tag: str, given: Mapping[str, str | None]) -> _Element:
        above, inline = self._stack[-1], _declarations(given.get("style") or "")
        if back := given.get("bgcolor"):
            inline.setdefault("background-color", back)
        classes = frozenset((given.get("class") or "").split())
        color, back_color = dict(above.color), dict(above.back)
        for mode in ("light", "dark"):
            style = dict(inline)
            for selector, declared in self.rules["light"] + (self.rules["dark"] if mode == "dark" else []):  # type: ignore[operator]
                if self._selects(selector, tag, classes):
                    style |= {k: v for k, v in declared.items() if "!important" in v or k not in inline}
            color[mode] = _color(style.get("color")) or color[mode]
            back_color[mode] = (
                _color(style.get("background-color") or style.get("background")) or back_color[mode]
            )
        hidden = above.hidden or tag in _UNSEEN or inline.get("display") == "none"
        size = re.match(r"([\d.]+)px", inline.get("font-size", ""))
        bold = inline.get("font-weight") in {"bold", "600", "700"} or tag in {"b", "strong", "h1", "h2", "h3"}
        return _Element(
            tag,
            classes,
            hidden,
            color,
            back_color,
            float(size[1]) if size else above.size,
            bold or above.bold,
        )

    def _selects(self, selector: str, tag: str, classes: frozenset[str]) -> bool:
        *above, last = selector.split()
        names = [classes | {tag}, *(({f".{c}" for c in e.classes} | {e.tag}) for e in self._stack)]
        own = {f".{c}" for c in classes} | {tag}
        return last in own and all(any(part in name for name in names[1:]) for part in above)


def _declarations(text: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if value.strip()}


def _rules(html: str) -> dict[str, list[tuple[str, dict[str, str]]]]:
    css = "".join(re.findall(r"<style[^>]*>(.*?)</style>", html, re.DOTALL))
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    dark = "".join(_DARK.findall(css))

    def read(text: str) -> list[tuple[str, dict[str, str]]]:
        return [
            (selector.strip(), _declarations(body))
            for selectors, body in _RULE.findall(text)
            for selector in selectors.split(",")
        ]

    return {"light": read(_ANY_MEDIA.sub("", css)), "dark": read(dark)}


def _color(text: str | None) -> Color | None:
    found = re.search(
        r"#([0-9a-f]{6}|[0-9a-f]{3})\b", _NAMED_COLORS.get((text or "").split(" ")[0], text or ""), re.I
    )
    if not found:
        return None
    digits = found[1] if len(found[1]) == 6 else "".join(2 * digit for digit in found[1])
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def contrast(one: Color, other: Color) -> float:
    """Return the contrast ratio of two colors. https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""

    def luminance(color: Color) -> float:
        parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def image_urls(html: str) -> list[str]:
    """Return the addresses of a mail's pictures."""
    seen = _read(html)
    return [
        src for image in seen.images if (src := image.get("src")) and src.startswith(("http://", "https://"))
    ]


def _read(html: str) -> _Seen:
    seen = _Seen(_rules(html))
    seen.feed(html)
    seen.close()
    return seen


def find(
    html: str, items: Sequence[Mapping[str, Any]], fields: ItemFields | None, bad_images: Mapping[str, str]
) -> list[MailFinding]:
    """Return the faults of a mail, those that break it first.

    :param items: items that the rendering read, with their fields in Braze.
    :param bad_images: the problem of each broken image, by URL.
    """
    seen = _read(html)
    found = Counter(
        [
            *_image_findings(seen, bad_images),
            *_link_findings(seen),
            *_text_findings(seen),
            *_contrast_findings(seen),
        ]
    )
    if fields:
        found.update(_item_findings(seen, items, fields))
    order = ("stop", "warn", "note")
    counted = (
        MailFinding(each.level, f"{each.text} ({count} times)" if count > 1 else each.text)
        for each, count in found.items()
    )
    return sorted(counted, key=lambda each: order.index(each.level))


def _image_findings(seen: _Seen, bad_images: Mapping[str, str]) -> list[MailFinding]:
    found = []
    for image in seen.images:
        src, alt = image.get("src") or "", image.get("alt")
        if not re.match(r"https?://[^/\s]+|data:image/", src):
            found.append(
                MailFinding(
                    "stop", "a picture has no address" if not src else "a picture's address is no web address"
                )
            )
        elif src in bad_images:
            found.append(MailFinding("stop", f"a picture {bad_images[src]}"))
        if alt is None or (not alt.strip() and image.get("role") != "presentation"):
            found.append(MailFinding("warn", "a picture has no alt text"))
    return found


def _link_findings(seen: _Seen) -> list[MailFinding]:
    bad = [link for link in seen.links if not re.match(r"https?://[^/\s?]+|mailto:|tel:", link or "")]
    return [
        MailFinding("stop", "a link is empty" if not link or link == "#" else "a link is no web address")
        for link in bad
    ]


def _text_findings(seen: _Seen) -> list[MailFinding]:
    found = []
    for text, _ in seen.texts:
        if "{{" in text or "{%" in text or "${" in text:
            found.append(MailFinding("stop", "Liquid is shown as text"))
        if _NUMBER_ALONE.fullmatch(text):
            found.append(MailFinding("warn", "a number stands alone, such as a price without a currency"))
        if _ZERO.search(text):
            found.append(MailFinding("warn", "a price is 0"))
        elif any(_has_no_amount(text, currency) for currency in re.finditer(_MONEY, text)):
            found.append(MailFinding("warn", "a currency stands without an amount"))
        if text.endswith(("…", "...")):
            found.append(MailFinding("warn", "a text is cut off"))
    return found


def _has_no_amount(text: str, currency: re.Match[str]) -> bool:
    return not (_AMOUNT_BEFORE.search(text[: currency.start()]) or _AMOUNT_AFTER.match(text, currency.end()))


def _contrast_findings(seen: _Seen) -> set[MailFinding]:
    found = set()
    for _, element in seen.texts:
        large = element.size >= 24 or (element.bold and element.size >= 18.66)
        for mode in ("light", "dark"):
            ratio = contrast(element.color[mode], element.back[mode])
            if ratio < (MIN_CONTRAST_LARGE if large else MIN_CONTRAST):
                colors = " on ".join(
                    "#{:02x}{:02x}{:02x}".format(*each[mode]) for each in (element.color, element.back)
                )
                found.add(
                    MailFinding(
                        "warn", f"{mode} mode: text is hard to read, {colors} has a contrast of {ratio:.1f}"
                    )
                )
    return found


def _item_findings(seen: _Seen, items: Sequence[Mapping[str, Any]], fields: ItemFields) -> list[MailFinding]:
    texts = Counter(text.casefold() for text, _ in seen.texts)
    names = {
        name.casefold(): item
        for item in items
        if (name := " ".join(str(item.get(fields.name) or "").split()))
    }
    found = [MailFinding("warn", "a product's name is there twice") for name in names if texts[name] > 1]
    for name, item in names.items():
        if not texts[name]:
            continue
        for part in ("brand", "price", "url", "image"):
            column = getattr(fields, part)
            if column and item.get(column) in (None, "", []):
                found.append(MailFinding("note", f"a product has no {part} in Braze"))
            elif column and part == "price" and not _price(item[column]):
                found.append(MailFinding("note", "a product's price is 0 in Braze"))
    return found


def _price(value: object) -> bool:
    return re.fullmatch(r"[0.,\s]*", str(value)) is None
