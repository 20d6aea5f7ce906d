"""The noise predictor and its posterior, against the published network."""

import pytest
import torch

from invsr_core import NoisePredictor, Posterior, PredictorConfig

CONFIGS = {
    "full": PredictorConfig(),
    "tiny": PredictorConfig(
        block_out_channels=(32, 64),
        layers_per_block=(1, 1),
        temb_channels=64,
        sinusoid_channels=128,
        norm_num_groups=8,
        attention_head_dim=8,
    ),
}
TIMESTEPS = {"249": 249, "199": 199, "149": 149, "99": 99, "mixed": torch.tensor([249, 99])}
TOLERANCE = 1e-5


def predictor_by_recipe(size, golden, recipe):
    predictor = NoisePredictor(CONFIGS[size], device="meta")
    state = recipe("predictor", golden(f"predictor_{size}_keys.json"))
    predictor.load_state_dict(state, assign=True)
    return predictor.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=CONFIGS)
def size(request):
    return request.param


@pytest.fixture(scope="module")
def predictor(size, golden, recipe):
    return predictor_by_recipe(size, golden, recipe)


@pytest.fixture(scope="module")
def tiny(golden, recipe):
    return predictor_by_recipe("tiny", golden, recipe)


@pytest.fixture(scope="module")
def cases(size, golden):
    return golden(f"predictor_{size}_cases.safetensors")


@pytest.mark.parametrize("timestep", TIMESTEPS)
def test_moments_are_the_published_networks(timestep, predictor, cases, relative_error):
    posterior = predictor(cases["lr"], TIMESTEPS[timestep])
    assert relative_error(posterior.mean, cases[f"mean_{timestep}"]) < TOLERANCE
    assert relative_error(posterior.logvar, cases[f"logvar_{timestep}"]) < TOLERANCE


def test_a_sample_is_the_published_one(predictor, cases, relative_error):
    sample = predictor(cases["lr"], 199).sample(cases["eps"])
    assert relative_error(sample, cases["sample_199"]) < TOLERANCE


def test_tensor_names_and_shapes_are_the_published_ones(size, golden):
    state = NoisePredictor(CONFIGS[size], device="meta").state_dict()
    shapes = {key: list(tensor.shape) for key, tensor in state.items()}
    assert shapes == golden(f"predictor_{size}_keys.json")


def test_the_published_network_has_33_837_576_parameters_in_164_tensors():
    state = NoisePredictor(PredictorConfig(), device="meta").state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == 33_837_576
    assert len(state) == 164


@pytest.mark.parametrize("sides", [(2, 2), (16, 48), (64, 64)], ids=str)
def test_the_posterior_has_half_the_images_sides_and_four_channels(sides, tiny):
    posterior = tiny(torch.rand(1, 3, *sides), 199)
    assert posterior.mean.shape == posterior.logvar.shape == (1, 4, sides[0] // 2, sides[1] // 2)


def test_one_timestep_for_all_equals_the_same_timestep_for_each(tiny):
    lr = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(
        tiny(lr, 99).mean, tiny(lr, torch.tensor([99, 99])).mean, rtol=0, atol=0
    )


def test_an_image_is_predicted_alone_as_in_a_batch(tiny, relative_error):
    lr = torch.rand(3, 3, 16, 24)
    together, alone = tiny(lr, 199).mean, torch.cat([tiny(one, 199).mean for one in lr.split(1)])
    assert relative_error(together, alone) < TOLERANCE


def test_a_predictor_in_bfloat16_still_gives_a_float32_posterior(golden, recipe):
    half = predictor_by_recipe("tiny", golden, recipe).bfloat16()
    posterior = half(torch.rand(1, 3, 16, 16, dtype=torch.bfloat16), 199)
    assert posterior.mean.dtype == posterior.logvar.dtype == torch.float32


def test_log_variances_are_clamped_to_the_published_range():
    moments = torch.cat([torch.full((1, 4, 2, 2), 100.0), torch.full((1, 4, 2, 2), 1000.0)], dim=1)
    high, low = Posterior.from_moments(moments), Posterior.from_moments(-moments)
    assert (high.logvar == 20).all()
    assert (low.logvar == -30).all()
    assert (high.mean == 100).all()
    assert (low.mean == -100).all()


def test_a_posterior_draws_its_mean_without_noise_and_one_std_away_with_one():
    posterior = Posterior.from_moments(torch.randn(2, 8, 4, 4))
    zeros, ones = torch.zeros(2, 4, 4, 4), torch.ones(2, 4, 4, 4)
    torch.testing.assert_close(posterior.sample(zeros), posterior.mean, rtol=0, atol=0)
    torch.testing.assert_close(
        posterior.sample(ones), posterior.mean + posterior.std, rtol=0, atol=0
    )


def test_a_posterior_made_from_mean_and_std_has_them():
    mean, std = torch.randn(1, 4, 4, 4), torch.rand(1, 4, 4, 4) + 0.01
    posterior = Posterior.from_mean_std(mean, std)
    torch.testing.assert_close(posterior.mean, mean, rtol=0, atol=0)
    torch.testing.assert_close(posterior.std, std, rtol=1e-6, atol=0)


def test_channels_that_groups_or_heads_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="norm_num_groups = 32"):
        PredictorConfig(block_out_channels=(48, 64), attention_head_dim=16)
    with pytest.raises(ValueError, match="attention_head_dim = 64"):
        PredictorConfig(block_out_channels=(32, 64))
