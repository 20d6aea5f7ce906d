"""Memory of a large picture, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_1024_to_4096_stays_within_three_images_and_one_batch_of_windows():
    if "INVSR_TEST_HOST" not in os.environ:
        pytest.skip("needs a ComfyUI: run scripts/test.py")
    # Freed blocks go back to the system at once, so that resident memory tells what is in use.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1048576"}
    command = [sys.executable, str(ROOT / "benchmarks" / "memory.py"), "1024"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    measured = json.loads(run.stdout.splitlines()[-1])
    assert measured["peak"] < 3 * measured["image"] + measured["window"], measured
