"""The video node: frames, times and sound kept, the same noise for all, bounded memory."""

import io
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

SCRIPT = Path(__file__).parent / "video_memory.py"
RATE, SAMPLES = 25, 44100


@pytest.fixture(autouse=True)
def small_padding(pack, monkeypatch):
    """Pad to 16 px instead of 128, to be quick."""
    monkeypatch.setattr(pack("nodes.upscaler"), "PAD_TO", 16)


@pytest.fixture
def upscale_video(one_stop):
    """Run InvSRUpscaleVideo, at x2 unless told otherwise."""

    def run(video, **inputs):
        return one_stop("InvSRUpscaleVideo", **{"scale": 2.0, "video": video, **inputs})

    return run


@pytest.fixture
def video_from():
    from comfy_api.v0_0_2 import InputImpl

    return InputImpl.VideoFromFile


def moving(count, height=16, width=24):
    """Frames [n,H,W,3] of 8 bits: a ramp that wanders."""
    x = np.arange(width)[None, None, :, None] * 6
    steps = 5 * np.arange(count)[:, None, None, None]
    rows = np.arange(height)[None, :, None, None]
    return ((x + steps + rows + np.array([0, 40, 80])) % 256).astype(np.uint8)


def write_clip(target, frames, *, audio="aac", container="mp4", times=None, pixels="yuv444p"):
    """Write frames, without loss but for the colours' conversion, and a sine of 440 Hz."""
    with av.open(target, "w", format=container) as output:
        stream = output.add_stream("h264", rate=RATE, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        stream.codec_context.time_base = Fraction(1, 12800)
        sound = audio and output.add_stream(audio, rate=SAMPLES, layout="mono")
        if sound:
            output.mux(sound.encode(sine(len(frames) / RATE)))
            output.mux(sound.encode(None))
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = times[index] if times else index * 512
            frame.time_base = Fraction(1, 12800)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return target


def sine(seconds):
    wave = np.sin(2 * np.pi * 440 * np.arange(int(seconds * SAMPLES)) / SAMPLES)[None]
    frame = av.AudioFrame.from_ndarray(wave.astype(np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = SAMPLES, 0
    return frame


def times_of(video):
    with av.open(video.get_stream_source()) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


def test_frames_duration_and_sound_stay(tmp_path, upscale_video, video_from):
    clip = video_from(str(write_clip(tmp_path / "clip.mp4", moving(11))))
    made = upscale_video(clip, frames_at_once=4)
    before, after = clip.get_components(), made.get_components()
    assert len(after.images) == len(before.images) == 11
    assert after.images.shape[1:3] == (32, 48)
    assert made.get_frame_rate() == RATE
    assert made.get_duration() == pytest.approx(clip.get_duration(), abs=0.001)
    assert times_of(made) == pytest.approx(times_of(clip), abs=1e-6)
    waves = [each.audio["waveform"] for each in (before, after)]
    assert waves[0].abs().max() > 0.5
    assert torch.equal(*waves)  # copied, not encoded again


@pytest.mark.parametrize("audio", ["pcm_s16le", "mp2"])
def test_sound_that_is_not_copied_becomes_aac(tmp_path, upscale_video, video_from, audio):
    path = write_clip(tmp_path / "clip.mkv", moving(8), audio=audio, container="matroska")
    clip = video_from(str(path))
    after = upscale_video(clip).get_components()
    assert len(after.images) == 8
    wave = after.audio["waveform"][0, 0].numpy()
    assert after.audio["sample_rate"] == SAMPLES
    assert len(wave) / SAMPLES == pytest.approx(8 / RATE, abs=0.06)
    peak = np.abs(np.fft.rfft(wave)).argmax() * SAMPLES / len(wave)
    assert peak == pytest.approx(440, abs=5)


def test_a_silent_clip_a_buffer_and_odd_sizes(upscale_video, video_from):
    buffer = write_clip(io.BytesIO(), moving(3, 15, 17), audio=None)
    made = upscale_video(video_from(buffer), scale=1.0)
    assert made.get_components().audio is None
    assert made.get_dimensions() == (16, 16)  # (width, height): even, as H.264 wants them


def test_a_trimmed_clip_gives_its_own_frames_and_sound(tmp_path, upscale_video, video_from):
    clip = video_from(str(write_clip(tmp_path / "clip.mp4", moving(20))))
    trimmed = clip.as_trimmed(0.2, 0.4)
    before, after = trimmed.get_components(), upscale_video(trimmed).get_components()
    assert len(after.images) == len(before.images) == 10
    assert after.audio["waveform"].shape[-1] / SAMPLES == pytest.approx(0.4, abs=0.05)


def test_frames_of_uneven_length_keep_their_times(tmp_path, upscale_video, video_from):
    times = [0, 512, 2048, 2560, 6000]
    clip = video_from(str(write_clip(tmp_path / "clip.mp4", moving(5), times=times, audio=None)))
    assert times_of(upscale_video(clip)) == pytest.approx([t / 12800 for t in times], abs=1e-4)


def test_a_video_made_of_images(upscale_video):
    from comfy_api.v0_0_2 import InputImpl, Types

    images = torch.from_numpy(moving(5)).float() / 255
    audio = {"waveform": torch.sin(torch.arange(44100) / 16)[None, None], "sample_rate": SAMPLES}
    parts = Types.VideoComponents(images=images, audio=audio, frame_rate=Fraction(30000, 1001))
    made = upscale_video(InputImpl.VideoFromComponents(parts))
    after = made.get_components()
    assert len(after.images) == 5
    assert made.get_frame_rate() == Fraction(30000, 1001)
    assert after.audio["waveform"].shape[-1] / SAMPLES == pytest.approx(5 * 1001 / 30000, abs=0.05)


def test_frames_are_those_of_the_image_node(one_stop, upscale_video, pack, monkeypatch, tmp_path):
    """Before encoding, and whatever the number of frames at once; a still clip stays still."""
    from comfy_api.v0_0_2 import InputImpl

    still = np.repeat(moving(1), 5, axis=0)
    path = str(write_clip(tmp_path / "still.mp4", still, audio=None))
    written = seen_frames(pack, monkeypatch)
    upscale_video(InputImpl.VideoFromFile(path), frames_at_once=2)
    frames = torch.cat(written)
    assert len(frames) == 5
    assert (frames - frames[:1]).abs().max() < 1e-5

    clip = InputImpl.VideoFromFile(str(write_clip(tmp_path / "clip.mp4", moving(5), audio=None)))
    written.clear()
    upscale_video(clip, frames_at_once=3)
    images = clip.get_components().images
    image = one_stop("InvSRUpscale", image=images, batch_noise="same", scale=2.0)
    # The host reads these frames as floats, the node in 8 bits.
    assert (torch.cat(written).movedim(1, -1) - image).abs().mean() < 0.02


def seen_frames(pack, monkeypatch):
    """Collect what is given to the encoder."""
    writer, written = pack("nodes.host.video_writer").VideoWriter, []
    original = writer.write

    def write(self, times, frames):
        written.append(frames)
        original(self, times, frames)

    monkeypatch.setattr(writer, "write", write)
    return written


@pytest.mark.parametrize("color", [(200, 30, 40), (20, 180, 60), (40, 60, 220), (128, 128, 128)])
def test_colours_arrive_as_they_were(upscale_video, video_from, pack, monkeypatch, color):
    """Through encoder and the host's reader, against what was given to the encoder."""
    frames = np.broadcast_to(np.array(color, np.uint8), (2, 32, 32, 3)).copy()
    written = seen_frames(pack, monkeypatch)
    made = upscale_video(video_from(write_clip(io.BytesIO(), frames, audio=None)))
    given = written[0].movedim(1, -1).clamp(0, 1)
    difference = (made.get_components().images - given).mean((0, 1, 2)).abs()
    assert difference.max() < 2 / 255


def test_ten_bits_stay_ten_bits(upscale_video, video_from):
    clip = video_from(write_clip(io.BytesIO(), moving(2), audio=None, pixels="yuv420p10le"))
    assert upscale_video(clip).get_bit_depth() == 10


def test_a_mask_keeps_the_rest_bicubic(upscale_video, video_from, pack, monkeypatch):
    clip = write_clip(io.BytesIO(), moving(4), audio=None)
    mask = torch.zeros(2, 32, 48)
    mask[1] = 1.0  # every second frame is restored
    written = seen_frames(pack, monkeypatch)
    upscale_video(video_from(clip), mask=mask, frames_at_once=3)
    masked = torch.cat(written)
    written.clear()
    upscale_video(video_from(clip), frames_at_once=3)
    whole = torch.cat(written)
    assert torch.allclose(masked[1::2], whole[1::2], atol=1e-5)
    assert not torch.allclose(masked[::2], whole[::2], atol=1e-2)


def test_one_bar_and_cancel_leaves_no_file(host, upscale_video, video_from, monkeypatch):
    import comfy.model_management as manager
    import comfy.utils
    import folder_paths

    seen = []

    def hook(value, total, preview, node_id=None):
        seen.append((value, total))
        if cancelling and len(seen) == 5:
            manager.interrupt_current_processing(True)

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0)
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_PERCENT", 0)
    clip, cancelling = write_clip(io.BytesIO(), moving(7), audio=None), False
    upscale_video(video_from(clip), frames_at_once=3)
    values, totals = zip(*seen, strict=True)
    assert set(totals) == {values[-1]}
    assert list(values) == sorted(values)

    seen.clear()
    temporary = Path(folder_paths.get_temp_directory())
    before, cancelling = set(temporary.iterdir()), True
    with pytest.raises(manager.InterruptProcessingException):
        upscale_video(video_from(clip), frames_at_once=3)
    assert set(temporary.iterdir()) == before
    assert len(seen) < 8


@pytest.mark.parametrize("what", ["no pictures", "trimmed to nothing"])
def test_a_video_without_frames_says_so(upscale_video, video_from, what, tmp_path):
    clip = video_from(str(write_clip(tmp_path / "clip.mp4", moving(3))))
    if what == "no pictures":
        with av.open(str(tmp_path / "sound.mp4"), "w") as output:
            stream = output.add_stream("aac", rate=SAMPLES, layout="mono")
            output.mux(stream.encode(sine(0.2)))
            output.mux(stream.encode(None))
        clip = video_from(str(tmp_path / "sound.mp4"))
    else:
        clip = video_from(str(tmp_path / "clip.mp4"), start_time=5.0)
    with pytest.raises(ValueError, match=r"holds no (pictures|frames)"):
        upscale_video(clip)


def test_a_side_beyond_what_h264_holds_is_refused_first(upscale_video, video_from):
    clip = write_clip(io.BytesIO(), moving(2), audio=None)
    with pytest.raises(ValueError, match=r"at most 16384 px a side as H\.264, got 17600x"):
        upscale_video(video_from(clip), longer_side=17600)


def test_memory_does_not_grow_with_the_length():
    if "INVSR_TEST_HOST" not in os.environ:
        pytest.skip("needs a ComfyUI: run scripts/test.py")
    # Freed blocks go back to the system at once, so that resident memory tells what is in use.
    settings = {"ARENA_MAX": 1, "TRIM_THRESHOLD_": 0, "MMAP_THRESHOLD_": 65536}
    environment = os.environ | {f"MALLOC_{name}": f"{value}" for name, value in settings.items()}
    run = subprocess.run(
        [sys.executable, str(SCRIPT)], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]
    peaks = json.loads(run.stdout.splitlines()[-1])
    assert peaks["32"] < 1.1 * peaks["8"], peaks
