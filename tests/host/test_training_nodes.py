"""The training nodes in a real host, and training's own base against the host's models."""

import pytest
import torch

from invsr_core import load_predictor
from invsr_core.training.draw import generator_for


@pytest.fixture
def images():
    return torch.rand(2, 96, 80, 3, generator=generator_for("cpu", "images"))


@pytest.fixture
def train(host, demo, images):
    def run(**changes):
        inputs = {
            "noise_predictor": demo.predictor,
            "model": demo.model,
            "vae": demo.vae,
            "positive": demo.positive,
            "images": images,
            "updates": 3,
            "batch_size": 1,
            "crop_size": 64,
            "learning_rate": 1e-3,
            "seed": 1,
            "degradation": "imagenet-test",
            **changes,
        }
        # The host gives every input as a list, so that a folder's pictures train one predictor.
        wrapped = {key: value if key == "images" else [value] for key, value in inputs.items()}
        if torch.is_tensor(wrapped["images"]):
            wrapped["images"] = [wrapped["images"]]
        return host.call("InvSRTrainPredictor", **wrapped)

    return run


def weights(predictor):
    return {key: value.clone() for key, value in predictor.plain_copy().state_dict().items()}


def test_training_changes_the_new_predictor_and_nothing_else(train, demo):
    networks = [demo.model.model, demo.vae.first_stage_model, demo.predictor.patcher.model]
    before = [{k: v.clone() for k, v in net.state_dict().items()} for net in networks]
    trained, loss_map = train()
    for network, saved in zip(networks, before, strict=True):
        assert all(torch.equal(saved[k], v) for k, v in network.state_dict().items())
        assert all(parameter.grad is None for parameter in network.parameters())
    assert len(loss_map["loss"]) == 3
    old, new = weights(demo.predictor), weights(trained)
    assert all(not torch.equal(old[key], new[key]) for key in old if "weight" in key)


def test_pictures_of_several_sizes_train_one_predictor(train, images):
    other = torch.rand(2, 80, 96, 3, generator=torch.Generator().manual_seed(3))
    trained, loss_map = train(images=[images, other], updates=6)
    assert len(loss_map["loss"]) == 6
    assert loss_map["loss"] != train(updates=6)[1]["loss"]
    assert weights(trained)


def test_the_same_seed_trains_the_same(train):
    (once, losses), (again, same) = train(), train()
    assert losses == same
    first, second = weights(once), weights(again)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert train(seed=2)[1] != losses


def test_a_trained_predictor_works_in_the_graph(train, host, demo, images):
    trained, _ = train()
    (latent,) = host.call("InvSREncode", image=images, vae=demo.vae, pad_to=16)
    (sigmas,) = host.call("InvSRScheduler", model=demo.model, steps=1, timesteps="")
    noises = [
        host.call(
            "InvSRStartNoise",
            noise_predictor=predictor,
            latent=latent,
            sigmas=sigmas,
            seed=0,
            variation=0.0,
        )[0].posterior.mean
        for predictor in (demo.predictor, trained)
    ]
    assert noises[0].shape == noises[1].shape and not torch.equal(*noises)


def test_a_saved_predictor_is_found_by_the_loader(train, host):
    trained, _ = train()
    host.call("InvSRSavePredictor", noise_predictor=trained, filename_prefix="mine")
    (path,) = (host.base / "output" / "invsr").glob("mine_*.safetensors")
    saved, expected = load_predictor(path).state_dict(), weights(trained)
    assert all(torch.equal(saved[key], expected[key]) for key in expected)
    (loaded,) = host.call("InvSRPredictorLoader", predictor_name=path.name, dtype="auto")
    assert weights(loaded).keys() == expected.keys()


def test_cancel_stops_training_and_leaves_the_host_as_it_was(train, host):
    import comfy.model_management as management

    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        train(updates=50)
    assert management.in_training is False
    assert len(train()[1]["loss"]) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_size": 100}, "crop_size must be a multiple of 64, got 100"),
        ({"positive": []}, "positive must be one plain prompt"),
        ({"positive": [[None, {"mask": torch.ones(1, 8, 8)}]]}, "no areas or masks"),
    ],
)
def test_what_cannot_be_trained_is_said(train, changes, message):
    with pytest.raises(ValueError, match=message):
        train(**changes)


