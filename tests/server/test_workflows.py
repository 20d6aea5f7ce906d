"""The shipped workflows and blueprints: nodes known, widgets valid, every file offered."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
ONLY_IN_THE_BROWSER = {"MarkdownNote"}
BYPASSED = 4
MODEL_FILES = (".pth", ".safetensors")
MODEL_FOLDERS = {
    "CheckpointLoaderSimple": "checkpoints",
    "InvSRPredictorLoader": "invsr",
    "UpscaleModelLoader": "upscale_models",
}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}
SEED_CONTROL = "control after generate"
OF_THE_USER = {"ckpt_name", "predictor_name", "model_name", "image", "folder", "file"}
"""Widgets whose choices are files and folders on the user's disk."""


@pytest.fixture(params=WORKFLOWS + BLUEPRINTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def workflow(request):
    content = json.loads(request.param.read_text())
    return placed(content) if request.param in BLUEPRINTS else content


def placed(blueprint):
    """Put a blueprint's box between a picture that is loaded and one that is saved."""
    box = blueprint["nodes"][0]
    load, save = max(box["id"], 1) + 1, max(box["id"], 1) + 2
    box["inputs"][0]["link"], box["outputs"][0]["links"] = 1, [2]
    loader = node(load, "LoadImage", ["example.png", "image"])
    loader["outputs"] = [{"name": "IMAGE", "type": "IMAGE", "links": [1]}]
    saver = node(save, "SaveImage", ["blueprint"])
    saver["inputs"] = [{"name": "images", "type": "IMAGE", "link": 2}]
    links = [[1, load, 0, box["id"], 0, "IMAGE"], [2, box["id"], 0, save, 0, "IMAGE"]]
    return {**blueprint, "nodes": [box, loader, saver], "links": links}


def node(number, kind, values):
    place = {"pos": [0, 0], "size": [300, 300], "flags": {}, "order": 0, "mode": 0}
    sockets = {"inputs": [], "outputs": [], "properties": {}, "widgets_values": values}
    return {"id": number, "type": kind, **place, **sockets}


def boxes_of(workflow):
    """Each box of a subgraph with its definition."""
    definitions = {each["id"]: each for each in subgraphs_of(workflow)}
    return [
        (box, definitions[box["type"]]) for box in workflow["nodes"] if box["type"] in definitions
    ]


def subgraphs_of(workflow):
    return workflow.get("definitions", {}).get("subgraphs", [])


def nodes_by_prompt_id(workflow):
    """Every node that computes, inside boxes too, under the id that the server sees."""
    boxes = boxes_of(workflow)
    nodes = {str(node["id"]): node for node in workflow["nodes"]}
    for box, definition in boxes:
        del nodes[str(box["id"])]
        nodes |= {f"{box['id']}:{node['id']}": node for node in definition["nodes"]}
    return {place: node for place, node in nodes.items() if node["type"] not in ONLY_IN_THE_BROWSER}


def test_every_node_is_known_and_every_widget_fits_the_schema(server, workflow):
    info = server.get("/object_info")
    prompt = server.to_prompt(workflow)
    nodes = nodes_by_prompt_id(workflow)
    assert {node["type"] for node in nodes.values()} <= set(info)
    assert {place for place, node in nodes.items() if node["mode"] != BYPASSED} == set(prompt)
    for step in prompt.values():
        schema = info[step["class_type"]]["input"]
        inputs = {**schema["required"], **schema.get("optional", {})}
        assert set(schema["required"]) <= {name.split(".")[0] for name in step["inputs"]}, step
        for name, value in step["inputs"].items():
            if not isinstance(value, list):
                check_widget(inputs[name], name, value, f"{step['class_type']}.{name}")


def check_widget(declared, name, value, where):
    kind, options = declared[0], declared[1] if len(declared) > 1 else {}
    if kind in ("INT", "FLOAT"):
        assert isinstance(value, (int, float)), where
        assert options["min"] <= value <= options["max"], where
    elif kind == "STRING":
        assert isinstance(value, str), where
    elif kind == "COMFY_DYNAMICCOMBO_V3":
        assert value in [choice["key"] for choice in options["options"]], where
    elif name not in OF_THE_USER and (isinstance(kind, list) or kind == "COMBO"):
        assert value in (kind if isinstance(kind, list) else options["options"]), where


def test_every_saved_value_stands_in_its_widgets_place(server, workflow):
    info = server.get("/object_info")
    for node in nodes_by_prompt_id(workflow).values():
        schema = info[node["type"]]["input"]
        widgets = saved_widgets({**schema["required"], **schema.get("optional", {})})
        controls = [place for place, name in enumerate(widgets) if name == SEED_CONTROL]
        values = node["widgets_values"]
        assert len(values) == len(widgets), f"{node['type']}: {values} for {widgets}"
        assert [values[place] for place in controls] == ["fixed"] * len(controls), node["type"]


def saved_widgets(inputs):
    """The names of what a node saves, in order, with the two widgets that the browser adds."""
    widgets = []
    for name, (kind, *rest) in inputs.items():
        options = rest[0] if rest else {}
        if isinstance(kind, list) or kind in WIDGETS:
            widgets.append(name)
        if name == "seed" or options.get("control_after_generate"):
            widgets.append(SEED_CONTROL)
        if options.get("image_upload") or options.get("video_upload"):
            widgets.append("upload")
    return widgets


def test_links_join_sockets_of_one_type(workflow):
    check_links(workflow["nodes"], workflow["links"])
    for subgraph in subgraphs_of(workflow):
        ends = [
            {"id": -10, "inputs": [], "outputs": subgraph["inputs"]},
            {"id": -20, "inputs": subgraph["outputs"], "outputs": []},
        ]
        names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        links = [[link[name] for name in names] for link in subgraph["links"]]
        check_links(subgraph["nodes"] + ends, links)


def check_links(nodes, links):
    nodes = {node["id"]: node for node in nodes}
    for _, source, slot, target, place, kind in links:
        assert nodes[source]["outputs"][slot]["type"] == kind
        assert nodes[target]["inputs"][place]["type"] == kind


def test_every_model_file_can_be_offered_for_download(workflow):
    for node in nodes_by_prompt_id(workflow).values():
        if node["mode"] == BYPASSED:
            continue
        files = {v for v in node["widgets_values"] if str(v).endswith(MODEL_FILES)}
        offered = {entry["name"]: entry for entry in node["properties"].get("models", [])}
        assert files == set(offered)
        for entry in offered.values():
            assert entry["url"].startswith("https://huggingface.co/")
            assert entry["url"].endswith(f"/resolve/main/{entry['name']}")
            assert entry["directory"] == MODEL_FOLDERS[node["type"]]


def test_every_node_says_which_pack_brings_it(workflow):
    for node in nodes_by_prompt_id(workflow).values():
        ours = node["type"].startswith("InvSR")
        if node["properties"]:
            assert node["properties"]["cnr_id"] == ("invsr-native" if ours else "comfy-core")


def test_every_node_of_the_pack_is_used(server):
    used = {node["type"] for path in WORKFLOWS for node in json.loads(path.read_text())["nodes"]}
    ours = {name for name in server.get("/object_info") if name.startswith("InvSR")}
    assert ours <= used


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_workflow_has_a_small_square_thumbnail(path):
    thumbnail = path.with_suffix(".jpg")
    with Image.open(thumbnail) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (512, 512)
    assert thumbnail.stat().st_size <= 60_000


@pytest.fixture(params=BLUEPRINTS, ids=lambda path: path.stem)
def blueprint(request):
    return request.param


def test_the_server_lists_each_blueprint(server, blueprint):
    listed = {each["name"]: key for key, each in server.get("/global_subgraphs").items()}
    served = server.get(f"/global_subgraphs/{listed[blueprint.stem]}")
    assert json.loads(served["data"]) == json.loads(blueprint.read_text())


def test_what_a_blueprints_box_shows_are_widgets_inside_it(blueprint):
    ((box, definition),) = boxes_of(json.loads(blueprint.read_text()))
    inside = {str(node["id"]): node for node in definition["nodes"]}
    shown = [socket["widget"]["name"] for socket in box["inputs"] if "widget" in socket]
    assert [name for _, name in box["properties"]["proxyWidgets"]] == shown
    assert [socket["name"] for socket in box["inputs"]] == [i["name"] for i in definition["inputs"]]
    for place, name in box["properties"]["proxyWidgets"]:
        assert name in [socket["name"] for socket in inside[place]["inputs"]]


def test_a_blueprints_box_enlarges_a_picture_by_the_demo_models(server, blueprint):
    Image.effect_mandelbrot((32, 24), (-2, -1.5, 1, 1.5), 50).convert("RGB").save(
        server.base / "input" / "example.png"
    )
    prompt = with_demo_models(server.to_prompt(placed(json.loads(blueprint.read_text()))))
    outputs = server.run(prompt)
    (saved,) = [out for place, out in outputs.items() if prompt[place]["class_type"] == "SaveImage"]
    result = Image.open(io.BytesIO(server.download(saved["images"][0])))
    assert result.size == (128, 96)


def with_demo_models(prompt):
    """Take model, VAE, prompt and predictor of each node that wants them from the demo models."""
    large = {"CheckpointLoaderSimple", "InvSRPredictorLoader", "CLIPTextEncode"}
    kept = {place: step for place, step in prompt.items() if step["class_type"] not in large}
    sockets = {"model": 0, "vae": 1, "positive": 2, "noise_predictor": 3}
    for step in kept.values():
        step["inputs"] |= {n: ["demo", k] for n, k in sockets.items() if n in step["inputs"]}
    return {**kept, "demo": {"class_type": "InvSRDemoModels", "inputs": {}}}
