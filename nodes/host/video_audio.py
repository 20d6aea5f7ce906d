"""The sound of a video beside its new frames: copied where an MP4 can hold it, else AAC."""

from collections.abc import Iterator
from typing import Any

import av
from torch import Tensor

_COPIED = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}

Pieces = Iterator[tuple[float, list[Any]]]
"""Packets ready for the output, with their time in seconds."""


class Sound:
    """Audio that follows the frames, so that no more of it waits than a chunk lasts."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces, self._at = pieces, 0.0

    def write_until(self, output: Any, seconds: float) -> None:
        while self._at <= seconds:
            piece = next(self._pieces, None)
            if piece is None:
                return
            self._at, packets = piece
            output.mux(packets)


def sound_of_file(container: Any, output: Any, start: float, end: float | None) -> Sound | None:
    """Give the sound of an open file from `start` to `end`, in seconds; None if it has none."""
    streams = [each for each in container.streams.audio if each.codec_context is not None]
    if not streams:
        return None
    stream = streams[0]
    packets = _within(container, stream, start, end)
    if stream.codec_context.codec.canonical_name in _COPIED:
        return Sound(_copied(packets, output.add_stream_from_template(stream), start))
    layout = _LAYOUTS.get(stream.codec_context.channels, "stereo")
    rate = stream.codec_context.sample_rate
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    frames = (
        even
        for packet in packets
        for frame in packet.decode()
        for even in resampler.resample(frame)
    )
    return Sound(_encoded(frames, output, rate, layout))


def sound_of_samples(waveform: Tensor, rate: int, output: Any) -> Sound:
    """Give the sound of samples [channels, n] in [-1, 1]; of unusual layouts the first two."""
    channels = len(waveform) if len(waveform) in _LAYOUTS else 2
    layout = _LAYOUTS[channels]
    return Sound(_encoded(_frames(waveform[:channels], rate, layout), output, rate, layout))


def _within(container: Any, stream: Any, start: float, end: float | None) -> Iterator[Any]:
    if start:
        container.seek(int(start / stream.time_base), stream=stream)
    for packet in container.demux(stream):
        if packet.pts is None:
            continue
        at = float(packet.pts * packet.time_base)
        if end is not None and at >= end:
            return
        if at >= start or not start:  # an encoder's run-in lies before 0 and belongs to it
            yield packet


def _copied(packets: Iterator[Any], target: Any, start: float) -> Pieces:
    for packet in packets:
        at = float(packet.pts * packet.time_base) - start
        shift = int(start / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        packet.stream = target
        yield at, [packet]


def _encoded(frames: Iterator[Any], output: Any, rate: int, layout: str) -> Pieces:
    target = output.add_stream("aac", rate=rate, layout=layout, bit_rate=192_000)
    return _packets(frames, target, rate)


def _packets(frames: Iterator[Any], target: Any, rate: int) -> Pieces:
    written = 0
    for frame in frames:
        frame.pts = written
        written += frame.samples
        yield written / rate, target.encode(frame)
    yield written / rate, target.encode(None)


def _frames(waveform: Tensor, rate: int, layout: str) -> Iterator[Any]:
    """Cut samples into frames of a second."""
    for samples in waveform.float().cpu().split(rate, dim=1):
        frame = av.AudioFrame.from_ndarray(
            samples.contiguous().numpy(), format="fltp", layout=layout
        )
        frame.sample_rate = rate
        yield frame
