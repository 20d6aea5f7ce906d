"""Put the core on the path (last: the repository's `nodes` must not hide the host's)."""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

sys.path[:] = [p for p in sys.path if p and Path(p).resolve() != ROOT] + [str(ROOT)]
