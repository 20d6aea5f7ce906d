"""ControlNet and T2I-Adapter hints for one window of a latent."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...invsr_core.tiling import Window


class ControlHints:
    """Prepares each control's hint for the whole latent once, and lends it window by window.

    The host prepares a hint for the latent it is shown, so a window would get the whole hint
    shrunk. It keeps one that already has the right size: the crop handed to it here.
    """

    def __init__(self) -> None:
        self._whole: dict[Any, Tensor] = {}

    def clear(self) -> None:
        self._whole.clear()

    @contextmanager
    def cropped(self, conds: list, x: Tensor, sigma: Tensor, window: Window) -> Iterator[None]:
        """Lend every control in `conds` its part for `window` of x [B,4,h,w] while this lasts."""
        controls = {control: cond for cond in _flat(conds) for control in _chain(cond)}
        for control, cond in controls.items():
            if control not in self._whole:
                self._whole[control] = _whole_hint(control, cond, x, sigma)
            _lend(control, _crop(self._whole[control], x, window))
        try:
            yield
        finally:
            for control in controls:
                _lend(control, None)


def _flat(conds: list) -> Iterator[dict[str, Any]]:
    return (cond for group in conds for cond in group or [])


def _chain(cond: dict[str, Any]) -> Iterator[Any]:
    control = cond.get("control")
    while control is not None:
        yield control
        control = control.previous_controlnet


def _lend(control: Any, hint: Tensor | None) -> None:
    control.cond_hint = hint
    if hasattr(control, "control_input"):  # T2I-Adapter: features of the hint, kept over steps
        control.control_input = None


def _crop(hint: Tensor, x: Tensor, window: Window) -> Tensor:
    ratio = hint.shape[-1] // x.shape[-1]
    return Window(
        window.top * ratio, window.left * ratio, window.height * ratio, window.width * ratio
    ).of(hint)


def _whole_hint(control: Any, cond: dict[str, Any], x: Tensor, sigma: Tensor) -> Tensor:
    """Let the host itself resize, preprocess, encode and cast the hint, its network left out."""
    probe = control.copy()
    for network in ("control_model", "t2i_model"):
        if hasattr(control, network):
            setattr(probe, network, _NoNetwork(getattr(control, network)))
    probe.model_sampling_current = getattr(control, "model_sampling_current", None)
    context = {name: value.cond for name, value in cond["model_conds"].items()}
    probe.get_control(x, sigma, context, 1, {})
    return probe.cond_hint


class _NoNetwork:
    """Stands in for a control network: has its traits, computes nothing."""

    def __init__(self, network: Any) -> None:
        self.dtype = getattr(network, "dtype", torch.float32)
        self.unshuffle_amount = getattr(network, "unshuffle_amount", 1)

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, list]:
        return {}

    def to(self, *args: Any) -> "_NoNetwork":
        return self

    cpu = to
