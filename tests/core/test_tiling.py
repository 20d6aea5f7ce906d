"""Windows over large images: geometry by laws and by hand, and blends that leave no trace."""

from itertools import pairwise

import pytest
import torch

from invsr_core.resize import MULTIPLE, Frame
from invsr_core.tiling import Axis, Blender, TileGrid, Tiling, Window, batches, map_windows

SIDES = [1, 16, 31, 63, 64, 65, 96, 97, 112, 127, 128, 129, 144, 241, 256, 351, 512]
SIZES = [
    *((side, side) for side in SIDES),
    *((side, 4 * side) for side in SIDES[3:14]),
    *((4 * side, side) for side in SIDES[3:14]),
    (1, 500),
    (500, 1),
    (101, 307),
    (211, 89),
    (144, 1088),
    (1088, 144),
    (720, 1280),
]
TILINGS = [(128, 16), (128, 64), (128, 0), (64, 16), (64, 15), (256, 32), (32, 24), (16, 14)]

sizes = pytest.mark.parametrize("size", SIZES, ids=str)
tilings = pytest.mark.parametrize(("tile", "overlap"), TILINGS)


@tilings
@sizes
def test_windows_have_one_size_lie_inside_and_overlap_as_asked(size, tile, overlap):
    grid = TileGrid.cover(size, tile=tile, overlap=overlap)
    assert len(grid) == len(grid.windows) == len(set(grid.windows))
    for axis, length in zip((grid.rows, grid.columns), size, strict=True):
        starts = axis.starts
        assert axis.length == length
        assert axis.window <= min(tile, length)
        assert starts[0] == 0
        assert starts[-1] + axis.window == length
        for before, after in pairwise(starts):
            assert before < after
            assert before + axis.window - after >= overlap


@tilings
@sizes
def test_several_windows_on_a_side_fit_the_networks(size, tile, overlap):
    grid = TileGrid.cover(size, tile=tile, overlap=overlap)
    for axis in (grid.rows, grid.columns):
        if len(axis.starts) > 1:
            assert axis.window % MULTIPLE == 0
        if axis.length % MULTIPLE == 0:
            assert axis.window % MULTIPLE == 0
            assert all(start % 2 == 0 for start in axis.starts)  # whole latents


@tilings
@sizes
def test_no_cover_has_fewer_windows(size, tile, overlap):
    grid = TileGrid.cover(size, tile=tile, overlap=overlap)
    shared = overlap + overlap % 2  # whole latents
    for axis in (grid.rows, grid.columns):
        fewer = len(axis.starts) - 1
        assert fewer == 0 or fewer * tile - (fewer - 1) * shared < axis.length


@tilings
@sizes
def test_no_smaller_windows_would_do(size, tile, overlap):
    grid = TileGrid.cover(size, tile=tile, overlap=overlap)
    shared = overlap + overlap % 2
    for axis in (grid.rows, grid.columns):
        count, smaller = len(axis.starts), axis.window - MULTIPLE
        assert count == 1 or count * smaller - (count - 1) * shared < axis.length


@tilings
@sizes
def test_blend_weights_are_positive_and_sum_to_one_at_every_pixel(size, tile, overlap):
    grid = TileGrid.cover(size, tile=tile, overlap=overlap)
    for axis in (grid.rows, grid.columns):
        weights, total = axis.weights(), torch.zeros(axis.length)
        assert (weights > 0).all()
        for start, weight in zip(axis.starts, weights, strict=True):
            total[start : start + axis.window] += weight
        torch.testing.assert_close(total, torch.ones(axis.length), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(300, 200), (129, 64), (256, 512)], ids=str)
def test_weights_of_whole_windows_sum_to_one_at_every_pixel(size):
    grid, total = TileGrid.cover(size, tile=64, overlap=16), torch.zeros(size)
    for index, window in enumerate(grid.windows):
        window.of(total).add_(grid.weight(index))
    torch.testing.assert_close(total, torch.ones(size), rtol=0, atol=1e-6)


