"""The installed pack at the start of ComfyUI: what it adds, how long it takes, what it touches."""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

ALLOWED_SECONDS = 0.3
COLOUR = re.compile(r"\x1b\[\d*m")
TROUBLE = re.compile(r"\[(WARNING|ERROR|CRITICAL)\]|Traceback|Error\b")


@pytest.fixture(scope="module")
def starts(host, install, tmp_path_factory):
    """A server alone and one with the pack, each in a clean data folder."""
    bases = [tmp_path_factory.mktemp(name) for name in ("alone", "with_pack")]
    for name in ("custom_nodes", "models", "input", "output", "user/default/workflows"):
        for base in bases:
            (base / name).mkdir(parents=True)
    install(bases[1] / "custom_nodes")
    with ThreadPoolExecutor() as pool:
        alone, with_pack = pool.map(lambda base: start(host, base), bases)
    return SimpleNamespace(alone=alone, with_pack=with_pack)


def start(host, base):
    from comfy_server import Server

    before = state_of(base)
    with Server(host, base, "--cpu") as server:
        nodes = server.get("/object_info")
        share = share_of_a_processor(psutil.Process(server.pid))
    log = COLOUR.sub("", server.log()).replace(str(base), "BASE").splitlines()
    return SimpleNamespace(nodes=nodes, log=log, share=share, before=before, after=state_of(base))


def share_of_a_processor(process):
    """How much of its life a process ran: 1 on a free machine, less beside busy programs."""
    used = process.cpu_times()
    return min(1.0, (used.user + used.system) / (time.time() - process.create_time()))


def state_of(folder):
    """Every path in a folder but Python's own bytecode; of files, size and time too."""
    found = {}
    for path in folder.rglob("*"):
        if "__pycache__" in path.parts:
            continue
        status = path.stat()
        facts = (status.st_size, status.st_mtime_ns) if path.is_file() else None
        found[path.relative_to(folder).as_posix()] = facts
    return found


def test_every_node_is_there(starts, our_nodes):
    assert len(our_nodes) >= 12
    assert set(starts.with_pack.nodes) - set(starts.alone.nodes) == our_nodes


def test_the_log_holds_no_trouble_of_ours(starts):
    alone, with_pack = (
        [line for line in start.log if TROUBLE.search(line)]
        for start in (starts.alone, starts.with_pack)
    )
    assert with_pack == alone
    ours = [line for line in starts.with_pack.log if "invsr" in line.lower()]
    assert len(ours) == 1, "only the host's line about import times"
    assert not any("invsr" in line.lower() for line in starts.alone.log)


def test_the_host_measures_a_short_import(starts):
    """The host prints time that passed; of it only the share in which the server could run."""
    times = [re.search(r"([\d.]+) seconds: .*invsr-native", line) for line in starts.with_pack.log]
    (found,) = filter(None, times)
    assert float(found[1]) * starts.with_pack.share < ALLOWED_SECONDS


def test_the_server_writes_no_more_than_it_does_alone(starts):
    def written(start):
        return {path for path, facts in start.after.items() if start.before.get(path) != facts}

    pack = "custom_nodes/invsr-native"
    installed = {path: facts for path, facts in starts.with_pack.before.items() if pack in path}
    assert len(installed) > 50
    assert {path: starts.with_pack.after.get(path) for path in installed} == installed
    assert written(starts.with_pack) - written(starts.alone) == set()
    assert "user/comfyui.db" in written(starts.alone), "the comparison sees what is written"


@pytest.fixture(scope="module")
def loading(host, install, tmp_path_factory):
    """The report of load_pack.py about the installed pack."""
    base = tmp_path_factory.mktemp("loading")
    pack = install(base / "custom_nodes")
    script = Path(__file__).with_name("load_pack.py")
    command = [script, host.tree, base, pack, base / "report.json"]
    environment = {
        key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"
    }
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(base=base, pack=pack, **json.loads((base / "report.json").read_text()))


def test_the_pack_adds_little_to_the_start(loading, record_testsuite_property):
    record_testsuite_property("seconds added to the first start", loading.first)
    record_testsuite_property("seconds added to later ones, median of 5", loading.later)
    assert loading.first < ALLOWED_SECONDS
    assert loading.later < ALLOWED_SECONDS


def test_importing_writes_nothing_connects_nowhere_and_starts_no_process(loading):
    assert loading.heard == [["open", str(loading.base / "heard")]], "only the script's own trial"


def test_every_node_is_there_without_the_extras(loading, our_nodes):
    assert our_nodes <= set(loading.nodes)


def test_importing_adds_no_module_outside_the_pack(loading):
    assert loading.added
    name = str(loading.pack).replace(".", "_x_")
    strange = [module for module in loading.added if not module.startswith(name)]
    assert not strange
    assert not loading.path_changed
