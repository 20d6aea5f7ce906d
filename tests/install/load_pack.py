"""Load an installed pack in a ComfyUI of its own and report as JSON what that takes and does.

load_pack.py TREE BASE PACK REPORT; the host has loaded everything else before, as at its start.
"""

import asyncio
import gc
import json
import os
import statistics
import sys
import time
from pathlib import Path

LOADS = 5
EXTRAS = (
    *("accelerate", "comfy_cli", "diffusers", "matplotlib", "pyiqa", "pytest", "skimage"),
    *("tensorboard", "tomli"),
)
"""What the extras in pyproject.toml bring beside what ComfyUI brings: users have none of it."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
TELLING = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate")
OUTSIDE = (
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "os.system",
    "os.posix_spawn",
)


class Recorder:
    """Notes every write, connection and new process of this Python while it is `on`."""

    def __init__(self):
        self.on = False
        self.events = []
        sys.addaudithook(self._hear)

    def _hear(self, event, arguments):
        if not self.on:
            return
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if writes or event in TELLING + OUTSIDE:
            self.events.append([event, str(arguments[0])])


def main():
    tree, base, pack, report = sys.argv[1:]
    sys.modules.update(dict.fromkeys(EXTRAS))  # None: as if not installed
    nodes = start_host(tree, base)
    before, path = set(sys.modules), list(sys.path)
    recorder = Recorder()

    # The first start after an installation: Python has compiled nothing yet.
    sys.dont_write_bytecode = True
    recorder.on = True
    Path(base, "heard").touch()
    first = seconds_to_load(nodes, pack)
    recorder.on = False
    added = {name: getattr(sys.modules[name], "__file__", "") for name in set(sys.modules) - before}
    path_changed = sys.path != path

    sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(base, "bytecode"))
    later = [seconds_to_load_again(nodes, pack, before) for _ in range(1 + LOADS)]
    facts = {
        "nodes": list(nodes.NODE_CLASS_MAPPINGS),
        "first": first,
        "later": statistics.median(later[1:]),
        "heard": recorder.events,
        "added": added,
        "path_changed": path_changed,
    }
    Path(report).write_text(json.dumps(facts))


def start_host(tree, base):
    sys.argv = ["main.py", "--base-directory", base, "--cpu", "--disable-api-nodes"]
    sys.path.insert(0, tree)
    import comfy.options

    comfy.options.enable_args_parsing()
    import server

    import nodes

    server.PromptServer(asyncio.new_event_loop())
    asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    return nodes


def seconds_to_load(nodes, pack):
    """Give the processor's time, which other programs do not change."""
    gc.collect()
    started = time.process_time()
    loaded = asyncio.run(nodes.load_custom_node(pack, module_parent="custom_nodes"))
    seconds = time.process_time() - started
    assert loaded, "the host could not load the pack"
    return seconds


def seconds_to_load_again(nodes, pack, before):
    """As a new process would: without the modules that the last load brought."""
    for name in set(sys.modules) - before:
        del sys.modules[name]
    return seconds_to_load(nodes, pack)


if __name__ == "__main__":
    main()
