"""Square pictures for the template browser, laid out from what a workflow read and made."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

SIDE = 512
_LINE = 4
_WHITE = (255, 255, 255)


def split(before: Image.Image, after: Image.Image) -> Image.Image:
    """Show the left half of one picture and the right half of another."""
    return strips([before, after])


def diagonal(before: Image.Image, after: Image.Image) -> Image.Image:
    """Show one picture above and left of a diagonal, and another below and right of it."""
    mask = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(mask).polygon([(SIDE, 0), (SIDE, SIDE), (0, SIDE)], fill=255)
    sheet = Image.composite(_square(after), _square(before), mask)
    ImageDraw.Draw(sheet).line((SIDE, 0, 0, SIDE), fill=_WHITE, width=_LINE)
    return sheet


def strips(pictures: Sequence[Image.Image]) -> Image.Image:
    """Show pictures of one view in upright strips, each its own part of the view."""
    sheet = Image.new("RGB", (SIDE, SIDE))
    edges = [round(SIDE * k / len(pictures)) for k in range(len(pictures) + 1)]
    for picture, left, right in zip(pictures, edges, edges[1:], strict=False):
        sheet.paste(_square(picture).crop((left, 0, right, SIDE)), (left, 0))
    for edge in edges[1:-1]:
        _upright(sheet, edge)
    return sheet


def inset(small: Image.Image, large: Image.Image) -> Image.Image:
    """Show a small picture, at 1:1, in a corner of the large one made from it."""
    sheet = _square(large)
    framed = Image.new("RGB", (small.width + 2 * _LINE, small.height + 2 * _LINE), _WHITE)
    framed.paste(small, (_LINE, _LINE))
    sheet.paste(framed, (0, SIDE - framed.height))
    return sheet


def columns(befores: Sequence[Image.Image], afters: Sequence[Image.Image]) -> Image.Image:
    """Show pictures side by side, above their enlarged versions."""
    return _grid([*befores, *afters], len(afters))


def rows(befores: Sequence[Image.Image], afters: Sequence[Image.Image]) -> Image.Image:
    """Show pictures below each other: the left half before, the right half after."""
    halves = [_halves(before, after) for before, after in zip(befores, afters, strict=True)]
    return _grid(halves, 1)


def fitted(picture: Image.Image) -> Image.Image:
    """Show a whole picture on white."""
    sheet = Image.new("RGB", (SIDE, SIDE), _WHITE)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    sheet.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    return sheet


def _grid(pictures: Sequence[Image.Image], across: int) -> Image.Image:
    down = len(pictures) // across
    sheet = Image.new("RGB", (SIDE, SIDE), _WHITE)
    width, height = (SIDE + _LINE) // across, (SIDE + _LINE) // down
    for place, picture in enumerate(pictures):
        cell = picture.resize((width - _LINE, height - _LINE), Image.Resampling.BICUBIC)
        sheet.paste(cell, (place % across * width, place // across * height))
    return sheet


def _halves(before: Image.Image, after: Image.Image) -> Image.Image:
    both = after.copy()
    half = before.resize(after.size, Image.Resampling.BICUBIC)
    both.paste(half.crop((0, 0, after.width // 2, after.height)))
    _upright(both, after.width // 2)
    return both


def _square(picture: Image.Image) -> Image.Image:
    return picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _upright(sheet: Image.Image, x: int) -> None:
    ImageDraw.Draw(sheet).line((x, 0, x, sheet.height), fill=_WHITE, width=_LINE)
