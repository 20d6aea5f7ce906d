"""Colour correction: the published methods by number, LAB by colorimetry, all of them in bands."""

import weakref

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from invsr_core import color
from invsr_core.color import COLOR_METHODS, correct_color, lab_from_rgb, rgb_from_lab

CHANGING = [method for method in COLOR_METHODS if method != "none"]
IN_BANDS = {"wavelet": 0.0, "ycbcr": 0.0, "lab": 1e-5}
"""Tolerances: a vector unit's power differs in the last bit from the one for what is left over."""

SIZES = [
    (1, 1),
    (1, 90),
    (2, 3),
    (31, 7),
    (127, 5),
    (128, 8),
    (129, 5),
    (159, 6),
    (160, 4),
    (257, 40),
    (400, 9),
]


def pictures(*size, count=1):
    generator = torch.Generator().manual_seed(0)
    hr, reference = torch.rand(2, count, 3, *size, generator=generator)
    return hr, reference


def published_wavelet(hr, reference):
    """The authors' decomposition as they write it, in float64: detail of one, base of the other."""
    base = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    kernel = (base[:, None] * base / 16).expand(3, 1, 3, 3)

    def decompose(image):
        detail = torch.zeros_like(image)
        for radius in (1, 2, 4, 8, 16):
            padded = F.pad(image, (radius,) * 4, mode="replicate")
            low = F.conv2d(padded, kernel, groups=3, dilation=radius)
            image, detail = low, detail + image - low
        return image, detail

    return (decompose(hr.double())[1] + decompose(reference.double())[0]).float()


