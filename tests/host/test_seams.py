"""Windows leave no seams: low-passed differences from one window are no larger at borders."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

BAND = 16  # output px around each border of a window
SIGMA = 8  # output px of the low-pass


def low_pass(x, sigma):
    reach = int(4 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(x)
    for shape in ((1, 1, 1, -1), (1, 1, -1, 1)):
        k = kernel.view(shape).expand(x.shape[1], 1, *kernel.view(shape).shape[2:])
        pad = (reach, reach, 0, 0) if shape[2] == 1 else (0, 0, reach, reach)
        x = F.conv2d(F.pad(x, pad, mode="replicate"), k, groups=x.shape[1])
    return x


def borders(axis):
    """Where windows start and stop inside the image."""
    edges = set(axis.starts) | {start + axis.window for start in axis.starts}
    return sorted(edges - {0, axis.length})


def near_borders(grid, band):
    """Mask [H, W] of the pixels within half a band of a window's border."""
    near = torch.zeros(grid.size, dtype=torch.bool)
    for edge in borders(grid.rows):
        near[max(0, edge - band // 2) : edge + band // 2] = True
    for edge in borders(grid.columns):
        near[:, max(0, edge - band // 2) : edge + band // 2] = True
    return near


def seam_ratio(windowed, single, grid, px):
    """RMS of the low-passed difference near borders over that elsewhere; `px` per element.

    A difference of less than a ten-thousandth of the result's own spread is rounding, and counts
    as 0: a convolutional encoder in windows is that close to one window nearly everywhere.
    """
    difference = low_pass(windowed - single, SIGMA / px).square().mean(dim=(0, 1))
    near = near_borders(grid, max(2, BAND // px))
    level, elsewhere = (difference[mask].mean().sqrt() for mask in (near, ~near))
    return float(level / elsewhere) if level > 1e-4 * single.std() else 0.0


LR = (128, 128)
STAGES = ("encode", "predict", "sample", "decode", "end to end")


def picture(height, width, seed=0):
    """Smooth shapes with some texture, [1,3,H,W]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 16, width // 16, generator=generator)
    noise = 0.1 * torch.rand(1, 3, height, width, generator=generator)
    return (0.9 * F.interpolate(coarse, (height, width), mode="bicubic") + noise).clamp(0, 1)


class Pipeline:
    """The pack's stages on an LR image, each under tilings of its own."""

    def __init__(self, pack, models, lr, monkeypatch):
        self._pack, self._models, self._lr = pack, models, lr
        self._monkeypatch = monkeypatch
        self._sigmas = pack("invsr_core.schedule").sigmas_for((200,))

    def run(self, stage, tiling):
        """Give a stage's result, the stages before it in one window, and its grid there."""
        before = self.tiling(0)
        latents = self._encode(tiling if stage in ("encode", "end to end") else before)
        if stage == "encode":
            return latents
        noise = self._predict(tiling if stage in ("predict", "end to end") else before)
        if stage == "predict":
            return noise.posterior.mean
        many = stage in ("sample", "end to end")
        sampled = self._sample(latents, noise, tiling if many else before)
        if stage == "sample":
            return sampled
        hr = self._vae("decode", sampled, tiling)
        return self._colored(hr) if stage == "end to end" else hr

    def tiling(self, tile, overlap=16):
        return self._pack("invsr_core.tiling").Tiling(tile, overlap, 1)

    def grid(self, stage, tile):
        overlap = self.vae_overlap if stage in ("encode", "decode") else 16
        grid = self.tiling(tile, overlap).grid(tuple(self._lr.shape[-2:]))
        return grid.scaled(4) if stage in ("decode", "end to end") else grid.scaled(1, 2)

    @property
    def vae_overlap(self):
        return self._pack("nodes.host.managed_vae").VAE_TILING.overlap

    def _vae(self, method, x, tiling):
        module = self._pack("nodes.host.managed_vae")
        tiling = self.tiling(tiling.tile_size, self.vae_overlap)
        self._monkeypatch.setattr(module, "VAE_TILING", tiling)
        return getattr(module, method)(self._models.vae, x, self._progress())

    def _colored(self, hr):
        return self._pack("nodes.color").with_colors_of(self._lr, hr, "wavelet")

    def _encode(self, tiling):
        pixels = self._pack("invsr_core.resize").upsample_x4(self._lr)
        return self._vae("encode", pixels, tiling)

    def _predict(self, tiling):
        noise = self._pack("nodes.noise")
        posterior = noise.predict_start_noise(
            self._models.predictor, self._lr, self._sigmas, tiling, self._progress()
        )
        return noise.StartNoise(posterior, seed=1, variation=1.0, timestep=199)

    def _sample(self, latents, noise, tiling):
        sampled = self._pack("nodes.sampler").sample_partial(
            self._models.model,
            {"positive": self._models.positive},
            1.0,
            noise,
            self._sigmas,
            {"samples": latents},
            tiling,
            self._progress(),
        )
        return sampled["samples"]

    def _progress(self):
        return self._pack("nodes.host.progress").Progress(0)


@pytest.fixture(scope="module")
def patches():
    with pytest.MonkeyPatch.context() as patches:
        yield patches


@pytest.fixture(scope="module", params=STAGES)
def results(request, pack, demo, patches):
    """One stage on the demo models: in one window, in 3 x 3, in 3 x 3 without a blend."""
    return seams_of(request.param, Pipeline(pack, demo, picture(*LR), patches), pack, tile=64)


def seams_of(stage, pipeline, pack, tile):
    """Run a stage in one window, in windows, and in windows without a blend."""
    axis = pack("invsr_core.tiling").Axis
    with torch.inference_mode():
        single = pipeline.run(stage, pipeline.tiling(0))
        blended = pipeline.run(stage, pipeline.tiling(tile))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(axis, "weights", last_window_wins)
            cut = pipeline.run(stage, pipeline.tiling(tile))
    grid = pipeline.grid(stage, tile)
    px = 1 if stage in ("decode", "end to end") else 8
    return {
        "stage": stage,
        "blended": seam_ratio(blended, single, grid, px),
        "cut": seam_ratio(cut, single, grid, px),
    }


@pytest.fixture(scope="module", params=STAGES)
def large_results(request, pack, sd_turbo, patches):
    """The same at SD-Turbo size: in one window, in 2 x 2, in 2 x 2 without a blend."""
    return seams_of(request.param, Pipeline(pack, sd_turbo, picture(96, 96), patches), pack, 64)


def last_window_wins(axis):
    weights = torch.ones(len(axis.starts), axis.window)
    for i, (start, after) in enumerate(pairwise(axis.starts)):
        weights[i, after - start :] = 0
    return weights


def test_no_stage_shows_its_windows(results):
    assert results["blended"] <= 1.2, results


def test_without_a_blend_the_same_measure_shows_them(results):
    # The networks that attend over their whole window differ from one window everywhere alike.
    bar = results["blended"] if results["stage"] in ("predict", "sample") else 1.2
    assert results["cut"] > bar, results


@pytest.mark.slow
def test_at_sd_turbo_size_no_stage_shows_its_windows(large_results):
    assert large_results["blended"] <= 1.2, large_results


def ramp(height, width):
    return torch.linspace(0.2, 0.8, width).expand(1, 3, height, width).contiguous()


def flat(height, width):
    return torch.full((1, 3, height, width), 0.5)


def jump(difference, edge):
    """How much the mean over 16 rows changes at an edge."""
    before, after = difference[edge - BAND : edge], difference[edge : edge + BAND]
    return abs(float(before.mean() - after.mean()))


@pytest.mark.parametrize("make", [flat, ramp])
def test_means_agree_on_both_sides_of_each_border(pack, demo, patches, make):
    """Within 1/255; or, where textures differ by more anywhere, less than at other places."""
    pipeline = Pipeline(pack, demo, make(*LR), patches)
    with torch.inference_mode():
        single = pipeline.run("end to end", pipeline.tiling(0))
        windowed = pipeline.run("end to end", pipeline.tiling(64))
    difference = (windowed - single).mean(dim=(0, 1))
    grid = pipeline.grid("end to end", 64)
    for axis, change in ((grid.rows, difference), (grid.columns, difference.T)):
        edges = borders(axis)
        places = [at for at in range(2 * BAND, axis.length - 2 * BAND, BAND) if at not in edges]
        elsewhere = max(jump(change, at) for at in places)
        for edge in edges:
            assert jump(change, edge) < max(1 / 255, elsewhere), edge
