"""Every picture that a product can have is drawn; its colors and edges are what was asked for."""

from __future__ import annotations

import csv
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from shop_local.drawing import Canvas
from shop_local.pictures import PIXELS, TILES, VARIANTS, motifs, picture
from warehouse_local import product_listing

LISTED = Path(product_listing.__file__).parent


def pixels(png: bytes) -> np.ndarray:
    """Decode an RGBA picture whose rows are filtered by "up"."""
    size = struct.unpack(">I", png[16:20])[0]
    body, at = b"", 8
    while at < len(png):
        length = struct.unpack(">I", png[at : at + 4])[0]
        chunk = png[at + 4 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(chunk)
        body += chunk[4:] if chunk[:4] == b"IDAT" else b""
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(size, 1 + 4 * size)
    assert set(rows[:, 0]) == {2}
    decoded: np.ndarray = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint64).astype(np.uint8)
    return decoded.reshape(size, size, 4)


def test_every_listed_picture_can_be_drawn() -> None:
    rows = {
        name: list(csv.DictReader((LISTED / f"product_{name}.csv").open()))
        for name in ("categories", "departments", "types")
    }
    sold = [row for name in ("categories", "departments") for row in rows[name] if row["aisle"] != "-"]
    assert {row["aisle"] for row in sold} <= set(TILES) == set(product_listing.AISLES)
    assert {row["motif"] for row in sold} | {row["motif"] for row in rows["types"] if row["motif"]} == set(
        motifs()
    )
    assert len(VARIANTS) == product_listing.VARIANTS


@pytest.mark.parametrize("motif", motifs())
def test_a_motif_is_drawn_on_its_tile(motif: str) -> None:
    # Read small, to be quick; the shapes do not know the size.
    drawn, tile = (
        pixels(png)
        for png in (picture(f"drinks/{motif}-3.png", 60), picture("drinks/basket-3.png", 60))
        if png
    )
    assert tuple(drawn[0, 0]) == (0, 0, 0, 0), "a round corner, so nothing"
    assert tuple(drawn[30, 1, :3]) == tuple(int(TILES["drinks"][0][i : i + 2], 16) for i in (1, 3, 5))
    middle = drawn[12:50, 12:50, :3].reshape(-1, 3)
    assert len(np.unique(middle, axis=0)) > 5
    assert motif == "basket" or (drawn != tile).any()


def test_a_picture_is_sharp_on_a_screen_of_twice_the_density() -> None:
    png = picture("dairy-eggs/milk-0.png")
    assert png is not None
    assert pixels(png).shape == (PIXELS, PIXELS, 4) == (600, 600, 4)
    assert len(png) < 40_000


@pytest.mark.parametrize(
    "name", ["", "x", "dairy-eggs/milk-6.png", "dairy-eggs/none-0.png", "none/milk-0.png", "a/../b-0.png"]
)
def test_a_name_that_no_product_has_is_no_picture(name: str) -> None:
    assert picture(name) is None


def test_shapes_have_the_size_that_was_asked_for() -> None:
    """Areas of known shapes, summed over partly covered pixels."""
    areas = {
        "circle": (np.pi * 20**2, [50, 50, 20]),
        "ellipse": (np.pi * 30 * 10, [50, 50, 30, 10]),
        "rectangle": (40 * 20 - (4 - np.pi) * 5**2, [30, 40, 40, 20, 5]),
        "polygon": (30 * 40 / 2, [[(20, 70), (50, 70), (20, 30)]]),
        "line": (30 * 8 + np.pi * 4**2, [(30, 50), (60, 50), 8]),
        "arc": (np.pi * 20 * 6, [50, 50, 20, 6, (0, 180)]),
    }
    for method, (area, arguments) in areas.items():
        canvas = Canvas(200)
        color = ["#ff0000"]
        getattr(canvas, method)(*(arguments + color if method != "ellipse" else [*arguments, *color, 30.0]))
        drawn = pixels(canvas.png())
        assert drawn[..., 3].sum() / 255 / 4 == pytest.approx(area, rel=0.02), method
        assert set(map(tuple, drawn[drawn[..., 3] > 0][:, :3])) == {(255, 0, 0)}
