"""TOML files: what ships is the published run; what is wrong is named."""

from pathlib import Path

import pytest

from invsr_core.training import configs_folder
from invsr_core.training.config import TrainingConfig, load_config

SHIPPED = sorted(configs_folder().glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_shipped_configurations_are_valid(path: Path):
    config = load_config(path)
    assert config.data.folders
    config.data.microbatches(1)


def test_the_published_run_is_the_defaults():
    published, default = load_config(configs_folder() / "published.toml"), TrainingConfig()
    assert published.data.microbatches(4) == 1
    for section in ("optimizer", "discriminator", "base"):
        assert getattr(published, section) == getattr(default, section)
    assert published.loss.start_timesteps == (250, 200, 150, 100)
    assert (published.loss.latent_l2, published.loss.latent_lpips) == (1.0, 2.0)
    assert (published.loss.adversarial, published.loss.adversarial_from) == (0.1, 10_000)
    assert (published.run.iterations, published.optimizer.lr) == (100_000, 5e-5)
    assert (published.data.batch, published.data.pool, published.data.crop) == (64, 10, 512)


def test_the_paper_s_ablations_ship():
    names = {path.stem for path in SHIPPED}
    assert {"ablation_l2", "ablation_l2_lpips", "ablation_l2_gan", "sd20", "intermediate"} <= names
    alone = load_config(configs_folder() / "ablation_l2.toml").loss
    assert (alone.latent_lpips, alone.adversarial) == (0.0, 0.0)
    assert load_config(configs_folder() / "intermediate.toml").loss.intermediate


WRONG = {
    "[loss]\nlatent_lpip = 1.0": r"unknown key 'loss\.latent_lpip'. Did you mean 'latent_lpips'\?",
    "[optimiser]\nlr = 1.0": r"unknown key 'optimiser'. Did you mean 'optimizer'\?",
    "[predictor.sizes]\ntemb = 3": r"'predictor\.sizes\.temb'. Did you mean 'temb_channels'\?",
    "[run]\niterations = 'many'": r"'run\.iterations' must be int, got 'many'",
    "[data]\nfolders = 'one'": r"'data\.folders' must be a list, got 'one'",
    "[run]\nprecision = 'fp8'": "precision must be one of bf16, fp16, fp32, got 'fp8'",
    "[data]\ncrop = 500": "crop must be a multiple of 64, got 500",
    "[data]\ndegradation = 'none'": "degradation must be one of training, imagenet-test",
    "[base]\nform = 'onnx'": "form must be one of diffusers, single_file, demo, got 'onnx'",
    "[loss]\nstart_timesteps = [400]": "timesteps must start at 250 or below, got 400",
    "[loss]\nlatent_l2 = 0": "Nothing would be learned at first: set latent_l2 above 0",
    "[run": r"config\.toml: ",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_in_a_file_is_named(text: str, tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=WRONG[text]):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"none\.toml cannot be read \(No such file"):
        load_config(tmp_path / "none.toml")
