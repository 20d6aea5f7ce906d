"""The pack as users get it: packed as the registry packs it, and unzipped where its files go."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FOLDER = "invsr-native"
"""Where a registry client unzips it: named after the project."""


@pytest.fixture(scope="session")
def host():
    """The real ComfyUI that the servers here are started from."""
    tree = os.environ.get("INVSR_TEST_HOST")
    if tree is None:
        pytest.skip("needs a ComfyUI: run scripts/test.py")
    sys.path.append(str(ROOT / "scripts"))
    from host import Host

    return Host(Path(tree), Path(sys.executable))


@pytest.fixture(scope="session")
def working_copy(tmp_path_factory):
    """A repository of its own with the project's files, uncommitted changes included."""
    copy = tmp_path_factory.mktemp("working_copy") / "project"
    heavy = {ROOT / name for name in (".git", ".host", ".venv", "build", "demo_output")}
    shutil.copytree(
        ROOT,
        copy,
        ignore=lambda folder, names: [name for name in names if Path(folder) / name in heavy],
    )
    _git(copy, "init", "--quiet")
    _git(copy, "add", "--all")
    return copy


def _git(folder, *arguments):
    alone = {key: text for key, text in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-c", "core.autocrlf=false", *arguments]
    done = subprocess.run(command, cwd=folder, env=alone, check=True, capture_output=True)
    return done.stdout.decode()


@pytest.fixture(scope="session")
def comfy_node(host, working_copy, tmp_path_factory):
    """Run `comfy node COMMAND` in the working copy, with a home of its own; give its output."""
    home = str(tmp_path_factory.mktemp("home"))
    private = {"HOME": home, "USERPROFILE": home, "APPDATA": home, "XDG_CONFIG_HOME": home}
    environment = {**os.environ, **private, "DO_NOT_TRACK": "1", "PYTHONUTF8": "1"}

    def run(command):
        options = ("--skip-prompt", "--no-enable-telemetry")
        done = subprocess.run(
            [sys.executable, "-m", "comfy_cli", *options, "node", command],
            cwd=working_copy,
            env=environment,
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def archive(comfy_node, working_copy):
    """The zip that would be published."""
    comfy_node("pack")
    return working_copy / "node.zip"


@pytest.fixture(scope="session")
def install(archive):
    """Unzip the pack into a `custom_nodes` folder; gives the pack's folder."""
    return lambda custom_nodes: _unzip(archive, custom_nodes / FOLDER)


def _unzip(archive, target):
    with zipfile.ZipFile(archive) as files:
        files.extractall(target)
    return target


@pytest.fixture(scope="session")
def our_nodes():
    """The ids of every node of the pack, read off its sources."""
    sources = (path.read_text(encoding="utf-8") for path in ROOT.glob("nodes/*.py"))
    return {id for source in sources for id in re.findall(r'node_id="(\w+)"', source)}
