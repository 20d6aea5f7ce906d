"""Frames and sound to an H.264 file in the host's temporary folder."""

import os
import uuid
from pathlib import Path
from typing import Any

import av
import folder_paths
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from torch import Tensor

from .video_source import Look

_BT709, _LIMITED = 1, 1
"""As in H.273: every player shows a large picture in these colours."""


class VideoWriter:
    """An MP4 file that is there when the `with` ends, and gone if it ends by an error."""

    def __init__(self, source: Any, size: tuple[int, int], *, crf: int) -> None:
        self.path = _free_path()
        self._deep = source.look.deep
        self._output = av.open(self.path, "w", options={"movflags": "use_metadata_tags+faststart"})
        self._stream = self._picture_stream(source.look, size, crf)
        self._sound = source.sound(self._output)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            self._output.mux(self._stream.encode(None))
            self._write_sound(float("inf"))
        self._output.close()
        if error is not None:
            Path(self.path).unlink(missing_ok=True)

    def write(self, times: list[int], frames: Tensor) -> None:
        """Append frames [B,3,H,W] in [0, 1], at `times` in the source's time base."""
        for at, pixels in zip(times, frames, strict=True):
            self._output.mux(self._stream.encode(self._frame(at, pixels)))
        self._write_sound(float(times[-1] * self._stream.codec_context.time_base))

    def _write_sound(self, until: float) -> None:
        if self._sound is not None:
            self._sound.write_until(self._output, until)

    def _picture_stream(self, look: Look, size: tuple[int, int], crf: int) -> Any:
        options = {"crf": str(crf), "rc-lookahead": "5"}
        stream = self._output.add_stream("h264", rate=look.rate, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p10le" if look.deep else "yuv420p"
        context = stream.codec_context
        context.time_base = look.time_base
        context.max_b_frames = 0  # frames keep their own times, which reordering would round
        context.colorspace, context.color_range = _BT709, _LIMITED
        context.color_primaries, context.color_trc = look.primaries, look.transfer
        return stream

    def _frame(self, at: int, pixels: Tensor) -> Any:
        most, kind, name = (65535, np.uint16, "rgb48le") if self._deep else (255, np.uint8, "rgb24")
        values = pixels.movedim(0, -1).clamp(0, 1).mul(most).round().cpu().numpy()  # CHW -> HWC
        frame = av.VideoFrame.from_ndarray(values.astype(kind), format=name).reformat(
            format=self._stream.pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        frame.pts, frame.time_base = at, self._stream.codec_context.time_base
        return frame


def _free_path() -> str:
    folder = folder_paths.get_temp_directory()
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, f"invsr_{uuid.uuid4().hex}.mp4")
