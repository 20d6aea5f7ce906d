"""The published pipeline's numbers, through our nodes and through the stock sampler."""

from types import SimpleNamespace

import pytest
from safetensors.torch import save_file

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
def models(host, golden, recipe):
    """SD-Turbo-sized MODEL and VAE and the full predictor, weights by the golden recipe."""
    import comfy.sd

    keys = golden("sd_turbo_keys.json")
    model = comfy.sd.load_diffusion_model_state_dict(recipe("unet", keys["unet"]))
    vae = comfy.sd.VAE(sd=recipe("vae", keys["vae"]))
    predictor = recipe("predictor", golden("predictor_full_keys.json"))
    save_file(predictor, host.base / "models/invsr/full.safetensors")
    (loaded,) = host.call("InvSRPredictorLoader", predictor_name="full.safetensors", dtype="fp32")
    return model, vae, loaded


@pytest.fixture(scope="module")
def numbers(golden):
    return golden("e2e_sd_turbo.safetensors")


@pytest.fixture(scope="module")
def latent(host, models, numbers):
    image = numbers["lr"].movedim(1, -1)
    return host.call("InvSREncode", image=image, vae=models[1], pad_to=16)[0]


def conditioning(numbers, name):
    return [[numbers[name], {}]]


def test_the_lr_latent_is_the_mode_of_the_vae_posterior(latent, numbers, relative_error):
    assert relative_error(latent["samples"], numbers["lr_latent"]) < 1e-5


@pytest.fixture(params=CASES)
def case(request, host, models, latent, golden_seed):
    """One golden case: its name, steps, cfg, and our SIGMAS and NOISE for it."""
    steps, cfg, variation = CASES[request.param]
    (sigmas,) = host.call("InvSRScheduler", model=models[0], steps=steps, timesteps="")
    noise, _ = host.call(
        "InvSRStartNoise",
        noise_predictor=models[2],
        latent=latent,
        sigmas=sigmas,
        seed=golden_seed,
        variation=variation,
    )
    return SimpleNamespace(name=request.param, steps=steps, cfg=cfg, sigmas=sigmas, noise=noise)


def test_our_sampler_ends_at_the_golden_latents(
    host, models, numbers, latent, relative_error, case
):
    (sampled,) = host.call(
        "InvSRPartialSampler",
        model=models[0],
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
        (image,) = host.call("InvSRDecode", latent=sampled, vae=models[1])
        assert (image.movedim(-1, 1) - numbers[f"{case.name}/image"]).abs().max() < 1e-3


def test_the_stock_sampler_ends_at_the_golden_latents(
    host, models, numbers, latent, relative_error, case
):
    (guider,) = host.call(
        "CFGGuider",
        model=models[0],
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
