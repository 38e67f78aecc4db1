"""Draw flat shapes with smooth edges, and write them as PNG.

A shape is a signed distance to its edge, in pixels: half a pixel on both sides of the edge is blended.
Distances: https://iquilezles.org/articles/distfunctions2d/
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Point = tuple[float, float]
UNITS = 100.0  # shapes are drawn on a square of 100 by 100 units


class Canvas:
    """A square picture with transparency.

    :param pixels: width and height.
    """

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self._scale = pixels / UNITS
        self._rgb = np.zeros((pixels, pixels, 3), np.float32)
        self._alpha = np.zeros((pixels, pixels), np.float32)

    def circle(self, x: float, y: float, radius: float, color: str) -> None:
        """Draw a filled circle."""
        self.ellipse(x, y, radius, radius, color)

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: str, angle: float = 0.0) -> None:
        """Draw a filled ellipse, turned clockwise by an angle in degrees."""
        across, down, box = self._grid(x, y, max(rx, ry) + 1)
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        u, v = across * cos + down * sin, down * cos - across * sin
        # Distance by the gradient of the implicit form: exact at the edge, which is all that is blended.
        k0 = np.hypot(u / rx, v / ry)
        k1 = np.maximum(np.hypot(u / rx**2, v / ry**2), 1e-6)
        self._blend(k0 * (k0 - 1.0) / k1, color, box)

    def rectangle(self, x: float, y: float, width: float, height: float, radius: float, color: str) -> None:
        """Draw a filled rectangle with round corners; x and y are its upper left corner."""
        half_w, half_h = width / 2, height / 2
        across, down, box = self._grid(x + half_w, y + half_h, half_w + 1, half_h + 1)
        u, v = np.abs(across) - half_w + radius, np.abs(down) - half_h + radius
        outside = np.hypot(np.maximum(u, 0.0), np.maximum(v, 0.0))
        self._blend(outside + np.minimum(np.maximum(u, v), 0.0) - radius, color, box)

    def polygon(self, points: Sequence[Point], color: str, radius: float = 0.0) -> None:
        """Draw a filled polygon whose corners are round and outside of it by a radius."""
        xs, ys = [x for x, _ in points], [y for _, y in points]
        middle = ((min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2)
        reach = ((max(xs) - min(xs)) / 2 + radius + 1, (max(ys) - min(ys)) / 2 + radius + 1)
        across, down, box = self._grid(*middle, *reach)
        across, down = across + middle[0], down + middle[1]
        nearest = np.full(np.broadcast_shapes(across.shape, down.shape), np.inf, np.float32)
        inside = np.zeros(nearest.shape, bool)
        for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
            nearest = np.minimum(nearest, _segment(across, down, (ax, ay), (bx, by)))
            if ay != by:
                crosses = (ay > down) != (by > down)
                inside ^= crosses & (across < (bx - ax) * (down - ay) / (by - ay) + ax)
        self._blend(np.where(inside, -nearest, nearest) - radius, color, box)

    def line(self, start: Point, end: Point, width: float, color: str) -> None:
        """Draw a line with round ends."""
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        reach = (abs(start[0] - end[0]) / 2 + width, abs(start[1] - end[1]) / 2 + width)
        across, down, box = self._grid(*middle, *reach)
        distance = _segment(across + middle[0], down + middle[1], start, end)
        self._blend(distance - width / 2, color, box)

    def arc(self, x: float, y: float, radius: float, width: float, span: Point, color: str) -> None:
        """Draw an arc with flat ends, clockwise over a span of degrees from the right."""
        across, down, box = self._grid(x, y, radius + width)
        distance = np.abs(np.hypot(across, down) - radius) - width / 2
        turned = np.degrees(np.arctan2(down, across)) % 360
        first, last = span[0] % 360, span[1] % 360
        within = (
            (turned >= first) & (turned <= last) if first <= last else (turned >= first) | (turned <= last)
        )
        self._blend(np.where(within, distance, 1.0), color, box)

    def png(self) -> bytes:
        """Return the picture as a PNG with an alpha channel."""
        rgba = np.dstack([self._rgb, self._alpha[..., None] * 255])
        rows = np.clip(rgba + 0.5, 0, 255).astype(np.uint8).reshape(self.pixels, -1)
        # Filter "up": rows of flat art repeat, so most differences to the row above are zero.
        above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
        filtered = np.hstack([np.full((self.pixels, 1), 2, np.uint8), rows - above])
        header = struct.pack(">IIBBBBB", self.pixels, self.pixels, 8, 6, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)

    def _grid(
        self, x: float, y: float, reach_x: float, reach_y: float | None = None
    ) -> tuple[Floats, Floats, tuple[slice, slice]]:
        """Return the offsets from a point, right and down, of the pixels that a shape around it can reach."""
        reach_y = reach_x if reach_y is None else reach_y
        columns = self._range(x, reach_x)
        rows = self._range(y, reach_y)
        across = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5) / self._scale - x
        down = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) / self._scale - y
        return across[None, :], down[:, None], (rows, columns)

    def _range(self, middle: float, reach: float) -> slice:
        first, last = ((middle + sign * reach) * self._scale for sign in (-1, 1))
        return slice(max(0, math.floor(first)), min(self.pixels, math.ceil(last)))

    def _blend(self, distance: Floats, color: str, box: tuple[slice, slice]) -> None:
        """Lay a color over the pixels whose distance, in units, is negative."""
        cover = np.clip(0.5 - distance * self._scale, 0.0, 1.0) * _opacity(color)
        below = self._alpha[box]
        total = cover + below * (1.0 - cover)
        share = np.divide(cover, total, out=np.zeros_like(total), where=total > 0)[..., None]
        self._rgb[box] += (np.array(_rgb(color), np.float32) - self._rgb[box]) * share
        self._alpha[box] = total


def _segment(x: Floats, y: Floats, start: Point, end: Point) -> Floats:
    """Return the distance to a line from one point to another."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = dx * dx + dy * dy or 1.0
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / length, 0.0, 1.0)
    distance: Floats = np.hypot(x - start[0] - along * dx, y - start[1] - along * dy)
    return distance


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _opacity(color: str) -> float:
    """Return the opacity of `#rrggbb` or `#rrggbbaa`."""
    return int(color[7:9], 16) / 255 if len(color) == 9 else 1.0


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
