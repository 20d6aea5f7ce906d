"""Make `demo_models.safetensors`: python3 scripts/train_demo_models.py.

About 90 minutes of one CPU core by its measured time per update; no GPU needed. Stop it at any
time, the same command goes on. Checkpoints lie in build/demo_models, outside git.
"""

import argparse
import os
import subprocess
from pathlib import Path

from host import ROOT, ensure_host


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "demo_models")
    parser.add_argument("--output", type=Path, default=ROOT / "demo_models.safetensors")
    parser.add_argument("--threads", type=int, default=1, help="of torch; one is often fastest")
    parser.add_argument(
        "--pack-only", action="store_true", help="write the file from the last saves"
    )
    arguments = parser.parse_args()
    host = ensure_host("dev")
    path = os.pathsep.join(str(folder) for folder in (ROOT / "scripts", ROOT))
    command = [host.python, "-m", "demo_training", host.tree]
    for option in ("folder", "output", "threads"):
        command += [f"--{option}", getattr(arguments, option)]
    command += ["--pack-only"] if arguments.pack_only else []
    try:
        return subprocess.run(
            [str(part) for part in command], env={**os.environ, "PYTHONPATH": path}
        ).returncode
    except KeyboardInterrupt:
        return 130


_Plain = argparse.RawDescriptionHelpFormatter

if __name__ == "__main__":
    raise SystemExit(main())
