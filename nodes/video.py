"""The one-stop node for videos: a few frames at a time, whatever the length."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import torch
from comfy_api.v0_0_2 import Input, InputImpl, io
from torch import Tensor

from ..invsr_core.tiling import Tiling
from .host.images import resized_mask
from .host.managed_predictor import ManagedPredictor
from .host.model_checks import model_sigmas
from .host.progress import Progress
from .host.video_source import Frames, open_video
from .host.video_writer import VideoWriter
from .sampler import guidance
from .upscale_inputs import (
    SEARCH_ALIASES,
    chosen_timesteps,
    model_inputs,
    optional_inputs,
    setting_inputs,
)
from .upscaler import Upscaler, output_size

H264_MAX_SIDE = 16384


class UpscaleVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InvSRUpscaleVideo",
            display_name="InvSR Upscale Video",
            category="InvSR",
            description="Enlarges and restores a video a few frames at a time: the length costs no "
            "memory, the sound is kept, and all frames get the same noise.",
            search_aliases=[*SEARCH_ALIASES, "video"],
            inputs=[
                *model_inputs(),
                io.Video.Input("video", tooltip="From Load Video or Create Video."),
                *setting_inputs(),
                io.Int.Input(
                    "frames_at_once",
                    default=4,
                    min=1,
                    max=64,
                    advanced=True,
                    tooltip="Frames computed together. More is faster on large GPUs and takes more "
                    "memory; the frames stay the same up to rounding.",
                ),
                io.Int.Input(
                    "crf",
                    default=14,
                    min=0,
                    max=51,
                    advanced=True,
                    tooltip="Quality of the H.264 file that Save Video then copies as it is: lower "
                    "is better and larger. 14 looks like the original, 23 is x264's own default.",
                ),
                *optional_inputs(mask="One for all frames, or one for each; resized to them."),
            ],
            outputs=[
                io.Video.Output("video", tooltip="H.264 in an MP4 with the sound, for Save Video.")
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        vae: Any,
        positive: Any,
        noise_predictor: ManagedPredictor,
        video: Input.Video,
        scale: float,
        longer_side: int,
        fidelity: str,
        steps: int,
        timesteps: str,
        seed: int,
        color_correction: str,
        prescale: float,
        cfg: float,
        variation: float,
        tile_size: int,
        overlap: int,
        tile_batch: int,
        frames_at_once: int,
        crf: int,
        negative: Any = None,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        upscaler = Upscaler(
            model=model,
            vae=vae,
            conds=guidance(positive, negative, cfg),
            noise_predictor=noise_predictor,
            sigmas=model_sigmas(model, chosen_timesteps(fidelity, steps, timesteps)),
            seed=seed,
            cfg=cfg,
            variation=variation,
            tiling=Tiling(tile_size, overlap, tile_batch).checked(),
            same_noise=True,
            color_correction=color_correction,
            prescale=prescale,
        )
        with open_video(video) as source:
            path = _enlarged(source, upscaler, (scale, longer_side), frames_at_once, crf, mask)
        return io.NodeOutput(InputImpl.VideoFromFile(path))


def _enlarged(
    source: Any,
    upscaler: Upscaler,
    wanted: tuple[float, int],
    frames_at_once: int,
    crf: int,
    mask: Tensor | None,
) -> str:
    """Enlarge chunk by chunk into a file, to `wanted` times or pixels; give its path."""
    chunks = _chunks(source.frames(), frames_at_once)
    first = next(chunks, None)
    if first is None:
        raise ValueError("video holds no frames. Choose another file, or trim it less.")
    pixels = first[1]
    size, done = _encodable(output_size(pixels, *wanted)), 0
    progress = Progress(_windows(upscaler, pixels, source.count, frames_at_once))
    with VideoWriter(source, size, crf=crf) as writer:
        for times, pixels in chain((first,), chunks):
            progress.expect(upscaler.windows(pixels, len(pixels)))
            part = None if mask is None else _mask_of(mask, done, len(pixels), size)
            writer.write(times, upscaler(pixels, size, part, progress))
            done += len(pixels)
    return writer.path


def _chunks(frames: Frames, count: int) -> Iterator[tuple[list[int], Tensor]]:
    """Join up to `count` frames each: their times and pixels [B,3,h,w]."""
    while chunk := list(islice(frames, count)):
        yield [at for at, _ in chunk], torch.stack([pixels for _, pixels in chunk])


def _windows(upscaler: Upscaler, pixels: Tensor, count: int, frames_at_once: int) -> int:
    chunks, rest = divmod(count, frames_at_once)
    return chunks * upscaler.windows(pixels, frames_at_once) + upscaler.windows(pixels, rest)


def _mask_of(mask: Tensor, first: int, count: int, size: tuple[int, int]) -> Tensor:
    """Give the masks of some frames; a mask that has fewer starts again."""
    masks = mask.reshape(-1, *mask.shape[-2:])
    return resized_mask(masks[torch.arange(first, first + count) % len(masks)], size, count)


def _encodable(size: tuple[int, int]) -> tuple[int, int]:
    """Round to even sides, as H.264 stores colours. Raises ValueError for more than it holds."""
    if max(size) > H264_MAX_SIDE:
        raise ValueError(
            f"the output may measure at most {H264_MAX_SIDE} px a side as H.264, got "
            f"{size[1]}x{size[0]}. Lower 'scale' or 'longer_side'."
        )
    height, width = (max(2, 2 * round(side / 2)) for side in size)
    return height, width


NODES = [UpscaleVideo]
