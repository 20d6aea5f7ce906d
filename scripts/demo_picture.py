"""The demo's own picture, and the sheet that shows what became of a picture."""

import sys

import torch
from host import ROOT
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

sys.path.append(str(ROOT))  # last: the repository's `nodes` must not hide the host's

from demo_training.pairs import draw_pair

NUMBER = 111
"""Of the picture; the demo models were not trained on it."""
SIDE = 512
SHOWN = 640
"""Largest side of each panel of the sheet, in px; larger pictures show their centre at 1:1."""
_LABEL, _GAP = 32, 16


def draw_demo_pair() -> tuple[Image.Image, Image.Image]:
    """Draw a picture, and make the low-resolution one by InvSR's training degradation."""
    hr, lr = (_to_image(each[0]) for each in draw_pair(NUMBER, SIDE))
    return hr, lr


def _to_image(picture: Tensor) -> Image.Image:
    pixels = (picture.permute(1, 2, 0) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.numpy())


def make_sheet(panels: dict[str, Image.Image]) -> Image.Image:
    """Lay pictures of one size side by side, four as a square, under their names; at 1:1."""
    first = next(iter(panels.values()))
    columns = 2 if len(panels) == 4 else len(panels)
    rows = len(panels) // columns
    width, height = min(first.width, SHOWN), min(first.height, SHOWN)
    left, top = (first.width - width) // 2, (first.height - height) // 2
    across, down = width + _GAP, height + _LABEL
    sheet = Image.new("RGB", (columns * across - _GAP, rows * down), "white")
    for place, (label, picture) in enumerate(panels.items()):
        x, y = place % columns * across, place // columns * down
        sheet.paste(picture.crop((left, top, left + width, top + height)), (x, y + _LABEL))
        font = ImageFont.load_default(20)
        ImageDraw.Draw(sheet).text((x + 4, y + 4), label, fill="black", font=font)
    return sheet
