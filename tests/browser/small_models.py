"""Small files of the kinds that workflows load: noise predictor, LoRA and GAN upscaler."""

import zlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

DEMO_MODELS = Path(__file__).parent.parent.parent / "demo_models.safetensors"
LORA_RANK = 4
GAN_CHANNELS, GAN_SCALE = 8, 4


def write_predictor(path: Path) -> None:
    """Write the demo models' predictor in the layout of the published .pth: bare float tensors."""
    torch.save({key: tensor.float() for key, tensor in _demo_part("predictor.").items()}, path)


def write_lora(path: Path) -> None:
    """Write a LoRA of all attention queries and values of the demo UNet, under the usual names."""
    tensors = {}
    for key, weight in _demo_part("unet.").items():
        if key.endswith(("to_q.weight", "to_v.weight")):
            name = f"lora_unet_{key.removesuffix('.weight').replace('.', '_')}"
            rows, columns = weight.shape
            tensors[f"{name}.lora_up.weight"] = 0.1 * _random(name + "/up", (rows, LORA_RANK))
            tensors[f"{name}.lora_down.weight"] = _random(name + "/down", (LORA_RANK, columns))
            tensors[f"{name}.alpha"] = torch.tensor(float(LORA_RANK))
    save_file(tensors, path)


def write_gan_upscaler(path: Path) -> None:
    """Write a Real-ESRGAN Compact x4: small random corrections to its nearest-neighbour base."""
    outputs = 3 * GAN_SCALE**2
    shapes = {
        "body.0": (GAN_CHANNELS, 3, 3, 3),
        "body.2": (GAN_CHANNELS, GAN_CHANNELS, 3, 3),
        "body.4": (outputs, GAN_CHANNELS, 3, 3),
    }
    tensors = {}
    for name, shape in shapes.items():
        tensors[f"{name}.weight"] = 0.02 * _random(name, shape)
        tensors[f"{name}.bias"] = torch.zeros(shape[0])
    for name in ("body.1", "body.3"):  # PReLU
        tensors[f"{name}.weight"] = torch.full((GAN_CHANNELS,), 0.2)
    save = save_file if path.suffix == ".safetensors" else torch.save
    save(tensors, path)


def write_placeholder(path: Path) -> None:
    """Write a file that a list of files shows and nothing reads."""
    path.write_bytes(b"")


def _demo_part(prefix: str) -> dict[str, Tensor]:
    tensors = load_file(DEMO_MODELS)
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}


def _random(name: str, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randn(shape, generator=generator)
