"""A MODEL that another pack has hooked keeps that hook through our windows."""

import pytest
import torch

TILING = {"tile_size": 32, "overlap": 16}
STEPS = 2


@pytest.fixture(scope="module")
def parts(enlarge):
    """A graph on 64x96 LR px, in windows of 32."""
    image = torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(7))
    return enlarge(image, steps=STEPS, seed=6, **TILING)


class Hook:
    """Stands in for a tiled-diffusion pack in the host's one slot around the model's call."""

    def __init__(self, gain=1.0):
        self.gain, self.sizes = gain, []

    def __call__(self, apply_model, given):
        self.sizes.append(tuple(given["input"].shape[-2:]))
        return self.gain * apply_model(given["input"], given["timestep"], **given["c"])

    def on(self, model):
        model = model.clone()
        model.set_model_unet_function_wrapper(self)
        return model


def hooked_first(host, demo, parts, hook, stock_sampler):
    (model,) = host.call("InvSRTiledModel", model=hook.on(demo.model), **TILING, tile_batch=1)
    assert model.model_options["model_function_wrapper"] is hook
    return stock_sampler(model, parts)


def hooked_last(host, demo, parts, hook, stock_sampler):
    (model,) = host.call("InvSRTiledModel", model=demo.model, **TILING, tile_batch=1)
    return stock_sampler(hook.on(model), parts)


def our_sampler(host, demo, parts, hook, stock_sampler):
    (sampled,) = host.call(
        "InvSRPartialSampler",
        model=hook.on(demo.model),
        positive=demo.positive,
        start_noise=parts.noise,
        sigmas=parts.sigmas,
        latent=parts.latent,
        cfg=1.0,
        **TILING,
    )
    return sampled["samples"]


@pytest.fixture(params=[hooked_first, hooked_last, our_sampler], ids=lambda way: way.__name__)
def sample(host, demo, parts, stock_sampler, request):
    return lambda hook: request.param(host, demo, parts, hook, stock_sampler)


def test_the_hook_is_called_once_for_every_window_of_every_step(sample, parts, pack):
    tiling = pack("invsr_core.tiling").Tiling(32, 16, 1)
    grid = tiling.grid((64, 96)).scaled(1, 2)
    hook = Hook()
    samples = sample(hook)
    assert hook.sizes == [grid.window_size] * len(grid) * STEPS
    assert torch.equal(samples, parts.sampled["samples"])


def test_what_the_hook_changes_is_in_the_result(sample, parts):
    assert (sample(Hook(gain=0.5)) - parts.sampled["samples"]).abs().max() > 1e-2


def test_the_users_model_is_left_without_hook_and_windows(sample, demo):
    sample(Hook())
    assert "model_function_wrapper" not in demo.model.model_options
    assert "wrappers" not in demo.model.model_options.get("transformer_options", {})
    assert not any(kinds.get("invsr_tiles") for kinds in demo.model.wrappers.values())
