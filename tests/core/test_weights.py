"""Noise predictor files: what is read from them, what is refused, and how they are written."""

import json
import os
import pickle

import pytest
import safetensors
import safetensors.torch
import torch

from invsr_core import NoisePredictor, PredictorConfig, load_predictor, save_predictor
from invsr_core.weights import canonical_keys, read_predictor

CONFIGS = {
    "two blocks": PredictorConfig(
        block_out_channels=(16, 32),
        layers_per_block=(1, 1),
        temb_channels=24,
        sinusoid_channels=32,
        norm_num_groups=8,
        attention_head_dim=8,
    ),
    "one deep block": PredictorConfig(
        block_out_channels=(24,),
        layers_per_block=(3,),
        temb_channels=16,
        sinusoid_channels=8,
        norm_num_groups=4,
        attention_head_dim=12,
    ),
    "three uneven blocks": PredictorConfig(
        block_out_channels=(8, 16, 16),
        layers_per_block=(2, 1, 3),
        temb_channels=32,
        sinusoid_channels=16,
        norm_num_groups=2,
        attention_head_dim=4,
    ),
    "other channels": PredictorConfig(
        in_channels=4,
        latent_channels=16,
        block_out_channels=(16, 16),
        layers_per_block=(1, 2),
        temb_channels=16,
        sinusoid_channels=16,
        norm_num_groups=16,
        attention_head_dim=16,
    ),
}
PUBLISHED_GROUPS = PredictorConfig(
    block_out_channels=(64, 128), layers_per_block=(1, 1), temb_channels=32, sinusoid_channels=32
)
"""A small network whose groups and heads are the published ones, so files need not state them."""


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    return NoisePredictor(PUBLISHED_GROUPS).eval()


@pytest.fixture(scope="module")
def state(published):
    return published.state_dict()


def assert_same_network(found, expected):
    assert found.config == expected.config
    assert_same_tensors(found.state_dict(), expected.state_dict())


def assert_same_tensors(found, expected):
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, rtol=0, atol=0)


