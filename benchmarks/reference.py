"""The authors' procedure: the whole chain for each of many half-overlapping tiles, then a blend."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers import EulerDiscreteScheduler
from networks import LATENT_FACTOR, Networks, prompt_tokens
from torch import Tensor

from invsr_core.resize import SCALE, Frame
from invsr_core.schedule import model_timesteps, published_timesteps, sigmas_for


def tile_starts(length: int, tile: int) -> list[int]:
    """List where tiles start along a side: every half tile, the last ones drawn back to the end."""
    if length <= tile:
        return [0]
    return sorted({min(start, length - tile) for start in range(0, length, tile // 2)})


def gaussian_weights(size: int) -> Tensor:
    """Give the authors' blend weights [size, size]: float64, the peak at size / 2 - 1 (even size).

    Its width is OpenCV's for a kernel of `size`.
    """
    sigma = 0.3 * ((size - 1) * 0.5 - 1) + 0.8
    distance = torch.arange(size, dtype=torch.float64) - (size // 2 - 1)
    line = torch.exp(-(distance**2) / (2 * sigma**2))
    return torch.outer(line, line)


@dataclass(frozen=True)
class Reference:
    """The published pipeline on `networks`, in tiles of `tile` LR pixels, `batch` at once."""

    networks: Networks
    tile: int
    batch: int
    steps: int

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Tensor:
        """Enlarge an IMAGE [1,h,w,3] in [0, 1] four times."""
        lr = image.movedim(-1, 1)
        frame = Frame.around((lr.shape[-2], lr.shape[-1]), pad_to=self.tile)
        padded = frame.pad(lr).to(self.networks.unet.device)
        whole = frame.padded_size == (self.tile, self.tile)
        hr = self._restored(padded) if whole else self._blended(padded)
        return frame.crop(hr, scale=SCALE).clamp(0, 1).cpu().float().movedim(1, -1)

    def _blended(self, lr: Tensor) -> Tensor:
        """Blend the restored tiles of lr [1,3,h,w] in float64."""
        places = [
            (top, left)
            for top in tile_starts(lr.shape[-2], self.tile)
            for left in tile_starts(lr.shape[-1], self.tile)
        ]
        side = self.tile * SCALE
        total = lr.new_zeros((1, 3, lr.shape[-2] * SCALE, lr.shape[-1] * SCALE), dtype=torch.double)
        weights = torch.zeros_like(total)
        for first in range(0, len(places), self.batch):
            batch = places[first : first + self.batch]
            tiles = [lr[..., y : y + self.tile, x : x + self.tile] for y, x in batch]
            for (y, x), hr in zip(batch, self._restored(torch.cat(tiles)), strict=True):
                area = (..., slice(y * SCALE, y * SCALE + side), slice(x * SCALE, x * SCALE + side))
                weight = gaussian_weights(side).to(lr.device)
                total[area] += weight * hr
                weights[area] += weight
        return total / weights

    def _restored(self, lr: Tensor) -> Tensor:
        """Run the whole chain on tiles lr [N,3,h,w]; gives [N,3,4h,4w] in [0, 1]."""
        unet, vae = self.networks.unet, self.networks.vae
        lr = lr.to(unet.dtype)
        context = self.networks.text(prompt_tokens(len(lr), lr.device)).last_hidden_state
        scheduler = _scheduler(self.steps)
        up = F.interpolate(lr, scale_factor=SCALE, mode="bicubic", align_corners=False)
        noise = self._start_noise(lr, scheduler.timesteps[:1])
        clean = vae.encode(up * 2 - 1).latent_dist.sample() * LATENT_FACTOR
        x = scheduler.add_noise(clean, noise, scheduler.timesteps[:1]).to(unet.dtype)
        for t in scheduler.timesteps:
            scaled = scheduler.scale_model_input(x, t)
            eps = unet(scaled, t, encoder_hidden_states=context).sample
            x = scheduler.step(eps, t, x).prev_sample
        return (vae.decode(x / LATENT_FACTOR).sample / 2 + 0.5).clamp(0, 1)

    def _start_noise(self, lr: Tensor, timestep: Tensor) -> Tensor:
        half = lr.dtype == torch.float16
        with torch.autocast(lr.device.type, dtype=torch.float16, enabled=half):
            mean, std = self.networks.predictor(lr, timestep.to(lr.device).expand(len(lr)))
        return mean + std * torch.randn_like(mean)


def _scheduler(steps: int) -> EulerDiscreteScheduler:
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="trailing",
    )
    published = published_timesteps(steps)
    scheduler.timesteps = torch.tensor(model_timesteps(published), dtype=torch.float32)
    scheduler.sigmas = sigmas_for(published)
    scheduler.is_scale_input_called = True
    return scheduler
