"""The shipped workflows: every node known, every widget value valid, every file offered."""

import json
from pathlib import Path

import pytest

WORKFLOWS = sorted((Path(__file__).parent.parent.parent / "workflows").glob("*.json"))
ONLY_IN_THE_BROWSER = {"MarkdownNote"}


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    return json.loads(request.param.read_text())


def test_every_node_is_known_and_every_widget_fits_the_schema(server, workflow):
    info = server.get("/object_info")
    prompt = server.to_prompt(workflow)
    nodes = [node for node in workflow["nodes"] if node["type"] not in ONLY_IN_THE_BROWSER]
    assert {str(node["id"]) for node in nodes} == set(prompt)
    for step in prompt.values():
        schema = info[step["class_type"]]["input"]
        inputs = {**schema["required"], **schema.get("optional", {})}
        assert set(schema["required"]) <= set(step["inputs"]), step
        for name, value in step["inputs"].items():
            if not isinstance(value, list):
                check_widget(inputs[name], value, f"{step['class_type']}.{name}")


def check_widget(declared, value, where):
    kind, options = declared[0], declared[1] if len(declared) > 1 else {}
    if kind in ("INT", "FLOAT"):
        assert isinstance(value, (int, float)), where
        assert options["min"] <= value <= options["max"], where
    elif kind == "STRING":
        assert isinstance(value, str), where
    elif kind == "COMBO" and not str(value).endswith((".png", ".pth", ".safetensors")):
        assert value in options["options"], where


def test_links_join_sockets_of_one_type(workflow):
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for _, source, slot, target, place, kind in workflow["links"]:
        assert nodes[source]["outputs"][slot]["type"] == kind
        assert nodes[target]["inputs"][place]["type"] == kind


def test_every_model_file_can_be_offered_for_download(workflow):
    for node in workflow["nodes"]:
        files = [
            v for v in node.get("widgets_values") or [] if str(v).endswith((".pth", "tensors"))
        ]
        offered = {entry["name"]: entry for entry in node["properties"].get("models", [])}
        assert set(files) == set(offered)
        for entry in offered.values():
            assert entry["url"].startswith("https://huggingface.co/")
            assert entry["directory"] in ("checkpoints", "invsr")


def test_every_node_of_the_pack_is_used(server):
    used = {node["type"] for path in WORKFLOWS for node in json.loads(path.read_text())["nodes"]}
    ours = {name for name in server.get("/object_info") if name.startswith("InvSR")}
    assert ours <= used
