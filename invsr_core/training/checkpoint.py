"""Checkpoints that appear whole or not at all: written beside the last one, then renamed."""

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_FACTS = "run.json"


def latest_checkpoint(folder: Path) -> Path | None:
    """Find the newest whole checkpoint in `folder`, or None."""
    found = _checkpoints(folder)
    return found[-1] if found else None


def read_facts(checkpoint: Path) -> dict[str, Any]:
    return json.loads((checkpoint / _FACTS).read_text(encoding="utf-8"))


def partial_of(folder: Path, iteration: int) -> Path:
    """Name the folder a checkpoint is written to before it counts."""
    return folder / f".partial-{iteration:08d}"


def begin(folder: Path, iteration: int) -> None:
    """Clear what an interrupted save left, and make the folder to write to."""
    for left in folder.glob(".partial-*"):
        shutil.rmtree(left)
    partial_of(folder, iteration).mkdir(parents=True)


def commit(folder: Path, iteration: int, facts: dict[str, Any], *, keep: int) -> Path:
    """Turn the written folder into checkpoint `iteration` and remove all but the newest `keep`."""
    partial = partial_of(folder, iteration)
    (partial / _FACTS).write_text(json.dumps(facts, indent=2), encoding="utf-8")
    for path in (*partial.rglob("*"), partial):
        _flush(path)
    final = folder / f"{iteration:08d}"
    os.replace(partial, final)
    _flush(folder)
    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return final


def attempt(write: Callable[[], Any]) -> str:
    """Run one part of a save; give what went wrong in words, or an empty text."""
    try:
        write()
    except (OSError, RuntimeError, ValueError) as error:  # torch and safetensors raise the latter
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        return str(error)
    return ""


def abandon(folder: Path, iteration: int, reason: str) -> None:
    """Remove what was written of a failed save and say what remains."""
    shutil.rmtree(partial_of(folder, iteration), ignore_errors=True)
    last = latest_checkpoint(folder)
    kept = f"checkpoint {last.name} is whole" if last else "there is no earlier checkpoint"
    log.error(
        "Checkpoint %d could not be saved (%s); %s. Free some space: training goes on and saves "
        "again at the next turn.",
        iteration,
        reason,
        kept,
    )


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.isdecimal())


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
