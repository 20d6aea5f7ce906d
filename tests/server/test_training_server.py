"""The training node on a real server: runs, is cancelled cleanly, and its loss graph shows."""

import io

import pytest
from PIL import Image


@pytest.fixture
def training_prompt(server):
    Image.effect_mandelbrot((96, 80), (-2, -1.5, 1, 1.5), 50).convert("RGB").save(
        server.base / "input" / "hr.png"
    )
    settings = {
        "updates": 3,
        "batch_size": 1,
        "crop_size": 64,
        "learning_rate": 1e-3,
        "seed": 1,
        "degradation": "training",
    }
    links = {
        "noise_predictor": ["models", 3],
        "model": ["models", 0],
        "vae": ["models", 1],
        "positive": ["models", 2],
        "images": ["picture", 0],
    }
    return {
        "models": node("InvSRDemoModels"),
        "picture": node("LoadImage", image="hr.png"),
        "train": node("InvSRTrainPredictor", **links, **settings),
        "graph": node("LossGraphNode", loss=["train", 1], filename_prefix="loss"),
        "save": node("InvSRSavePredictor", noise_predictor=["train", 0], filename_prefix="trained"),
    }


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def test_training_runs_shows_its_losses_and_saves_what_the_loader_lists(server, training_prompt):
    seen = []
    outputs = server.run(training_prompt, seen.append)
    plot = Image.open(io.BytesIO(server.download(outputs["graph"]["images"][0])))
    assert plot.size == (840, 520)
    assert len(plot.convert("RGB").getcolors(100_000)) > 2, "the graph is empty"
    steps = [e["data"] for e in seen if e["type"] == "progress" and e["data"]["node"] == "train"]
    assert steps[-1]["value"] == steps[-1]["max"] == 3
    (saved,) = (server.base / "output" / "invsr").glob("trained_*.safetensors")
    names = server.get("/object_info/InvSRPredictorLoader")["InvSRPredictorLoader"]
    assert saved.name in names["input"]["required"]["predictor_name"][1]["options"]


def test_cancel_stops_training_after_the_current_update(server, training_prompt):
    training_prompt["train"]["inputs"].update(updates=1000, batch_size=8, crop_size=128)
    seen = []

    def cancel_at_the_second_update(event):
        if event["type"] == "progress" and event["data"]["node"] == "train":
            seen.append(event["data"]["value"])
            if len(seen) == 2:
                server.post("/interrupt", {})

    with pytest.raises(RuntimeError, match="interrupted"):
        server.run(training_prompt, cancel_at_the_second_update)
    assert seen[-1] <= seen[1] + 2, "updates went on after Cancel"
    training_prompt["train"]["inputs"].update(updates=2, batch_size=1, crop_size=64)
    assert server.run(training_prompt)["graph"]["images"]
