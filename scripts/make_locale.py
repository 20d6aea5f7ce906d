"""Write the English texts from the nodes, and tell what the translations lack.

    python3 scripts/make_locale.py [--reviewed LANGUAGE ...]

`--reviewed` notes that a language was compared with the English texts and fits them.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import locale_files
from host import Host, ensure_host


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = locale_files.TRANSLATIONS
    parser.add_argument("--reviewed", nargs="+", choices=known, default=[], metavar="LANGUAGE")
    reviewed = parser.parse_args().reviewed

    host = ensure_host("dev")
    if Path(sys.executable) != host.python:
        return subprocess.run([str(host.python), *sys.argv]).returncode
    english = locale_files.english(_object_info(host))
    locale_files.write("en", english)
    source = locale_files.texts_of(english)
    for language in reviewed:
        locale_files.mark_reviewed(language, source)
    found = [line for language in known for line in locale_files.problems(language, source)]
    print("\n".join(found) or f"{len(source)} texts, each in English and {', '.join(known)}.")
    return 1 if found else 0


def _object_info(host: Host) -> dict[str, Any]:
    """What the host would tell a browser about the pack's nodes."""
    from in_process import boot

    with tempfile.TemporaryDirectory() as folder:
        nodes = boot(host.tree, Path(folder), "--cpu").NODE_CLASS_MAPPINGS
        ours = {name: node for name, node in nodes.items() if name.startswith("InvSR")}
        return {name: node.GET_NODE_INFO_V1() for name, node in ours.items()}


if __name__ == "__main__":
    raise SystemExit(main())
