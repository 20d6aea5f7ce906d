"""The published pipeline's numbers, through our nodes and through the stock sampler."""

from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.slow

SD_LATENT_SCALE = 0.18215

CASES = {
    "steps1_cfg1_mean": (1, 1.0, 0.0),
    "steps1_cfg1_sample": (1, 1.0, 1.0),
    "steps2_cfg3_sample": (2, 3.0, 1.0),
    "steps3_cfg1_sample": (3, 1.0, 1.0),
    "steps5_cfg1_mean": (5, 1.0, 0.0),
}


@pytest.fixture(scope="module")
def numbers(golden):
    return golden("e2e_sd_turbo.safetensors")


@pytest.fixture(scope="module")
def latent(host, sd_turbo, numbers):
    image = numbers["lr"].movedim(1, -1)
    return host.call("InvSREncode", image=image, vae=sd_turbo.vae, pad_to=16)[0]


def conditioning(numbers, name):
    return [[numbers[name], {}]]


def test_the_lr_latent_is_the_mode_of_the_vae_posterior(latent, numbers, relative_error):
    assert relative_error(latent["samples"], numbers["lr_latent"]) < 1e-5


@pytest.fixture(params=CASES)
def case(request, host, sd_turbo, latent, golden_seed):
    """One golden case: its name, steps, cfg, and our SIGMAS and NOISE for it."""
    steps, cfg, variation = CASES[request.param]
    (sigmas,) = host.call("InvSRScheduler", model=sd_turbo.model, steps=steps, timesteps="")
    noise, _ = host.call(
        "InvSRStartNoise",
        noise_predictor=sd_turbo.predictor,
        latent=latent,
        sigmas=sigmas,
        seed=golden_seed,
        variation=variation,
    )
    return SimpleNamespace(name=request.param, steps=steps, cfg=cfg, sigmas=sigmas, noise=noise)


def test_our_sampler_ends_at_the_golden_latents(
    host, sd_turbo, numbers, latent, relative_error, case
):
    (sampled,) = host.call(
        "InvSRPartialSampler",
        model=sd_turbo.model,
        positive=conditioning(numbers, "positive"),
        negative=conditioning(numbers, "negative"),
        start_noise=case.noise,
        sigmas=case.sigmas,
        latent=latent,
        cfg=case.cfg,
    )
    expected = numbers[f"{case.name}/latent_{case.steps - 1}"]
    assert relative_error(sampled["samples"] * SD_LATENT_SCALE, expected) < 1e-5
    if f"{case.name}/image" in numbers:
        (image,) = host.call("InvSRDecode", latent=sampled, vae=sd_turbo.vae)
        assert (image.movedim(-1, 1) - numbers[f"{case.name}/image"]).abs().max() < 1e-3


def test_the_stock_sampler_ends_at_the_golden_latents(
    host, sd_turbo, numbers, latent, relative_error, case
):
    (guider,) = host.call(
        "CFGGuider",
        model=sd_turbo.model,
        positive=conditioning(numbers, "positive"),
        negative=conditioning(numbers, "negative"),
        cfg=case.cfg,
    )
    (euler,) = host.call("KSamplerSelect", sampler_name="euler")
    sampled, _ = host.call(
        "SamplerCustomAdvanced",
        noise=case.noise,
        guider=guider,
        sampler=euler,
        sigmas=case.sigmas,
        latent_image=latent,
    )
    expected = numbers[f"{case.name}/latent_{case.steps - 1}"]
    assert relative_error(sampled["samples"] * SD_LATENT_SCALE, expected) < 1e-5
