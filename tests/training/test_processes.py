"""Two processes under accelerate's launcher against one with the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("gradients_worker.py")

CONFIG = """
[run]
output = "{output}"
precision = "fp32"
[base]
form = "demo"
path = ""
[predictor.sizes]
block_out_channels = [16, 32]
layers_per_block = [1, 1]
temb_channels = 32
sinusoid_channels = 32
norm_num_groups = 8
attention_head_dim = 8
[data]
folders = ["{pictures}"]
crop = 64
batch = 4
microbatch = 2
pool = 0
workers = 0
[loss]
latent_lpips = 0.0
adversarial_from = 0
[optimizer]
max_grad_norm = 0.0
[discriminator]
feature_channels = 8
block_out_channels = [16, 32]
layers_per_block = [1, 1]
temb_channels = 32
cross_attention_dim = 64
attention_heads = 2
text_heads = 2
norm_num_groups = 8
"""


def run(processes: int, folder: Path, pictures: Path) -> list[dict]:
    """Make one update on so many processes; give what each wrote."""
    folder.mkdir()
    config = folder / "config.toml"
    config.write_text(CONFIG.format(output=folder / "run", pictures=pictures))
    launch = ["-m", "accelerate.commands.launch", "--num_machines=1"]
    launch += ["--multi_gpu"] if processes > 1 else ["--cpu"]
    launch += ["--mixed_precision=no", "--dynamo_backend=no", f"--num_processes={processes}"]
    launch += ["--main_process_port=0", "--num_cpu_threads_per_process=1"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *launch, str(WORKER), str(config), str(folder)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{rank}.pt") for rank in range(processes)]


def test_two_processes_average_to_the_gradients_of_one(tmp_path, pictures):
    (alone,) = run(1, tmp_path / "one", pictures)
    first, second = run(2, tmp_path / "two", pictures)
    expected = alone["gradients"]
    for network in ("NoisePredictor", "Discriminator"):
        keys = [key for key in expected if key.startswith(network)]
        largest = max(float(expected[key].abs().max()) for key in keys)
        worst = max(float((first["gradients"][key] - expected[key]).abs().max()) for key in keys)
        assert largest > 0
        assert worst <= 1e-5 * largest, f"{network}: {worst:.3g} of {largest:.3g}"
    for kind in ("gradients", "weights"):
        same = [torch.equal(first[kind][key], second[kind][key]) for key in first[kind]]
        assert all(same)
    saved = tmp_path / "two" / "run" / "checkpoints" / "00000001"
    assert {"pool_0.pt", "pool_1.pt"} <= {path.name for path in saved.iterdir()}
