"""The shipped workflows run to their end from the page, with small models."""

import io
import time

import av
import pytest
import stand_ins
from frontend import settled
from PIL import Image
from small_inputs import FRAMES, PICTURE_SIZE, VIDEO_SIZE

SECONDS = 600
SCALE = 4
ENLARGING = {"InvSRUpscale", "InvSRUpscaleVideo", "InvSRColorCorrect", "ImageUpscaleWithModel"}


@pytest.fixture(scope="module", autouse=True)
def models(page, server, workflows):
    """Give the server every model that the workflows name, for the tests of this file."""
    files = stand_ins.put_models(server.base, workflows.values())
    page.open()
    yield
    for file in set(files):
        file.unlink()


@pytest.fixture
def run(page, server, no_complaints):
    """Run a graph from the page; give the prompt, and what each node showed."""

    def do(graph, name):
        page.load(graph, name)
        assert not page.state("missingModel")["missingModelCandidates"]
        prompt = page.prompt()
        assert settled(prompt) == settled(server.to_prompt(graph))
        return prompt, outputs_of(server, page.run(seconds=SECONDS))

    return do


def test_it_runs_to_its_end_and_its_pictures_have_the_right_size(
    run, server, name, workflow, screenshot
):
    prompt, outputs = run(stand_ins.swapped(workflow), name)
    screenshot(name)
    info = server.get("/object_info")
    ends = {node for node, step in prompt.items() if info[step["class_type"]]["output_node"]}
    assert ends <= set(outputs), "an output node showed nothing"
    sizes = {node: sizes_of(server, output) for node, output in outputs.items()}
    if any(step["class_type"] == "InvSRTrainPredictor" for step in prompt.values()):
        assert list((server.base / "output" / "invsr").glob("*.safetensors"))
        return
    sources = set().union(*(source_sizes(server, step) for step in prompt.values()))
    enlarged = {(SCALE * width, SCALE * height) for width, height in sources}
    results = {node: feeding(prompt, node) for node in ends if feeding(prompt, node) & ENLARGING}
    assert results
    for node, kinds in results.items():
        assert set(sizes[node]) & enlarged
        assert set(sizes[node]) <= (enlarged if kinds <= ENLARGING else sources | enlarged)


def test_the_upscale_workflow_runs_with_vue_nodes(run, setting, workflows, screenshot):
    setting({"Comfy.VueNodes.Enabled": True})
    run(stand_ins.swapped(workflows["InvSR upscale"]), "InvSR upscale")
    screenshot("InvSR upscale, Vue nodes")


def feeding(prompt, node):
    """The types of the nodes that a node is linked to."""
    links = [value for value in prompt[node]["inputs"].values() if isinstance(value, list)]
    return {prompt[source]["class_type"] for source, _ in links}


def outputs_of(server, prompt_id):
    # The host announces success a moment before it writes its history.
    while prompt_id not in (history := server.get(f"/history/{prompt_id}")):
        time.sleep(0.05)
    return history[prompt_id]["outputs"]


def source_sizes(server, step):
    """Width and height of the pictures that a node brings into the graph."""
    kind, inputs = step["class_type"], step["inputs"]
    if kind == stand_ins.PICTURES:
        return {Image.open(server.base / "input" / inputs["image"]).size}
    if kind == "EmptyLatentImage":
        return {(inputs["width"], inputs["height"])}
    return {stand_ins.FOLDERS: {PICTURE_SIZE}, stand_ins.VIDEOS: {VIDEO_SIZE}}.get(kind, set())


def sizes_of(server, output):
    """Open every file that a node showed, and give their sizes."""
    shown = [entry for entries in output.values() for entry in entries if isinstance(entry, dict)]
    files = [entry for entry in shown if "filename" in entry]
    return [size_of(server.download(file), file["filename"]) for file in files]


def size_of(data, filename):
    if not filename.endswith((".mp4", ".webm")):
        return Image.open(io.BytesIO(data)).size
    with av.open(io.BytesIO(data)) as video:
        assert video.streams.audio, "the sound is lost"
        frames = [(frame.width, frame.height) for frame in video.decode(video=0)]
    assert len(frames) == FRAMES
    return frames[0]
