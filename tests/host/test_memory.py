"""The predictor under the host's memory manager: precision, partial loading, eviction, Cancel."""

import gc
import weakref

import pytest
import torch
from safetensors.torch import save_file

# Largest allowed distance from float32, relative to the largest value.
TOLERANCE = {"fp32": 0.0, "fp16": 2e-2, "bf16": 8e-2}


@pytest.fixture
def predictor_file(host, golden, recipe, tmp_path):
    """A predictor of the published size, by recipe, in the model folder."""
    path = host.base / "models/invsr/published.safetensors"
    save_file(recipe("predictor", golden("predictor_full_keys.json")), path)
    return path.name


@pytest.fixture
def lr():
    return torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def expected(predictor_file, lr, host):
    from invsr_core.weights import load_predictor

    with torch.inference_mode():
        return load_predictor(host.base / "models/invsr" / predictor_file)(lr, 199).mean


def predict(predictor, lr):
    with torch.inference_mode():
        predictor.load(1, *lr.shape[-2:])
        return predictor(lr, 199).mean


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_each_precision_is_finite_and_near_float32(
    host, predictor_file, lr, expected, relative_error, dtype
):
    (predictor,) = host.call("InvSRPredictorLoader", predictor_name=predictor_file, dtype=dtype)
    mean = predict(predictor, lr)
    assert mean.dtype == torch.float32
    assert relative_error(mean, expected) <= TOLERANCE[dtype]


def test_partly_loaded_it_gives_the_same_output(host, predictor_file, lr, expected):
    (predictor,) = host.call("InvSRPredictorLoader", predictor_name=predictor_file, dtype="fp32")
    patcher = predictor.patcher
    with torch.inference_mode():
        patcher.load(patcher.load_device, lowvram_model_memory=patcher.model_size() // 2)
        assert patcher.model.model_lowvram
        assert 0 < patcher.loaded_size() < patcher.model_size()
        casting = [m for m in patcher.model.modules() if getattr(m, "comfy_cast_weights", False)]
        assert casting
        assert torch.equal(predictor(lr, 199).mean, expected)


def test_every_layer_with_parameters_is_the_hosts(host, predictor_file):
    (predictor,) = host.call("InvSRPredictorLoader", predictor_name=predictor_file, dtype="auto")
    for name, module in predictor.patcher.model.named_modules():
        if list(module.parameters(recurse=False)):
            assert hasattr(module, "comfy_cast_weights"), name


def test_the_host_can_evict_it(host, predictor_file, lr):
    import comfy.model_management as manager

    (predictor,) = host.call("InvSRPredictorLoader", predictor_name=predictor_file, dtype="fp32")
    first = predict(predictor, lr)
    assert any(loaded.model is predictor.patcher for loaded in manager.current_loaded_models)
    manager.unload_all_models()
    assert not any(loaded.model is predictor.patcher for loaded in manager.current_loaded_models)
    assert torch.equal(predict(predictor, lr), first)
    gone = weakref.ref(predictor.patcher.model)
    manager.unload_all_models()
    del predictor
    gc.collect()
    assert gone() is None


def test_cancel_is_noticed_inside_the_network(host, predictor_file, lr):
    import comfy.model_management as manager

    (predictor,) = host.call("InvSRPredictorLoader", predictor_name=predictor_file, dtype="fp32")
    finished = []
    handle = predictor.patcher.model.encoder.mid_block.register_forward_hook(
        lambda *_: finished.append(True)
    )
    manager.interrupt_current_processing(True)
    with pytest.raises(manager.InterruptProcessingException):
        predict(predictor, lr)
    handle.remove()
    assert not finished


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_on_cuda_the_precisions_stay_near_float32(predictor_file, lr, expected, dtype, host):
    from invsr_core.weights import load_predictor

    kind = {"fp16": torch.float16, "bf16": torch.bfloat16}[dtype]
    network = load_predictor(host.base / "models/invsr" / predictor_file).to("cuda", kind)
    with torch.inference_mode():
        mean = network(lr.to("cuda", kind), 199).mean.cpu()
    assert torch.isfinite(mean).all()
    assert float((mean - expected).abs().max() / expected.abs().max()) < TOLERANCE[dtype]
