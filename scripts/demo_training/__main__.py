"""All stages in order, in the host's Python; each goes on from its last save."""

import argparse
from pathlib import Path

import torch

from . import ae_stage, predictor_stage, unet_stage
from .pack import pack
from .run import seconds_of

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("host", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    stages = {name: arguments.folder / f"{name}.pt" for name in ("ae", "unet", "predictor")}
    autoencoder = ae_stage.train_autoencoder(stages["ae"])
    denoiser = unet_stage.train_unet(stages["unet"], autoencoder)
    predictor = predictor_stage.train_predictor(stages["predictor"], autoencoder, denoiser)
    minutes = {name: round(seconds_of(file) / 60) for name, file in stages.items()}
    facts = {"recipe": "scripts/train_demo_models.py", "updates": _updates(), "minutes": minutes}
    pack(
        arguments.output,
        autoencoder,
        denoiser,
        predictor,
        host=arguments.host,
        facts={**facts, "torch": torch.__version__},
    )
    print(f"Wrote {arguments.output}; minutes: {minutes}")


def _updates() -> dict[str, int]:
    return {
        "ae": ae_stage.UPDATES,
        "unet": unet_stage.UPDATES,
        "predictor": predictor_stage.UPDATES,
    }


if __name__ == "__main__":
    main()
