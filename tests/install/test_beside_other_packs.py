"""The pack in one server with packs that use its names, in both orders of loading."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).parent))
from other_packs import OLD_INVSR_IDS, TILED_DIFFUSION_IDS, write_other_packs

ORDERS = ("first", "last")


@pytest.fixture(scope="module")
def servers(host, install, tmp_path_factory):
    """What a server says whose ComfyUI loads our pack first, and one where it comes last."""
    bases = [tmp_path_factory.mktemp(order) for order in ORDERS]
    for order, base in zip(ORDERS, bases, strict=True):
        fill(base, install, ours_first=order == "first")
    with ThreadPoolExecutor() as pool:
        return dict(zip(ORDERS, pool.map(lambda base: ask(host, base), bases), strict=True))


def fill(base, install, *, ours_first):
    """Lay out a data folder; the host loads `custom_nodes` before folders named in the YAML."""
    early, late = base / "custom_nodes", base / "more_custom_nodes"
    install(early if ours_first else late)
    write_other_packs(late if ours_first else early)
    paths = {"more": {"custom_nodes": str(late)}}
    (base / "extra_model_paths.yaml").write_text(json.dumps(paths))  # JSON is YAML
    (base / "models/invsr/folder").mkdir(parents=True)
    for name in ("shared.pth", "folder/ours.safetensors", "theirs.special", "notes.txt"):
        (base / "models/invsr" / name).write_bytes(b"")
    (base / "output/invsr").mkdir(parents=True)
    (base / "output/invsr/trained.safetensors").write_bytes(b"")


def ask(host, base):
    from comfy_server import Server

    with Server(host, base, "--cpu") as server:
        return SimpleNamespace(nodes=server.get("/object_info"), log=server.log())


@pytest.fixture(params=ORDERS)
def server(servers, request):
    return servers[request.param]


@pytest.mark.parametrize("order", ORDERS)
def test_the_packs_were_loaded_in_the_order_that_the_test_is_about(servers, order):
    for name in ("old_invsr", "tiled_diffusion"):
        line = f"stand-in {name} loaded, InvSR nodes known: {order == 'first'}"
        assert line in servers[order].log


def test_every_pack_has_all_its_nodes(server, our_nodes):
    owner_of = {id: node["python_module"] for id, node in server.nodes.items()}
    for ids, owner in (
        (our_nodes, "custom_nodes.invsr-native"),
        (OLD_INVSR_IDS, "custom_nodes.old_invsr"),
        (TILED_DIFFUSION_IDS, "custom_nodes.tiled_diffusion"),
    ):
        assert {id: owner_of.get(id) for id in ids} == dict.fromkeys(ids, owner)
    assert "IMPORT FAILED" not in server.log


def test_no_socket_of_ours_takes_or_gives_the_old_packs_type(server, our_nodes):
    ours = json.dumps([server.nodes[id] for id in our_nodes])
    assert "INVSR_PREDICTOR" in ours
    assert "INVSR_PIPE" not in ours


def test_a_file_in_the_shared_folder_is_offered_by_both(server):
    ours = server.nodes["InvSRPredictorLoader"]["input"]["required"]["predictor_name"]
    (theirs,) = server.nodes["LoadInvSRModels"]["input"]["required"]["invsr_model"]
    offered = {Path(name).as_posix() for name in ours[1]["options"]}
    assert offered == {"shared.pth", "folder/ours.safetensors", "trained.safetensors"}
    assert {"shared.pth", "theirs.special"} <= set(theirs)
