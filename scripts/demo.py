"""Enlarge a picture x4 in a real ComfyUI: python3 scripts/demo.py [IMAGE].

Sets up what it needs on the first run. Standard library only; the rest is in run_demo.py.
"""

import argparse
import subprocess
import time
from pathlib import Path

from host import ROOT, ensure_host


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", nargs="?", type=Path, help="a picture; default: a generated one")
    parser.add_argument("--models", type=Path, metavar="DIR", help="folder with SD-Turbo and InvSR")
    parser.add_argument("--output", type=Path, default=ROOT / "demo_output", metavar="DIR")
    parser.add_argument("--ui", action="store_true", help="leave the server up for a browser")
    arguments = parser.parse_args()
    for path in (arguments.image, arguments.models):
        if path is not None and not path.exists():
            parser.error(f"{path} does not exist")

    started = time.monotonic()
    host = ensure_host("demo")
    print(f"Host ready: {time.monotonic() - started:.0f} s", flush=True)
    command = [host.python, ROOT / "scripts" / "run_demo.py", host.tree]
    command += ["--output", arguments.output]
    command += ["--image", arguments.image] if arguments.image else []
    command += ["--models", arguments.models] if arguments.models else []
    command += ["--ui"] if arguments.ui else []
    try:
        return subprocess.run([str(part) for part in command]).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
