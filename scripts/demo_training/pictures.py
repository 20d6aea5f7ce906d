"""Endless generated pictures: smooth shading, clean shapes, lines, patterns and text.

Their detail is what an autoencoder of 1/8 the size can hold: no texture finer than 10 pixels.
"""

import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

SUPERSAMPLING = 2
"""Pictures are drawn this many times larger, then averaged: edges without stairs."""

WORDS = (
    "InvSR",
    "noise",
    "start",
    "latent",
    "image",
    "Sharp",
    "four times",
    "ABC",
    "2025",
    "Hello",
)

Color = tuple[int, int, int]
Point = tuple[float, float]


def draw_picture(seed: int, side: int) -> Image.Image:
    """Draw the RGB picture [side, side] of `seed`; how much it holds depends on its area."""
    rng = random.Random(seed)
    canvas = _Canvas(rng, side * SUPERSAMPLING)
    shapes = (side / 256) ** 2 * rng.uniform(5, 14)
    for _ in range(max(2, round(shapes))):
        rng.choices(_DRAWERS, _WEIGHTS)[0](canvas)
    return canvas.image.reduce(SUPERSAMPLING)


class _Canvas:
    """A large picture, and random places, sizes and colours on it; lengths in final pixels."""

    def __init__(self, rng: random.Random, side: int) -> None:
        self.rng, self.side = rng, side
        self.image = self.shading()

    def shading(self) -> Image.Image:
        """A smooth blend of one to four colours over the whole canvas."""
        rows, columns = self.rng.choice(((1, 1), (1, 2), (2, 1), (2, 2)))
        corners = Image.new("RGB", (columns, rows))
        corners.putdata([self.color() for _ in range(rows * columns)])
        return corners.resize((self.side, self.side), Image.Resampling.BILINEAR, _centres(corners))

    def color(self) -> Color:
        level, spread = self.rng.uniform(20, 235), self.rng.uniform(0, 90)
        channels = (round(level + self.rng.uniform(-spread, spread)) for _ in range(3))
        red, green, blue = (min(255, max(0, channel)) for channel in channels)
        return red, green, blue

    def place(self) -> Point:
        return self.rng.uniform(0, self.side), self.rng.uniform(0, self.side)

    def length(self, low: float, high: float) -> float:
        """A length in canvas pixels, short ones more often."""
        return SUPERSAMPLING * math.exp(self.rng.uniform(math.log(low), math.log(high)))

    def fill(self, mask: Image.Image) -> None:
        """Fill what is white in `mask`: flat, shaded or striped."""
        kind = self.rng.choices(("flat", "shaded", "striped"), (5, 3, 1))[0]
        if kind == "flat":
            self.image.paste(self.color(), mask=mask)
        elif kind == "shaded":
            self.image.paste(self.shading(), mask=mask)
        else:
            self.image.paste(self.color(), mask=mask)
            self.image.paste(self.color(), mask=ImageChops.multiply(mask, self.stripes()))

    def stripes(self) -> Image.Image:
        """Stripes or a checkerboard of any direction, as a mask."""
        angle = self.rng.uniform(0, math.pi)
        period = self.length(16, 44)
        grid = np.arange(self.side, dtype=np.float32) * (2 * math.pi / period)
        across = math.cos(angle) * grid[None] + math.sin(angle) * grid[:, None]
        wave = np.sin(across)
        if self.rng.random() < 0.4:
            wave = wave * np.sin(math.cos(angle) * grid[:, None] - math.sin(angle) * grid[None])
        return Image.fromarray((wave > 0).astype(np.uint8) * 255)

    def mask(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        mask = Image.new("L", self.image.size)
        return mask, ImageDraw.Draw(mask)


def _centres(corners: Image.Image) -> tuple[float, float, float, float]:
    """The box between the outer pixel centres, so that a gradient spans the whole canvas."""
    return (
        0.5 if corners.width > 1 else 0.0,
        0.5 if corners.height > 1 else 0.0,
        corners.width - 0.5 if corners.width > 1 else 1.0,
        corners.height - 0.5 if corners.height > 1 else 1.0,
    )


def _ellipse(canvas: _Canvas) -> None:
    mask, draw = canvas.mask()
    (x, y), a, b = canvas.place(), canvas.length(8, 70), canvas.length(8, 70)
    draw.ellipse((x - a, y - b, x + a, y + b), fill=255)
    if canvas.rng.random() < 0.25:
        draw.ellipse((x - a / 2, y - b / 2, x + a / 2, y + b / 2), fill=0)
    canvas.fill(mask)


def _polygon(canvas: _Canvas) -> None:
    """A rotated rectangle, a triangle or another regular polygon, or a star."""
    mask, draw = canvas.mask()
    corners = canvas.rng.choice((3, 4, 4, 4, 5, 6))
    inner = canvas.rng.choice((0.0, 0.0, 0.5))
    points = _around(canvas, corners * (2 if inner else 1), inner or 1.0)
    draw.polygon(points, fill=255)
    canvas.fill(mask)
    if canvas.rng.random() < 0.3:
        width = round(canvas.length(3, 7))
        ImageDraw.Draw(canvas.image).line(
            [*points, *points[:2]], fill=canvas.color(), width=width, joint="curve"
        )


def _around(canvas: _Canvas, count: int, inner: float) -> list[Point]:
    (x, y), radius = canvas.place(), canvas.length(10, 80)
    turn, squeeze = canvas.rng.uniform(0, 2 * math.pi), canvas.rng.uniform(0.4, 1.0)
    points = []
    for corner in range(count):
        angle = 2 * math.pi * corner / count + math.pi / 4
        reach = radius * (inner if corner % 2 else 1.0)
        across, along = reach * math.cos(angle), squeeze * reach * math.sin(angle)
        points.append(
            (
                x + across * math.cos(turn) - along * math.sin(turn),
                y + across * math.sin(turn) + along * math.cos(turn),
            )
        )
    return points


def _rectangle(canvas: _Canvas) -> None:
    mask, draw = canvas.mask()
    (x, y), a, b = canvas.place(), canvas.length(8, 80), canvas.length(8, 80)
    corner = canvas.rng.choice((0.0, 0.3)) * min(a, b)
    draw.rounded_rectangle((x - a, y - b, x + a, y + b), corner, fill=255)
    canvas.fill(mask)


def _line(canvas: _Canvas) -> None:
    width = round(canvas.length(3, 12))
    points = [canvas.place() for _ in range(canvas.rng.choice((2, 2, 3)))]
    ImageDraw.Draw(canvas.image).line(points, fill=canvas.color(), width=width, joint="curve")


def _arc(canvas: _Canvas) -> None:
    (x, y), radius = canvas.place(), canvas.length(20, 90)
    start, width = canvas.rng.uniform(0, 360), round(canvas.length(3, 12))
    ImageDraw.Draw(canvas.image).arc(
        (x - radius, y - radius, x + radius, y + radius),
        start,
        start + canvas.rng.uniform(60, 360),
        fill=canvas.color(),
        width=width,
    )


def _text(canvas: _Canvas) -> None:
    size = canvas.length(32, 96)
    word = canvas.rng.choice(WORDS)
    x, y = canvas.place()
    ImageDraw.Draw(canvas.image).text(
        (x - size, y - size / 2), word, fill=canvas.color(), font=ImageFont.load_default(size)
    )


_DRAWERS: tuple[Callable[[_Canvas], None], ...] = (
    _ellipse,
    _polygon,
    _rectangle,
    _line,
    _arc,
    _text,
)
_WEIGHTS = (4, 4, 3, 3, 1.5, 2)
