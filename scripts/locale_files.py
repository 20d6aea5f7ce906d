"""The nodes' texts in each language, and what a translation lacks against the English one.

The host serves `locales/<language>/nodeDefs.json`. English is the nodes' own text;
`locale_sources.json` keeps for each language the hashes of the English texts that its translations
were made from.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "locales"
SOURCES = Path(__file__).resolve().parent / "locale_sources.json"
TRANSLATIONS = ("zh", "ja", "es")

Texts = dict[str, str]
"""Text by its place, such as "InvSRUpscale.inputs.seed.tooltip"."""


def english(object_info: dict[str, Any]) -> dict[str, Any]:
    """Take the texts of the pack's nodes from what the host tells about them."""
    ours = sorted(name for name in object_info if name.startswith("InvSR"))
    return {name: _node_texts(object_info[name]) for name in ours}


def _node_texts(node: dict[str, Any]) -> dict[str, Any]:
    texts = {"display_name": node["display_name"], "description": node["description"]}
    groups = [node["input"].get(group, {}) for group in ("required", "optional")]
    inputs = {name: spec[1]["tooltip"] for group in groups for name, spec in group.items()}
    if inputs:
        named = {name: {"name": name, "tooltip": tooltip} for name, tooltip in inputs.items()}
        texts["inputs"] = named
    if node["output"]:
        outputs = enumerate(zip(node["output_name"], node["output_tooltips"], strict=True))
        texts["outputs"] = {str(i): {"name": name, "tooltip": tip} for i, (name, tip) in outputs}
    return texts


def texts_of(nodes: dict[str, Any]) -> Texts:
    """List all texts of a nodeDefs.json."""
    return dict(_leaves(nodes, ""))


def _leaves(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read(language: str) -> dict[str, Any]:
    """Read a language's nodeDefs.json; it is empty where there is none yet."""
    return _load(FOLDER / language / "nodeDefs.json")


def write(language: str, nodes: dict[str, Any]) -> None:
    _save(FOLDER / language / "nodeDefs.json", nodes)


def problems(language: str, source: Texts) -> list[str]:
    """Name each text that a translation lacks, has in excess, or made from other English."""
    translated, made_from = texts_of(read(language)), _load(SOURCES).get(language, [])
    return [
        *(f"{language} lacks {key}: {source[key]}" for key in source if key not in translated),
        *(f"{language} has no use for {key}" for key in translated if key not in source),
        *(
            f"{language} is stale at {key}\n  English: {source[key]}\n  now: {translated[key]}"
            for key in source
            if key in translated and _hash(source[key]) not in made_from
        ),
    ]


def mark_reviewed(language: str, source: Texts) -> None:
    """Note that a translation, as far as it goes, says what the English says now."""
    translated = texts_of(read(language))
    hashes = {_hash(source[key]) for key in source if key in translated}
    _save(SOURCES, {**_load(SOURCES), language: sorted(hashes)})


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _save(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")
