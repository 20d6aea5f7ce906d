"""The tables of the comparison, as lines of markdown."""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from cost import Counter, our_work, reference_counter, reference_work
from measure import Measured, alternating, measured
from networks import Networks, prompt_tokens
from ours import Host, Models
from reference import Reference
from torch import Tensor

from invsr_core.resize import SCALE
from invsr_core.tiling import Tiling

SIDES = (128, 256, 1024)
STEPS = (1, 5)
LARGE = 1024
"""From this LR side on the authors' README advises tiles of 256, and only a GPU is quick enough."""
MEMORY_SIDE = 2048
REFERENCE_BATCH = {"cuda": 8, "cpu": 1}
"""Tiles at once in the reference: the authors' default, or what a CPU's memory holds."""
NETWORKS = ("text", "predictor", "unet", "encode", "decode")
WINDOWS = ((96, 96), (128, 128), (240, 240), (256, 256))


def report(tree: Path, options: argparse.Namespace) -> Iterator[str]:
    """Boot the host at `tree` and give the tables that `options` ask for."""
    cuda = torch.cuda.is_available() and not options.cpu
    host = Host(tree, cpu=not cuda)
    device = torch.device("cuda" if cuda else "cpu")
    if not options.memory:
        yield from counted_cost(host)
    if not (options.memory or options.counts):
        yield from walls(host, device, options)
    if not (options.quick or options.counts):
        yield from memory(host, device)


def reference_tiles(side: int) -> tuple[int, ...]:
    """Give the tile sizes to compare with: the authors' default, and their README's if large."""
    return (128, 256) if side >= LARGE else (128,)


def counted_cost(host: Host) -> Iterator[str]:
    ours, reference = host.counter(), reference_counter()
    yield from _heading("Multiply-accumulates per window, in 10^9")
    yield from _header("network", "window in LR px", "ours", "reference")
    for window in WINDOWS:
        for name in NETWORKS[1:]:
            macs = (counter.macs(name, window) / 1e9 for counter in (ours, reference))
            yield _row(name, "x".join(map(str, window)), *(f"{g:.1f}" for g in macs))
    yield from _heading("Multiply-accumulates per image, in 10^12")
    yield from _header("case", "steps", "side", *NETWORKS, "all", "ours / reference")
    for side in SIDES:
        for steps in STEPS:
            yield from _cost_rows(ours, reference, host.vae_tiling, side, steps)


def _cost_rows(
    ours: Counter, reference: Counter, vae_tiling: Tiling, side: int, steps: int
) -> Iterator[str]:
    size = (side, side)
    found = ours.by_network(our_work(size, steps, Tiling(), vae_tiling))
    total = sum(found.values())
    yield _row(_case(side), steps, "ours", *_tera(found), "")
    for tile in reference_tiles(side):
        parts = reference.by_network(reference_work(size, steps, tile))
        ratio = f"{total / sum(parts.values()):.3f}"
        yield _row(_case(side), steps, f"reference, tiles of {tile}", *_tera(parts), ratio)


def _tera(parts: dict[str, int]) -> list[str]:
    cells = [parts.get(name, 0) for name in NETWORKS]
    return [f"{macs / 1e12:.2f}" for macs in (*cells, sum(cells))]


def walls(host: Host, device: torch.device, options: argparse.Namespace) -> Iterator[str]:
    cuda = device.type == "cuda"
    default = SIDES[:1] if options.quick else tuple(s for s in SIDES if s < LARGE or cuda)
    yield from _heading(f"Wall time and peak memory beyond the models, {_device_name(device)}")
    yield (
        f"Median of {options.repeats} runs in turns; the reference takes "
        f"{REFERENCE_BATCH[device.type]} tiles at once."
    )
    yield ""
    yield from _header("case", "steps", "precision", "side", "s", "ratio", "GB", "ratio")
    networks = Networks.with_random_weights()
    with torch.inference_mode():
        context = networks.text(prompt_tokens(1, torch.device("cpu"))).last_hidden_state
    for precision, dtype in {"fp32": torch.float32, "fp16": torch.float16}.items():
        if precision == "fp32" or cuda:
            models = host.models(networks, context, precision)
            networks.to(device, dtype)
            _warm_up(host, models, networks, device)
            for side in options.sides or default:
                for steps in options.steps or STEPS:
                    found = _measure(host, models, networks, device, side, steps, options.repeats)
                    yield from _wall_rows(f"{_case(side)} | {steps} | {precision}", found)


def _warm_up(host: Host, models: Models, networks: Networks, device: torch.device) -> None:
    image = random_image(SIDES[0])
    host.upscale(models, image, 1)
    Reference(networks, SIDES[0], REFERENCE_BATCH[device.type], 1)(image)


def _measure(
    host: Host,
    models: Models,
    networks: Networks,
    device: torch.device,
    side: int,
    steps: int,
    repeats: int,
) -> dict[str, Measured]:
    image = random_image(side)
    runs = {"ours": partial(host.upscale, models, image, steps)}
    for tile in reference_tiles(side):
        reference = Reference(networks, tile, REFERENCE_BATCH[device.type], steps)
        runs[f"reference, tiles of {tile}"] = partial(reference, image)
    return alternating(runs, device, repeats)


def _wall_rows(case: str, found: dict[str, Measured]) -> Iterator[str]:
    ours = found["ours"]
    for name, other in found.items():
        ratios = ("", "")
        if other is not ours:
            ratios = (f"{ours.seconds / other.seconds:.3f}", f"{ours.peak / other.peak:.3f}")
        seconds, gigabytes = f"{other.seconds:.2f}", f"{other.peak / 1e9:.2f}"
        yield _row(case, name, seconds, ratios[0], gigabytes, ratios[1])


def memory(host: Host, device: torch.device) -> Iterator[str]:
    yield from _heading("Peak memory on the demo models")
    yield from _header("case", "GB beyond the models", "in float32 images of the output")
    models = host.demo_models()
    host.upscale(models, random_image(SIDES[1]), 1)
    image = random_image(MEMORY_SIDE)
    found = measured(lambda: host.upscale(models, image, 1), device)
    whole = 3 * 4 * (MEMORY_SIDE * SCALE) ** 2
    yield _row(_case(MEMORY_SIDE), f"{found.peak / 1e9:.2f}", f"{found.peak / whole:.2f}")


def random_image(side: int) -> Tensor:
    """Give an IMAGE [1, side, side, 3]; what it shows changes no cost."""
    return torch.rand(1, side, side, 3, generator=torch.Generator().manual_seed(0))


def _case(side: int) -> str:
    return f"{side}->{side * SCALE}"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def _heading(text: str) -> Iterator[str]:
    yield from ("", f"## {text}", "")


def _header(*cells: str) -> Iterator[str]:
    yield _row(*cells)
    yield _row(*("---" for _ in cells))


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"
