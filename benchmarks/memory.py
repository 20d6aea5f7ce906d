"""Peak memory of InvSR Upscale on a large picture with the demo models, on the CPU.

Run in the host's Python: python benchmarks/memory.py SIDE, with SIDE the LR side in px
(1024 makes 4096, 2048 makes 8192). Prints one JSON line.
"""

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent / "scripts"))

from in_process import boot

WINDOW = 256
"""LR side that every stage takes in one batch of windows."""


def main() -> None:
    side = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as base:
        nodes = boot(Path(os.environ["INVSR_TEST_HOST"]), Path(base), "--cpu")
        node = one_stop(nodes, "InvSRUpscale")

        def upscale(side: int) -> Any:
            return node(image=torch.rand(1, side, side, 3))

        upscale(32)  # loads everything
        window, _ = peak_of(lambda: upscale(WINDOW))
        peak, seconds = peak_of(lambda: upscale(side))
    image = 3 * 4 * (4 * side) ** 2
    print(json.dumps({"peak": peak, "window": window, "image": image, "seconds": seconds}))


def one_stop(nodes: Any, node_id: str) -> Callable[..., Any]:
    """Give a one-stop node on the demo models, with the schema's defaults for its widgets."""
    mappings = nodes.NODE_CLASS_MAPPINGS
    node = mappings[node_id]
    inputs = {i.id: i.default for i in node.define_schema().inputs if hasattr(i, "default")}
    with torch.inference_mode():
        model, vae, positive, predictor = mappings["InvSRDemoModels"].execute().result
    models = {"model": model, "vae": vae, "positive": positive, "noise_predictor": predictor}
    optional = ("negative", "mask")
    inputs = {key: value for key, value in inputs.items() if key not in optional}

    def run(**changes: Any) -> Any:
        with torch.inference_mode():
            return node.execute(**{**inputs, **models, **changes})

    return run


def peak_of(run: Callable[[], Any]) -> tuple[int, float]:
    """Give by how many bytes the resident memory grew at most during `run`, and its seconds."""
    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def sample() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    sampler = threading.Thread(target=sample)
    sampler.start()
    started = time.monotonic()
    try:
        run()
    finally:
        done.set()
        sampler.join()
    return peak - before, time.monotonic() - started


if __name__ == "__main__":
    main()
