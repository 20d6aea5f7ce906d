"""Peak memory of the video node for 8 and for 32 frames, as one JSON line."""

import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path += [str(ROOT / "scripts"), str(ROOT / "benchmarks")]

from in_process import boot, module_of_pack  # noqa: E402 - the scripts are no package
from memory import one_stop, peak_of  # noqa: E402

HEIGHT, WIDTH = 48, 64
COUNTS = (8, 32)
"""Frames that stayed would add a third to the peak; the encoder itself holds a few."""


def main() -> None:
    with tempfile.TemporaryDirectory() as base:
        nodes = boot(Path(os.environ["INVSR_TEST_HOST"]), Path(base), "--cpu")
        from comfy_api.v0_0_2 import InputImpl

        module_of_pack(nodes, "nodes.upscaler").PAD_TO = 16
        upscale_video = one_stop(nodes, "InvSRUpscaleVideo")

        def run(count: int) -> None:
            upscale_video(video=InputImpl.VideoFromFile(clip(Path(base) / f"{count}.mp4", count)))

        run(8)  # loads everything
        peaks = {n: peak_of(partial(run, n))[0] for n in COUNTS}
    sys.stdout.write(json.dumps(peaks) + "\n")


def clip(path: Path, count: int) -> str:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("h264", rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for _ in range(count):
            noise = np.random.randint(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        output.mux(stream.encode(None))
    return str(path)


if __name__ == "__main__":
    main()
