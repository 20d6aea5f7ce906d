"""The step: what it draws, what it compares, and where its gradients go."""

import pytest
import torch

from invsr_core import NoisePredictor, PredictorConfig, sigmas_for
from invsr_core.resize import upsample_x4
from invsr_core.training.degradation import TRAINING
from invsr_core.training.discriminator import Discriminator, DiscriminatorConfig
from invsr_core.training.draw import generator_for
from invsr_core.training.initial import fresh_predictor, initialise
from invsr_core.training.loading import demo_base
from invsr_core.training.pool import PairPool
from invsr_core.training.step import (
    Base,
    Batch,
    Objective,
    discriminator_loss,
    draw_timesteps,
    estimate,
    make_batch,
    predictor_losses,
)

TINY = PredictorConfig(
    block_out_channels=(16, 32),
    layers_per_block=(1, 1),
    temb_channels=32,
    sinusoid_channels=32,
    norm_num_groups=8,
    attention_head_dim=8,
)
TINY_JUDGE = DiscriminatorConfig(
    feature_channels=8,
    block_out_channels=(16, 32),
    layers_per_block=(1, 1),
    temb_channels=32,
    cross_attention_dim=64,
    attention_heads=2,
    text_heads=2,
    norm_num_groups=8,
)


def generator(*counters: int | str) -> torch.Generator:
    return generator_for("cpu", *counters)


@pytest.fixture
def predictor() -> NoisePredictor:
    return fresh_predictor(TINY, generator("predictor"))


@pytest.fixture
def discriminator() -> Discriminator:
    with torch.device("meta"):
        network = Discriminator(TINY_JUDGE)
    return initialise(network, generator("discriminator"))


@pytest.fixture
def batch(picture) -> Batch:
    hr = torch.stack([picture(i, 64, 64) for i in range(2)])
    return make_batch(hr, TRAINING, demo_base().encode, generator("batch"))


def test_start_timesteps_are_drawn_evenly_and_counted_from_zero():
    timesteps, sigmas = draw_timesteps(Objective(), 8000, generator("t"))
    assert timesteps.unique().tolist() == [99, 149, 199, 249]
    shares = torch.bincount(timesteps)[timesteps.unique()] / 8000
    torch.testing.assert_close(shares, torch.full((4,), 0.25), rtol=0, atol=0.02)
    assert sigmas[timesteps == 199].unique().item() == sigmas_for((200,))[0].item()


def test_the_estimate_is_one_denoising_of_the_lr_latents_with_predicted_noise(predictor, batch):
    """Eq. 8 and 9 with an exact stand-in: a denoiser that gives its input back."""
    encoded: list[torch.Tensor] = []

    def encode(images: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        encoded.append(images)
        return torch.zeros(len(images), 4, 8, 8)

    base = Base(encode, lambda x, timesteps: x)
    made = estimate(predictor, batch, base, Objective(), generator(5))
    torch.testing.assert_close(encoded[0], upsample_x4(batch.lr), rtol=0, atol=0)

    again = generator(5)
    timesteps, sigmas = draw_timesteps(Objective(), 2, again)
    noise = predictor(batch.lr, timesteps).sample(torch.randn(2, 4, 8, 8, generator=again))
    torch.testing.assert_close(made.denoised, sigmas[:, None, None, None] * noise)


def test_intermediate_noise_starts_from_hr_latents_and_below_the_largest_timestep(predictor, batch):
    def never(images: torch.Tensor, _: torch.Generator) -> torch.Tensor:
        raise AssertionError("the LR latents are not used")

    objective = Objective(intermediate=True)
    seen = estimate(predictor, batch, Base(never, lambda x, t: x), objective, generator(1))
    assert objective.timesteps == (200, 150, 100)
    assert seen.denoised.shape == batch.hr_latents.shape


def test_gradients_reach_the_predictor_and_nothing_else(predictor, discriminator, batch):
    base, objective = demo_base(), Objective()
    frozen = [*base.unet.parameters(), *base.vae.parameters(), base.prompt, *batch_tensors(batch)]
    before = [tensor.detach().clone() for tensor in frozen]
    discriminator.requires_grad_(False)

    def judge(latents: torch.Tensor, timesteps: torch.Tensor):
        return discriminator(latents, timesteps, base.prompt.expand(len(latents), -1, -1))

    made = estimate(predictor, batch, base.callables, objective, generator(2))
    losses = predictor_losses(made, batch, objective, perceptual=None, judge=judge)
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=1e-3)
    sum(losses.values()).backward()
    optimizer.step()

    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in predictor.parameters())
    assert all(tensor.grad is None for tensor in [*frozen, *discriminator.parameters()])
    assert all(torch.equal(*pair) for pair in zip(frozen, before, strict=True))