@pytest.mark.parametrize("method", ["wavelet", "ycbcr", "adain"])
def test_a_published_method_gives_the_published_colours(method, golden, relative_error):
    numbers = golden("colour.safetensors")
    found = correct_color(numbers["content"], numbers["style"], method)
    assert relative_error(found, numbers[method]) < 1e-5


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_wavelet_is_the_published_one_at_any_size(size):
    hr, reference = pictures(*size)
    torch.testing.assert_close(
        correct_color(hr, reference, "wavelet"),
        published_wavelet(hr, reference),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize(("method", "tolerance"), IN_BANDS.items())
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_bands_give_what_the_whole_image_gives(size, method, tolerance, monkeypatch):
    hr, reference = pictures(*size)
    in_bands = correct_color(hr, reference, method)
    monkeypatch.setattr(color, "_BAND", size[0])
    whole = correct_color(hr, reference, method)
    torch.testing.assert_close(in_bands, whole, rtol=0, atol=tolerance)


@pytest.mark.parametrize("method", COLOR_METHODS)
def test_a_batch_of_images_gives_what_each_gives_alone_bit_for_bit(method):
    hr, reference = pictures(140, 20, count=3)
    alone = [correct_color(hr[i : i + 1], reference[i : i + 1], method) for i in range(hr.shape[0])]
    assert correct_color(hr, reference, method).equal(torch.cat(alone))


def test_without_correction_the_image_is_the_one_given():
    hr, reference = pictures(8, 8)
    assert correct_color(hr, reference, "none") is hr


@pytest.mark.parametrize("method", ["", "Wavelet", "hsv"])
def test_an_unknown_method_is_refused_and_the_known_ones_are_named(method):
    with pytest.raises(ValueError, match=f"none, wavelet, ycbcr, adain, lab.*'{method}'"):
        correct_color(*pictures(8, 8), method)


@pytest.mark.parametrize("method", CHANGING)
def test_an_image_that_has_its_references_colours_keeps_them(method):
    hr, _ = pictures(150, 30)
    torch.testing.assert_close(correct_color(hr, hr, method), hr, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", CHANGING)
def test_images_given_are_left_alone(method):
    hr, reference = pictures(40, 30)
    before = hr.clone(), reference.clone()
    correct_color(hr, reference, method)
    assert (hr.equal(before[0]), reference.equal(before[1])) == (True, True)


@pytest.mark.parametrize("method", ["wavelet", "adain"])
def test_a_constant_cast_is_removed_exactly(method):
    _, reference = pictures(60, 50)
    cast = reference + torch.tensor([0.1, -0.05, 0.02])[:, None, None]
    torch.testing.assert_close(correct_color(cast, reference, method), reference, rtol=0, atol=1e-6)


def test_lab_removes_a_cast_of_colour_alone_exactly():
    _, reference = pictures(60, 50)
    cast = lab_from_rgb(reference) + torch.tensor([0.0, 8.0, -12.0])[:, None, None]
    corrected = correct_color(rgb_from_lab(cast), reference, "lab")
    torch.testing.assert_close(corrected, reference, rtol=0, atol=2e-5)


def test_lab_keeps_the_lightness_of_every_pixel():
    hr, reference = pictures(60, 50)
    corrected = correct_color(hr, reference, "lab")
    lightness, expected = lab_from_rgb(corrected)[:, 0], lab_from_rgb(hr)[:, 0]
    torch.testing.assert_close(lightness, expected, rtol=0, atol=1e-3)


def test_lab_bleeds_less_than_ycbcr_over_an_edge_that_the_reference_blurs():
    sharp = torch.tensor([0.8, 0.2, 0.2])[:, None, None].repeat(1, 64, 64)
    sharp[:, :, 32:] = torch.tensor([0.2, 0.3, 0.8])[:, None, None]
    small = F.interpolate(sharp[None], scale_factor=0.25, mode="area")
    blurred = F.interpolate(small, scale_factor=4, mode="bicubic", antialias=True)
    edge = (..., slice(28, 36))

    def color_error(method):
        corrected = correct_color(sharp[None], blurred, method)
        difference = lab_from_rgb(corrected)[:, 1:] - lab_from_rgb(sharp[None])[:, 1:]
        return float(difference[edge].abs().mean())

    assert color_error("lab") < 0.5 * color_error("ycbcr")


def test_a_grey_reference_leaves_ycbcr_no_colour():
    hr, reference = pictures(20, 20)
    corrected = correct_color(hr, reference[:, :1].expand(-1, 3, -1, -1), "ycbcr")
    inside = (corrected.amin(1) > 0) & (corrected.amax(1) < 1)
    spread = corrected.amax(1) - corrected.amin(1)
    assert inside.any()
    assert spread[inside].max() < 1e-5


@pytest.mark.parametrize("method", CHANGING)
def test_only_ycbcr_clamps(method):
    hr, reference = pictures(40, 40)
    corrected = correct_color(hr * 3 - 1, reference * 3 - 1, method)
    clamped = bool(corrected.min() >= 0 and corrected.max() <= 1)
    assert clamped == (method == "ycbcr")


def test_statistics_of_one_pixel_are_its_value():
    hr, reference = pictures(1, 1)
    torch.testing.assert_close(correct_color(hr, reference, "adain"), reference, rtol=0, atol=1e-6)


def test_a_flat_image_takes_the_references_mean_and_no_noise():
    _, reference = pictures(20, 20)
    corrected = correct_color(torch.full((1, 3, 20, 20), 0.3), reference, "adain")
    expected = reference.mean((2, 3), keepdim=True).expand_as(reference)
    torch.testing.assert_close(corrected, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", CHANGING)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_images_are_corrected_in_float32(dtype, method):
    hr, reference = (image.to(dtype) for image in pictures(140, 20))
    corrected = correct_color(hr, reference, method)
    assert corrected.dtype == dtype
    assert corrected.equal(correct_color(hr.float(), reference.float(), method).to(dtype))


@pytest.mark.parametrize("method", CHANGING)
def test_memory_layout_does_not_change_the_colours(method):
    hr, reference = pictures(140, 20)
    last = (image.to(memory_format=torch.channels_last) for image in (hr, reference))
    torch.testing.assert_close(
        correct_color(*last, method), correct_color(hr, reference, method), rtol=0, atol=1e-6
    )


# skimage.color.rgb2lab of scikit-image 0.26, rounded to four decimals.
LAB = {
    (0.0, 0.0, 0.0): (0.0, 0.0, 0.0),
    (1.0, 1.0, 1.0): (100.0, -0.0025, 0.0047),
    (0.5, 0.5, 0.5): (53.389, -0.0015, 0.0028),
    (1.0, 0.0, 0.0): (53.2406, 80.0923, 67.2028),
    (0.0, 1.0, 0.0): (87.7351, -86.183, 83.1797),
    (0.0, 0.0, 1.0): (32.2957, 79.1856, -107.8573),
    (0.02, 0.03, 0.01): (1.8478, -1.3761, 1.6953),
    (0.8, 0.6, 0.5): (67.4026, 15.6916, 20.8364),
    (0.2, 0.35, 0.7): (39.7871, 17.4252, -51.4889),
}


@pytest.mark.parametrize(("rgb", "lab"), LAB.items(), ids=str)
def test_lab_of_a_colour_is_scikit_images(rgb, lab):
    found = lab_from_rgb(torch.tensor(rgb).reshape(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(found, torch.tensor(lab), rtol=0, atol=1e-3)


def test_lab_of_a_picture_is_scikit_images():
    skimage_color = pytest.importorskip("skimage.color")
    picture, _ = pictures(64, 64)
    expected = torch.from_numpy(skimage_color.rgb2lab(picture[0].double().numpy(), channel_axis=0))
    torch.testing.assert_close(lab_from_rgb(picture)[0], expected.float(), rtol=0, atol=1e-3)


def test_rgb_to_lab_and_back_is_the_identity_even_outside_of_the_gamut():
    levels = torch.linspace(-0.2, 1.2, 15)
    rgb = torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 15, 225)
    torch.testing.assert_close(rgb_from_lab(lab_from_rgb(rgb)), rgb, rtol=0, atol=2e-5)


class PeakMemory(TorchDispatchMode):
    """Add up the bytes of all tensors alive that were made inside, and remember the most."""

    def __init__(self):
        super().__init__()
        self.alive, self.now, self.peak = set(), 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.watch(tensor.untyped_storage())
        return result

    def watch(self, storage):
        given = storage.data_ptr()
        if given in self.alive or storage.nbytes() == 0:
            return
        self.alive.add(given)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.forget, given, storage.nbytes())

    def forget(self, given, size):
        self.alive.discard(given)
        self.now -= size


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("method", CHANGING)
def test_memory_beyond_inputs_and_output_is_less_than_one_image(method, dtype):
    hr, reference = (image.to(dtype) for image in pictures(4096, 64, count=2))
    one_image = hr[0].numel() * 4
    with PeakMemory() as memory:
        memory.alive |= {image.untyped_storage().data_ptr() for image in (hr, reference)}
        corrected = correct_color(hr, reference, method)
    beyond = memory.peak - corrected.untyped_storage().nbytes()
    assert 0 < beyond < one_image
