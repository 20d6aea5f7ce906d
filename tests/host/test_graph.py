"""The separate nodes, called in a row inside a real host, on the demo models."""

import pytest
import torch

SIZES = {
    "one pixel": (1, 1, 3),
    "a row": (1, 60, 3),
    "a column": (37, 1, 3),
    "grey": (20, 30, 1),
    "grey with alpha": (20, 30, 2),
    "colour with alpha": (33, 47, 4),
    "odd": (31, 53, 3),
    "exact": (32, 48, 3),
    "more than a tile": (150, 64, 3),
}


def picture(height, width, channels=3, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, height, width, channels, generator=generator)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_any_size_comes_back_at_exactly_x4(enlarge, size):
    height, width, _ = size
    result = enlarge(picture(*size))
    assert result.hr.shape == (1, 4 * height, 4 * width, 3)
    assert result.noise_map.shape == (1, height, width, 3)
    assert torch.isfinite(result.hr).all()
    assert 0 <= result.hr.min() <= result.hr.max() <= 1


def test_small_images_are_padded_to_128_by_default(host, demo):
    (latent,) = host.call("InvSREncode", image=picture(20, 200), vae=demo.vae, pad_to=128)
    assert latent["samples"].shape == (1, 4, 64, 104)


def test_two_runs_with_one_seed_give_the_same_bytes(enlarge):
    first, second = (enlarge(picture(40, 56), steps=2, seed=5) for _ in range(2))
    assert torch.equal(first.hr, second.hr)
    assert torch.equal(first.sampled["samples"], second.sampled["samples"])


def test_another_seed_gives_another_picture_and_no_variation_gives_the_same(enlarge):
    image = picture(40, 56)
    assert not torch.equal(enlarge(image, seed=1).hr, enlarge(image, seed=2).hr)
    mean_only = [enlarge(image, seed=seed, variation=0.0).hr for seed in (1, 2)]
    assert torch.equal(*mean_only)


@pytest.mark.parametrize("k", range(3))
def test_an_image_of_a_batch_equals_the_image_alone_at_its_place(enlarge, k):
    batch = picture(36, 44, batch=3)
    together = enlarge(batch, seed=9)
    alone = enlarge(batch[k : k + 1], seed=9, batch_index=[k])
    noise = together.noise.generate_noise(together.latent)
    assert torch.equal(noise[k : k + 1], alone.noise.generate_noise(alone.latent))
    assert (together.hr[k] - alone.hr[0]).abs().max() < 1e-5


def test_the_noise_is_a_new_tensor_each_time(enlarge):
    result = enlarge(picture(32, 32))
    first = result.noise.generate_noise(result.latent)
    kept = first.clone()
    first.zero_()
    assert torch.equal(result.noise.generate_noise(result.latent), kept)


def test_our_sampler_equals_the_stock_one_bit_for_bit(host, demo, enlarge):
    ours = enlarge(picture(48, 64), steps=3, seed=3)
    (guider,) = host.call("BasicGuider", model=demo.model, conditioning=demo.positive)
    (euler,) = host.call("KSamplerSelect", sampler_name="euler")
    stock, _ = host.call(
        "SamplerCustomAdvanced",
        noise=ours.noise,
        guider=guider,
        sampler=euler,
        sigmas=ours.sigmas,
        latent_image=ours.latent,
    )
    assert torch.equal(ours.sampled["samples"], stock["samples"])
    assert torch.equal(host.call("InvSRDecode", latent=stock, vae=demo.vae)[0], ours.hr)


def test_the_sigmas_are_the_models_own(host, demo):
    (sigmas,) = host.call("InvSRScheduler", model=demo.model, steps=1, timesteps="250, 150, 50")
    levels = demo.model.get_model_object("model_sampling").sigma(torch.tensor([249.0, 149.0, 49.0]))
    assert torch.equal(sigmas, torch.cat([levels, torch.zeros(1)]))


def test_a_latent_of_the_stock_encoder_takes_its_lr_pixels_from_the_image_input(
    host, demo, enlarge
):
    image = picture(32, 48)
    ours = enlarge(image)
    bare = {"samples": ours.latent["samples"]}
    call = {"noise_predictor": demo.predictor, "sigmas": ours.sigmas, "seed": 0, "variation": 1.0}
    noise, _ = host.call("InvSRStartNoise", latent=bare, image=image, **call)
    assert torch.equal(noise.generate_noise(bare), ours.noise.generate_noise(ours.latent))


def test_a_picture_picked_from_a_batch_keeps_its_lr_pixels(host, demo, enlarge):
    batch = enlarge(picture(32, 48, batch=3), seed=4)
    (picked,) = host.call("LatentFromBatch", samples=batch.latent, batch_index=2, length=1)
    call = {"noise_predictor": demo.predictor, "sigmas": batch.sigmas, "seed": 4, "variation": 1.0}
    noise, _ = host.call("InvSRStartNoise", latent=picked, **call)
    whole = batch.noise.generate_noise(batch.latent)
    assert torch.equal(noise.generate_noise(picked), whole[2:])


def test_a_resized_latent_is_decoded_whole(host, demo, enlarge):
    sampled = enlarge(picture(30, 40)).sampled
    resized = {**sampled, "samples": torch.nn.functional.interpolate(sampled["samples"], (20, 28))}
    assert host.call("InvSRDecode", latent=resized, vae=demo.vae)[0].shape == (1, 160, 224, 3)


def test_a_noise_mask_keeps_the_rest_as_it_was(host, demo, enlarge):
    result = enlarge(picture(32, 32), steps=2)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 8:] = 1
    (sampled,) = host.call(
        "InvSRPartialSampler",
        model=demo.model,
        positive=demo.positive,
        start_noise=result.noise,
        sigmas=result.sigmas,
        latent={**result.latent, "noise_mask": mask},
        cfg=1.0,
    )
    kept = sampled["samples"][..., :8] - result.latent["samples"][..., :8]
    assert kept.abs().max() < 1e-5
    assert not torch.equal(sampled["samples"][..., 8:], result.latent["samples"][..., 8:])


def test_guidance_changes_the_picture_only_above_one(host, demo, enlarge):
    result = enlarge(picture(32, 32))
    negative = [[-demo.positive[0][0], {}]]
    call = {
        "model": demo.model,
        "positive": demo.positive,
        "negative": negative,
        "start_noise": result.noise,
        "sigmas": result.sigmas,
        "latent": result.latent,
    }
    one, three = (host.call("InvSRPartialSampler", cfg=cfg, **call)[0] for cfg in (1.0, 3.0))
    assert torch.equal(one["samples"], result.sampled["samples"])
    assert not torch.equal(three["samples"], one["samples"])


def test_the_demo_vae_works_at_sds_latent_scale(demo):
    assert demo.vae.first_stage_model.vae_scale.item() == pytest.approx(0.18215)
    assert demo.vae.first_stage_model.vae_shift.item() == 0.0
    assert demo.model.get_model_object("latent_format").scale_factor == 0.18215
