"""The shipped demo workflow on a real server: pictures, progress, Cancel, memory, errors."""

import io
import time

import psutil
import pytest
from PIL import Image
from safetensors.torch import save_file

NODES = {
    "InvSRPredictorLoader",
    "InvSREncode",
    "InvSRScheduler",
    "InvSRStartNoise",
    "InvSRPartialSampler",
    "InvSRTiledModel",
    "InvSRDecode",
    "InvSRDemoModels",
}


@pytest.fixture
def put_picture(server):
    def put(name, mode, size):
        picture = Image.effect_mandelbrot(size, (-2, -1.5, 1, 1.5), 50).convert(mode)
        picture.save(server.base / "input" / name)
        return name

    return put


def result_of(server, prompt, on_event=lambda event: None):
    outputs = server.run(prompt, on_event)
    data = server.download(outputs[prompt.id_of("SaveImage")]["images"][0])
    return Image.open(io.BytesIO(data))


def test_the_server_knows_every_node(server):
    info = server.get("/object_info")
    assert set(info) >= NODES
    for node in NODES:
        for group in info[node]["input"].values():
            assert all("tooltip" in options[1] for options in group.values()), node


@pytest.mark.parametrize(
    ("mode", "size", "alpha"),
    [("L", (40, 30), False), ("RGB", (40, 30), True), ("RGB", (53, 37), False)],
    ids=["grey", "RGBA", "odd size"],
)
def test_the_demo_workflow_enlarges_any_picture_by_four(
    server, demo_prompt, put_picture, mode, size, alpha
):
    demo_prompt.inputs_of("LoadImage")["image"] = put_picture(f"{mode}{size}.png", mode, size)
    if alpha:
        load = demo_prompt.id_of("LoadImage")
        join = {"image": [load, 0], "alpha": [load, 1]}
        demo_prompt["join"] = {"class_type": "JoinImageWithAlpha", "inputs": join}
        demo_prompt.inputs_of("InvSREncode")["image"] = ["join", 0]
    events = []
    result = result_of(server, demo_prompt, events.append)
    assert result.size == (4 * size[0], 4 * size[1])
    kinds = {event["type"] for event in events}
    assert {"progress", "preview", "executed"} <= kinds


def test_cancel_stops_within_one_network_evaluation(server, demo_prompt, put_picture):
    demo_prompt.inputs_of("LoadImage")["image"] = put_picture("wide.png", "RGB", (160, 80))
    demo_prompt.inputs_of("InvSRScheduler")["steps"] = 5
    demo_prompt.inputs_of("InvSRPartialSampler")["tile_size"] = 48
    sampler = demo_prompt.id_of("InvSRPartialSampler")
    seen = []

    def cancel_at_the_first_window(event):
        if event["type"] == "progress" and event["data"]["node"] == sampler:
            seen.append(event["data"]["value"])
            if len(seen) == 1:
                server.post("/interrupt", {})

    with pytest.raises(RuntimeError, match="interrupted"):
        server.run(demo_prompt, cancel_at_the_first_window)
    assert seen[-1] <= seen[0] + 1, "windows finished after Cancel"


def test_after_free_the_predictor_is_gone_and_the_next_run_works(
    server, demo_prompt, put_picture, recipe, golden
):
    models = server.base / "models/invsr"
    models.mkdir(exist_ok=True)
    keys = golden("predictor_full_keys.json")
    save_file(recipe("predictor", keys), models / "published.safetensors")
    loader = {"predictor_name": "published.safetensors", "dtype": "fp32"}
    demo_prompt["load"] = {"class_type": "InvSRPredictorLoader", "inputs": loader}
    demo_prompt.inputs_of("InvSRStartNoise")["noise_predictor"] = ["load", 0]
    demo_prompt.inputs_of("InvSREncode")["pad_to"] = 32
    demo_prompt.inputs_of("LoadImage")["image"] = put_picture("small.png", "RGB", (32, 32))
    process = psutil.Process(server.pid)

    first = result_of(server, demo_prompt).tobytes()
    held = process.memory_info().rss
    server.post("/free", {"unload_models": True, "free_memory": True})
    deadline = time.monotonic() + 20
    while process.memory_info().rss > held - 100e6 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert process.memory_info().rss < held - 100e6, "135 MB of weights are still there"

    ran = []
    again = result_of(server, demo_prompt, ran.append).tobytes()
    assert again == first
    executed = {event["data"].get("node") for event in ran if event["type"] == "executing"}
    assert "load" in executed


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("truncated.safetensors", b"\x40\x00\x00\x00\x00\x00\x00\x00{", "is damaged"),
        ("text.pth", b"<html>not found</html>", "is damaged or holds more than tensors"),
    ],
)
def test_a_bad_file_is_explained_and_the_server_stays_healthy(
    server, demo_prompt, put_picture, name, content, says
):
    demo_prompt.inputs_of("LoadImage")["image"] = put_picture("small.png", "RGB", (32, 32))
    models = server.base / "models/invsr"
    models.mkdir(exist_ok=True)
    (models / name).write_bytes(content)
    broken = type(demo_prompt)({**demo_prompt})
    loader = {"predictor_name": name, "dtype": "auto"}
    broken["load"] = {"class_type": "InvSRPredictorLoader", "inputs": loader}
    noise = demo_prompt.id_of("InvSRStartNoise")
    inputs = {**demo_prompt[noise]["inputs"], "noise_predictor": ["load", 0]}
    broken[noise] = {**demo_prompt[noise], "inputs": inputs}
    with pytest.raises(RuntimeError, match=f"{name} {says}"):
        server.run(broken)
    assert result_of(server, demo_prompt).size == (128, 128)
