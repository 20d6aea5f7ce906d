"""The training run: the step under accelerate, on one or more processes, until it is done.

Everything random depends on the seed and a counter, so a run is resumed by its counter. What has
a memory (weights, optimizers, average, scaler, pairs) is in the checkpoint.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list, gather_object
from torch import Tensor, nn
from tqdm import tqdm

from ..predictor import NoisePredictor
from ..schedule import published_timesteps
from ..weights import save_predictor
from . import checkpoint
from .base import FrozenBase
from .config import TrainingConfig
from .data import CropDataset, MicrobatchSampler, find_images, load_crops, read_image, write_image
from .report import LossReport
from .restore import restore
from .update import Updater

log = logging.getLogger(__name__)

_MIXED = {"bf16": "bf16", "fp16": "fp16", "fp32": "no"}
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def make_accelerator(config: TrainingConfig) -> Accelerator:
    """Join the processes this one was launched with, in the run's precision."""
    return Accelerator(
        mixed_precision=_MIXED[config.run.precision],
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )


class Trainer:
    """One process of a run; `run` brings it to its last iteration and writes the predictor."""

    def __init__(self, config: TrainingConfig, base: FrozenBase, accelerator: Accelerator):
        self.config = config
        self._accelerator = accelerator
        self._output = Path(config.run.output)
        self._files = find_images(config.data.folders)
        if not self._files:
            raise ValueError("data.folders is empty. Name at least one folder of HR images.")
        base.to(accelerator.device, _DTYPES[config.run.precision])
        self.updater = Updater(config, base, accelerator)
        self._resume()

    def run(self) -> Path:
        """Train to the last iteration; give the path of the predictor's file."""
        crops = self._crops()
        report = LossReport(self._output, iteration=self._iteration) if self._is_main else None
        with self._progress_bar() as bar:
            while self._iteration < self.config.run.iterations:
                losses = self.updater.update(crops)
                bar.update()
                self._tell(report, losses)
                if self._is_due(self.config.run.save_every):
                    self.save()
                    self._show(report)
        return self._finish(report)

    def save(self) -> None:
        """Write a checkpoint of everything, or leave the previous one whole and say why."""
        folder, partial = (
            self._checkpoints,
            checkpoint.partial_of(self._checkpoints, self._iteration),
        )
        problem = ""
        if self._is_main:
            problem = checkpoint.attempt(lambda: checkpoint.begin(folder, self._iteration))
        self._accelerator.wait_for_everyone()
        problem = problem or checkpoint.attempt(lambda: self._write(partial))
        problems = [each for each in cast(list[str], gather_object([problem])) if each]
        if self._is_main and not problems:
            keep = self.config.run.keep
            facts = {
                "iteration": self._iteration,
                "skipped": self.updater.skipped,
                **self._fixed_facts(),
            }
            saved = checkpoint.attempt(
                lambda: checkpoint.commit(folder, self._iteration, facts, keep=keep)
            )
            problems = [saved] if saved else []
        if self._is_main and problems:
            checkpoint.abandon(folder, self._iteration, problems[0])
        self._accelerator.wait_for_everyone()

    def _write(self, folder: Path) -> None:
        self.updater.write_state(folder)
        if self._is_main:
            self._write_predictor(folder / "predictor.safetensors")

    def _resume(self) -> None:
        """Continue from the newest checkpoint in the output folder, if there is one."""
        found = [checkpoint.latest_checkpoint(self._checkpoints)]
        last = broadcast_object_list(found)[0]
        if last is None:
            return
        facts = checkpoint.read_facts(last)
        self._check_same_run(facts)
        self.updater.read_state(last, iteration=facts["iteration"], skipped=facts["skipped"])
        log.info("Resumed from checkpoint %s.", last.name)

    def _check_same_run(self, facts: dict[str, Any]) -> None:
        changed = [name for name, value in self._fixed_facts().items() if facts[name] != value]
        if changed:
            raise ValueError(
                f"{self._output} holds a run with another {', '.join(changed)}. Choose a new "
                "run.output, or set them back to resume it."
            )

    def _fixed_facts(self) -> dict[str, Any]:
        """Give what must not change between a checkpoint and its continuation."""
        data = self.config.data
        return {
            "seed": self.config.run.seed,
            "processes": self._accelerator.num_processes,
            "images": len(self._files),
            **{name: getattr(data, name) for name in ("batch", "microbatch", "crop", "pool")},
        }

    def _finish(self, report: LossReport | None) -> Path:
        last = checkpoint.latest_checkpoint(self._checkpoints)
        if last is None or int(last.name) != self._iteration:
            self.save()
        path = self._output / "predictor.safetensors"
        if self._is_main:
            self._write_predictor(path)
            self._show(report)
            log.info("Wrote %s after %d skipped updates.", path, self.updater.skipped)
        self._accelerator.wait_for_everyone()
        return path

    def _write_predictor(self, path: Path) -> None:
        save_predictor(
            self.updater.averaged_predictor(), path, {"invsr_training": self._training_facts()}
        )

    def _training_facts(self) -> str:
        base, start = Path(self.config.base.path).name, Path(self.config.predictor.start).name
        facts = {
            "iterations": self._iteration,
            "skipped": self.updater.skipped,
            "images": len(self._files),
            "seed": self.config.run.seed,
            "base": base or self.config.base.form,
            "fine_tuned_from": start,
            "loss": {
                **asdict(self.config.loss),
                "latent_lpips_file": self.updater.perceptual is not None,
            },
            "batch": self.config.data.batch,
            "crop": self.config.data.crop,
            "precision": self.config.run.precision,
        }
        return json.dumps(facts)

    def _show(self, report: LossReport | None) -> None:
        """Plot the losses and restore the validation images, in the main process."""
        if report is None:
            return
        report.plot()
        options = self.config.validation
        if options.lr_folder:
            predictor = self.updater.averaged_predictor()
            folder = self._output / "validation"
            folder.mkdir(parents=True, exist_ok=True)
            for path in find_images([options.lr_folder])[: options.count]:
                image = self._restored(predictor, path)
                write_image(image, folder / f"{self._iteration:08d}_{path.stem}.png")

    def _restored(self, predictor: NoisePredictor, path: Path) -> Tensor:
        """Put an enlarged LR image and its restoration side by side: [3, 4h, 8w]."""
        options, device = self.config.validation, self._accelerator.device
        lr = read_image(path)[None].to(device)
        timesteps = published_timesteps(options.steps)
        hr = restore(predictor, self.updater.base, lr, timesteps, seed=0, pad_to=options.pad_to)
        return torch.cat([nn.functional.interpolate(lr, scale_factor=4), hr], dim=3)[0]

    def _tell(self, report: LossReport | None, losses: dict[str, Tensor]) -> None:
        if not self._is_due(self.config.run.log_every):
            return
        reduced = cast(dict[str, Tensor], self._accelerator.reduce(losses, reduction="mean"))
        if report is not None:
            values = {name: float(value) for name, value in reduced.items()}
            report.add(
                self._iteration,
                {
                    **values,
                    "lr": self.updater.learning_rate(-1),
                    "skipped": float(self.updater.skipped),
                },
            )

    def _crops(self) -> Iterator[Tensor]:
        data, seed = self.config.data, self.config.run.seed
        sampler = MicrobatchSampler(
            data.microbatch,
            first=self._iteration * self.updater.microbatches,
            process=self._accelerator.process_index,
            processes=self._accelerator.num_processes,
        )
        dataset = CropDataset(self._files, size=data.crop, seed=seed)
        return load_crops(dataset, sampler, workers=data.workers)

    def _progress_bar(self) -> Any:
        total = self.config.run.iterations
        return tqdm(total=total, initial=self._iteration, disable=not self._is_main, unit="step")

    def _is_due(self, every: int) -> bool:
        return self._iteration % every == 0

    @property
    def _is_main(self) -> bool:
        return self._accelerator.is_main_process

    @property
    def _checkpoints(self) -> Path:
        return self._output / "checkpoints"

    @property
    def _iteration(self) -> int:
        return self.updater.iteration
