"""The core's path, golden numbers, and weights made by recipe."""

import json
import sys
import zlib
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"

# Last: the repository's `nodes` must not hide the host's module of that name.
sys.path[:] = [p for p in sys.path if p and Path(p).resolve() != ROOT] + [str(ROOT)]


@pytest.fixture(scope="session")
def golden():
    """Read a golden file by name: tensors, or JSON."""

    def read(name):
        path = GOLDEN / name
        return json.loads(path.read_text()) if path.suffix == ".json" else load_file(path)

    return read


@pytest.fixture(scope="session")
def golden_seed():
    with safe_open(GOLDEN / "e2e_sd_turbo.safetensors", framework="pt") as file:
        return int(file.metadata()["seed_of_eps_predictor"])


@pytest.fixture(scope="session")
def recipe():
    """Make the tensors of network `net` from their names and shapes; `salt` picks other ones."""

    def make(net, shapes, salt="invsr-golden-v1"):
        return {key: _tensor(f"{salt}/{net}.{key}", shape) for key, shape in shapes.items()}

    return make


def _tensor(name, shape):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    tensor = torch.randn(shape, generator=generator)
    if len(shape) > 1:
        return tensor / (tensor.numel() / shape[0]) ** 0.5
    return 1 + 0.1 * tensor if name.endswith("weight") else 0.05 * tensor


@pytest.fixture(scope="session")
def relative_error():
    """Largest difference, relative to the largest expected value."""
    return lambda found, expected: float((found - expected).abs().max() / expected.abs().max())
