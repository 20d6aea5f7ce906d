"""The core knows no host, and inside it arrows point only to the left."""

import ast
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "invsr_core"
LAYERS = [
    {"schedule"},
    {"posterior"},
    {"resize"},
    {"color"},
    {"tiling"},
    {"layers"},
    {"sampling"},
    {"predictor"},
    {"weights", "noise"},
    {"training"},
]
ALLOWED = {"torch", "safetensors", *sys.stdlib_module_names}
"""What every host brings along; `training` alone has extras."""

FILES = sorted(CORE.rglob("*.py"))


def name_of(path):
    return path.relative_to(CORE).with_suffix("").parts[0]


def imports_of(path):
    """List imported modules: outside ones by name, those of the core with dots as written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_a_core_module_imports_only_what_every_host_has(path):
    outside = {module.split(".")[0] for module in imports_of(path)} - {""}
    assert name_of(path) == "training" or outside <= ALLOWED


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_a_core_module_imports_only_modules_to_its_left(path):
    name = name_of(path)
    if name in ("__init__", "training"):
        return
    rank = next(i for i, layer in enumerate(LAYERS) if name in layer)
    left = set().union(*LAYERS[:rank])
    assert {module.lstrip(".") for module in imports_of(path) if module[0] == "."} <= left


def test_every_core_module_has_its_place():
    assert {name_of(path) for path in FILES} - {"__init__"} <= set().union(*LAYERS)
