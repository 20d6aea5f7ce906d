"""Make the thumbnails in workflows/ by running each workflow: make_thumbnails.py [NAME ...].

Runs in the host's Python, on a server of its own, with the demo models in the place of the large
ones and with generated pictures. A name is part of a workflow's name; without any, all are made.
"""

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import thumbnail_layouts as layouts
from comfy_server import Server
from host import ROOT, Host, copy_pack, ensure_host
from PIL import Image

sys.path.append(str(ROOT / "tests" / "browser"))
sys.path.append(str(ROOT))  # last: the repository's `nodes` must not hide the host's

import small_inputs
import stand_ins
from demo_training.pictures import draw_picture
from thumbnail_upscaler import train_upscaler

from invsr_core.training.draw import generator_for
from invsr_core.training.initial import fresh_predictor
from invsr_core.weights import load_predictor, save_predictor

WORKFLOWS = ROOT / "workflows"
QUALITY = 85
FOLDER = (418, 420, 421)
"""The generated pictures of the folder."""
WIDE, UPRIGHT, CELL = (128, 42), (42, 64), (56, 56)
"""LR sizes, width and height, of what shares a thumbnail with others."""

Workflow = dict[str, Any]


@dataclass
class Run:
    """One run of a workflow on a server, and the pictures that it read and made."""

    server: Server
    workflow: Workflow
    number: int
    size: tuple[int, int] = (128, 128)
    outputs: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        small_inputs.write_picture(self.server.base / "input/example.png", self.number, self.size)
        self.outputs = self.server.run(self.server.to_prompt(self.workflow))

    @property
    def given(self) -> Image.Image:
        return Image.open(self.server.base / "input/example.png")

    def made(self, node_type: str = "SaveImage", title: str | None = None) -> list[Image.Image]:
        return [
            Image.open(io.BytesIO(file)).convert("RGB") for file in self.files(node_type, title)
        ]

    def files(self, node_type: str, title: str | None = None) -> list[bytes]:
        node = self.node(node_type, title)
        return [self.server.download(file) for file in self.outputs[str(node["id"])]["images"]]

    def node(self, node_type: str, title: str | None = None) -> dict[str, Any]:
        nodes = [node for node in self.workflow["nodes"] if node["type"] == node_type]
        return next(node for node in nodes if title in (None, node.get("title")))


def before_after(run: Run) -> Image.Image:
    run.start()
    return layouts.split(run.given, *run.made())


def stock_sampler(run: Run) -> Image.Image:
    run.start()
    return layouts.diagonal(run.given, *run.made())


def step_by_step(run: Run) -> Image.Image:
    """The LR picture, the noise predicted for it, and the result."""
    run.start()
    return layouts.strips([run.given, *run.made("PreviewImage"), *run.made()])


def generate(run: Run) -> Image.Image:
    """The demo models cannot draw from text: the sampler refines a drawn picture instead.

    Everything else is the workflow's: VAE, sampler, upscaler.
    """
    drawn = run.server.base / "input" / "drawn.png"
    draw_picture(run.number, 2 * run.size[0]).reduce(2).save(drawn)
    prompt = run.server.to_prompt(run.workflow)
    sampler = prompt[str(run.node("KSampler")["id"])]["inputs"]
    sampler |= {"denoise": 0.2, "steps": 5, "cfg": 1.0, "latent_image": ["encoded", 0]}
    vae = prompt[str(run.node("VAEDecode")["id"])]["inputs"]["vae"]
    prompt["drawn"] = {"class_type": "LoadImage", "inputs": {"image": drawn.name}}
    encode = {"pixels": ["drawn", 0], "vae": vae}
    prompt["encoded"] = {"class_type": "VAEEncode", "inputs": encode}
    run.outputs = run.server.run(prompt)
    return layouts.inset(*run.made("PreviewImage"), *run.made())


def ladder(run: Run) -> Image.Image:
    run.start()
    return layouts.fitted(*run.made())


def folder(run: Run) -> Image.Image:
    place = run.server.base / "input" / run.node("LoadImageDataSetFromFolder")["widgets_values"][0]
    for picture in place.iterdir():
        picture.unlink()
    for number in FOLDER:
        small_inputs.write_picture(place / f"{number}.png", number, UPRIGHT)
    run.start()
    befores = [Image.open(place / name.name) for name in sorted(place.iterdir())]
    return layouts.columns(befores, _in_order_of(befores, run.made()))