def test_weights_rise_by_a_half_cosine_over_the_overlap():
    first, second = Axis(24, 16, (0, 8)).weights()
    rise = torch.sin(torch.pi / 2 * (torch.arange(8) + 0.5) / 8) ** 2
    torch.testing.assert_close(second[:8], rise, rtol=0, atol=1e-6)
    torch.testing.assert_close(first[8:], rise.flip(0), rtol=0, atol=1e-6)
    assert (first[:8] == 1).all()
    assert (second[8:] == 1).all()


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "window", "starts"),
    [
        (512, 128, 16, 128, (0, 96, 192, 288, 384)),
        (1024, 128, 16, 128, (0, 112, 224, 336, 448, 560, 672, 784, 896)),
        (128, 128, 16, 128, (0,)),
        (96, 128, 16, 96, (0,)),
        (144, 128, 16, 80, (0, 64)),
        (256, 128, 16, 96, (0, 80, 160)),
        (256, 128, 0, 128, (0, 128)),
        (256, 128, 64, 128, (0, 64, 128)),
        (272, 128, 16, 112, (0, 80, 160)),
        (1088, 128, 16, 128, (0, 106, 212, 320, 426, 532, 640, 746, 852, 960)),
        (129, 128, 16, 80, (0, 49)),  # an odd side: no whole latents
        (351, 128, 16, 128, (0, 111, 223)),
    ],
)
def test_windows_of_a_side_are_those_computed_by_hand(length, tile, overlap, window, starts):
    axis = Axis.cover(length, tile=tile, overlap=overlap, multiple=16)
    assert (axis.window, axis.starts) == (window, starts)


def test_windows_are_listed_row_by_row():
    grid = TileGrid.cover((144, 256))
    assert grid.windows == tuple(
        Window(top, left, 80, 96) for top in (0, 64) for left in (0, 80, 160)
    )


@pytest.mark.parametrize("size", [(1, 1), (512, 512), (4096, 64)], ids=str)
def test_tile_size_0_is_one_window_whatever_the_overlap(size):
    grid = TileGrid.cover(size, tile=0, overlap=1000)
    assert grid.windows == (Window(0, 0, *size),)


def test_a_scaled_grid_has_the_same_windows_on_the_scaled_image():
    grid = TileGrid.cover((512, 144))
    large, small = grid.scaled(4), grid.scaled(1, 2)
    assert large.size == (2048, 576)
    assert small.size == (256, 72)
    for window, up, down in zip(grid.windows, large.windows, small.windows, strict=True):
        assert up == Window(window.top * 4, window.left * 4, window.height * 4, window.width * 4)
        assert down == Window(
            window.top // 2, window.left // 2, window.height // 2, window.width // 2
        )
    assert large.scaled(1, 4) == grid


