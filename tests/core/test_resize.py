"""The two bicubics, and the padding that is undone exactly after the x4."""

import pytest
import torch
import torch.nn.functional as F

from invsr_core.resize import MULTIPLE, Frame, resize_bicubic, upsample_x4

SIZES = [
    (1, 1),
    (1, 500),
    (37, 1),
    (2, 2),
    (2, 3),
    (3, 127),
    (15, 16),
    (16, 17),
    (31, 31),
    (43, 44),
    (85, 86),
    (97, 101),
    (100, 100),
    (127, 128),
    (128, 128),
    (129, 128),
    (144, 144),
    (171, 172),
    (200, 300),
    (211, 307),
    (64, 256),
]
PADS = [16, 64, 128, 256]


def image_of(size, channels=3):
    return torch.rand(2, channels, *size)


@pytest.mark.parametrize("pad_to", PADS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_padding_then_cropping_is_the_identity(size, pad_to):
    frame, image = Frame.around(size, pad_to=pad_to), image_of(size)
    assert frame.crop(frame.pad(image), scale=1).equal(image)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_cropping_after_an_enlargement_gives_the_enlarged_image(size):
    frame, image = Frame.around(size, pad_to=64), image_of(size, channels=1)
    enlarged = F.interpolate(frame.pad(image), scale_factor=4, mode="nearest")
    assert frame.crop(enlarged, scale=4).equal(F.interpolate(image, scale_factor=4, mode="nearest"))


@pytest.mark.parametrize("pad_to", PADS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_padded_sides_fit_the_networks_and_grow_no_further_than_needed(size, pad_to):
    frame = Frame.around(size, pad_to=pad_to)
    for side, padded in zip(size, frame.padded_size, strict=True):
        assert padded % MULTIPLE == 0
        assert max(side, pad_to) <= padded < max(side, pad_to) + MULTIPLE
    assert frame.pad(image_of(size)).shape[2:] == frame.padded_size
    assert frame.latent_size == tuple(side // 2 for side in frame.padded_size)


@pytest.mark.parametrize(
    ("side", "pad_to", "before", "padded"),
    [
        (100, 128, 14, 128),  # 14 before, 14 after, as in the authors' code
        (32, 128, 48, 128),  # two rounds: 31 + 17
        (1, 128, 63, 128),
        (43, 128, 42, 128),  # 42 reach on either side: 127, and one more after
        (44, 128, 42, 128),
        (99, 128, 14, 128),
        (128, 128, 0, 128),
        (129, 128, 0, 144),  # from here on only to the right and bottom
        (144, 128, 0, 144),
        (200, 16, 0, 208),
        (15, 16, 0, 16),
        (2, 16, 7, 16),
    ],
)
def test_offsets_are_the_published_ones(side, pad_to, before, padded):
    frame = Frame.around((side, side), pad_to=pad_to)
    assert frame.offset == (before, before)
    assert frame.padded_size == (padded, padded)


@pytest.mark.parametrize("size", [(100, 100), (127, 65), (44, 128), (64, 90)], ids=str)
def test_padding_by_one_round_is_torchs_reflection(size):
    frame, image = Frame.around(size, pad_to=128), image_of(size)
    (top, left), (height, width) = frame.offset, frame.padded_size
    pads = (left, width - left - size[1], top, height - top - size[0])
    assert frame.pad(image).equal(F.pad(image, pads, mode="reflect"))


def test_padding_by_two_rounds_is_torchs_reflection_twice():
    image = image_of((32, 32))
    first = F.pad(image, (31, 31, 31, 31), mode="reflect")
    second = F.pad(first, (17, 17, 17, 17), mode="reflect")
    assert Frame.around((32, 32), pad_to=128).pad(image).equal(second)


def test_a_side_of_one_pixel_is_repeated():
    image = image_of((1, 20))
    padded = Frame.around((1, 20), pad_to=32).pad(image)
    assert padded.equal(padded[:, :, :1].expand_as(padded))


@pytest.mark.parametrize("pad_to", [-16, 0, 8, 100, 129])
def test_padding_to_no_multiple_of_16_is_refused(pad_to):
    with pytest.raises(ValueError, match=f"pad_to must be a multiple of 16, got {pad_to}"):
        Frame.around((64, 64), pad_to=pad_to)


def cubic(distance, a):
    """The cubic convolution kernel of Keys (1981) with its free parameter."""
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


BICUBICS = {
    "for the VAE": (upsample_x4, -0.75),
    "for the reference": (lambda x: resize_bicubic(x, (x.shape[2] * 4, x.shape[3] * 4)), -0.5),
}


@pytest.fixture(params=BICUBICS.values(), ids=list(BICUBICS))
def bicubic(request):
    return request.param


def test_one_pixel_is_spread_by_its_cubic(bicubic):
    enlarge, a = bicubic
    spot = torch.zeros(1, 1, 9, 9)
    spot[..., 4, 4] = 1
    weights = torch.tensor([cubic((x + 0.5) / 4 - 4.5, a) for x in range(36)])
    expected = weights[:, None] * weights
    torch.testing.assert_close(enlarge(spot)[0, 0], expected, rtol=0, atol=1e-6)


def test_a_constant_stays_constant_up_to_the_border(bicubic):
    image = torch.full((1, 3, 7, 5), 0.3)
    torch.testing.assert_close(
        bicubic[0](image), torch.full((1, 3, 28, 20), 0.3), rtol=0, atol=1e-6
    )


def test_the_references_bicubic_continues_a_ramp_and_the_vaes_does_not():
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    expected = ((torch.arange(64) + 0.5) / 4 - 0.5).expand(1, 1, 64, 64)
    inside = (..., slice(8, -8), slice(8, -8))
    found = resize_bicubic(ramp, (64, 64))
    torch.testing.assert_close(found[inside], expected[inside], rtol=0, atol=1e-5)
    assert (upsample_x4(ramp) - expected)[inside].abs().max() > 0.01


def test_neither_bicubic_clamps_its_overshoot(bicubic):
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1
    enlarged = bicubic[0](edge)
    assert enlarged.max() > 1.02
    assert enlarged.min() < -0.02
