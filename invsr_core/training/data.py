"""HR crops from folders of images, in an order that depends only on the seed and a counter."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .draw import generator_for

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

log = logging.getLogger(__name__)


def find_images(folders: Sequence[str | Path]) -> list[Path]:
    """List the images in `folders` and below, sorted within each.

    Raises ValueError for a folder that is missing or has none.
    """
    return [path for folder in folders for path in _images_in(Path(folder))]


def _images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"The folder '{folder}' does not exist. Check the paths in [data].")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(
            f"The folder '{folder}' has no images ({', '.join(SUFFIXES)}). Put HR images there."
        )
    return found


def read_image(path: Path) -> Tensor:
    """Read a picture as RGB [3, H, W] in [0, 1]; raises OSError if it cannot be decoded."""
    try:
        with Image.open(path) as image:
            pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise OSError(f"{path.name} cannot be read ({error})") from None
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255.0


def write_image(image: Tensor, path: Path) -> None:
    """Write [3, H, W] in [0, 1] as 8-bit PNG."""
    pixels = (image.detach().float().cpu().clamp(0.0, 1.0) * 255.0).round().byte()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)


def random_crop(image: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Cut a random [3, size, size] from an image, mirrored half of the time.

    A smaller image is first extended to the right and bottom by reflection, as published.
    """
    image = _extended(image, size)
    top, left = (
        int(torch.randint(side - size + 1, (), generator=generator)) for side in image.shape[1:]
    )
    crop = image[:, top : top + size, left : left + size]
    return crop.flip(2) if torch.rand((), generator=generator) < 0.5 else crop


def _extended(image: Tensor, size: int) -> Tensor:
    while (short := [max(0, size - side) for side in image.shape[1:]]) != [0, 0]:
        # Reflection reaches less far than the image is large; a single row is repeated.
        mode = "reflect" if min(image.shape[1:]) > 1 else "replicate"
        reach = [max(side - 1, 1) for side in image.shape[1:]]
        down, right = (min(need, able) for need, able in zip(short, reach, strict=True))
        image = F.pad(image[None], (0, right, 0, down), mode=mode)[0]
    return image


class CropDataset(Dataset[Tensor]):
    """Crops by position in an endless stream that reshuffles the files each time round.

    A file that cannot be read is reported once and replaced by the next one in the order.
    """

    def __init__(self, files: Sequence[Path], *, size: int, seed: int):
        self._files = list(files)
        self._size = size
        self._seed = seed
        self._bad: set[Path] = set()
        self._order: tuple[int, list[int]] = (-1, [])

    def __getitem__(self, position: int) -> Tensor:
        image = self._first_readable(position)
        return random_crop(image, self._size, generator_for("cpu", self._seed, "crop", position))

    def _first_readable(self, position: int) -> Tensor:
        for candidate in range(position, position + len(self._files)):
            path = self._file_at(candidate)
            if path in self._bad:
                continue
            try:
                return read_image(path)
            except OSError as error:
                self._bad.add(path)
                log.warning("Skipped: %s.", error)
        raise ValueError(f"None of the {len(self._files)} training images can be read.")

    def _file_at(self, position: int) -> Path:
        epoch, index = divmod(position, len(self._files))
        if self._order[0] != epoch:
            generator = generator_for("cpu", self._seed, "epoch", epoch)
            shuffled = torch.randperm(len(self._files), generator=generator).tolist()
            self._order = (epoch, shuffled)
        return self._files[self._order[1][index]]


class MicrobatchSampler:
    """Positions of each microbatch of one process, from its microbatch `first` on, without end.

    Microbatch m of process p is number m * processes + p of the whole run.
    """

    def __init__(self, size: int, *, first: int, process: int, processes: int):
        self._size = size
        self._first = first
        self._process = process
        self._processes = processes

    def __iter__(self) -> Iterator[list[int]]:
        number = self._first * self._processes + self._process
        while True:
            yield list(range(number * self._size, (number + 1) * self._size))
            number += self._processes


def load_crops(
    dataset: CropDataset, sampler: MicrobatchSampler, *, workers: int
) -> Iterator[Tensor]:
    """Stream microbatches [B, 3, size, size] in [0, 1], read ahead by `workers` processes."""
    return iter(
        DataLoader(
            dataset,
            batch_sampler=sampler,  # pyright: ignore[reportArgumentType] - endless, no length
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
        )
    )
