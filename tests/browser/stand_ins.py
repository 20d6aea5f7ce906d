"""Everything that lets the shipped workflows run to their end with small models, on a CPU.

    put_pack(base)               the stand-in of the checkpoint loader, into custom_nodes
    put_models(base, workflows)  small files under the names that the workflows mention
    put_inputs(base, workflows)  generated pictures and videos under theirs
    swapped(workflow)            the workflow with that loader and smaller sizes

`base` is the data folder of a server, `workflows` are UI graphs as they are saved.
"""

import copy
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from small_inputs import PICTURE_SIZE, VIDEO_SIZE, write_folder, write_picture, write_video
from small_models import write_gan_upscaler, write_lora, write_placeholder, write_predictor

Workflow = dict[str, Any]

MODELS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "CheckpointLoaderSimple": ("checkpoints", write_placeholder),
    "InvSRPredictorLoader": ("invsr", write_predictor),
    "LoraLoaderModelOnly": ("loras", write_lora),
    "UpscaleModelLoader": ("upscale_models", write_gan_upscaler),
}
"""Loader nodes, whose first widget names a file: its folder under `models`, and who writes it."""

PICTURES, FOLDERS, VIDEOS = "LoadImage", "LoadImageDataSetFromFolder", "LoadVideo"
"""Nodes whose first widget names something under `input`."""

REPLACED = {"CheckpointLoaderSimple": "StandInCheckpoint"}
SMALLER = {
    "EmptyLatentImage": {0: 128, 1: 96},  # width, height
    "InvSRTrainPredictor": {0: 3, 2: 64},  # updates, crop_size
    "InvSRUpscaleVideo": {14: 2},  # frames_at_once: two chunks of the small video
}
"""Widgets, by position, whose shipped values would take minutes on a CPU."""
OPTIONAL = "LoraLoaderModelOnly"
"""Shipped switched off, for want of a file that everybody has; here it runs too."""
ALWAYS = 0
"""The mode of a node that is neither muted nor bypassed."""


def put_pack(base: Path) -> None:
    source = Path(__file__).parent / "stand_in_pack"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, base / "custom_nodes" / source.name, ignore=skip)


def put_models(base: Path, workflows: Iterable[Workflow]) -> list[Path]:
    """Write the model files that the workflows mention, and give their paths."""
    written = []
    for node in _nodes_of_all(workflows):
        if node["type"] in MODELS:
            folder, write = MODELS[node["type"]]
            path = base / "models" / folder / _first_widget(node)
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path)
            written.append(path)
    return written


def put_inputs(
    base: Path,
    workflows: Iterable[Workflow],
    *,
    picture_size: tuple[int, int] = PICTURE_SIZE,
    video_size: tuple[int, int] = VIDEO_SIZE,
) -> None:
    """Write the pictures, folders and videos that the workflows load; sizes are width, height."""
    for node in _nodes_of_all(workflows):
        path = base / "input" / (_first_widget(node) or "")
        if node["type"] == PICTURES:
            write_picture(path, size=picture_size)
        elif node["type"] == FOLDERS:
            write_folder(path, picture_size)
        elif node["type"] == VIDEOS:
            write_video(path, video_size)


def swapped(workflow: Workflow) -> Workflow:
    """Give a copy with the stand-in checkpoint and small sizes, everything in it switched on."""
    workflow = copy.deepcopy(workflow)
    for node in nodes_of(workflow):
        for position, value in SMALLER.get(node["type"], {}).items():
            node["widgets_values"][position] = value
        if node["type"] == OPTIONAL:
            node["mode"] = ALWAYS
        if node["type"] in REPLACED:
            node["type"] = REPLACED[node["type"]]
            node["properties"]["Node name for S&R"] = node["type"]
    return workflow


def nodes_of(workflow: Workflow) -> Iterator[dict[str, Any]]:
    """Go through the nodes of a workflow and of the subgraphs in it."""
    yield from workflow["nodes"]
    for subgraph in workflow.get("definitions", {}).get("subgraphs", []):
        yield from subgraph["nodes"]


def _nodes_of_all(workflows: Iterable[Workflow]) -> Iterator[dict[str, Any]]:
    for workflow in workflows:
        yield from nodes_of(workflow)


def _first_widget(node: dict[str, Any]) -> str | None:
    values = node.get("widgets_values") or [None]
    return values[0] if isinstance(values[0], str) else None
