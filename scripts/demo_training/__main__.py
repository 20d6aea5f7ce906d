"""All stages in order, in the host's Python; each goes on from its last save."""

import argparse
from pathlib import Path

import torch

from invsr_core.predictor import NoisePredictor

from . import ae_stage, decoder_stage, predictor_stage, unet_stage
from .autoencoder import Autoencoder
from .pack import pack
from .run import load_average

STAGES = ("ae", "unet", "predictor", "decoder")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("host", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pack-only", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    files = {name: arguments.folder / f"{name}.pt" for name in STAGES}
    if not arguments.pack_only:
        _train(files)
    _pack(files, arguments.output, arguments.host)


def _train(files: dict[str, Path]) -> None:
    autoencoder = ae_stage.train_autoencoder(files["ae"])
    denoiser = unet_stage.train_unet(files["unet"], autoencoder)
    predictor = predictor_stage.train_predictor(files["predictor"], autoencoder, denoiser)
    decoder_stage.train_decoder(files["decoder"], autoencoder, denoiser, predictor)


def _pack(files: dict[str, Path], output: Path, host: Path) -> None:
    """Write the file from the last saves, whether their stages are finished or not."""
    autoencoder, denoiser = Autoencoder(), unet_stage.Denoiser()
    predictor = NoisePredictor(predictor_stage.SIZES)
    networks = {
        "ae": autoencoder,
        "unet": denoiser.unet,
        "predictor": predictor,
        "decoder": autoencoder.taesd_decoder,
    }
    took = {
        name: load_average(files[name], network)
        for name, network in networks.items()
        if files[name].exists()
    }
    facts = {"recipe": "scripts/train_demo_models.py", "torch": torch.__version__, **took}
    pack(output, autoencoder, denoiser, predictor, host=host, facts=facts)
    print(f"Wrote {output}: {took}")


if __name__ == "__main__":
    main()
