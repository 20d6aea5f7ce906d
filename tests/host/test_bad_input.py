"""What a user gets wrong is said in the user's words, before anything is computed."""

import pickle

import pytest
import torch
from safetensors.torch import save_file


@pytest.fixture
def models_folder(host):
    return host.base / "models/invsr"


@pytest.fixture
def small(enlarge):
    """The parts of a graph on a small picture."""
    return enlarge(torch.rand(1, 32, 48, 3))


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def load(host, path):
    return host.call("InvSRPredictorLoader", predictor_name=path.name, dtype="auto")


def test_a_truncated_safetensors_file(host, models_folder):
    path = models_folder / "truncated.safetensors"
    save_file({"encoder.conv_in.weight": torch.zeros(256, 3, 3, 3)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"truncated.safetensors is damaged"):
        load(host, path)


def test_a_text_file_named_pth(host, models_folder):
    path = models_folder / "page.pth"
    path.write_text("<html>404 not found</html>")
    with pytest.raises(ValueError, match=r"page.pth is damaged"):
        load(host, path)


def test_a_malicious_pickle_runs_nothing(host, models_folder, tmp_path):
    path, target = models_folder / "malicious.pth", tmp_path / "owned"
    path.write_bytes(pickle.dumps(Malicious(target)))
    with pytest.raises(ValueError, match=r"malicious.pth is damaged or holds more than tensors"):
        load(host, path)
    torch.save({"state_dict": Malicious(target)}, path)
    with pytest.raises(ValueError, match=r"malicious.pth"):
        load(host, path)
    assert not target.exists()


def test_a_checkpoint_of_another_network(host, models_folder):
    path = models_folder / "unet.safetensors"
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(4, 4)}, path)
    expected = r"unet.safetensors: not an InvSR noise predictor: expected the key 'encoder\."
    with pytest.raises(ValueError, match=expected):
        load(host, path)


def test_a_predictor_with_a_tensor_of_the_wrong_shape(host, models_folder, recipe, golden):
    path = models_folder / "misshapen.safetensors"
    tensors = recipe("predictor", golden("predictor_full_keys.json"))
    tensors["encoder.mid_block.resnets.0.conv1.weight"] = torch.zeros(512, 500, 3, 3)
    save_file(tensors, path)
    expected = r"'encoder.mid_block.resnets.0.conv1.weight' has shape \[512, 500, 3, 3\], expected"
    with pytest.raises(ValueError, match=expected):
        load(host, path)


@pytest.mark.parametrize("sampling", ["v_prediction", "x0", "lcm"])
def test_a_model_that_does_not_predict_epsilon(host, demo, sampling):
    model = host.call("ModelSamplingDiscrete", model=demo.model, sampling=sampling, zsnr=False)[0]
    with pytest.raises(ValueError, match="does not predict epsilon"):
        host.call("InvSRScheduler", model=model, steps=1, timesteps="")


def test_an_edm_model(host, demo):
    (model,) = host.call(
        "ModelSamplingContinuousEDM",
        model=demo.model,
        sampling="edm",
        sigma_max=120.0,
        sigma_min=0.002,
    )
    with pytest.raises(ValueError, match="does not predict epsilon"):
        host.call("InvSRScheduler", model=model, steps=1, timesteps="")


def test_a_flow_model(host, demo):
    (model,) = host.call("ModelSamplingSD3", model=demo.model, shift=3.0)
    with pytest.raises(ValueError, match="does not predict epsilon"):
        host.call("InvSRScheduler", model=model, steps=1, timesteps="")


def test_a_model_with_other_noise_levels(host, demo):
    (model,) = host.call("ModelSamplingDiscrete", model=demo.model, sampling="eps", zsnr=True)
    with pytest.raises(ValueError, match="other noise levels"):
        host.call("InvSRScheduler", model=model, steps=1, timesteps="")


@pytest.mark.parametrize("name", ["SDXL", "SD3", "Flux"])
def test_a_model_on_other_latents(host, demo, small, name):
    import comfy.latent_formats

    model = demo.model.clone()
    model.add_object_patch("latent_format", getattr(comfy.latent_formats, name)())
    with pytest.raises(ValueError, match="works on other latents"):
        host.call("InvSRScheduler", model=model, steps=1, timesteps="")
    with pytest.raises(ValueError, match="works on other latents"):
        sample(host, demo, small, model=model)


def test_a_vae_of_sixteen_channels(host):
    import comfy.sd
    import comfy.taesd.taesd

    state = comfy.taesd.taesd.TAESD(latent_channels=16).state_dict()
    vae = comfy.sd.VAE(sd={key: torch.zeros_like(value) for key, value in state.items()})
    with pytest.raises(ValueError, match="The VAE gives 16 latent channels, InvSR needs 4"):
        host.call("InvSREncode", image=torch.rand(1, 16, 16, 3), vae=vae, pad_to=16)


@pytest.mark.parametrize(
    ("timesteps", "says"),
    [
        ("100, 200", "must fall"),
        ("200, 200", "must fall"),
        ("251", "250 or below"),
        ("200, 0", "at least 1"),
        ("fast", "whole numbers"),
        ("200.5", "whole numbers"),
        (" ".join(map(str, range(100, 0, -1))), "1 to 50"),
    ],
)
def test_timesteps_that_make_no_schedule(host, demo, timesteps, says):
    with pytest.raises(ValueError, match=says):
        host.call("InvSRScheduler", model=demo.model, steps=1, timesteps=timesteps)


