"""ComfyUI in this very process, for tests and benchmarks. Runs in the host's Python."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from host import ROOT

FOLDERS = ("custom_nodes", "models/invsr", "input", "output", "user", "temp")


def boot(tree: Path, base: Path, *options: str, extras: tuple[str, ...] = ()) -> Any:
    """Start the host with `base` as its data folder, load the pack, and give the host's `nodes`.

    `extras` names files of the host's comfy_extras to load too. Once per process.
    """
    for folder in FOLDERS:
        (base / folder).mkdir(parents=True, exist_ok=True)
    sys.argv = ["main.py", "--base-directory", str(base), "--use-pytorch-cross-attention", *options]
    sys.path.insert(0, str(tree))
    import comfy.options

    comfy.options.enable_args_parsing()
    import nodes

    asyncio.run(nodes.load_custom_node(str(ROOT)))
    for extra in extras:
        path = tree / "comfy_extras" / f"{extra}.py"
        asyncio.run(nodes.load_custom_node(str(path), module_parent="comfy_extras"))
    return nodes


def module_of_pack(nodes: Any, name: str) -> Any:
    """Give one of the pack's own modules, such as "nodes.encode", as the host imported it."""
    encode = nodes.NODE_CLASS_MAPPINGS["InvSREncode"].__module__
    return sys.modules[f"{encode.removesuffix('.nodes.encode')}.{name}"]
