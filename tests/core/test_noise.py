"""The posterior of a whole image from windows of it."""

import pytest
import torch
import torch.nn.functional as F

from invsr_core import Posterior
from invsr_core.noise import predict_noise
from invsr_core.tiling import TileGrid, map_windows

SIZE = (96, 160)


def predictor(lr, timestep):
    """Half-size moments that differ from window to window: a stand-in for the network."""
    small = F.avg_pool2d(lr, 2)
    base = torch.cat([small, small.mean((1, 2, 3), True).expand(-1, 1, *small.shape[2:])], dim=1)
    return Posterior(base * timestep / 100, base.cos() - 2)


@pytest.fixture
def lr():
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def grid():
    return TileGrid.cover(SIZE, tile=64, overlap=16)


def test_one_window_gives_the_predictors_posterior_bit_for_bit(lr):
    found = predict_noise(predictor, lr, 199, TileGrid.cover(SIZE, tile=0))
    expected = [predictor(image, 199) for image in lr.split(1)]
    assert found.mean.equal(torch.cat([posterior.mean for posterior in expected]))
    assert found.logvar.equal(torch.cat([posterior.logvar for posterior in expected]))


@pytest.mark.parametrize("moment", ["mean", "std"])
def test_windows_give_the_blended_means_and_standard_deviations(moment, lr, grid):
    found = predict_noise(predictor, lr, 199, grid)
    blended = map_windows(
        lambda tiles: getattr(predictor(tiles, 199), moment),
        lr,
        grid,
        grid.scaled(1, 2),
        tile_batch=1,
    )
    torch.testing.assert_close(getattr(found, moment), blended, rtol=1e-5, atol=1e-6)


def test_windows_that_agree_leave_no_trace(lr, grid):
    def agreeing(tiles, timestep):
        small = F.avg_pool2d(tiles, 2).repeat(1, 2, 1, 1)[:, :4]
        return Posterior(small, -small)

    whole, found = agreeing(lr, 199), predict_noise(agreeing, lr, 199, grid, tile_batch=2)
    torch.testing.assert_close(found.mean, whole.mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.std, whole.std, rtol=0, atol=1e-6)


def test_the_tile_batch_does_not_change_the_posterior(lr, grid):
    one_by_one = predict_noise(predictor, lr, 99, grid)
    together = predict_noise(predictor, lr, 99, grid, tile_batch=4)
    torch.testing.assert_close(together.mean, one_by_one.mean, rtol=0, atol=1e-5)
    torch.testing.assert_close(together.logvar, one_by_one.logvar, rtol=0, atol=1e-5)


def test_every_window_is_given_the_timestep(lr, grid):
    seen = []

    def listening(tiles, timestep):
        seen.append(timestep)
        return predictor(tiles, timestep)

    predict_noise(listening, lr, 149, grid)
    assert seen == [149] * 2 * len(grid)


@pytest.mark.parametrize(
    ("tile", "tile_batch", "expected"),
    [(64, 1, [1] * 12), (64, 4, [4, 2] * 2), (64, 8, [6] * 2), (0, 4, [1] * 2)],
)
def test_finished_windows_are_counted_over_all_images(tile, tile_batch, expected, lr):
    counts = []
    grid = TileGrid.cover(SIZE, tile=tile)
    predict_noise(predictor, lr, 199, grid, tile_batch=tile_batch, on_tile=counts.append)
    assert counts == expected