@pytest.mark.parametrize(
    ("tile", "overlap", "complaint"),
    [
        (100, 16, "tile_size must be a multiple of 16"),
        (-16, 0, "tile_size must be a multiple of 16"),
        (64, 64, "overlap must be smaller than tile_size 64 by 2 or more, got 64"),
        (64, 63, "overlap must be smaller than tile_size 64 by 2 or more, got 63"),
        (64, 100, "overlap must be smaller than tile_size 64"),
        (64, -2, "overlap must be smaller than tile_size 64 by 2 or more, got -2"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(tile, overlap, complaint):
    with pytest.raises(ValueError, match=complaint):
        TileGrid.cover((512, 512), tile=tile, overlap=overlap)
    with pytest.raises(ValueError, match=complaint):
        Tiling(tile, overlap).checked()


@pytest.mark.parametrize("tile_batch", [1, 8])
@pytest.mark.parametrize(("tile", "overlap"), [*TILINGS, (0, 16)])
@pytest.mark.parametrize("size", [(16, 16), (112, 128), (512, 512), (144, 1088)], ids=str)
def test_less_memory_is_found_until_there_is_no_less(size, tile, overlap, tile_batch):
    tiling, tried = Tiling(tile, overlap, tile_batch), []
    while tiling is not None:
        grid = tiling.grid(size)
        tried.append(tiling.tile_batch * grid.window_size[0] * grid.window_size[1])
        tiling = tiling.smaller(size)
        assert len(tried) < 20
    assert tried == sorted(set(tried), reverse=True)


def test_memory_is_saved_by_smaller_batches_first_then_by_smaller_windows():
    tiling, found = Tiling(128, 16, 4), []
    while (tiling := tiling.smaller((512, 512))) is not None:
        found.append((tiling.tile_batch, tiling.tile_size))
    assert found == [(2, 128), (1, 128), (1, 64), (1, 32)]


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(5, 2, [[0, 1], [2, 3], [4]]), (3, 8, [[0, 1, 2]]), (2, 1, [[0], [1]]), (0, 4, [])],
)
def test_batches_split_a_count_into_runs(count, size, expected):
    assert [list(run) for run in batches(count, size)] == expected


def walk(x, grid, compute=lambda tiles: tiles, *, tile_batch=1, on_tile=None):
    return map_windows(compute, x, grid, grid, tile_batch=tile_batch, on_tile=on_tile)


def local(tiles):
    """A computation whose results differ from window to window near their borders."""
    return torch.nn.functional.avg_pool2d(tiles, 5, stride=1, padding=2) + tiles.mean((2, 3), True)


@pytest.mark.parametrize(("tile", "overlap"), [(128, 16), (64, 48), (16, 0)])
@pytest.mark.parametrize("size", [(1, 1), (37, 211), (129, 128), (300, 75), (256, 64)], ids=str)
def test_padding_splitting_blending_and_cropping_is_the_identity(size, tile, overlap):
    image, frame = torch.rand(2, 3, *size), Frame.around(size, pad_to=64)
    grid = TileGrid.cover(frame.padded_size, tile=tile, overlap=overlap)
    found = frame.crop(walk(frame.pad(image), grid, tile_batch=3), scale=1)
    torch.testing.assert_close(found, image, rtol=0, atol=1e-6)


def test_one_window_gives_the_computations_own_result_bit_for_bit():
    image = torch.randn(1, 3, 100, 90)
    assert walk(image, TileGrid.cover((100, 90)), local).equal(local(image))


@pytest.mark.parametrize("tile_batch", [2, 3, 100])
def test_the_tile_batch_does_not_change_the_result(tile_batch):
    image, grid = torch.rand(2, 3, 144, 160), TileGrid.cover((144, 160), tile=64, overlap=16)
    one_by_one, together = walk(image, grid, local), walk(image, grid, local, tile_batch=tile_batch)
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=1e-5)


def test_the_order_of_the_windows_does_not_change_the_result():
    image, grid = torch.rand(1, 3, 144, 160), TileGrid.cover((144, 160), tile=64, overlap=16)
    blender = Blender(grid)
    for index in torch.randperm(len(grid), generator=torch.Generator().manual_seed(0)).tolist():
        blender.add(index, local(grid.windows[index].of(image)))
    torch.testing.assert_close(blender.result, walk(image, grid, local), rtol=0, atol=1e-5)


@pytest.mark.parametrize("tile_batch", [1, 4])
def test_a_batch_of_images_gives_what_each_gives_alone_bit_for_bit(tile_batch):
    images, grid = torch.rand(3, 3, 144, 96), TileGrid.cover((144, 96), tile=64, overlap=16)
    together = walk(images, grid, local, tile_batch=tile_batch)
    alone = [walk(image, grid, local, tile_batch=tile_batch) for image in images.split(1)]
    assert together.equal(torch.cat(alone))


def test_results_are_blended_at_the_size_of_the_output_grid():
    image, grid = torch.rand(1, 3, 144, 96), TileGrid.cover((144, 96), tile=64, overlap=16)

    def enlarge(tiles):
        return torch.nn.functional.interpolate(tiles, scale_factor=4, mode="nearest")

    found = map_windows(enlarge, image, grid, grid.scaled(4), tile_batch=2)
    torch.testing.assert_close(found, enlarge(image), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("tile_batch", "expected"), [(1, [1] * 18), (4, [4, 4, 1] * 2)])
def test_every_batch_of_windows_is_reported_after_it_was_computed(tile_batch, expected):
    image, grid = torch.rand(2, 3, 144, 144), TileGrid.cover((144, 144), tile=64, overlap=16)
    assert len(grid) == 9
    events = []

    def compute(tiles):
        events.append(("computed", len(tiles)))
        return tiles

    walk(image, grid, compute, tile_batch=tile_batch, on_tile=lambda n: events.append(("told", n)))
    assert [n for kind, n in events if kind == "told"] == expected
    assert events[::2] == [("computed", n) for n in expected]
