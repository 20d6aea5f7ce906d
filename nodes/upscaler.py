"""The whole way from pictures to enlarged pictures: the separate nodes' functions in a row."""

import logging
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..invsr_core.resize import PAD_TO, Frame, resize_bicubic
from ..invsr_core.tiling import Tiling
from .color import with_colors_of
from .decode import decode_hr
from .encode import encode_lr
from .host import managed_vae
from .host.images import check_size
from .host.lr_latent import lr_pixels_of
from .host.managed_predictor import ManagedPredictor
from .host.progress import Progress
from .noise import StartNoise, predict_start_noise
from .sampler import sample_partial


@dataclass(frozen=True)
class Upscaler:
    """Models and settings of a run; call it on as many batches of pictures as there are."""

    model: Any
    vae: Any
    conds: dict[str, Any]
    noise_predictor: ManagedPredictor
    sigmas: Tensor
    seed: int
    cfg: float
    variation: float
    tiling: Tiling
    same_noise: bool
    color_correction: str
    prescale: float

    def __call__(
        self,
        pixels: Tensor,
        size: tuple[int, int],
        mask: Tensor | None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Enlarge pixels [B,3,h,w] in [0, 1] to `size`; where mask [B,1,*size] is 0, by bicubic.

        `progress` is the bar of a run that has more batches, and counts this one's windows.
        """
        progress = progress or Progress(self.windows(pixels, len(pixels)))
        if mask is not None and not mask.any():
            logging.info("InvSR: the mask is all black: nothing is restored, bicubic only.")
            progress.advance(self.windows(pixels, len(pixels)))
            return resize_bicubic(pixels, size)
        lr = _resized(pixels, _scaled(pixels, self.prescale))
        hr = _resized(self._restored(lr, progress), size)
        hr = with_colors_of(lr, hr, self.color_correction)
        return hr if mask is None else resize_bicubic(pixels, size).lerp_(hr, mask)

    def windows(self, pixels: Tensor, batch: int) -> int:
        """Count the windows of all stages for `batch` pictures of the size of `pixels`.

        The sampler takes a whole batch in each of its own.
        """
        size = _framed(_scaled(pixels, self.prescale)).padded_size
        steps = len(self.sigmas) - 1 if batch else 0
        networks = len(self.tiling.grid(size)) * (batch + steps)
        return networks + 2 * managed_vae.vae_windows(size, batch)

    def _restored(self, lr: Tensor, progress: Progress) -> Tensor:
        frame = _framed((lr.shape[-2], lr.shape[-1]))
        latent = encode_lr(lr, self.vae, frame, progress)
        if self.same_noise:
            latent["batch_index"] = [0] * len(lr)
        posterior = predict_start_noise(
            self.noise_predictor, lr_pixels_of(latent, None), self.sigmas, self.tiling, progress
        )
        sampled = sample_partial(
            self.model,
            self.conds,
            self.cfg,
            StartNoise(posterior, self.seed, self.variation),
            self.sigmas,
            latent,
            self.tiling,
            progress,
        )
        return decode_hr(sampled, self.vae, progress)


def output_size(pixels: Tensor, scale: float, longer_side: int) -> tuple[int, int]:
    """Give the (height, width) to enlarge [B,3,h,w] to: by its longer side, or else by `scale`.

    Raises ValueError if that is too large.
    """
    factor = longer_side / max(pixels.shape[-2:]) if longer_side else scale
    size = _scaled(pixels, factor)
    check_size("the output", size)
    return size


def _framed(size: tuple[int, int]) -> Frame:
    return Frame.around(size, pad_to=PAD_TO)


def _scaled(pixels: Tensor, factor: float) -> tuple[int, int]:
    height, width = (max(1, round(side * factor)) for side in pixels.shape[-2:])
    return height, width


def _resized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    return pixels if tuple(pixels.shape[-2:]) == size else resize_bicubic(pixels, size)
