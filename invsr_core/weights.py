"""Noise predictor files: path -> tensors -> canonical keys -> config -> network, and back."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from .predictor import NoisePredictor, PredictorConfig

_CONFIG_KEY = "invsr_config"
_WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes left by DistributedDataParallel and torch.compile."""


def load_predictor(path: str | os.PathLike[str]) -> NoisePredictor:
    """Load a noise predictor from .safetensors, or from .pth without running any code in it.

    Takes the released files, training checkpoints and files of `save_predictor`. The network is on
    the CPU, in eval mode, in the file's dtype. Raises ValueError, naming the file, if it has none.
    """
    config, state = read_predictor(path)
    predictor = NoisePredictor(config, device="meta")
    predictor.load_state_dict(state, assign=True)
    return predictor.eval()


def read_predictor(path: str | os.PathLike[str]) -> tuple[PredictorConfig, dict[str, Tensor]]:
    """Read a file's configuration and its tensors under canonical names, shapes verified.

    Raises ValueError, naming the file, if it is damaged or holds another network.
    """
    path = Path(path)
    state, metadata = _read_tensors(path)
    state = canonical_keys(state)
    try:
        config = _config_for(state, metadata)
        return config, _matching_tensors(config, state)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def save_predictor(
    predictor: NoisePredictor,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `predictor` as .safetensors, its configuration in the metadata beside `metadata`.

    The file appears whole or not at all: a full disk leaves an older file of that name untouched.
    """
    path = Path(path)
    state = {key: tensor.contiguous() for key, tensor in predictor.state_dict().items()}
    facts = {**(metadata or {}), _CONFIG_KEY: json.dumps(asdict(predictor.config))}
    partial = path.with_name(path.name + ".partial")
    try:
        safetensors.torch.save_file(state, partial, metadata=facts)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def canonical_keys(state: Mapping[str, Any]) -> dict[str, Any]:
    """Take the weights out of a training checkpoint and strip wrapper prefixes from every name."""
    inner = state.get("state_dict")
    if isinstance(inner, Mapping):
        state = cast(Mapping[str, Any], inner)
    return {_unwrapped(str(key)): value for key, value in state.items()}


def _unwrapped(key: str) -> str:
    while key.startswith(_WRAPPERS):
        key = key.split(".", 1)[1]
    return key


def _read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    if path.suffix.lower() in (".safetensors", ".sft"):
        return _read_safetensors(path)
    return _read_pickle(path), {}


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        opened: Any = safetensors.safe_open(path, framework="pt")
        with opened as file:
            metadata = cast(dict[str, str] | None, file.metadata())
        return {**safetensors.torch.load_file(path)}, metadata or {}
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path.name} is damaged or no safetensors file ({error}). Download it again."
        ) from None


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # torch's reader trips over damaged bytes in a dozen ways
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path.name} is damaged or holds more than tensors, and was not loaded ({reason}). "
            "Download it again from its publisher."
        ) from None
    if not isinstance(state, Mapping):
        raise ValueError(
            f"{path.name} is not an InvSR noise predictor: it holds a {type(state).__name__}, "
            "expected a dictionary of tensors."
        )
    return dict(cast(Mapping[str, Any], state))


def _config_for(state: Mapping[str, Any], metadata: Mapping[str, str]) -> PredictorConfig:
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if _CONFIG_KEY not in metadata:
        return PredictorConfig.from_state_dict(tensors)
    stated = json.loads(metadata[_CONFIG_KEY])
    return PredictorConfig.from_state_dict(
        tensors,
        norm_num_groups=int(stated["norm_num_groups"]),
        attention_head_dim=int(stated["attention_head_dim"]),
    )


def _matching_tensors(config: PredictorConfig, state: Mapping[str, Any]) -> dict[str, Tensor]:
    expected = NoisePredictor(config, device="meta").state_dict()
    missing = [key for key in expected if not isinstance(state.get(key), Tensor)]
    if missing:
        raise ValueError(
            f"the noise predictor is incomplete: {len(missing)} of {len(expected)} tensors are "
            f"missing (first: '{missing[0]}'). Download it again."
        )
    for key, tensor in expected.items():
        if state[key].shape != tensor.shape:
            raise ValueError(
                f"the noise predictor's '{key}' has shape {list(state[key].shape)}, "
                f"expected {list(tensor.shape)}."
            )
    return {key: state[key] for key in expected}
