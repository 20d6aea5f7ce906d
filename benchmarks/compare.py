"""Ours in ComfyUI against the authors' procedure in stock diffusers: python benchmarks/compare.py.

Same random weights of SD-Turbo's size, same device, IMAGE to IMAGE, models loaded. Run by the
host's Python with INVSR_TEST_HOST set to its folder, or by any other: then a host is found or made.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    options = _options()
    tree = os.environ.get("INVSR_TEST_HOST")
    if tree is None:
        return _inside_host()
    # Last: the repository's `nodes` must not hide the host's module of that name.
    sys.path.append(str(ROOT))
    from report import report

    lines = []
    for line in report(Path(tree), options):
        print(line, flush=True)
        lines.append(line)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--counts", action="store_true", help="counted cost only")
    parser.add_argument("--quick", action="store_true", help="counted cost, and 128->512 measured")
    parser.add_argument("--memory", action="store_true", help="only 2048->8192 on the demo models")
    parser.add_argument("--sides", type=int, nargs="+", help="LR sides to measure, not the default")
    parser.add_argument("--steps", type=int, nargs="+", help="steps to measure, not 1 and 5")
    parser.add_argument("--repeats", type=int, default=3, help="measured runs of each (3)")
    parser.add_argument("--cpu", action="store_true", help="measure on the CPU")
    parser.add_argument("--output", type=Path, help="file for the tables, as markdown")
    return parser.parse_args()


def _inside_host() -> int:
    sys.path.insert(0, str(ROOT / "scripts"))
    from host import ensure_host

    host = ensure_host("dev")
    environment = {**os.environ, "INVSR_TEST_HOST": str(host.tree)}
    command = [host.python, __file__, *sys.argv[1:]]
    return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    raise SystemExit(main())
