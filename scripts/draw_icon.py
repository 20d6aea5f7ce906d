"""Draw the pack's icon: one disc, coarse pixels on the left, sharp on the right.

python3 scripts/draw_icon.py [FILE]; needs numpy and Pillow.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = 400
OVERSAMPLING = 4
BLOCK = 50
CORNER = 72
BACKGROUND = np.array([20, 24, 48])
LOWER, UPPER = np.array([226, 55, 120]), np.array([255, 190, 70])
SEAM = (255, 255, 255)


def main() -> None:
    target = sys.argv[1] if len(sys.argv) > 1 else "docs/icon.png"
    icon = draw_icon()
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    icon.save(target, optimize=True)


def draw_icon() -> Image.Image:
    picture = _disc(SIZE * OVERSAMPLING)
    sharp = Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BOX)
    coarse = sharp.resize((SIZE // BLOCK,) * 2, Image.Resampling.BOX)
    icon = sharp.copy()
    left = coarse.resize((SIZE, SIZE), Image.Resampling.NEAREST)
    icon.paste(left.crop((0, 0, SIZE // 2, SIZE)))
    ImageDraw.Draw(icon).rectangle((SIZE // 2 - 4, 0, SIZE // 2 + 3, SIZE), fill=SEAM)
    icon.putalpha(_rounded_square())
    return icon


def _disc(size: int) -> np.ndarray:
    """A disc with a vertical gradient and three bright rings, [size, size, 3] in 0..255."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    radius = np.hypot(x, y)
    height = np.clip(0.5 - y / 0.76, 0, 1)[..., None]
    colour = LOWER + (UPPER - LOWER) * height
    rings = (np.sin(radius * 2 * np.pi / 0.095) > 0.35)[..., None]
    colour = np.where(rings, colour + (255 - colour) * 0.6, colour)
    return np.where(radius[..., None] < 0.38, colour, BACKGROUND).round().astype(np.uint8)


def _rounded_square() -> Image.Image:
    size = SIZE * OVERSAMPLING
    mask = Image.new("L", (size, size), 0)
    corner = CORNER * OVERSAMPLING
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size - 1, size - 1), corner, fill=255)
    return mask.resize((SIZE, SIZE), Image.Resampling.BOX)


if __name__ == "__main__":
    main()
