"""The demo itself: server, shipped workflow, before/after picture. Runs in the host's Python."""

import argparse
import io
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from comfy_server import Event, Server, ServerError
from demo_picture import draw_demo_pair, make_sheet
from host import ROOT, Host, copy_pack
from PIL import Image

DEMO_WORKFLOW = ROOT / "workflows" / "InvSR demo models.json"
REAL_WORKFLOW = ROOT / "workflows" / "InvSR step by step.json"

# Per loader node of the real workflow: which files of --models fit it, best first.
MODEL_FILES = {
    "CheckpointLoaderSimple": ("sd_turbo*.safetensors", "*turbo*.safetensors"),
    "InvSRPredictorLoader": ("noise_predictor*.pth", "noise_predictor*.safetensors"),
}


STEPS = (1, 3)
"""What the sheet compares."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("tree", type=Path)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--ui", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="invsr-demo-") as folder:
        base = Path(folder)
        server = Server(Host(arguments.tree, Path(sys.executable)), base, *_device_options())
        workflow, picture, original = _prepare(base, arguments)
        try:
            return _serve_and_run(server, workflow, picture, original, arguments)
        except ServerError as error:
            print(f"The run failed: {error}", file=sys.stderr)
            return 1


def _prepare(
    base: Path, arguments: argparse.Namespace
) -> tuple[dict[str, Any], Path, Image.Image | None]:
    """Fill the server's folders: pack, picture, model paths, workflow.

    Gives the workflow, the picture, and, of the demo's own picture, the original.
    """
    copy_pack(base / "custom_nodes")
    workflow = json.loads((REAL_WORKFLOW if arguments.models else DEMO_WORKFLOW).read_text())
    if arguments.models:
        _choose_models(workflow, arguments.models.resolve())
        _point_to_models(base, arguments.models.resolve())
    picture = base / "input" / (arguments.image or Path("generated.png")).name
    original = None
    if arguments.image:
        shutil.copy(arguments.image, picture)
    else:
        original, small = draw_demo_pair()
        small.save(picture)
    _set_widget(workflow, "LoadImage", picture.name)
    saved = base / "user" / "default" / "workflows" / "InvSR demo.json"
    saved.write_text(json.dumps(workflow))
    return workflow, picture, original


def _serve_and_run(
    server: Server,
    workflow: dict[str, Any],
    picture: Path,
    original: Image.Image | None,
    arguments: argparse.Namespace,
) -> int:
    with _timed("Server started"):
        server.__enter__()
    try:
        if arguments.ui:
            return _wait_for_browser(server)
        enlarged = {steps: _run_timed(server, workflow, steps) for steps in STEPS}
    finally:
        server.__exit__()
    if not arguments.models:
        print("Models: small demo models. They know only generated pictures; for photographs")
        print("        get the real ones (see README) and pass their folder as --models DIR.")
    _write_results(picture, enlarged, original, arguments.output)
    return 0


def _run_timed(server: Server, workflow: dict[str, Any], steps: int) -> Image.Image:
    _set_widget(workflow, "InvSRScheduler", steps)
    with _timed(f"Workflow run, {_named(steps)}"):
        return _run(server, workflow)


def _write_results(
    picture: Path, enlarged: dict[int, Image.Image], original: Image.Image | None, folder: Path
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / f"{picture.stem}_x4.png"
    comparison = folder / f"{picture.stem}_before_after.png"
    enlarged[STEPS[0]].save(result)
    size = enlarged[STEPS[0]].size
    with Image.open(picture) as before:
        bicubic = before.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    panels = {"Bicubic": bicubic}
    panels |= {f"InvSR, {_named(steps)}": image for steps, image in enlarged.items()}
    make_sheet(panels | ({"Original": original} if original else {})).save(comparison)
    print(f"Enlarged x4 to {size[0]}x{size[1]}: {result}")
    print(f"{', '.join([*panels, 'original'] if original else panels)}: {comparison}")


def _named(steps: int) -> str:
    return f"{steps} step{'s' if steps > 1 else ''}"


def _run(server: Server, workflow: dict[str, Any]) -> Image.Image:
    prompt = server.to_prompt(workflow)
    outputs = server.run(prompt, _Reporter(prompt))
    save = next(node for node, step in prompt.items() if step["class_type"] == "SaveImage")
    data = server.download(outputs[save]["images"][0])
    return Image.open(io.BytesIO(data)).convert("RGB")


class _Reporter:
    """Prints which node runs, how far it is, and what it says."""

    def __init__(self, prompt: dict[str, Any]) -> None:
        self._names = {node: step["class_type"] for node, step in prompt.items()}

    def __call__(self, event: Event) -> None:
        data = event["data"]
        if event["type"] == "progress":
            name = self._names.get(data["node"], "")
            print(f"  {name}: {data['value']} of {data['max']}", flush=True)
        elif event["type"] == "executed" and "text" in (data.get("output") or {}):
            print(f"  {self._names[data['node']]}: {data['output']['text'][0]}", flush=True)


def _wait_for_browser(server: Server) -> int:
    print(f"ComfyUI is up at http://{server.address} - open the workflow 'InvSR demo' there.")
    print("Stop with Ctrl-C.", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return 0


def _device_options() -> list[str]:
    accelerated = torch.cuda.is_available() or torch.backends.mps.is_available()
    return [] if accelerated else ["--cpu", "--use-pytorch-cross-attention"]


def _choose_models(workflow: dict[str, Any], folder: Path) -> None:
    for node_type, patterns in MODEL_FILES.items():
        found = [file for pattern in patterns for file in sorted(folder.glob(pattern))]
        if not found:
            raise SystemExit(f"No file in {folder} is named like {' or '.join(patterns)}.")
        _set_widget(workflow, node_type, found[0].name)


def _point_to_models(base: Path, folder: Path) -> None:
    paths = {"demo": {"base_path": str(folder), "checkpoints": ".", "invsr": "."}}
    (base / "extra_model_paths.yaml").write_text(json.dumps(paths))  # JSON is YAML


def _set_widget(workflow: dict[str, Any], node_type: str, value: str | int) -> None:
    node = next(node for node in workflow["nodes"] if node["type"] == node_type)
    node["widgets_values"][0] = value


@contextmanager
def _timed(what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
