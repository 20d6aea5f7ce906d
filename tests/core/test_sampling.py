"""The Euler loop against diffusers' scheduler, driven as the authors drive it, and against DDIM."""

import pytest
import torch
from diffusers import EulerDiscreteScheduler

from invsr_core.sampling import add_noise, sample_euler
from invsr_core.schedule import model_timesteps, published_timesteps, sigmas_for

STEPS = [1, 2, 3, 4, 5, 8]


def epsilon(x, timestep):
    """A stand-in for the UNet: noise from the scaled input and the 0-based timestep."""
    return torch.tanh(x.roll(1, dims=3) - 0.3 * x) + float(timestep) / 500


def denoiser(steps):
    """The same network as the host gives it to samplers: noisy latents and sigma to clean ones."""
    sigmas = sigmas_for(published_timesteps(steps))[:-1].tolist()
    timesteps = dict(zip(sigmas, model_timesteps(published_timesteps(steps)), strict=True))

    def denoise(x, sigma):
        timestep = timesteps[float(sigma[0])]
        return x - sigma[0] * epsilon(x / (sigma[0] ** 2 + 1) ** 0.5, timestep)

    return denoise


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 4, 16, 24, generator=generator)
    return add_noise(latents, torch.randn(latents.shape, generator=generator), sigma=0.5692854)


def by_diffusers(x, steps):
    """Walk as the authors' pipeline does, which sets timesteps and sigmas by hand."""
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        timestep_spacing="trailing", steps_offset=1,
    )  # fmt: skip
    table = scheduler.sigmas.flip(0)[1:]
    timesteps = list(model_timesteps(published_timesteps(steps)))
    scheduler.timesteps = torch.tensor(timesteps, dtype=torch.float32)
    scheduler.sigmas = torch.cat([table[timesteps], torch.zeros(1)])
    for timestep in scheduler.timesteps:
        noise = epsilon(scheduler.scale_model_input(x, timestep), timestep)
        x = scheduler.step(noise, timestep, x).prev_sample
    return x


def by_ddim(x, steps):
    """Walk by DDIM without noise (Song et al. 2021, Eq. 12, eta = 0), variance-preserving."""
    sigmas = sigmas_for(published_timesteps(steps)).double()
    acps = 1 / (sigmas**2 + 1)
    x = x.double() * acps[0].sqrt()
    timesteps = model_timesteps(published_timesteps(steps))
    for timestep, acp, after in zip(timesteps, acps, acps[1:], strict=False):
        noise = epsilon(x, timestep)
        clean = (x - (1 - acp).sqrt() * noise) / acp.sqrt()
        x = after.sqrt() * clean + (1 - after).sqrt() * noise
    return x.float()


@pytest.mark.parametrize("oracle", [by_diffusers, by_ddim])
@pytest.mark.parametrize("steps", STEPS)
def test_the_walk_is_the_published_one(steps, oracle, x, relative_error):
    found = sample_euler(denoiser(steps), x, sigmas_for(published_timesteps(steps)))
    assert relative_error(found, oracle(x, steps)) < 1e-5


def test_the_walk_ends_on_the_last_denoised_latents(x):
    seen = []
    found = sample_euler(denoiser(3), x, sigmas_for((200, 100, 50)), callback=seen.append)
    torch.testing.assert_close(found, seen[-1]["denoised"], rtol=0, atol=1e-6)


def test_the_callback_hears_every_step_in_k_diffusions_words(x):
    sigmas, seen = sigmas_for((200, 100)), []
    sample_euler(denoiser(2), x, sigmas, callback=seen.append)
    assert [set(step) for step in seen] == [{"x", "i", "sigma", "sigma_hat", "denoised"}] * 2
    assert [step["i"] for step in seen] == [0, 1]
    assert [float(step["sigma"]) for step in seen] == sigmas[:-1].tolist()
    assert [float(step["sigma_hat"]) for step in seen] == sigmas[:-1].tolist()
    assert seen[0]["x"].equal(x)
    assert not seen[1]["x"].equal(x)


def test_the_model_is_given_one_sigma_per_image_and_the_extra_arguments(x):
    seen = []

    def model(x, sigma, **extra):
        seen.append((sigma.tolist(), extra))
        return x * 0.9

    sigmas = sigmas_for((200, 100))
    sample_euler(model, x, sigmas, extra_args={"seed": 7})
    assert seen == [([sigma] * 2, {"seed": 7}) for sigma in sigmas[:-1].tolist()]


def test_the_walk_leaves_its_input_alone(x):
    before = x.clone()
    sample_euler(denoiser(2), x, sigmas_for((200, 100)))
    assert x.equal(before)


def test_a_model_that_removes_all_noise_is_reached_from_any_schedule(x):
    clean = torch.randn(2, 4, 16, 24)
    for steps in STEPS:
        found = sample_euler(lambda x, sigma: clean, x, sigmas_for(published_timesteps(steps)))
        torch.testing.assert_close(found, clean, rtol=0, atol=1e-5)


def test_noise_is_added_in_the_variance_exploding_form():
    latents, noise = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    assert add_noise(latents, noise, sigma=0.5).equal(latents + 0.5 * noise)
    assert add_noise(latents, noise, sigma=0.0).equal(latents)
