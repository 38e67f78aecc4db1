"""Compose the picture of a product: a tile in its aisle's color with the motif of its category.

Sizes: an e-mail shows a picture at up to 300 pixels, and a screen of twice the density needs 600.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from shop_local.drawing import UNITS, Canvas

PIXELS = 600
_NAME = re.compile(r"([a-z-]+)/([a-z]+)-([0-9])\.png")
# Of each aisle, the color of the tile and of the disc on it.
TILES = {
    "produce": ("#d5ebc9", "#e8f5df"),
    "dairy-eggs": ("#cfe3f5", "#e4f0fa"),
    "bakery": ("#f6dfc0", "#fbeeda"),
    "meat": ("#f5d0cc", "#fbe5e2"),
    "seafood": ("#c5e6ea", "#def2f4"),
    "deli": ("#f3dccf", "#faece4"),
    "frozen": ("#cbdff5", "#e1edfa"),
    "pantry": ("#f4e3b8", "#faf0d6"),
    "snacks": ("#f8d5b8", "#fce8d6"),
    "drinks": ("#cfe8dd", "#e3f3ec"),
    "household": ("#d6dcf3", "#e8ecf9"),
    "beauty": ("#efd3e6", "#f8e6f2"),
    "baby": ("#fbdbe1", "#fdebee"),
    "pets": ("#e2d8cb", "#f0eae1"),
    "home": ("#dfe6cf", "#eef2e4"),
}
# Of each variant: the brand's color and a darker one, fruit, icing. The store brand's is the first.
VARIANTS = (
    {"accent": "#3f8f5b", "deep": "#2b6b42", "ripe": "#79b04a", "sweet": "#e58aa8"},
    {"accent": "#d95d4e", "deep": "#b03f32", "ripe": "#d8453b", "sweet": "#a8714c"},
    {"accent": "#3f7fc1", "deep": "#2c5f96", "ripe": "#eab23c", "sweet": "#f3d9a8"},
    {"accent": "#e39a2d", "deep": "#bb7714", "ripe": "#5fa24c", "sweet": "#d9697f"},
    {"accent": "#8a5fb4", "deep": "#694390", "ripe": "#c93a45", "sweet": "#b77fc4"},
    {"accent": "#2f9a9a", "deep": "#1f7474", "ripe": "#e8873b", "sweet": "#f2b84b"},
)
_SHOP = {"paper": "#fffaf0", "ink": "#3a4248"}


@lru_cache(maxsize=512)
def picture(name: str, pixels: int = PIXELS) -> bytes | None:
    """Return `<aisle>/<motif>-<variant>.png`; None for a name that no product has."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    aisle, motif, variant = found[1], found[2], int(found[3])
    if aisle not in TILES or motif not in motifs() or variant >= len(VARIANTS):
        return None
    tile, disc = TILES[aisle]
    palette = _SHOP | VARIANTS[variant]
    canvas = Canvas(pixels)
    canvas.rectangle(0, 0, UNITS, UNITS, 10, tile)
    canvas.circle(50, 50, 40, disc)
    canvas.ellipse(50, 84, 25, 3.2, "#00000018")
    for method, arguments in motifs()[motif]:
        colored = [palette.get(each, each) if isinstance(each, str) else each for each in arguments]
        getattr(canvas, method)(*colored)
    return canvas.png()


@cache
def motifs() -> dict[str, list[tuple[str, list[Any]]]]:
    """Return the shapes of each motif: the name of a method of the canvas, and its arguments."""
    lines = resources.files("shop_local").joinpath("motifs.txt").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    # A motif begins at the margin, and its further lines are indented.
    named = (entry.split(": ", 1) for entry in re.sub(r"\n +", " ", text).splitlines())
    return {name: [_shape(shape) for shape in shapes.split("; ")] for name, shapes in named}


def _shape(text: str) -> tuple[str, list[Any]]:
    method, *words = text.split()
    arguments = [_argument(word) for word in words]
    if method != "polygon":
        return method, arguments
    points = [each for each in arguments if isinstance(each, tuple)]
    return method, [points, *arguments[len(points) :]]


def _argument(word: str) -> Any:
    if "," in word:
        return tuple(map(float, word.split(",")))
    return float(word) if word[0] in "-.0123456789" else word
