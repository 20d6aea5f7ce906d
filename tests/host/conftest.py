"""A real ComfyUI in this process, on the CPU, with the pack loaded as the host loads packs."""

import asyncio
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    """Start the host once: `.nodes` is its registry, `.call(id, **inputs)` runs a node."""
    tree = os.environ.get("INVSR_TEST_HOST")
    if tree is None:
        pytest.skip("needs a ComfyUI: run scripts/test.py")
    base = tmp_path_factory.mktemp("comfyui")
    for folder in ("custom_nodes", "models/invsr", "input", "output", "user", "temp"):
        (base / folder).mkdir(parents=True)
    sys.argv = ["main.py", "--cpu", "--base-directory", str(base)]
    sys.argv += ["--use-pytorch-cross-attention", "--preview-method", "latent2rgb"]
    sys.path.insert(0, tree)
    import comfy.options

    comfy.options.enable_args_parsing()
    import nodes

    asyncio.run(nodes.load_custom_node(str(ROOT)))
    for extra in ("nodes_custom_sampler", "nodes_model_advanced", "nodes_mask"):
        path = Path(tree) / "comfy_extras" / f"{extra}.py"
        asyncio.run(nodes.load_custom_node(str(path), module_parent="comfy_extras"))
    return SimpleNamespace(base=base, nodes=nodes.NODE_CLASS_MAPPINGS, call=_caller(nodes))


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
    prefix = host.nodes["InvSREncode"].__module__.removesuffix(".nodes.encode")
    return lambda name: sys.modules[f"{prefix}.{name}"]


@pytest.fixture(scope="session")
def demo(host):
    """The demo models: `.model`, `.vae`, `.positive`, `.predictor`."""
    model, vae, positive, predictor = host.call("InvSRDemoModels")
    return SimpleNamespace(model=model, vae=vae, positive=positive, predictor=predictor)


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
