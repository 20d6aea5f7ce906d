"""Say what is missing to publish: python3 scripts/check_release.py [TAG]. Needs Python 3.11."""

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    import tomllib  # here, so that the tests can import this file with Python 3.10

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    missing = obstacles(project, changelog, tag=sys.argv[1] if len(sys.argv) > 1 else None)
    print("\n".join(missing) or "Ready to publish.")
    return 1 if missing else 0


def obstacles(project: dict[str, Any], changelog: str, tag: str | None) -> list[str]:
    """List, in the owner's words, what the registry or a reader of the release would miss."""
    version = project["project"]["version"]
    dated = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    missing = []
    if not project["tool"]["comfy"].get("PublisherId"):
        missing.append("pyproject.toml: PublisherId is empty; registry.comfy.org gives one.")
    if not project["project"].get("urls", {}).get("Repository"):
        missing.append("pyproject.toml: [project.urls] has no Repository.")
    if not re.search(dated, changelog, re.MULTILINE):
        missing.append(f"CHANGELOG.md: there is no dated section for {version}.")
    if tag is not None and tag != f"v{version}":
        missing.append(f"The tag is {tag}, but pyproject.toml's version is {version}.")
    return missing


if __name__ == "__main__":
    raise SystemExit(main())
