"""The run: resumed bit for bit, safe against full disks, kills and NaN, and what it writes."""

import json
import logging
import math
import resource
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from invsr_core import load_predictor
from invsr_core.training import checkpoint
from invsr_core.training.data import write_image
from invsr_core.training.draw import generator_for
from invsr_core.training.ema import Ema, decay_at
from invsr_core.training.initial import fresh_predictor
from invsr_core.training.loading import load_base
from invsr_core.training.loop import Trainer, make_accelerator
from invsr_core.training.report import LossReport, read_losses


def trainer(config) -> Trainer:
    return Trainer(config, load_base(config.base), make_accelerator(config))


def everything(made: Trainer) -> dict[str, torch.Tensor]:
    """All that a run carries on: weights, optimizers, average, pool and counters."""
    state = made.updater
    parts = {
        "predictor": state.predictor.state_dict(),
        "discriminator": state.discriminator.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "critic": state.critic.state_dict(),
        "ema": state.ema.state_dict(),
        "pool": state.pool.state_dict(),
        "counters": {"iteration": state.iteration, "skipped": state.skipped},
    }
    return flat(parts)


def flat(tree, name: str = "") -> dict[str, torch.Tensor]:
    if isinstance(tree, dict | list | tuple):
        pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {key: leaf for k, value in pairs for key, leaf in flat(value, f"{name}/{k}").items()}
    return {name: tree if isinstance(tree, torch.Tensor) else torch.tensor(float(tree or 0))}


def test_an_interrupted_run_goes_on_bit_for_bit(make_config, tmp_path):
    """Four updates at once equal two, a kill, and two more; the discriminator joins in between."""
    sections = {"data": {"batch": 4, "microbatch": 2}, "loss": {"adversarial_from": 3}}
    whole = trainer(
        make_config(**sections, run={"output": str(tmp_path / "whole"), "iterations": 4})
    )
    whole.run()

    run = {"output": str(tmp_path / "parts"), "save_every": 2}
    first = trainer(make_config(**sections, run={**run, "iterations": 4}))
    crops = first._crops()
    for _ in range(2):
        first.updater.update(crops)
    first.save()
    first.updater.update(crops)  # lost: the process is killed before the next checkpoint
    del first, crops

    second = trainer(make_config(**sections, run={**run, "iterations": 4}))
    assert second.updater.iteration == 2
    second.run()
    expected, found = everything(whole), everything(second)
    assert expected.keys() == found.keys()
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    files = [tmp_path / name / "predictor.safetensors" for name in ("whole", "parts")]
    once, resumed = map(load_file, files)
    assert all(torch.equal(once[key], resumed[key]) for key in once)


def test_a_run_writes_what_the_pack_loads_with_its_facts(make_config, picture, tmp_path):
    config = make_config(
        run={"iterations": 2, "save_every": 1, "keep": 1},
        validation={"lr_folder": str(tmp_path / "lr"), "count": 1, "pad_to": 16},
    )
    (tmp_path / "lr").mkdir()
    write_image(picture(1, 20, 24), tmp_path / "lr" / "a.png")
    path = trainer(config).run()
    predictor = load_predictor(path)
    assert predictor(torch.rand(1, 3, 16, 32), 199).mean.shape == (1, 4, 8, 16)
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["invsr_training"])
    assert facts["iterations"] == 2 and facts["images"] == 8 and facts["base"] == "demo"
    folder = tmp_path / "run"
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["00000002"]
    assert [row["iteration"] for row in read_losses(folder / "losses.csv")] == [1, 2]
    assert len(list((folder / "validation").glob("*.png"))) == 2


def test_bf16_computes_in_half_precision_and_learns_in_full(make_config):
    made = trainer(make_config(run={"precision": "bf16"}, loss={"adversarial_from": 0}))
    losses = made.updater.update(made._crops())
    assert made.updater.base.unet.dtype == torch.bfloat16
    assert {p.dtype for p in made.updater.predictor.parameters()} == {torch.float32}
    assert all(loss.isfinite() for loss in losses.values()) and made.updater.skipped == 0


def test_fine_tuning_starts_from_a_pth_in_the_released_layout(make_config, tmp_path):
    """The released file is a bare state dict; training checkpoints wrap and prefix it."""
    from invsr_core import PredictorConfig

    start = fresh_predictor(PredictorConfig(), generator_for("cpu", "released"))
    path = tmp_path / "noise_predictor_sd_turbo_v5.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in start.state_dict().items()}}, path)
    config = make_config(predictor={"start": str(path)}, loss={"adversarial": 0.0})
    made = trainer(config)
    for mine, theirs in zip(made.updater.predictor.parameters(), start.parameters(), strict=True):
        assert torch.equal(mine, theirs) and mine.requires_grad
    before = made.updater.predictor.encoder.conv_out.weight.clone()
    losses = made.updater.update(made._crops())
    assert math.isfinite(float(losses["latent_l2"]))
    assert not torch.equal(made.updater.predictor.encoder.conv_out.weight, before)


