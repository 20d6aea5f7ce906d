"""Each stage of the degradation against an independent implementation or a closed form."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, special

from invsr_core.training.degradation import (
    IMAGENET_TEST,
    SETTINGS,
    TRAINING,
    degrade,
    draw_scale,
    gaussian_noise,
    poisson_noise,
)
from invsr_core.training.draw import generator_for
from invsr_core.training.jpeg import jpeg
from invsr_core.training.kernels import (
    draw_final_kernel,
    draw_kernel,
    filter_each,
    gaussian_kernel,
    mahalanobis,
    plateau_kernel,
    sinc_kernel,
)


def rotated_distance(size: int, sigma_x: float, sigma_y: float, angle: float) -> np.ndarray:
    """The quadratic form of the inverse covariance, pixel by pixel."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag([sigma_x**2, sigma_y**2]) @ turn.T)
    half = size // 2
    grid = range(-half, half + 1)
    return np.array([[np.array([x, y]) @ inverse @ np.array([x, y]) for x in grid] for y in grid])


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.0])
def test_gaussian_kernels_follow_the_rotated_covariance(angle: float):
    distance = rotated_distance(9, 2.5, 0.8, angle)
    expected = np.exp(-0.5 * distance)
    kernel = gaussian_kernel(mahalanobis(9, 2.5, 0.8, angle), 1.0)
    np.testing.assert_allclose(kernel, expected / expected.sum(), atol=1e-7)


def test_generalised_and_plateau_kernels_follow_their_formulas():
    distance = rotated_distance(7, 1.5, 1.5, 0.0)
    generalised, plateau = np.exp(-0.5 * distance**1.7), 1 / (1 + distance**1.3)
    found = mahalanobis(7, 1.5, 1.5, 0.0)
    np.testing.assert_allclose(
        gaussian_kernel(found, 1.7), generalised / generalised.sum(), atol=1e-7
    )
    np.testing.assert_allclose(plateau_kernel(found, 1.3), plateau / plateau.sum(), atol=1e-7)


def test_sinc_kernels_follow_the_bessel_function():
    cutoff, half = 1.9, 6
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    radius = np.hypot(x, y)
    radius[half, half] = 1.0
    expected = cutoff * special.j1(cutoff * radius) / (2 * math.pi * radius)
    expected[half, half] = cutoff**2 / (4 * math.pi)
    np.testing.assert_allclose(sinc_kernel(13, cutoff), expected / expected.sum(), atol=1e-6)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("stage", ["first", "second"])
def test_drawn_kernels_are_normalised_and_of_the_stated_sizes(setting: str, stage: str):
    config = getattr(SETTINGS[setting], stage)
    if config is None:
        pytest.skip("the setting has no second stage")
    generator = generator_for("cpu", setting, stage)
    widths = set()
    for _ in range(300):
        kernel = draw_kernel(config.kernels, generator)
        assert kernel.shape == (config.kernels.size,) * 2
        assert abs(float(kernel.sum()) - 1) < 1e-5
        widths.add(int((kernel.abs().sum(0) > 0).sum()))
    assert max(widths) == max(config.kernels.sizes)
    assert config.kernels.size == max(config.kernels.sizes) + 2  # the largest is never drawn


def test_the_final_kernel_is_a_delta_as_often_as_published():
    generator = generator_for("cpu", "final")
    kernels = [draw_final_kernel(15, TRAINING.final_sizes, 0.8, generator) for _ in range(1000)]
    delta = torch.zeros(15, 15)
    delta[7, 7] = 1
    assert abs(sum(torch.equal(kernel, delta) for kernel in kernels) - 200) < 45  # 3.5 sigma


def test_filtering_equals_scipy_with_mirrored_edges(picture):
    image, generator = picture(0, 40, 33), generator_for("cpu", 3)
    kernels = torch.stack([draw_kernel(TRAINING.first.kernels, generator) for _ in range(2)])
    found = filter_each(torch.stack([image, image]), kernels)
    for row, kernel in zip(found, kernels, strict=True):
        for channel in range(3):
            expected = ndimage.correlate(
                image[channel].double().numpy(), kernel.double().numpy(), mode="mirror"
            )
            np.testing.assert_allclose(row[channel], expected, atol=1e-5)


def test_filtering_takes_images_smaller_than_the_kernel():
    flat = torch.full((1, 3, 4, 2), 0.25)
    kernel = draw_kernel(TRAINING.first.kernels, generator_for("cpu", 1))[None]
    torch.testing.assert_close(filter_each(flat, kernel), flat, rtol=0, atol=1e-6)


def test_resize_scales_fall_where_published():
    generator = generator_for("cpu", "scale")
    scales = torch.tensor([draw_scale(TRAINING.first, generator) for _ in range(4000)])
    assert scales.min() >= 0.15 and scales.max() <= 1.5
    shares = [float(part.float().mean()) for part in (scales > 1, scales < 1, scales == 1)]
    assert shares == pytest.approx([0.2, 0.7, 0.1], abs=0.025)


@pytest.mark.parametrize("quality", [30, 50, 75, 95])
def test_jpeg_of_gray_equals_pillow_within_rounding(picture, quality: int):
    gray = picture(1, 64, 80).mean(0, keepdim=True).expand(3, -1, -1)
    pixels = (gray * 255).round()
    found = jpeg(pixels[None] / 255, torch.tensor([float(quality)]))[0] * 255
    difference = (found - through_pillow(pixels, quality)).abs()
    assert_equal_but_for_ties(difference.unfold(1, 8, 8).unfold(2, 8, 8), limit=1.0)
    assert difference.mean() < 0.35


