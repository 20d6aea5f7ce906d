"""The three commands from end to end, and errors in one line."""

import pytest
import torch

from invsr_core import load_predictor
from invsr_core.training import configs_folder
from invsr_core.training.__main__ import main
from invsr_core.training.data import read_image


def test_train_follows_the_demo_configuration(tmp_path, pictures, monkeypatch):
    text = (configs_folder() / "demo.toml").read_text()
    text = text.replace("data/my_images", str(pictures)).replace("runs/demo", str(tmp_path / "run"))
    config = tmp_path / "demo.toml"
    config.write_text(text.replace("iterations = 300", "iterations = 1"))
    assert main(["train", str(config)]) == 0
    predictor = load_predictor(tmp_path / "run" / "predictor.safetensors")
    assert predictor.config.block_out_channels == (64, 128)


def test_degrade_writes_pairs_and_a_grid_the_same_each_time(tmp_path, pictures):
    for name in ("a", "b"):
        assert main(["degrade", str(pictures), str(tmp_path / name), "--size", "64", "--grid"]) == 0
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    assert len(files) == 17
    assert all(
        (tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files
    )
    assert read_image(tmp_path / "a" / "lr" / "0.png").shape == (3, 16, 16)
    assert read_image(tmp_path / "a" / "hr" / "0.png").shape == (3, 64, 64)
    assert read_image(tmp_path / "a" / "grid.png").shape == (3, 4 * 64, 2 * 128)


def test_degrade_skips_bad_files_and_names_a_wrong_setting(tmp_path, pictures, caplog):
    (pictures / "bad.png").write_text("no picture")
    assert main(["degrade", str(pictures), str(tmp_path / "out"), "--size", "64"]) == 0
    assert "Skipped: bad.png cannot be read" in caplog.text
    assert main(["degrade", str(pictures), str(tmp_path / "out"), "--setting", "heavy"]) == 1
    assert "setting must be one of training, imagenet-test, got 'heavy'" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data]\nfolder = ['x']", "Error: config.toml: unknown key 'data.folder'"),
        ("[base]\nform = 'demo'\npath = ''", "data.folders is empty"),
        ("[base]\nform = 'single_file'\npath = 'none.safetensors'", "is not a file"),
    ],
)
def test_errors_are_said_in_one_line(tmp_path, caplog, text, message):
    config = tmp_path / "config.toml"
    config.write_text(text)
    assert main(["train", str(config)]) == 1
    assert message in caplog.text
    assert torch.is_grad_enabled()