class Payload:
    """Pickles to a call that creates a folder when the pickle is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_saved_network_is_read_back_the_same(config, tmp_path):
    predictor = NoisePredictor(config)
    save_predictor(predictor, tmp_path / "net.safetensors")
    assert_same_network(load_predictor(tmp_path / "net.safetensors"), predictor)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_configuration_is_detected_from_tensors_alone_given_groups_and_heads(config):
    state = NoisePredictor(config, device="meta").state_dict()
    detected = PredictorConfig.from_state_dict(
        state,
        norm_num_groups=config.norm_num_groups,
        attention_head_dim=config.attention_head_dim,
    )
    assert detected == config


def test_the_published_configuration_is_detected(golden):
    shapes = golden("predictor_full_keys.json")
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    assert PredictorConfig.from_state_dict(state) == PredictorConfig()


def test_a_loaded_network_is_in_eval_mode_on_the_cpu_and_in_the_files_dtype(published, tmp_path):
    half = NoisePredictor(PUBLISHED_GROUPS).bfloat16()
    save_predictor(half, tmp_path / "half.safetensors")
    loaded = load_predictor(tmp_path / "half.safetensors")
    assert not loaded.training
    assert {(p.dtype, p.device.type) for p in loaded.parameters()} == {(torch.bfloat16, "cpu")}


def test_the_metadata_carry_groups_and_heads_beside_the_callers_facts(tmp_path):
    path = tmp_path / "net.safetensors"
    save_predictor(NoisePredictor(CONFIGS["two blocks"]), path, {"trained_steps": "12"})
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    config = json.loads(metadata["invsr_config"])
    assert (config["norm_num_groups"], config["attention_head_dim"]) == (8, 8)
    assert metadata["trained_steps"] == "12"


def test_memory_layout_does_not_change_a_file(published, state, tmp_path):
    save_predictor(published, tmp_path / "plain.safetensors")
    last = NoisePredictor(PUBLISHED_GROUPS).to(memory_format=torch.channels_last)
    last.load_state_dict(state)
    save_predictor(last, tmp_path / "last.safetensors")
    plain, other = (tmp_path / name for name in ("plain.safetensors", "last.safetensors"))
    assert plain.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_wrapper_prefixes_are_stripped(prefix, published, state, tmp_path):
    torch.save({prefix + key: tensor for key, tensor in state.items()}, tmp_path / "ema.pth")
    assert_same_network(load_predictor(tmp_path / "ema.pth"), published)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_training_checkpoint_gives_its_predictor(prefix, published, state, tmp_path):
    checkpoint = {
        "iters_start": 5000,
        "log_step": {"train": 1},
        "amp_scaler": {"scale": 65536.0},
        "state_dict_dis": {"conv_in.weight": torch.zeros(4)},
        "state_dict": {prefix + key: tensor for key, tensor in state.items()},
    }
    torch.save(checkpoint, tmp_path / "model_5000.pth")
    assert_same_network(load_predictor(tmp_path / "model_5000.pth"), published)


def test_pth_and_safetensors_of_the_same_tensors_are_equal(state, tmp_path):
    torch.save(state, tmp_path / "net.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(state, tmp_path / "net.safetensors")
    config, tensors = read_predictor(tmp_path / "net.safetensors")
    for name in ("net.pth", "old.pth"):
        other_config, other_tensors = read_predictor(tmp_path / name)
        assert other_config == config
        assert_same_tensors(other_tensors, tensors)


def test_tensors_a_file_holds_beyond_the_networks_are_left_out(published, state, tmp_path):
    torch.save({**state, "encoder.unused.weight": torch.zeros(2)}, tmp_path / "more.pth")
    assert_same_network(load_predictor(tmp_path / "more.pth"), published)


def test_canonical_keys_are_left_as_they_are(state):
    assert canonical_keys(canonical_keys(state)) == canonical_keys(state) == dict(state)


def save_plainly(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("save", [torch.save, save_plainly])
def test_a_malicious_pickle_is_refused_and_does_not_run(save, state, tmp_path):
    created = tmp_path / "created by the payload"
    save({**state, "extra": Payload(created)}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth is damaged or holds more than tensors"):
        load_predictor(tmp_path / "evil.pth")
    assert not created.exists()


def test_the_malicious_pickle_of_these_tests_would_run_if_it_were_let(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "created")))
    assert (tmp_path / "created").exists()


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.99])
@pytest.mark.parametrize("name", ["net.safetensors", "net.sft", "net.pth", "old.pth"])
def test_a_truncated_file_is_refused_by_name(name, kept, state, tmp_path):
    path = tmp_path / name
    if name.endswith(".pth"):
        torch.save(state, path, _use_new_zipfile_serialization=name == "net.pth")
    else:
        safetensors.torch.save_file(state, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(len(whole) * kept)])
    with pytest.raises(ValueError, match=rf"{name} is damaged.*Download it again"):
        load_predictor(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt", ""])
@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html><head><title>404</title></head></html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 135\n",
        b"a quick note to myself",
        b"Entry not found",
        b"\n",
    ],
    ids=["web page", "git lfs pointer", "note", "not found", "blank line"],
)
def test_a_text_file_is_refused_by_name(content, suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"net{suffix} is damaged"):
        load_predictor(path)


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_are_refused_by_name(seed, tmp_path):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(256, (40,), generator=generator, dtype=torch.uint8)
    (tmp_path / "net.pth").write_bytes(bytes(noise.tolist()))
    with pytest.raises(ValueError, match=r"net\.pth is damaged"):
        load_predictor(tmp_path / "net.pth")


@pytest.mark.parametrize("name", ["gone.pth", "gone.safetensors"])
def test_a_file_that_is_not_there_is_not_called_damaged(name, tmp_path):
    with pytest.raises(FileNotFoundError):
        load_predictor(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([torch.zeros(2)], "holds a list, expected a dictionary"),
        (torch.zeros(2), "holds a Tensor, expected a dictionary"),
        ({}, r"found 0 others \(first: 'none'\)"),
        ({"model.diffusion_model.x": torch.zeros(2)}, r"'model\.diffusion_model\.x'"),
        ({"state": {0: {"step": 1}}, "param_groups": []}, "expected the key 'encoder"),
        ({0: torch.zeros(2)}, "expected the key 'encoder"),
        ({"state_dict": {1: torch.zeros(2)}}, "expected the key 'encoder"),
        ({"encoder.time_embedding.linear_1.weight": 3}, "expected the key 'encoder"),
    ],
    ids=["list", "tensor", "empty", "unet", "optimizer", "numbers", "inner numbers", "number"],
)
def test_a_file_of_something_else_is_refused_by_name(content, complaint, tmp_path):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=rf"other\.pth.*not an InvSR noise predictor.*{complaint}"):
        load_predictor(tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("key", "shape", "complaint"),
    [
        ("encoder.conv_in.weight", (64, 3), "expected 4 dimensions"),
        ("encoder.conv_in.bias", (63,), r"shape \[63\], expected \[64\]"),
        ("encoder.mid_block.attentions.0.to_q.weight", (128, 64), r"expected \[128, 128\]"),
        ("encoder.conv_out.weight", (8, 64, 3, 3), r"expected \[8, 128, 3, 3\]"),
    ],
)
def test_a_tensor_of_the_wrong_shape_is_refused_by_name(key, shape, complaint, state, tmp_path):
    torch.save({**state, key: torch.zeros(shape)}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=rf"net\.pth.*'{key}'.*{complaint}"):
        load_predictor(tmp_path / "net.pth")


def test_missing_tensors_are_counted_and_the_first_is_named(state, tmp_path):
    part = {key: tensor for key, tensor in state.items() if "mid_block.resnets.1" not in key}
    torch.save(part, tmp_path / "net.pth")
    complaint = r"10 of \d+ tensors are missing \(first: 'encoder\.mid_block\.resnets\.1\.norm1"
    with pytest.raises(ValueError, match=complaint):
        load_predictor(tmp_path / "net.pth")


@pytest.mark.parametrize("key", ["encoder.conv_in.weight", "encoder.conv_out.weight"])
def test_a_missing_tensor_that_tells_a_size_is_named(key, state, tmp_path):
    torch.save({k: tensor for k, tensor in state.items() if k != key}, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=f"expected the key '{key}'"):
        load_predictor(tmp_path / "net.pth")


def test_channels_the_published_groups_do_not_divide_point_to_the_metadata(tmp_path):
    state = NoisePredictor(CONFIGS["two blocks"]).state_dict()
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"net\.pth.*State both in the file's metadata"):
        load_predictor(tmp_path / "net.pth")


def test_a_failed_save_leaves_the_older_file_and_no_partial_one(published, tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    save_predictor(published, path)
    before = path.read_bytes()

    def full_disk(state, path, metadata):
        path.write_bytes(b"half a file")
        raise OSError("No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_predictor(NoisePredictor(CONFIGS["two blocks"]), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_replaces_the_older_file_whole(published, tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"something else")
    save_predictor(published, path)
    assert_same_network(load_predictor(path), published)
    assert list(tmp_path.iterdir()) == [path]