@pytest.mark.parametrize("quality", [30, 75])
def test_jpeg_of_colour_equals_pillow_within_rounding(quality: int):
    """Flat chroma per 16x16 block: away from its edges Pillow's smooth chroma changes nothing."""
    colours = torch.rand(3, 8, 8, generator=generator_for("cpu", 5)) * 0.6 + 0.2
    image = colours.repeat_interleave(16, 1).repeat_interleave(16, 2)
    pixels = (image * 255).round()
    found = jpeg(pixels[None] / 255, torch.tensor([float(quality)]))[0] * 255
    difference = (found - through_pillow(pixels, quality)).abs()
    inner = difference.unfold(1, 16, 16).unfold(2, 16, 16)[..., 4:12, 4:12]
    assert_equal_but_for_ties(inner, limit=2.0)  # three rounded channels mix in each colour
    assert inner.mean() < 0.7


def assert_equal_but_for_ties(blocks: torch.Tensor, *, limit: float) -> None:
    """Nine blocks of ten agree; in the rest libjpeg's integer DCT rounds a near tie the other way.

    One coefficient that differs by a step of the table moves a pixel by less than 8 levels.
    """
    largest = blocks.amax(dim=(0, 3, 4)).flatten()
    assert largest.quantile(0.9) <= limit
    assert largest.max() < 8.0


def through_pillow(pixels: torch.Tensor, quality: int) -> torch.Tensor:
    file = io.BytesIO()
    array = pixels.byte().permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(array).save(file, "JPEG", quality=quality, subsampling=2)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float()


def test_jpeg_takes_one_quality_per_image_and_any_size(picture):
    image = picture(2, 50, 37)[None]
    both = jpeg(image.repeat(2, 1, 1, 1), torch.tensor([30.0, 95.0]))
    assert both.shape == (2, 3, 50, 37)
    for row, quality in zip(both, (30.0, 95.0), strict=True):
        torch.testing.assert_close(
            row[None], jpeg(image, torch.tensor([quality])), rtol=0, atol=1e-6
        )
    assert (both[0] - image).abs().mean() > 1.5 * (both[1] - image).abs().mean()


def test_gaussian_noise_has_the_drawn_variance():
    x = torch.full((4, 3, 128, 128), 0.5)
    noise = gaussian_noise(x, (10.0, 10.0), 0.0, generator_for("cpu", 7))
    assert noise.std(dim=(1, 2, 3)) == pytest.approx([10 / 255] * 4, rel=0.02)
    assert (noise[:, 0] - noise[:, 1]).abs().max() > 0.01


def test_gray_gaussian_noise_is_one_field_scaled_per_image():
    x = torch.full((3, 3, 32, 32), 0.5)
    noise = gaussian_noise(x, (1.0, 30.0), 1.0, generator_for("cpu", 8))
    torch.testing.assert_close(noise[:, 0], noise[:, 2], rtol=0, atol=0)
    ratio = noise[1] / noise[0]
    torch.testing.assert_close(ratio, ratio[:1, :1, :1].expand_as(ratio), rtol=1e-5, atol=0)


def test_poisson_noise_has_the_variance_of_shot_noise():
    """var = scale^2 * x / levels; a picture of 64 values has 64 levels."""
    ramp = torch.arange(64).float() / 64 * 0.8 + 0.1
    x = (ramp * 255).round().div(255).expand(3, 512, 64)[None]
    assert len(torch.unique(x)) == 64
    noise = poisson_noise(x, (2.0, 2.0), 0.0, generator_for("cpu", 9))[0]
    expected = 4.0 * x[0, 0, 0] / 64
    torch.testing.assert_close(noise.var(dim=(0, 1)), expected, rtol=0.15, atol=0)
    assert float(noise.mean().abs()) < 0.01


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_same_seed_gives_the_same_bytes(picture, setting: str):
    hr = torch.stack([picture(i, 128, 96) for i in range(3)])
    once, again, other = (
        degrade(hr, SETTINGS[setting], generator_for("cpu", seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize("setting", SETTINGS)
def test_lr_images_are_whole_255ths_of_a_quarter_the_size(picture, setting: str):
    hr = torch.stack([picture(i, 128, 96) for i in range(2)])
    for seed in range(12):
        lr = degrade(hr, SETTINGS[setting], generator_for("cpu", seed))
        assert lr.shape == (2, 3, 32, 24)
        assert lr.min() >= 0 and lr.max() <= 1
        torch.testing.assert_close((lr * 255).round() / 255, lr, rtol=0, atol=0)


def test_training_degrades_more_than_the_test_set_was(picture):
    hr = torch.stack([picture(i, 128, 128) for i in range(4)])
    clean = torch.nn.functional.interpolate(hr, scale_factor=0.25, mode="area")
    errors = [
        sum(
            float((degrade(hr, config, generator_for("cpu", seed)) - clean).abs().mean())
            for seed in range(8)
        )
        for config in (TRAINING, IMAGENET_TEST)
    ]
    assert errors[0] > 1.3 * errors[1]