@pytest.mark.parametrize(
    ("sigmas", "says"),
    [
        ([], "at least two"),
        ([0.5], "at least two"),
        ([0.3, 0.5, 0.0], "must fall"),
        ([14.6, 0.0], "published timestep 250"),
        ([float("nan"), 0.0], "must fall"),
    ],
)
def test_sigmas_that_make_no_schedule(host, demo, small, sigmas, says):
    small.sigmas = torch.tensor(sigmas)
    with pytest.raises(ValueError, match=says):
        predict(host, demo, small)
    with pytest.raises(ValueError, match=says):
        sample(host, demo, small)


def test_a_schedule_that_starts_elsewhere_than_the_noise(host, demo, small):
    (sigmas,) = host.call("InvSRScheduler", model=demo.model, steps=1, timesteps="250")
    with pytest.raises(ValueError, match="predicted for timestep 200, but sigmas start at 250"):
        sample(host, demo, small, sigmas=sigmas)
    (others,) = host.call("RandomNoise", noise_seed=1)
    sample(host, demo, small, sigmas=sigmas, start_noise=others)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_image_with_values_that_are_no_numbers(host, demo, value):
    image = torch.rand(1, 16, 16, 3)
    image[0, 3, 4, 1] = value
    with pytest.raises(ValueError, match="image holds NaN"):
        host.call("InvSREncode", image=image, vae=demo.vae, pad_to=16)


def test_an_image_beyond_the_largest_side(host, demo):
    with pytest.raises(ValueError, match="at most 32768 px a side, got 32769x1"):
        host.call("InvSREncode", image=torch.zeros(1, 1, 32769, 3), vae=demo.vae, pad_to=16)


def test_an_empty_batch(host, demo):
    with pytest.raises(ValueError, match="at least one picture"):
        host.call("InvSREncode", image=torch.zeros(0, 16, 16, 3), vae=demo.vae, pad_to=16)


def predict(host, demo, parts, **changes):
    call = {
        "noise_predictor": demo.predictor,
        "latent": parts.latent,
        "sigmas": parts.sigmas,
        "seed": 0,
        "variation": 1.0,
    }
    return host.call("InvSRStartNoise", **{**call, **changes})


def sample(host, demo, parts, **changes):
    call = {
        "model": demo.model,
        "positive": demo.positive,
        "start_noise": parts.noise,
        "sigmas": parts.sigmas,
        "latent": parts.latent,
        "cfg": 1.0,
    }
    return host.call("InvSRPartialSampler", **{**call, **changes})


def test_guidance_without_a_negative(host, demo, small):
    with pytest.raises(ValueError, match="nothing is connected to 'negative'"):
        sample(host, demo, small, cfg=2.0)


def test_a_latent_without_lr_pixels_and_no_image(host, demo, small):
    with pytest.raises(ValueError, match="carries no LR pixels"):
        predict(host, demo, small, latent={"samples": small.latent["samples"]})


def test_an_image_input_of_the_wrong_size(host, demo, small):
    bare = {"samples": small.latent["samples"]}
    with pytest.raises(ValueError, match="image must be 48x32, twice as large as the latent"):
        predict(host, demo, small, latent=bare, image=torch.rand(1, 30, 48, 3))


def test_a_resized_latent(host, demo, small):
    (latent,) = host.call(
        "LatentUpscaleBy", samples=small.latent, upscale_method="nearest-exact", scale_by=2.0
    )
    with pytest.raises(ValueError, match=r"was resized after InvSR Encode.*expected 24x16"):
        predict(host, demo, small, latent=latent)


def test_a_repeated_latent(host, demo, small):
    (latent,) = host.call("RepeatLatentBatch", samples=small.latent, amount=2)
    with pytest.raises(ValueError, match="2 pictures but the LR pixels of 1"):
        predict(host, demo, small, latent=latent)


def test_a_latent_picked_and_then_repeated(host, demo, enlarge):
    batch = enlarge(torch.rand(3, 32, 48, 3))
    (picked,) = host.call("LatentFromBatch", samples=batch.latent, batch_index=0, length=1)
    (latent,) = host.call("RepeatLatentBatch", samples=picked, amount=2)
    with pytest.raises(ValueError, match="repeated or picked"):
        predict(host, demo, batch, latent=latent)


def test_noise_predicted_for_another_latent(host, demo, small, enlarge):
    other = enlarge(torch.rand(1, 48, 48, 3))
    with pytest.raises(ValueError, match="Connect the same latent to both nodes"):
        sample(host, demo, small, start_noise=other.noise)


def test_a_nested_latent(host, demo, small):
    import comfy.nested_tensor

    nested = comfy.nested_tensor.NestedTensor([small.latent["samples"]])
    with pytest.raises(ValueError, match="a nested one"):
        predict(host, demo, small, latent={"samples": nested})


def test_tiling_numbers_that_do_not_fit(host, demo, small):
    with pytest.raises(ValueError, match="overlap must be smaller than tile_size"):
        predict(host, demo, small, tile_size=32, overlap=32)
    with pytest.raises(ValueError, match="multiple of 16"):
        predict(host, demo, small, tile_size=20)