def batch_tensors(batch: Batch) -> list[torch.Tensor]:
    return [batch.lr, batch.hr_latents]


def test_each_loss_alone_reaches_every_weight_of_the_predictor(predictor, discriminator, batch):
    base = demo_base()

    def judge(latents: torch.Tensor, timesteps: torch.Tensor):
        return discriminator(latents, timesteps, base.prompt.expand(len(latents), -1, -1))

    def perceptual(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().mean(dim=(1, 2, 3))

    made = estimate(predictor, batch, base.callables, Objective(), generator(2))
    losses = predictor_losses(made, batch, Objective(), perceptual=perceptual, judge=judge)
    assert set(losses) == {"latent_l2", "latent_lpips", "adversarial"}
    for loss in losses.values():
        predictor.zero_grad()
        loss.backward(retain_graph=True)
        assert all(p.grad.abs().sum() > 0 for p in predictor.parameters())


def test_the_discriminator_learns_from_a_detached_estimate(predictor, discriminator, batch):
    base = demo_base()
    made = estimate(predictor, batch, base.callables, Objective(), generator(2))

    def judge(latents: torch.Tensor, timesteps: torch.Tensor):
        return discriminator(latents, timesteps, base.prompt.expand(len(latents), -1, -1))

    discriminator_loss(made, batch, judge).backward()
    assert all(p.grad is None for p in predictor.parameters())
    assert all(p.grad is not None for p in discriminator.parameters())


def test_gradient_checkpointing_changes_no_gradient(predictor, batch):
    grads = []
    for checkpointed in (False, True):
        base = demo_base()
        if checkpointed:
            base.checkpoint_gradients()
        predictor.zero_grad()
        made = estimate(predictor, batch, base.callables, Objective(), generator(2))
        losses = predictor_losses(made, batch, Objective(), perceptual=None, judge=None)
        losses["latent_l2"].backward()
        grads.append([p.grad.clone() for p in predictor.parameters()])
    for plain, recomputed in zip(*grads, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "changes",
    [
        {"start_timesteps": (300,)},
        {"start_timesteps": ()},
        {"latent_l2": 0.0, "latent_lpips": 0.0, "adversarial": 0.0},
    ],
)
def test_an_objective_that_cannot_be_trained_is_refused(changes):
    with pytest.raises(ValueError, match=r"timestep|nothing would be learned"):
        Objective(**changes)


def test_the_pool_keeps_every_pair_and_keeps_pairs_together():
    pool = PairPool(6)
    given, taken = [], []
    for number in range(20):
        ids = torch.arange(2.0) + 2 * number
        given += ids.tolist()
        pairs = Batch(ids.view(2, 1, 1, 1), -ids.view(2, 1, 1, 1))
        out = pool.exchange(pairs, generator("pool", number))
        assert torch.equal(out.lr, -out.hr_latents)
        taken += out.lr.flatten().tolist()
    assert len(pool) == 6
    assert taken[:6] == given[:6]  # passed on while the pool fills
    held = pool.state_dict()["lr"].flatten().tolist()
    assert sorted(taken[6:] + held) == sorted(given)
