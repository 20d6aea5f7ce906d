"""Generated pictures and a run small enough for two cores."""

from pathlib import Path

import pytest
import torch
from PIL import Image

pytest.importorskip("accelerate", reason="training needs the extra 'train'")
pytest.importorskip("diffusers", reason="training needs the extra 'train'")

from invsr_core.training.config import TrainingConfig, from_table
from invsr_core.training.draw import generator_for


@pytest.fixture(scope="session")
def picture():
    return draw_picture


def draw_picture(number: int, height: int = 160, width: int = 144) -> torch.Tensor:
    """Draw a smooth colourful picture with edges: [3, height, width] in [0, 1]."""
    generator = generator_for("cpu", "picture", number)
    coarse = torch.rand(1, 3, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")[0]
    stripes = torch.arange(width) // (7 + number) % 2 * 0.25
    return (smooth + stripes).clamp(0, 1)


def write_picture(image: torch.Tensor, path: Path) -> None:
    pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of eight PNG pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(8):
        write_picture(draw_picture(number), folder / f"{number}.png")
    return folder


TINY_PREDICTOR = {
    "block_out_channels": [16, 32],
    "layers_per_block": [1, 1],
    "temb_channels": 32,
    "sinusoid_channels": 32,
    "norm_num_groups": 8,
    "attention_head_dim": 8,
}
TINY_DISCRIMINATOR = {
    "feature_channels": 8,
    "block_out_channels": [16, 32],
    "layers_per_block": [1, 1],
    "temb_channels": 32,
    "cross_attention_dim": 64,
    "attention_heads": 2,
    "text_heads": 2,
    "norm_num_groups": 8,
}


@pytest.fixture
def make_config(tmp_path: Path, pictures: Path):
    """Build a run over `pictures` on the demo base, with some sections changed."""

    def make(**sections: dict) -> TrainingConfig:
        table = {
            "run": {"output": str(tmp_path / "run"), "precision": "fp32", "log_every": 1},
            "base": {"form": "demo", "path": "", "gradient_checkpointing": False},
            "predictor": {"sizes": TINY_PREDICTOR},
            "data": {
                "folders": [str(pictures)],
                "crop": 64,
                "batch": 2,
                "microbatch": 2,
                "pool": 2,
                "workers": 0,
            },
            "loss": {"latent_lpips": 0.0, "adversarial_from": 2},
            "optimizer": {"lr": 1e-3, "warmup": 1},
            "discriminator": TINY_DISCRIMINATOR,
        }
        for name, changes in sections.items():
            table[name] = {**table.get(name, {}), **changes}
        return from_table(TrainingConfig, table)

    return make
