"""One update at full size: SD-Turbo's networks with random weights, 128 -> 512, batch 1."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "training.py"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_one_full_size_update_runs_within_16_gib():
    command = [sys.executable, str(BENCHMARK), "--full", "--updates", "1", "--warmup", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    peak = float(re.search(r"peak memory +([\d.]+) GiB", done.stdout)[1])
    assert peak < 16
    assert "nan" not in done.stdout
