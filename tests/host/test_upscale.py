"""The one-stop node: the graph in one, any size, scale, mask and alpha."""

import logging

import pytest
import torch

from invsr_core.resize import resize_bicubic


@pytest.fixture(autouse=True)
def small_padding(pack, monkeypatch):
    """Pad to 16 px instead of 128, to be quick; `Frame` itself is tested with the core."""
    monkeypatch.setattr(pack("nodes.upscaler"), "PAD_TO", 16)


@pytest.fixture(scope="session")
def upscale(one_stop):
    def run(image, **inputs):
        return one_stop("InvSRUpscale", image=image, **inputs)

    return run


def picture(height, width, channels=3, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, height, width, channels, generator=generator)


def test_small_pictures_are_padded_to_what_the_predictor_knows(host, upscale, pack, monkeypatch):
    monkeypatch.undo()
    image = picture(20, 24)
    wide = upscale(image)
    monkeypatch.setattr(pack("nodes.upscaler"), "PAD_TO", 16)
    narrow = upscale(image)
    assert wide.shape == narrow.shape == (1, 80, 96, 3)
    assert not torch.allclose(wide, narrow, atol=1e-3)


def test_it_equals_the_separate_nodes_bit_for_bit(host, enlarge, upscale):
    image = picture(40, 150, batch=2)
    tiling = {"tile_size": 64, "overlap": 16, "tile_batch": 2}
    graph = enlarge(image, steps=3, seed=8, variation=0.7, pad_to=16, **tiling)
    (corrected,) = host.call("InvSRColorCorrect", image=graph.hr, reference=image, method="wavelet")
    ours = upscale(image, steps=3, seed=8, variation=0.7, **tiling)
    assert torch.equal(ours, corrected)


# height, width, channels; inputs; expected height, width, channels
CASES = {
    "1x1": ((1, 1, 3), {}, (4, 4, 3)),
    "1x1 to x8": ((1, 1, 3), {"scale": 8.0}, (8, 8, 3)),
    "1x1 halved": ((1, 1, 3), {"scale": 0.5}, (1, 1, 3)),
    "1x500": ((1, 500, 3), {"scale": 1.0}, (1, 500, 3)),
    "37x1": ((37, 1, 3), {}, (148, 4, 3)),
    "37x1 by longer side": ((37, 1, 3), {"longer_side": 100}, (100, 3, 3)),
    "2x2": ((2, 2, 3), {}, (8, 8, 3)),
    "3x5 grey": ((3, 5, 1), {}, (12, 20, 3)),
    "grey with alpha": ((3, 5, 2), {}, (12, 20, 4)),
    "rgba": ((9, 7, 4), {}, (36, 28, 4)),
    "rgba x2": ((9, 7, 4), {"scale": 2.0}, (18, 14, 4)),
    "rgba prescaled": ((40, 30, 4), {"prescale": 0.5}, (160, 120, 4)),
    "x1": ((50, 33, 3), {"scale": 1.0}, (50, 33, 3)),
    "x1.5": ((50, 33, 3), {"scale": 1.5}, (75, 50, 3)),
    "x3": ((31, 33, 3), {"scale": 3.0}, (93, 99, 3)),
    "x0.5": ((50, 33, 3), {"scale": 0.5}, (25, 16, 3)),
    "x6.05": ((21, 20, 3), {"scale": 6.05}, (127, 121, 3)),
    "longer side wide": ((20, 80, 3), {"longer_side": 333}, (83, 333, 3)),
    "longer side high": ((80, 20, 3), {"longer_side": 333}, (333, 83, 3)),
    "longer side over scale": ((16, 16, 3), {"longer_side": 50, "scale": 8.0}, (50, 50, 3)),
    "longer side smaller": ((90, 60, 3), {"longer_side": 45}, (45, 30, 3)),
    "prescale quarter": ((100, 60, 3), {"prescale": 0.25}, (400, 240, 3)),
    "prescale and scale": ((100, 60, 3), {"prescale": 0.5, "scale": 2.0}, (200, 120, 3)),
    "prescale of a pixel": ((1, 1, 3), {"prescale": 0.25}, (4, 4, 3)),
    "prime": ((97, 61, 3), {}, (388, 244, 3)),
    "127": ((127, 16, 3), {}, (508, 64, 3)),
    "129": ((129, 16, 3), {}, (516, 64, 3)),
    "144": ((144, 16, 3), {}, (576, 64, 3)),
    "panorama": ((40, 160, 3), {"tile_size": 48}, (160, 640, 3)),
    "one window": ((60, 150, 3), {"tile_size": 0}, (240, 600, 3)),
}


@pytest.mark.parametrize(("shape", "inputs", "expected"), CASES.values(), ids=CASES)
def test_the_output_is_exact_to_the_pixel(upscale, shape, inputs, expected):
    result = upscale(picture(*shape), **inputs)
    assert tuple(result.shape) == (1, *expected)
    assert torch.isfinite(result).all()
    assert 0 <= result.min() <= result.max() <= 1


