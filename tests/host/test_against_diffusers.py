"""Our graph against stock diffusers, on other weights and inputs than the golden ones."""

import pytest
import torch
from safetensors.torch import save_file

from invsr_core.resize import upsample_x4
from invsr_core.schedule import model_timesteps, published_timesteps, sigmas_for
from invsr_core.weights import load_predictor

pytestmark = pytest.mark.slow

SALT = "oracle"
SCALE = 0.18215
UNET = {
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
    "sample_size": 64,
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 768,
}


@pytest.fixture(scope="module")
def states(golden, recipe):
    keys = golden("sd_turbo_keys.json")
    keys["predictor"] = golden("predictor_full_keys.json")
    return {net: recipe(net, shapes, SALT) for net, shapes in keys.items()}


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(2)
    lr = torch.rand(1, 3, 48, 80, generator=generator)
    return lr, torch.randn(1, 77, 1024, generator=generator)


@pytest.fixture(scope="module")
def predictor_file(host, states):
    path = host.base / "models/invsr/oracle.safetensors"
    save_file(states["predictor"], path)
    return path


def diffusers_result(states, lr, context, predictor_file, steps, seed):
    """The published procedure in diffusers' own classes: final latents and image."""
    import diffusers

    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(**UNET)
        vae = diffusers.AutoencoderKL(**VAE)
    for network, name in ((unet, "unet"), (vae, "vae")):
        network.load_state_dict(states[name], assign=True)
        network.eval()
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="trailing",
    )
    timesteps = model_timesteps(published_timesteps(steps))
    scheduler.timesteps = torch.tensor(timesteps, dtype=torch.float32)
    scheduler.sigmas = sigmas_for(published_timesteps(steps))
    scheduler.is_scale_input_called = True
    clean = vae.encode(upsample_x4(lr) * 2 - 1).latent_dist.mode() * SCALE
    noise = torch.randn(clean.shape, generator=torch.manual_seed(seed))
    start = load_predictor(predictor_file)(lr, timesteps[0]).sample(noise)
    x = scheduler.add_noise(clean, start, scheduler.timesteps[:1])
    for t in scheduler.timesteps:
        eps = unet(scheduler.scale_model_input(x, t), t, encoder_hidden_states=context).sample
        x = scheduler.step(eps, t, x).prev_sample
    image = vae.decode(x / SCALE).sample / 2 + 0.5
    return x, image.clamp(0, 1)


@pytest.mark.parametrize("steps", [1, 4])
def test_the_graph_equals_stock_diffusers(
    host, states, inputs, predictor_file, relative_error, steps
):
    import comfy.sd

    lr, context = inputs
    with torch.no_grad():
        latents, image = diffusers_result(states, lr, context, predictor_file, steps, seed=11)

    model = comfy.sd.load_diffusion_model_state_dict(dict(states["unet"]))
    vae = comfy.sd.VAE(sd=dict(states["vae"]))
    (latent,) = host.call("InvSREncode", image=lr.movedim(1, -1), vae=vae, pad_to=16)
    (sigmas,) = host.call("InvSRScheduler", model=model, steps=steps, timesteps="")
    (predictor,) = host.call(
        "InvSRPredictorLoader", predictor_name=predictor_file.name, dtype="fp32"
    )
    shared = {"latent": latent, "sigmas": sigmas}
    noise, _ = host.call(
        "InvSRStartNoise", noise_predictor=predictor, seed=11, variation=1.0, **shared
    )
    (sampled,) = host.call(
        "InvSRPartialSampler",
        model=model,
        positive=[[context, {}]],
        start_noise=noise,
        cfg=1.0,
        **shared,
    )
    (ours,) = host.call("InvSRDecode", latent=sampled, vae=vae)
    assert relative_error(sampled["samples"] * SCALE, latents) < 1e-5
    assert (ours.movedim(-1, 1) - image).abs().max() < 1e-3
