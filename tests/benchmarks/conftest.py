"""The benchmark's modules are siblings of a script, not a package."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent.parent / "benchmarks"))