def test_alpha_is_carried_by_bicubic(upscale):
    image = picture(24, 30, 4)
    alpha = resize_bicubic(image[..., 3:].movedim(-1, 1), (96, 120)).clamp(0, 1)
    result = upscale(image)
    assert torch.equal(result[..., 3], alpha[:, 0])
    assert torch.equal(result[..., :3], upscale(image[..., :3]))


def test_a_mask_restores_only_where_it_is_white(upscale):
    image = picture(32, 40)
    mask = torch.zeros(1, 128, 160)
    mask[..., 80:] = 1
    result, whole = upscale(image, mask=mask), upscale(image)
    bicubic = resize_bicubic(image.movedim(-1, 1), (128, 160)).clamp(0, 1).movedim(1, -1)
    assert torch.equal(result[:, :, :80], bicubic[:, :, :80])
    assert torch.equal(result[:, :, 80:], whole[:, :, 80:])


def test_a_mask_of_another_size_is_resized(upscale):
    image = picture(32, 40, batch=2)
    mask = torch.zeros(1, 8, 10)
    mask[:, :4] = 1
    result, whole = upscale(image, mask=mask), upscale(image)
    assert torch.equal(result[:, :48], whole[:, :48])
    assert not torch.equal(result[:, -48:], whole[:, -48:])


def test_an_all_black_mask_is_bicubic_and_says_so(upscale, caplog):
    image = picture(32, 40)
    with caplog.at_level(logging.INFO):
        result = upscale(image, mask=torch.zeros(1, 64, 64))
    bicubic = resize_bicubic(image.movedim(-1, 1), (128, 160)).clamp(0, 1).movedim(1, -1)
    assert torch.equal(result, bicubic)
    assert caplog.text.count("mask is all black") == 1


def test_the_same_noise_makes_the_frames_of_a_still_equal(upscale):
    still = picture(32, 40).expand(3, -1, -1, -1)
    same = upscale(still, batch_noise="same", seed=3)
    assert (same[1:] - same[:1]).abs().max() < 1e-5
    each = upscale(still, batch_noise="per image", seed=3)
    assert not torch.allclose(each[1], each[0], atol=1e-3)
    assert (each[0] - same[0]).abs().max() < 1e-5


def test_values_outside_the_range_are_taken_as_the_host_takes_them(upscale):
    image = picture(32, 40) * 3 - 1
    result = upscale(image)
    assert torch.isfinite(result).all()
    assert 0 <= result.min() <= result.max() <= 1


def test_the_reference_of_the_colours_is_not_squeezed(host, enlarge):
    """The authors' code resizes a padded reference to the unpadded size: colours shift."""
    ramp = torch.linspace(0, 1, 129)[None, None, :, None].expand(1, 129, 129, 3).contiguous()
    grey = torch.full((1, 516, 516, 3), 0.5)
    (corrected,) = host.call("InvSRColorCorrect", image=grey, reference=ramp, method="wavelet")
    expected = (torch.arange(516) + 0.5) / 4 / 128 - 0.5 / 128
    inner = slice(40, -40)
    assert (corrected[0, 258, inner, 0] - expected[inner]).abs().max() < 1e-3


def test_an_output_beyond_the_largest_side_is_refused(upscale):
    with pytest.raises(ValueError, match=r"the output may measure at most 32768 px .* 'scale'"):
        upscale(torch.zeros(1, 2, 5000, 3), scale=8.0)


def test_a_colour_reference_of_another_number_is_refused(host):
    with pytest.raises(ValueError, match="reference must hold 1 or 3 pictures, got 2"):
        host.call(
            "InvSRColorCorrect",
            image=picture(8, 8, batch=3),
            reference=picture(2, 2, batch=2),
            method="wavelet",
        )


def test_bad_tiling_is_refused_even_for_small_pictures(upscale):
    with pytest.raises(ValueError, match="overlap must be smaller than tile_size"):
        upscale(picture(16, 16), tile_size=64, overlap=64)
    with pytest.raises(ValueError, match="tile_size must be a multiple of 16"):
        upscale(picture(16, 16), tile_size=72)


FIDELITY = {
    ("Faithful", 1): (100,),
    ("Balanced", 1): (200,),
    ("Vivid", 1): (250,),
    ("Balanced", 2): (200, 100),
    ("Balanced", 3): (200, 100, 50),
    ("Balanced", 4): (200, 150, 100, 50),
    ("Balanced", 5): (200, 160, 120, 80, 40),
    ("Vivid", 3): (250, 150, 50),
    ("Vivid", 5): (250, 200, 150, 100, 50),
    ("Vivid", 2): (250, 125),
    ("Faithful", 4): (100, 75, 50, 25),
}


@pytest.mark.parametrize(("choice", "expected"), FIDELITY.items())
def test_fidelity_and_steps_give_the_schedule(pack, choice, expected):
    chosen = pack("nodes.upscale_inputs").chosen_timesteps
    assert chosen(*choice, "") == expected
    assert chosen(*choice, " 120, 60 ") == (120, 60)
