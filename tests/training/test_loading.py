"""Base models from their files: a diffusers folder, one checkpoint, the demo sizes."""

import json

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from invsr_core.training.base import FrozenBase
from invsr_core.training.draw import generator_for
from invsr_core.training.initial import initialise
from invsr_core.training.loading import (
    DEMO_UNET,
    PROMPT,
    PROMPT_IDS,
    SD2_VAE,
    BaseConfig,
    demo_base,
    load_base,
)

SMALL_VAE = {**SD2_VAE, "block_out_channels": (32, 32, 32, 32), "layers_per_block": 1}
SMALL_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "projection_dim": 64,
}


def random(network_class, **sizes):
    with torch.device("meta"):
        network = network_class(**sizes)
    return initialise(network, generator_for("cpu", network_class.__name__))


@pytest.fixture
def diffusers_folder(tmp_path):
    folder = tmp_path / "model"
    random(UNet2DConditionModel, **DEMO_UNET).save_pretrained(folder / "unet")
    random(AutoencoderKL, **SMALL_VAE).save_pretrained(folder / "vae")
    CLIPTextModel(CLIPTextConfig(**SMALL_TEXT)).save_pretrained(folder / "text_encoder")
    (folder / "scheduler").mkdir()
    return folder


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_diffusers_folder_is_loaded_with_its_prediction_type(diffusers_folder, prediction):
    facts = {"prediction_type": prediction}
    (diffusers_folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(facts))
    base = load_base(BaseConfig(path=str(diffusers_folder)))
    assert base.prediction == prediction
    assert base.prompt.shape == (1, 77, 64)
    assert not any(p.requires_grad for p in [*base.unet.parameters(), *base.vae.parameters()])
    x = torch.randn(2, 4, 8, 8, generator=generator_for("cpu", 1))
    assert base.denoise(x, torch.tensor([199, 99])).isfinite().all()


def test_training_draws_from_the_vae_and_judging_takes_its_mode(diffusers_folder):
    base = load_base(BaseConfig(path=str(diffusers_folder)))
    images = torch.rand(2, 3, 64, 64, generator=generator_for("cpu", 2))
    mode = base.vae.encode(images * 2 - 1).latent_dist.mode() * 0.18215
    torch.testing.assert_close(base.encode(images, None), mode)
    drawn = [base.encode(images, generator_for("cpu", seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert base.decode(mode).shape == images.shape


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_right_output_of_the_unet_denoises_exactly(prediction):
    """x = clean + sigma * eps; v = sqrt(acp) eps - sqrt(1 - acp) clean (Salimans and Ho 2022)."""
    clean, eps = (torch.randn(1, 4, 8, 8, generator=generator_for("cpu", i)) for i in (1, 2))
    base = demo_base()
    base.prediction = prediction
    timestep = torch.tensor([199])
    sigma = base._sigmas[199]
    acp = 1 / (1 + sigma**2)
    answer = {
        "epsilon": eps,
        "v_prediction": acp.sqrt() * eps - (1 - acp).sqrt() * clean,
    }[prediction]
    seen = []

    class Exact:
        dtype = torch.float32

        def __call__(self, x, timesteps, encoder_hidden_states):
            seen.append((x, timesteps))
            return type("Output", (), {"sample": answer})

    base.unet = Exact()
    x = clean + sigma * eps
    torch.testing.assert_close(base.denoise(x, timestep), clean, rtol=0, atol=1e-5)
    torch.testing.assert_close(seen[0][0], acp.sqrt() * x)
    assert seen[0][1].tolist() == [199]


def test_the_paper_s_prompt_needs_no_tokenizer_files():
    assert len(PROMPT_IDS) == 31 and PROMPT_IDS[0] == 49406 and PROMPT_IDS[-1] == 49407
    assert PROMPT.endswith("without deformations")


def test_what_is_no_base_model_is_said(tmp_path, diffusers_folder):
    with pytest.raises(ValueError, match=r"The base model '.*nothing' cannot be loaded"):
        load_base(BaseConfig(path=str(tmp_path / "nothing")))
    other = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(1)}, other)
    with pytest.raises(ValueError, match=r"other\.safetensors has no demo UNet"):
        demo_base(str(other))
    unet = random(UNet2DConditionModel, **{**DEMO_UNET, "in_channels": 9})
    with pytest.raises(ValueError, match="The base model has 9 latent channels, InvSR needs 4"):
        FrozenBase(unet, None, torch.zeros(1, 8, 64))
