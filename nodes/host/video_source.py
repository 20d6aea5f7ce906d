"""A VIDEO as a stream of frames: a file is decoded as it goes, so that its length costs nothing."""

import io
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import torch
from comfy_api.v0_0_2 import Input, InputImpl
from torch import Tensor

from .video_audio import Sound, sound_of_file, sound_of_samples

Frames = Iterator[tuple[int, Tensor]]
"""Each frame's time, in units of `time_base`, and its pixels [3,h,w] in [0, 1]."""


@dataclass(frozen=True)
class Look:
    """What of a video's look its enlargement keeps."""

    rate: Fraction
    time_base: Fraction
    deep: bool = False
    """More than 8 bits a channel."""
    primaries: int = 1
    transfer: int = 1
    """As in H.273, where 1 is BT.709 and 2 unknown."""


class FramesInMemory:
    """A VIDEO made of an IMAGE batch, which is in memory already. `count` is how many to expect."""

    def __init__(self, video: Any) -> None:
        parts = video.get_components()
        self._images, self._audio = parts.images, parts.audio
        rate = Fraction(parts.frame_rate).limit_denominator(1001)
        self.count = len(self._images)
        self.look = Look(rate, 1 / rate, deep=video.get_bit_depth() > 8)

    def frames(self) -> Frames:
        for index, image in enumerate(self._images):
            yield index, image[..., :3].movedim(-1, 0).float()  # HWC -> CHW

    def sound(self, output: Any) -> Sound | None:
        if not self._audio:
            return None
        rate = int(self._audio["sample_rate"])
        samples = int(self.count / self.look.rate * rate)
        return sound_of_samples(self._audio["waveform"][0, :, :samples], rate, output)

    def close(self) -> None:
        """Nothing is open."""


class FramesOfFile:
    """A VIDEO in a file or buffer, perhaps trimmed; pictures and sound are read side by side."""

    def __init__(self, video: Any) -> None:
        source = video.get_stream_source()
        self._pictures, self._sounds = _opened(source), _opened(source)
        if not self._pictures.streams.video:
            self.close()
            raise ValueError("video holds no pictures. Choose another file.")
        self._stream = self._pictures.streams.video[0]
        self._stream.thread_type = "AUTO"
        start, duration = video.get_active_trim_window()
        self._start = start or max(0.0, (self._pictures.start_time or 0) / av.time_base)
        self._end = self._start + duration if duration else None
        self.look = _look_of(self._stream)
        self.count = max(0, round(video.get_duration() * self.look.rate))

    def frames(self) -> Frames:
        time_base = self._stream.time_base
        start = round(self._start / time_base)
        end = None if self._end is None else round(self._end / time_base)
        if start:
            self._pictures.seek(start, stream=self._stream)
        for index, frame in enumerate(_decoded(self._pictures, self._stream)):
            at = frame.pts
            if at is None:
                at = start + round(index / (self.look.rate * time_base))
            if end is not None and at >= end:
                return
            if at >= start:
                yield at - start, _pixels(frame, self.look.deep)

    def sound(self, output: Any) -> Sound | None:
        return sound_of_file(self._sounds, output, self._start, self._end)

    def close(self) -> None:
        self._pictures.close()
        self._sounds.close()


def open_video(video: Input.Video) -> Any:
    """Give the frames and the sound of a VIDEO, to be used in a `with`.

    Raises ValueError if it holds no pictures.
    """
    kind = FramesInMemory if isinstance(video, InputImpl.VideoFromComponents) else FramesOfFile
    return closing(kind(video))


def _opened(source: str | io.BytesIO) -> Any:
    """Open a file, or a buffer at a position of its own."""
    return av.open(io.BytesIO(source.getvalue()) if isinstance(source, io.BytesIO) else source)


def _look_of(stream: Any) -> Look:
    bits = max(component.bits for component in stream.format.components)
    context = stream.codec_context
    return Look(
        rate=Fraction(stream.average_rate or 1),
        time_base=stream.time_base,
        deep=bits > 8,
        primaries=int(context.color_primaries),
        transfer=int(context.color_trc),
    )


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            logging.warning("InvSR: the video has a damaged frame, which is left out.")


def _pixels(frame: Any, deep: bool) -> Tensor:
    pixels = frame.to_ndarray(format="rgb48le" if deep else "rgb24")
    turned = np.rot90(pixels, round(frame.rotation / 90)) if frame.rotation else pixels
    values = np.ascontiguousarray(turned.transpose(2, 0, 1), dtype=np.float32)  # HWC -> CHW
    return torch.from_numpy(values) / (65535 if deep else 255)
