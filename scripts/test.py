"""Run the tests in a real ComfyUI: python3 scripts/test.py [pytest arguments]."""

import os
import subprocess
import sys

from host import ROOT, ensure_host


def main() -> int:
    host = ensure_host("dev")
    environment = {**os.environ, "INVSR_TEST_HOST": str(host.tree)}
    command = [host.python, "-m", "pytest", *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    raise SystemExit(main())
