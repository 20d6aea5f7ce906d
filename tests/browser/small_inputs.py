"""Small generated pictures, a folder of them, and a short video with sound."""

import sys
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
sys.path.append(str(Path(__file__).parents[2]))  # last: `nodes` must not hide the host's

from demo_training.pairs import draw_pair

PICTURE_SIZE = (80, 64)
"""Width and height; the LR side of a picture four times as large."""
PICTURES_IN_FOLDER = 3
VIDEO_SIZE = (64, 48)
FRAMES, FRAME_RATE = 4, 4
SOUND_RATE = 48000


def write_picture(path: Path, number: int = 111, size: tuple[int, int] = PICTURE_SIZE) -> None:
    """Write the degraded LR version of the generated picture of a number."""
    draw_lr(number, size).save(path)


def write_folder(path: Path, size: tuple[int, int] = PICTURE_SIZE) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for number in range(PICTURES_IN_FOLDER):
        write_picture(path / f"picture {number + 1}.png", 200 + number, size)


def write_video(path: Path, size: tuple[int, int] = VIDEO_SIZE, frames: int = FRAMES) -> None:
    """Write a view that moves by a pixel per frame over a picture, as H.264, with a tone as AAC."""
    scene = draw_lr(111, (size[0] + frames, size[1]))
    with av.open(path, "w") as file:
        picture = file.add_stream("libx264", rate=FRAME_RATE, options={"crf": "12"})
        picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
        sound = file.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for left in range(frames):
            view = scene.crop((left, 0, left + size[0], size[1]))
            file.mux(picture.encode(av.VideoFrame.from_image(view)))
        file.mux(picture.encode())
        tone = av.AudioFrame.from_ndarray(_tone(frames / FRAME_RATE), "fltp", "mono")
        tone.rate = SOUND_RATE
        file.mux(sound.encode(tone))
        file.mux(sound.encode())


def draw_lr(number: int, size: tuple[int, int]) -> Image.Image:
    """Give the degraded LR picture of a number, cut to width and height."""
    side = -(-max(size) // 16) * 16
    _, lr = draw_pair(number, 4 * side)
    pixels = (lr[0].permute(1, 2, 0) * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.numpy()).crop((0, 0, *size))


def _tone(seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    return (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)[None]
