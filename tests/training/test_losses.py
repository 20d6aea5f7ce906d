"""Losses against the authors' numbers and values worked out by hand."""

import json
import math
import zlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from invsr_core.training.discriminator import Discriminator, DiscriminatorConfig
from invsr_core.training.latent_lpips import latent_lpips_from, load_latent_lpips
from invsr_core.training.losses import hinge_for_discriminator, hinge_for_predictor, latent_l2

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def lpips_state():
    """The golden data's weights, made from their names (see golden/README.md)."""
    shapes = json.loads((GOLDEN / "latent_lpips_keys.json").read_text())
    return {key: recipe(key, shape) for key, shape in shapes.items()}


def recipe(key: str, shape: list[int]) -> torch.Tensor:
    key = f"lin{key[5:]}" if key.startswith("lins.") else key  # the two names share a tensor
    name = f"invsr-golden-v1/latent_lpips.{key}"
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    tensor = torch.randn(shape, generator=generator)
    if tensor.ndim < 2:
        return 0.05 * tensor
    scaled = tensor / math.sqrt(tensor.numel() / shape[0])
    return scaled.abs() if key.startswith("lin") else scaled * math.sqrt(2)


def test_latent_lpips_equals_the_authors(lpips_state):
    golden = load_file(GOLDEN / "latent_lpips.safetensors")
    network = latent_lpips_from(lpips_state, name="recipe")
    found = network(golden["a"], golden["b"])
    torch.testing.assert_close(found, golden["distance"].flatten(), rtol=1e-5, atol=0)
    assert sum(p.numel() for p in network.parameters()) == 14_716_736


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}], ids=["bare", "run"])
def test_latent_lpips_loads_from_a_pth_file(lpips_state, tmp_path, wrap):
    path = tmp_path / "vgg16_sdturbo_lpips.pth"
    torch.save(wrap({f"module.{key}": value for key, value in lpips_state.items()}), path)
    network = load_latent_lpips(path)
    assert not any(p.requires_grad for p in network.parameters())
    torch.testing.assert_close(
        network.state_dict()["net.slice1.0.weight"], lpips_state["net.slice1.0.weight"]
    )


def test_another_network_is_refused_by_name(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"other\.safetensors is not the latent LPIPS: 31 of 31"):
        load_latent_lpips(path)


def test_latent_l2_is_the_mean_square_per_image():
    a = torch.zeros(2, 4, 2, 2)
    b = torch.zeros(2, 4, 2, 2)
    b[0], b[1, 0] = 3.0, 2.0
    assert latent_l2(a, b).tolist() == [9.0, 1.0]


def test_the_predictor_hears_minus_the_mean_logit_over_maps():
    maps = [torch.full((1, 1, 2, 2), 3.0), torch.tensor([[[[1.0, -2.0]]]])]
    assert hinge_for_predictor(maps).tolist() == [-(3.0 - 0.5) / 2]


def test_the_discriminator_pays_hinges_within_the_margin_only():
    real = [torch.tensor([[[[0.5, 2.0]]]]), torch.tensor([[[[-1.0]]]])]
    fake = [torch.tensor([[[[-3.0, 0.0]]]]), torch.tensor([[[[0.25]]]])]
    first = 0.5 * ((0.5 + 0.0) / 2 + (0.0 + 1.0) / 2)
    second = 0.5 * (2.0 + 1.25)
    assert hinge_for_discriminator(real, fake).tolist() == [(first + second) / 2]


def test_the_full_discriminator_has_the_published_size_and_maps():
    with torch.device("meta"):
        network = Discriminator(DiscriminatorConfig())
        maps = network(
            torch.zeros(2, 4, 64, 64), torch.zeros(2, dtype=torch.long), torch.zeros(2, 77, 1024)
        )
    assert sum(p.numel() for p in network.parameters()) == 112_082_532
    assert len(network.state_dict()) == 519
    assert [tuple(m.shape) for m in maps] == [(2, 1, s, s) for s in (16, 32, 64, 64)]
    assert [block[3].num_channels for block in network.out_blocks] == [512, 512, 256, 128]
