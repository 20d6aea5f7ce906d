"""Progress over windows, interruption, and going on with smaller windows when memory runs out."""

import logging
from collections.abc import Callable
from typing import TypeVar

import comfy.model_management
import comfy.utils

from ...invsr_core.tiling import Tiling

Result = TypeVar("Result")


class Progress:
    """One bar on the current node, counted in windows, and the place where Cancel is noticed."""

    def __init__(self, windows: int, *, bar: comfy.utils.ProgressBar | None = None) -> None:
        self._bar = bar or comfy.utils.ProgressBar(windows)
        self.total, self.done = windows, 0

    @classmethod
    def unseen(cls) -> "Progress":
        """Notice Cancel only: a stock sampler shows its own bar."""
        bar = comfy.utils.ProgressBar(0)
        bar.hook = None
        return cls(0, bar=bar)

    def expect(self, windows: int) -> None:
        """Make room for more windows than were announced, as a video of unknown length has."""
        self.total = max(self.total, self.done + windows)

    def advance(self, windows: int = 1, preview: tuple | None = None) -> None:
        """Count finished windows. Raises the host's interruption if the user asked for it."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        self.done += windows
        self._bar.update_absolute(self.done, self.total, preview)


def shrink_on_oom(
    run: Callable[[Tiling], Result],
    tiling: Tiling,
    size: tuple[int, int],
    progress: Progress,
) -> Result:
    """Call run(tiling) on an LR image of `size`; out of memory, halve the windows and start over.

    First the batch of windows is halved, then the window, with one log line each time. Raises the
    host's out-of-memory error when even the smallest windows do not fit.
    """
    while True:
        done = progress.done
        try:
            return run(tiling)
        except Exception as error:
            comfy.model_management.raise_non_oom(error)
            smaller = tiling.smaller(size)
            if smaller is None:
                raise
        # Outside the handler, where the failed run's tensors are no longer referenced.
        comfy.model_management.soft_empty_cache()
        logging.warning(
            "InvSR: out of memory; going on with windows of %d LR px, %d at once.",
            max(smaller.grid(size).window_size),
            smaller.tile_batch,
        )
        progress.total += len(smaller.grid(size)) - len(tiling.grid(size))
        progress.done = done
        tiling = smaller
