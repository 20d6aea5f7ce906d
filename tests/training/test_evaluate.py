"""Evaluation on generated pairs: luma metrics against scikit-image, tables, missing weights."""

import csv
import sys

import numpy as np
import pytest
import torch

from invsr_core import PredictorConfig, save_predictor
from invsr_core.training.__main__ import main
from invsr_core.training.data import read_image
from invsr_core.training.draw import generator_for
from invsr_core.training.evaluate import read_pairs
from invsr_core.training.initial import fresh_predictor
from invsr_core.training.metrics import METRICS, available_metrics, cropped_alike, psnr_y, ssim_y
from invsr_core.training.tables import PAPER_STEPS, PRESETS, parse_presets

TINY = PredictorConfig(
    block_out_channels=(16, 32),
    layers_per_block=(1, 1),
    temb_channels=32,
    sinusoid_channels=32,
    norm_num_groups=8,
    attention_head_dim=8,
)


@pytest.fixture
def pair(picture):
    hr = picture(3, 61, 47)
    noise = torch.randn(hr.shape, generator=generator_for("cpu", "noise")) * 0.05
    return [(image.clamp(0, 1) * 255).round()[None] / 255 for image in (hr + noise, hr)]


def skimage_luma(image: torch.Tensor) -> np.ndarray:
    from skimage.color import rgb2ycbcr

    return rgb2ycbcr(image[0].permute(1, 2, 0).double().numpy())[..., 0]


def test_psnr_equals_scikit_image_on_luma(pair):
    metrics = pytest.importorskip("skimage.metrics")
    expected = metrics.peak_signal_noise_ratio(*map(skimage_luma, pair[::-1]), data_range=255)
    assert psnr_y(*pair) == pytest.approx(expected, abs=1e-5)


def test_ssim_equals_scikit_image_on_luma(pair):
    metrics = pytest.importorskip("skimage.metrics")
    expected = metrics.structural_similarity(
        *map(skimage_luma, pair),
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim_y(*pair) == pytest.approx(expected, abs=1e-6)


def test_images_of_other_sizes_are_compared_where_they_overlap():
    a, b = cropped_alike(torch.zeros(1, 3, 8, 5), torch.ones(1, 3, 6, 9))
    assert a.shape == b.shape == (1, 3, 6, 5)


def test_missing_metrics_are_named_and_not_fatal(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    found = available_metrics(with_hr=True, device="cpu")
    assert [metric.title for metric in found] == ["PSNR", "SSIM"]
    for metric in METRICS[2:]:
        assert f"{metric.title} is left out: it could not be loaded" in caplog.text


def test_the_paper_s_presets_are_the_default():
    assert parse_presets([]) == PRESETS and len(PRESETS) == 8
    assert parse_presets(["200", "200,100,50"]) == ((200,), (200, 100, 50))
    assert PAPER_STEPS[5].timesteps == (200,) and PAPER_STEPS[5].values["PSNR"] == 24.14
    with pytest.raises(ValueError, match="must look like 200,100,50, got 'five'"):
        parse_presets(["five"])


@pytest.fixture
def evaluated(tmp_path, pictures, monkeypatch):
    """Degrade the pictures, then evaluate an untrained predictor on them: the output folder."""
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    pairs = tmp_path / "pairs"
    assert main(["degrade", str(pictures), str(pairs), "--size", "64", "--count", "2"]) == 0
    predictor = tmp_path / "mine.safetensors"
    save_predictor(fresh_predictor(TINY, generator_for("cpu", "mine")), predictor)
    config = tmp_path / "config.toml"
    config.write_text('[base]\nform = "demo"\npath = ""\n')

    def run(*extra: str) -> int:
        common = ["evaluate", str(config), "--predictor", str(predictor), "--pad-to", "16"]
        folders = ["--lr", str(pairs / "lr"), "--output", str(tmp_path / "out")]
        return main([*common, *folders, "--device", "cpu", *extra])

    return run, pairs, tmp_path / "out"


def test_a_folder_of_pairs_gives_a_table_beside_the_paper_s(evaluated, capsys):
    run, pairs, out = evaluated
    assert run("--hr", str(pairs / "hr"), "--timesteps", "200", "200,100,50") == 0
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["timesteps"] for row in rows[:2]] == ["200", "200, 100, 50"]
    assert [row["method"] for row in rows[2:]] == ["InvSR (paper)"] * (len(rows) - 2)
    images = [read_image(out / "200" / f"{name}.png")[None] for name in (0, 1)]
    hr = [read_image(pairs / "hr" / f"{name}.png")[None] for name in (0, 1)]
    expected = sum(map(psnr_y, images, hr)) / 2
    assert float(rows[0]["PSNR"]) == pytest.approx(expected, abs=1e-6)
    table = capsys.readouterr().out
    assert "| mine | lr | 200 |" in table
    assert "24.14" in table and "72.2909" in table
    assert (out / "results.md").read_text() == table


def test_lr_images_alone_are_restored_at_four_times_their_size(evaluated):
    run, _, out = evaluated
    assert run("--timesteps", "250", "--count", "1") == 0
    assert read_image(out / "250" / "0.png").shape == (3, 64, 64)


def test_the_table_is_drawn(evaluated):
    pytest.importorskip("matplotlib")
    run, _, out = evaluated
    assert run("--timesteps", "200", "--count", "1") == 0
    assert (out / "results.png").stat().st_size > 10_000


def test_an_lr_image_without_its_hr_image_is_named(evaluated, caplog):
    run, pairs, _ = evaluated
    (pairs / "hr" / "1.png").unlink()
    assert run("--hr", str(pairs / "hr")) == 1
    assert "Error: 1.png has no HR image of that name" in caplog.text


def test_unreadable_pairs_are_skipped(evaluated, caplog):
    _, pairs, _ = evaluated
    (pairs / "lr" / "1.png").write_text("no picture")
    assert [pair.name for pair in read_pairs(pairs / "lr", pairs / "hr", 0)] == ["0"]
    assert "Skipped: 1.png cannot be read" in caplog.text
