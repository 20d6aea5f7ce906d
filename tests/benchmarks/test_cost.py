"""Counted cost against published numbers, and ours against the reference's; on meta tensors."""

import ast
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from invsr_core.predictor import NoisePredictor, PredictorConfig
from invsr_core.tiling import Tiling

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import cost
import networks
import reference

ROOT = Path(__file__).parent.parent.parent
VAE_TILING = ROOT / "nodes" / "host" / "managed_vae.py"


@pytest.fixture(scope="module")
def counter():
    return cost.reference_counter()


@pytest.fixture(scope="module")
def vae_tiling():
    """Read the pack's windows for the VAE off the source, which only a host could import."""
    for statement in ast.parse(VAE_TILING.read_text()).body:
        if isinstance(statement, ast.Assign) and statement.targets[0].id == "VAE_TILING":
            arguments = statement.value.keywords
            return Tiling(**{each.arg: ast.literal_eval(each.value) for each in arguments})
    raise AssertionError("no VAE_TILING")


def test_attention_of_a_known_size_is_counted():
    q, k, v = (torch.empty(2, 3, 50, 64, device="meta") for _ in range(3))
    macs = cost.count_macs(lambda: F.scaled_dot_product_attention(q, k, v))
    assert macs == 2 * (2 * 3 * 50 * 50 * 64)


def test_a_convolution_of_a_known_size_is_counted():
    x, weight = torch.empty(1, 5, 10, 12, device="meta"), torch.empty(7, 5, 3, 3, device="meta")
    assert cost.count_macs(lambda: F.conv2d(x, weight, padding=1)) == 10 * 12 * 7 * 5 * 9


# In 10^9, by the authors' own modules.
@pytest.mark.parametrize(
    ("network", "tile", "expected"),
    [
        ("text", 128, 22.6),
        ("predictor", 128, 664.1),
        ("unet", 128, 402.1),
        ("encode", 128, 558.3),
        ("decode", 128, 1257.3),
        ("predictor", 256, 8428.9),
        ("unet", 256, 2337.5),
        ("encode", 256, 2439.5),
        ("decode", 256, 5235.2),
    ],
)
def test_a_network_costs_per_tile_what_the_authors_costs(counter, network, tile, expected):
    assert counter.macs(network, (tile, tile)) / 1e9 == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize(
    ("tile", "steps", "expected"),
    [(128, 1, 653), (256, 1, 905), (128, 5, 1015), (256, 5, 1363)],
)
def test_the_reference_costs_for_1k_to_4k_what_is_published(counter, tile, steps, expected):
    total = counter.total(cost.reference_work((1024, 1024), steps, tile))
    assert total / 1e12 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("length", "tile", "starts"),
    [
        (128, 128, [0]),
        (144, 128, [0, 16]),
        (256, 128, [0, 64, 128]),
        (192, 128, [0, 64]),
        (256, 256, [0]),
    ],
)
def test_the_reference_tiles_start_where_the_authors_do(length, tile, starts):
    assert reference.tile_starts(length, tile) == starts


@pytest.mark.parametrize(
    ("length", "tile", "count"),
    [
        (512, 128, 7),
        (1024, 128, 15),
        (1088, 128, 16),
        (1920, 128, 29),
        (2048, 128, 31),
        (1024, 256, 7),
        (2048, 256, 15),
        (1024, 512, 3),
    ],
)
def test_the_reference_takes_as_many_tiles_as_the_authors(length, tile, count):
    assert len(reference.tile_starts(length, tile)) == count


def test_the_reference_weights_are_the_authors_at_peak_and_edges():
    line = reference.gaussian_weights(512)[255]
    assert line.argmax() == 255
    assert line[[0, -1]].tolist() == pytest.approx([0.00424, 0.00407], rel=5e-3)


def test_the_reference_predictor_is_ours():
    stock, ours = networks.Predictor().eval(), NoisePredictor(PredictorConfig()).eval()
    state = networks.random_weights("predictor", stock)
    stock.load_state_dict(state)
    ours.load_state_dict({f"encoder.{key}": tensor for key, tensor in state.items()})
    lr = torch.rand(1, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        mean, std = stock(lr, torch.tensor([199.0]))
        posterior = ours(lr, 199)
    assert (posterior.mean - mean).abs().max() <= 1e-5 * mean.abs().max()
    assert (posterior.std - std).abs().max() <= 1e-5 * std.abs().max()


@pytest.mark.parametrize(
    ("side", "tile", "limit"),
    [(128, 128, 1.0), (256, 128, 0.50), (1024, 128, 0.40), (1024, 256, 0.30)],
)
@pytest.mark.parametrize("steps", [1, 5])
def test_ours_costs_at_most_this_share(counter, vae_tiling, side, tile, limit, steps):
    size = (side, side)
    ours = counter.total(cost.our_work(size, steps, Tiling(), vae_tiling))
    assert ours / counter.total(cost.reference_work(size, steps, tile)) <= limit
