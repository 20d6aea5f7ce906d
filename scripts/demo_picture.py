"""A generated picture to enlarge, and the before/after sheet."""

import io
import math
import random

from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE = 128
SHOWN = 768
"""Largest side of each half of the sheet, in px; larger pictures show their centre at 1:1."""


def draw_picture(seed: int = 7) -> Image.Image:
    """Draw a scene at x4, then make a low-resolution picture of it: blur, shrink, JPEG."""
    sharp = _draw_scene(random.Random(seed), SIDE * 4)
    small = sharp.filter(ImageFilter.GaussianBlur(2.0)).resize((SIDE, SIDE), Image.Resampling.BOX)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=80)
    return Image.open(file).convert("RGB")


def _draw_scene(rng: random.Random, side: int) -> Image.Image:
    scene = Image.linear_gradient("L").resize((side, side))
    scene = Image.merge(
        "RGB", (scene, scene.rotate(90), scene.transpose(Image.Transpose.ROTATE_180))
    )
    draw = ImageDraw.Draw(scene)
    for _ in range(14):
        x, y, radius = (
            rng.randrange(side),
            rng.randrange(side),
            rng.randrange(side // 20, side // 6),
        )
        box = (x - radius, y - radius, x + radius, y + radius)
        color = tuple(rng.randrange(256) for _ in range(3))
        rng.choice((draw.ellipse, draw.rectangle))(box, fill=color, outline="black", width=3)
    for ray in range(24):
        angle = math.pi * ray / 12
        tip = (side / 2 + side * math.cos(angle) / 3, side / 2 + side * math.sin(angle) / 3)
        draw.line((side / 2, side / 2, *tip), fill="white", width=3)
    draw.text(
        (side // 10, side // 2), "InvSR x4", fill="black", font=ImageFont.load_default(side // 7)
    )
    return scene


def side_by_side(before: Image.Image, after: Image.Image) -> Image.Image:
    """Show `before`, enlarged by bicubic to the size of `after`, beside it; the centre at 1:1."""
    before = before.resize(after.size, Image.Resampling.BICUBIC)
    width, height = min(after.width, SHOWN), min(after.height, SHOWN)
    left, top = (after.width - width) // 2, (after.height - height) // 2
    sheet = Image.new("RGB", (2 * width + 16, height + 32), "white")
    for column, (picture, label) in enumerate(((before, "Bicubic"), (after, "InvSR"))):
        x = column * (width + 16)
        sheet.paste(picture.crop((left, top, left + width, top + height)), (x, 32))
        font = ImageFont.load_default(20)
        ImageDraw.Draw(sheet).text((x + 4, 4), label, fill="black", font=font)
    return sheet
