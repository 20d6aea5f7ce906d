"""A real ComfyUI server in its own process, with a copy of the pack."""

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    tree = os.environ.get("INVSR_TEST_HOST")
    if tree is None:
        pytest.skip("needs a ComfyUI: run scripts/test.py")
    sys.path.append(str(ROOT / "scripts"))
    from host import Host, copy_pack
    from server import Server

    # Large blocks go back to the system when they are freed, so that memory can be measured.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "1048576"
    base = tmp_path_factory.mktemp("server")
    server = Server(
        Host(Path(tree), Path(sys.executable)),
        base,
        *("--cpu", "--use-pytorch-cross-attention", "--preview-method", "latent2rgb"),
    )
    copy_pack(base / "custom_nodes")
    with server:
        yield server


@pytest.fixture
def demo_prompt(server):
    """The shipped demo workflow as a prompt, and a way to find a node in it by class."""
    workflow = json.loads((ROOT / "workflows" / "InvSR demo models.json").read_text())
    return Prompt(server.to_prompt(workflow))


class Prompt(dict):
    def id_of(self, class_type):
        return next(node for node, step in self.items() if step["class_type"] == class_type)

    def inputs_of(self, class_type):
        return self[self.id_of(class_type)]["inputs"]
