"""A real ComfyUI in this process, on the CPU, with the pack loaded as the host loads packs."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

ROOT = Path(__file__).parent.parent.parent
EXTRAS = ("nodes_custom_sampler", "nodes_model_advanced", "nodes_mask")


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    """Start the host once: `.nodes` is its registry, `.call(id, **inputs)` runs a node."""
    tree = os.environ.get("INVSR_TEST_HOST")
    if tree is None:
        pytest.skip("needs a ComfyUI: run scripts/test.py")
    sys.path.append(str(ROOT / "scripts"))
    from in_process import boot, module_of_pack

    base = tmp_path_factory.mktemp("comfyui")
    nodes = boot(Path(tree), base, "--cpu", "--preview-method", "latent2rgb", extras=EXTRAS)
    return SimpleNamespace(
        base=base,
        nodes=nodes.NODE_CLASS_MAPPINGS,
        call=_caller(nodes),
        module=lambda name: module_of_pack(nodes, name),
    )


def _caller(nodes):
    def call(node_id, **inputs):
        node = nodes.NODE_CLASS_MAPPINGS[node_id]
        with torch.inference_mode():
            if hasattr(node, "define_schema"):
                return node.execute(**inputs).result
            return getattr(node(), node.FUNCTION)(**inputs)

    return call


@pytest.fixture(scope="session")
def pack(host):
    """The pack's own modules, as the host imported them."""
    return host.module


@pytest.fixture(scope="session")
def demo(host):
    """The demo models: `.model`, `.vae`, `.positive`, `.predictor`."""
    model, vae, positive, predictor = host.call("InvSRDemoModels")
    return SimpleNamespace(model=model, vae=vae, positive=positive, predictor=predictor)


@pytest.fixture(scope="session")
def one_stop(host, demo):
    """Run a one-stop node on the demo models, with its schema's defaults for what is not given."""

    def run(node_id, **inputs):
        schema = host.nodes[node_id].define_schema()
        defaults = {
            i.id: i.default for i in schema.inputs if getattr(i, "default", None) is not None
        }
        models = {
            "model": demo.model,
            "vae": demo.vae,
            "positive": demo.positive,
            "noise_predictor": demo.predictor,
        }
        return host.call(node_id, **{**defaults, **models, **inputs})[0]

    return run


@pytest.fixture(scope="session")
def stock_sampler(host, demo):
    """Run the host's own sampler with a model over the noise, schedule and latent of a graph."""

    def run(model, parts):
        (guider,) = host.call("BasicGuider", model=model, conditioning=demo.positive)
        (euler,) = host.call("KSamplerSelect", sampler_name="euler")
        sampled, _ = host.call(
            "SamplerCustomAdvanced",
            noise=parts.noise,
            guider=guider,
            sampler=euler,
            sigmas=parts.sigmas,
            latent_image=parts.latent,
        )
        return sampled["samples"]

    return run


@pytest.fixture(scope="session")
def enlarge(host, demo):
    """Run the separate nodes on an IMAGE with the demo models; give the parts of the graph."""

    def run(image, *, steps=1, seed=0, variation=1.0, pad_to=16, batch_index=None, **tiling):
        (latent,) = host.call("InvSREncode", image=image, vae=demo.vae, pad_to=pad_to)
        if batch_index is not None:
            latent["batch_index"] = batch_index
        (sigmas,) = host.call("InvSRScheduler", model=demo.model, steps=steps, timesteps="")
        noise, noise_map = host.call(
            "InvSRStartNoise",
            noise_predictor=demo.predictor,
            latent=latent,
            sigmas=sigmas,
            seed=seed,
            variation=variation,
            **tiling,
        )
        (sampled,) = host.call(
            "InvSRPartialSampler",
            model=demo.model,
            positive=demo.positive,
            start_noise=noise,
            sigmas=sigmas,
            latent=latent,
            cfg=1.0,
            **tiling,
        )
        (hr,) = host.call("InvSRDecode", latent=sampled, vae=demo.vae)
        return SimpleNamespace(
            latent=latent, sigmas=sigmas, noise=noise, noise_map=noise_map, sampled=sampled, hr=hr
        )

    return run


@pytest.fixture(scope="session")
def sd_turbo(host, golden, recipe):
    """SD-Turbo-sized models, weights by the golden recipe: as `demo`, and 4 GB."""
    import comfy.sd

    keys = golden("sd_turbo_keys.json")
    predictor = recipe("predictor", golden("predictor_full_keys.json"))
    save_file(predictor, host.base / "models/invsr/full.safetensors")
    (loaded,) = host.call("InvSRPredictorLoader", predictor_name="full.safetensors", dtype="fp32")
    return SimpleNamespace(
        model=comfy.sd.load_diffusion_model_state_dict(recipe("unet", keys["unet"])),
        vae=comfy.sd.VAE(sd=recipe("vae", keys["vae"])),
        positive=[[golden("e2e_sd_turbo.safetensors")["positive"], {}]],
        predictor=loaded,
    )