def test_updates_that_are_not_finite_are_skipped_and_counted(make_config):
    made = trainer(make_config(loss={"adversarial_from": 0}))
    crops = made._crops()
    made.updater.update(crops)
    before = {key: value.clone() for key, value in made.updater.predictor.state_dict().items()}
    encode = made.updater.base.encode
    made.updater.base.encode = lambda images, generator: encode(images, generator) * math.nan
    made.updater.update(crops)
    made.updater.base.encode = encode
    assert made.updater.skipped == 1 and made.updater.iteration == 2
    after = made.updater.predictor.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    judge = made.updater.discriminator.state_dict().values()
    assert all(value.isfinite().all() for value in judge)


def test_a_run_gives_up_after_many_such_updates_in_a_row(make_config):
    made = trainer(make_config(run={"max_skipped": 2, "iterations": 10}, data={"pool": 0}))
    made.updater.base.denoise = lambda x, timesteps: x * math.inf
    with pytest.raises(ValueError, match=r"2 updates in a row were not finite.*latent_l2"):
        made.run()
    assert all(value.isfinite().all() for value in made.updater.predictor.parameters())


def test_a_full_disk_leaves_the_previous_checkpoint_whole(make_config, caplog):
    """The limit on file size makes the kernel refuse the write, as a full disk does."""
    made = trainer(make_config(run={"iterations": 4}))
    crops = made._crops()
    made.updater.update(crops)
    made.save()
    made.updater.update(crops)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        made.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    folder = made._checkpoints
    assert [path.name for path in folder.iterdir()] == ["00000001"]
    assert "Checkpoint 2 could not be saved" in caplog.text
    assert "checkpoint 00000001 is whole" in caplog.text
    made.save()
    assert checkpoint.latest_checkpoint(folder).name == "00000002"


def test_a_kill_while_saving_leaves_the_previous_checkpoint_whole(make_config, monkeypatch):
    made = trainer(make_config(run={"iterations": 4}))
    crops = made._crops()
    made.updater.update(crops)
    made.save()
    made.updater.update(crops)

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(made, "_write_predictor", killed)
    with pytest.raises(KeyboardInterrupt):
        made.save()
    monkeypatch.undo()
    again = trainer(make_config(run={"iterations": 4}))
    assert again.updater.iteration == 1
    again.updater.update(again._crops())
    again.save()
    assert sorted(path.name for path in again._checkpoints.iterdir()) == ["00000001", "00000002"]


def test_a_run_with_other_data_is_not_resumed(make_config):
    made = trainer(make_config())
    made.updater.update(made._crops())
    made.save()
    with pytest.raises(ValueError, match="holds a run with another seed, batch"):
        trainer(make_config(run={"seed": 7}, data={"batch": 4}))


def test_a_batch_that_processes_cannot_share_is_refused(make_config):
    with pytest.raises(ValueError, match="batch 3 does not divide by 1 processes times"):
        trainer(make_config(data={"batch": 3}))


def test_the_missing_latent_lpips_is_said_in_one_line(make_config, caplog):
    with caplog.at_level(logging.WARNING):
        trainer(make_config(loss={"latent_lpips": 2.0}))
    said = [record for record in caplog.records if "latent LPIPS loss is off" in record.message]
    assert len(said) == 1


def test_latent_lpips_weights_that_are_not_there_are_named(make_config):
    with pytest.raises(ValueError, match=r"latent_lpips_file 'none\.pth' is not there"):
        trainer(make_config(loss={"latent_lpips": 2.0, "latent_lpips_file": "none.pth"}))


def test_the_learning_rate_rises_from_the_first_update_on(make_config):
    options = make_config(optimizer={"lr": 1.0, "warmup": 4}).optimizer
    assert [options.lr_at(i) for i in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_the_average_follows_the_published_decay():
    assert [decay_at(n) for n in (1, 10)] == [2 / 11, 11 / 20]
    assert decay_at(100_000) == 0.999
    network = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1.0)
        average = Ema(network)
        network.weight.fill_(2.0)
        average.update(network)
        average.copy_to(network)
    assert network.weight.item() == pytest.approx(2.0 - 2 / 11)


def test_losses_after_the_checkpoint_are_dropped_on_resume(tmp_path):
    report = LossReport(tmp_path, iteration=0)
    for iteration in range(1, 5):
        report.add(iteration, {"latent_l2": 1.0 / iteration})
    report.add(5, {"latent_l2": 0.1, "adversarial": -0.5})
    again = LossReport(tmp_path, iteration=2)
    again.add(3, {"latent_l2": 0.3})
    assert read_losses(tmp_path / "losses.csv") == [
        {"iteration": 1, "latent_l2": 1.0},
        {"iteration": 2, "latent_l2": 0.5},
        {"iteration": 3, "latent_l2": 0.3},
    ]


def test_losses_are_plotted(tmp_path):
    pytest.importorskip("matplotlib")
    report = LossReport(tmp_path, iteration=0)
    report.add(1, {"latent_l2": 1.0})
    report.add(2, {"latent_l2": 0.5, "adversarial": 0.1})
    report.plot()
    assert (tmp_path / "losses.png").stat().st_size > 5000
