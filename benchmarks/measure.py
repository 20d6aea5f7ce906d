"""Wall time and peak memory of a run, warm."""

import ctypes
import gc
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil
import torch

INTERVAL = 0.005
"""Seconds between two looks at the memory."""


@dataclass(frozen=True)
class Measured:
    """Seconds of a run, and the most bytes it held beyond what was held before it."""

    seconds: float
    peak: int


def alternating(
    runs: Mapping[str, Callable[[], object]], device: torch.device, repeats: int
) -> dict[str, Measured]:
    """Measure each run `repeats` times, in turns; give medians of time and maxima of memory."""
    found: dict[str, list[Measured]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            found[name].append(measured(run, device))
            print(f"  {name}: {found[name][-1].seconds:.2f} s", file=sys.stderr, flush=True)
    return {
        name: Measured(statistics.median(m.seconds for m in all_), max(m.peak for m in all_))
        for name, all_ in found.items()
    }


def measured(run: Callable[[], object], device: torch.device) -> Measured:
    """Run once, watching the memory of `device` (resident memory, for a CPU)."""
    _settle(device)
    with _Watch(device) as watch:
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
    return Measured(seconds, watch.peak)


class _Watch:
    """Samples memory in a thread of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._before = self._most = _held(device)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def peak(self) -> int:
        return self._most - self._before

    def _sample(self) -> None:
        while not self._done.wait(INTERVAL):
            self._most = max(self._most, _held(self._device))


def _held(device: torch.device) -> int:
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return total - free
    return psutil.Process().memory_info().rss


def _settle(device: torch.device) -> None:
    """Give back what earlier runs left in the allocators."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
