"""A training run's TOML file -> checked dataclasses; the defaults are the published run."""

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from ..predictor import PredictorConfig
from ..resize import MULTIPLE, SCALE
from .degradation import SETTINGS
from .discriminator import DiscriminatorConfig
from .ema import DECAY
from .loading import BaseConfig
from .step import Objective

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
PRECISIONS = ("bf16", "fp16", "fp32")


@dataclass(frozen=True)
class RunConfig:
    output: str = "runs/invsr"
    iterations: int = 100_000
    seed: int = 123456
    precision: str = "bf16"
    save_every: int = 5000
    keep: int = 3
    """Checkpoints that stay on the disk."""
    log_every: int = 50
    max_skipped: int = 100
    """Non-finite updates in a row after which the run gives up."""

    def __post_init__(self) -> None:
        _positive(self, "iterations", "save_every", "keep", "log_every", "max_skipped")
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, got '{self.precision}'."
            )


@dataclass(frozen=True)
class DataConfig:
    folders: tuple[str, ...] = ()
    crop: int = 512
    """Side of the HR crops; LR is a quarter of it."""
    batch: int = 64
    """Images per update, over all processes."""
    microbatch: int = 16
    """Images that go through the networks at once; they share the degradation's choices."""
    pool: int = 10
    """Batches of earlier pairs to mix with; 0 turns the pool off."""
    workers: int = 4
    degradation: str = "training"

    def __post_init__(self) -> None:
        _positive(self, "crop", "batch", "microbatch")
        if self.crop % (SCALE * MULTIPLE):
            raise ValueError(f"crop must be a multiple of {SCALE * MULTIPLE}, got {self.crop}.")
        if self.degradation not in SETTINGS:
            raise ValueError(
                f"degradation must be one of {', '.join(SETTINGS)}, got '{self.degradation}'."
            )

    def microbatches(self, processes: int) -> int:
        """Give how many microbatches one process runs per update."""
        share, rest = divmod(self.batch, processes * self.microbatch)
        if rest:
            raise ValueError(
                f"batch {self.batch} does not divide by {processes} processes times microbatch "
                f"{self.microbatch}. Change one of them."
            )
        return share


@dataclass(frozen=True)
class PredictorSection:
    start: str = ""
    """A predictor to fine-tune, .safetensors or .pth; empty trains from nothing."""
    sizes: PredictorConfig = field(default_factory=PredictorConfig)


@dataclass(frozen=True)
class LossConfig(Objective):
    latent_lpips_file: str = ""
    """The authors' vgg16_sdturbo_lpips.pth; without it that loss is off."""


@dataclass(frozen=True)
class OptimizerConfig:
    lr: float = 5e-5
    warmup: int = 2000
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm; 0 leaves them, as published."""
    ema: float = DECAY
    discriminator_lr: float = 5e-5
    discriminator_weight_decay: float = 1e-3

    def lr_at(self, iteration: int) -> float:
        """Give the predictor's learning rate at a 0-based iteration: a linear rise, then level."""
        return self.lr * min(1.0, (iteration + 1) / max(self.warmup, 1))


@dataclass(frozen=True)
class ValidationConfig:
    lr_folder: str = ""
    """LR images to restore at each save; empty makes none."""
    hr_folder: str = ""
    count: int = 4
    steps: int = 5
    pad_to: int = 128


@dataclass(frozen=True)
class TrainingConfig:
    run: RunConfig = field(default_factory=RunConfig)
    base: BaseConfig = field(default_factory=BaseConfig)
    predictor: PredictorSection = field(default_factory=PredictorSection)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)


def load_config(path: str | Path) -> TrainingConfig:
    """Read a TOML file; raises ValueError naming the file and what is wrong in it."""
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return from_table(TrainingConfig, table)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def from_table(kind: type[T], table: Mapping[str, Any], where: str = "") -> T:
    """Build a config dataclass from a TOML table, checking every key and type."""
    hints = get_type_hints(kind)
    known = [each.name for each in fields(cast(Any, kind))]
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{where}.{key}" if where else key
        if key not in known:
            raise ValueError(_unknown(name, key, known))
        values[key] = _checked(hints[key], value, name)
    return kind(**values)


def _unknown(name: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return f"unknown key '{name}'. Did you mean '{near[0]}'? Valid: {', '.join(known)}."


def _checked(hint: Any, value: Any, name: str) -> Any:
    if is_dataclass(hint) and isinstance(value, dict):
        return from_table(cast(Any, hint), cast(dict[str, Any], value), name)
    if get_origin(hint) is tuple and isinstance(value, list):
        inner = get_args(hint)[0]
        return tuple(_checked(inner, entry, name) for entry in cast(list[Any], value))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        expected = getattr(hint, "__name__", str(hint)) if get_origin(hint) is None else "a list"
        raise ValueError(f"'{name}' must be {expected}, got {value!r}.")
    return value


def _positive(config: Any, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}.")
