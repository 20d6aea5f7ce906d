"""All stages in order, in the host's Python; each goes on from its last save."""

import argparse
from pathlib import Path

import torch

from . import ae_stage, predictor_stage, unet_stage
from .pack import pack
from .run import seconds_of

UPDATES = {
    "ae": ae_stage.UPDATES,
    "unet": unet_stage.UPDATES,
    "predictor": predictor_stage.UPDATES,
    "decoder": ae_stage.DECODER_UPDATES,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("host", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--decoder-only", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    files = {name: arguments.folder / f"{name}.pt" for name in UPDATES}
    autoencoder = ae_stage.train_autoencoder(files["ae"])
    if not arguments.decoder_only:
        denoiser = unet_stage.train_unet(files["unet"], autoencoder)
        predictor = predictor_stage.train_predictor(files["predictor"], autoencoder, denoiser)
    ae_stage.train_decoder(files["decoder"], autoencoder)
    if arguments.decoder_only:
        return
    minutes = {name: round(seconds_of(file) / 60) for name, file in files.items()}
    facts = {
        "recipe": "scripts/train_demo_models.py",
        "updates": UPDATES,
        "minutes": minutes,
        "torch": torch.__version__,
    }
    networks = (autoencoder, denoiser, predictor)
    pack(arguments.output, *networks, host=arguments.host, facts=facts)
    print(f"Wrote {arguments.output}; minutes: {minutes}")


if __name__ == "__main__":
    main()