def _in_order_of(befores: list[Image.Image], afters: list[Image.Image]) -> list[Image.Image]:
    """The host reads a folder in the disk's order: find each picture's enlarged version."""

    def difference(before: Image.Image, after: Image.Image) -> int:
        small = after.resize(before.size, Image.Resampling.BOX).tobytes()
        return sum(abs(a - b) for a, b in zip(small, before.tobytes(), strict=True))

    return [min(afters, key=lambda after: difference(before, after)) for before in befores]


def video(run: Run) -> Image.Image:
    """First, middle and last frame."""
    clip = run.server.base / "input" / run.node("LoadVideo")["widgets_values"][0]
    small_inputs.write_video(clip, WIDE, frames=8)
    run.start()
    befores, afters = _frames(clip.read_bytes()), _frames(*run.files("SaveVideo"))
    chosen = (0, len(afters) // 2, len(afters) - 1)
    return layouts.rows([befores[at] for at in chosen], [afters[at] for at in chosen])


def _frames(file: bytes) -> list[Image.Image]:
    with av.open(io.BytesIO(file)) as container:
        return [frame.to_image() for frame in container.decode(video=0)]


def against_gan(run: Run) -> Image.Image:
    """The other upscaler is a small one too, trained on pictures of the same kind."""
    name = run.node("UpscaleModelLoader")["widgets_values"][0]
    train_upscaler(run.server.base / "models/upscale_models" / name)
    run.start()
    other, ours = (run.made(title=title)[0] for title in ("GAN", "InvSR"))
    return layouts.strips([run.given, other, ours])


def fine_tune(run: Run) -> Image.Image:
    """The demo models' predictor has nothing left to learn: an untrained one starts here."""
    loader, train = run.node("InvSRPredictorLoader"), run.node("InvSRTrainPredictor")
    models = run.server.base / "models" / "invsr"
    trained = load_predictor(models / loader["widgets_values"][0])
    fresh = fresh_predictor(trained.config, generator_for("cpu", "thumbnail"))
    save_predictor(fresh, models / "untrained.safetensors")
    loader["widgets_values"][0] = "untrained.safetensors"
    train["widgets_values"][:4] = [100, 8, 64, 2e-3]  # updates, batch_size, crop_size, rate
    high = run.server.base / "input" / "high.png"
    draw_picture(run.number, 512).save(high)
    run.node("LoadImage")["widgets_values"][0] = high.name
    run.start()
    return layouts.fitted(*run.made("LossGraphNode"))


@dataclass(frozen=True)
class Recipe:
    """How a thumbnail is made, and of which generated picture."""

    make: Callable[[Run], Image.Image]
    number: int
    size: tuple[int, int] = (128, 128)


RECIPES = {
    "InvSR upscale": Recipe(before_after, 331),
    "InvSR step by step": Recipe(step_by_step, 305),
    "InvSR generate then upscale": Recipe(generate, 528),
    "InvSR with the stock sampler": Recipe(stock_sampler, 314),
    "InvSR fidelity ladder": Recipe(ladder, 402, CELL),
    "InvSR folder of images": Recipe(folder, FOLDER[0]),
    "InvSR video": Recipe(video, 111),
    "InvSR against a GAN upscaler": Recipe(against_gan, 336),
    "InvSR demo models": Recipe(before_after, 345),
    "InvSR fine-tune a predictor": Recipe(fine_tune, 327),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="parts of names; default: all")
    wanted = parser.parse_args().names or [""]
    names = [name for name in RECIPES if any(part in name for part in wanted)]
    tree = ensure_host("demo").tree
    with tempfile.TemporaryDirectory(prefix="invsr-thumbnails-") as folder:
        base = Path(folder)
        options = ("--cpu", "--use-pytorch-cross-attention")
        server = Server(Host(tree, Path(sys.executable)), base, *options)
        workflows = [json.loads((WORKFLOWS / f"{name}.json").read_text()) for name in RECIPES]
        copy_pack(base / "custom_nodes")
        stand_ins.put_pack(base)
        stand_ins.put_models(base, workflows)
        stand_ins.put_inputs(base, workflows)
        with server:
            for name in names:
                _make(name, server)


def _make(name: str, server: Server) -> None:
    started = time.monotonic()
    recipe = RECIPES[name]
    workflow = stand_ins.swapped(json.loads((WORKFLOWS / f"{name}.json").read_text()))
    picture = recipe.make(Run(server, workflow, recipe.number, recipe.size))
    path = WORKFLOWS / f"{name}.jpg"
    picture.save(path, quality=QUALITY, optimize=True)
    took = time.monotonic() - started
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {took:.0f} s", flush=True)


if __name__ == "__main__":
    main()