def test_training_that_turns_nan_gives_up(train, demo):
    nan = torch.full_like(demo.positive[0][0], torch.nan)
    with pytest.raises(ValueError, match="20 updates in a row were not finite"):
        train(positive=[[nan, {}]], updates=30)


def test_the_demo_base_of_training_is_the_host_s_demo_models(pack, demo):
    """One file, two programs: diffusers' networks give what the host's own give."""
    from invsr_core.training.loading import demo_base

    base = demo_base(str(pack("nodes.demo_models").FILE))
    ours = pack("nodes.host.frozen_base")
    with ours.training():
        theirs = ours.frozen_base(demo.model, demo.vae, demo.positive)
        images = torch.rand(1, 3, 64, 64, generator=generator_for("cpu", "hr"))
        x = torch.randn(2, 4, 8, 8, generator=generator_for("cpu", "x"))
        generator, timesteps = generator_for("cpu", 1), torch.tensor([199, 99])
        pairs = [
            (base.encode(images, generator), theirs.encode(images, generator)),
            (base.denoise(x, timesteps), theirs.denoise(x, timesteps)),
        ]
        for mine, expected in pairs:
            torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


def test_a_single_file_gives_the_base_its_diffusers_folder_gives(host, tmp_path):
    """The host's own tables name an SD 2 checkpoint's tensors; training reads them back."""
    import comfy.diffusers_convert
    import comfy.utils
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from invsr_core.training.initial import initialise
    from invsr_core.training.loading import (
        PROMPT_IDS,
        SD2_TEXT,
        SD2_UNET,
        SD2_VAE,
        BaseConfig,
        single_file_base,
    )

    unet_sizes = {**SD2_UNET, "block_out_channels": (64, 64, 128, 128), "cross_attention_dim": 64}
    unet_sizes["attention_head_dim"] = (1, 1, 2, 2)
    vae_sizes = {**SD2_VAE, "block_out_channels": (32, 32, 64, 64)}
    text_sizes = {
        **SD2_TEXT,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
    }
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**unet_sizes), AutoencoderKL(**vae_sizes)
    unet, vae = (initialise(net, generator_for("cpu", i)) for i, net in enumerate((unet, vae)))
    text = CLIPTextModel(CLIPTextConfig(**text_sizes)).eval()

    names = comfy.utils.unet_to_diffusers(
        {
            "num_res_blocks": [2, 2, 2, 2],
            "channel_mult": [1, 1, 2, 2],
            "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
            "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
            "transformer_depth_middle": 1,
        }
    )
    state = {f"model.diffusion_model.{names[k]}": v for k, v in unet.state_dict().items()}
    ldm = comfy.diffusers_convert.convert_vae_state_dict(vae.state_dict())
    state |= {f"first_stage_model.{key}": value for key, value in ldm.items()}
    prefix = "transformer.text_model."
    clip = {prefix + k.removeprefix("text_model."): v for k, v in text.state_dict().items()}
    open_clip = comfy.diffusers_convert.convert_text_enc_state_dict_v20(clip)
    state |= {f"cond_stage_model.model.{key}": value for key, value in open_clip.items()}
    base = single_file_base(
        state,
        BaseConfig(form="single_file", path="sd.safetensors"),
        unet_sizes=unet_sizes,
        vae_sizes=vae_sizes,
        text_sizes=text_sizes,
    )
    for loaded, original in ((base.unet, unet), (base.vae, vae)):
        expected = original.state_dict()
        assert all(torch.equal(v, expected[k]) for k, v in loaded.state_dict().items())
    ids = torch.tensor([*PROMPT_IDS, *[0] * (77 - len(PROMPT_IDS))])[None]
    torch.testing.assert_close(base.prompt, text(ids).last_hidden_state.detach())
