"""The help pages: one for each node, as the server gives them, true to the schema and messages.

A page's inputs and outputs are lists of lines such as "- `steps` (1 to 50, default 1): words".
"""

import ast
import re
from pathlib import Path
from urllib.error import HTTPError

import pytest

from invsr_core.schedule import parse_timesteps, published_timesteps

ROOT = Path(__file__).parent.parent.parent
WEB = ROOT / "web"
PAGES = sorted((WEB / "docs").glob("*/en.md"), key=lambda page: page.parent.name)
ENTRY = re.compile(r"^- `(?P<id>\w+)` \((?P<facts>[^)]*)\): \S.*$", re.MULTILINE)
FACTS = re.compile(r"((?P<min>\S+) to (?P<max>\S+)( px)?|0 or more), default (?P<default>\S+)")
SETTING = re.compile(r"`([a-z_]+): ([^`]+)`")
MESSAGE = re.compile(r"^- `(.+?)`(?: \(in the log\))?: ", re.MULTILINE)
SCHEDULE = re.compile(r"^- (\d) steps?: `([^`]+)`$", re.MULTILINE)
COUNTLESS = 2**53
"""From here on a range's end is not worth telling."""


@pytest.fixture(scope="module")
def schemas(server):
    """The pack's nodes as the server describes them, by id."""
    info = server.get("/object_info")
    ours = "custom_nodes.comfyui-invsr"
    return {id_: node for id_, node in info.items() if node["python_module"] == ours}


@pytest.fixture(scope="module", params=PAGES, ids=lambda page: page.parent.name)
def page(request):
    return request.param


@pytest.fixture(scope="module")
def text(page):
    return page.read_text(encoding="utf-8")


@pytest.fixture
def schema(page, schemas):
    return schemas[page.parent.name]


@pytest.fixture
def widgets(schema):
    return inputs_of(schema)


def inputs_of(schema):
    """Each input's type and options by id, in the order of the node."""
    groups = [schema["input"].get(group, {}) for group in ("required", "optional")]
    return {id_: (kind, *rest) for group in groups for id_, (kind, *rest) in group.items()}


def section(text, title):
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True)).get(title, "")


def entries(text, title):
    found = ENTRY.finditer(section(text, title))
    return [(entry["id"], entry["facts"], entry_text(text, entry)) for entry in found]


def entry_text(text, entry):
    """Give the entry's line and the indented lines below it."""
    below = text[text.index(entry.group()) + len(entry.group()) :]
    return entry.group() + re.match(r"(\n  .*)*", below).group()


def test_every_node_has_a_page_and_no_page_is_left_over(schemas):
    assert {page.parent.name for page in PAGES} == set(schemas)


def test_the_web_folder_holds_nothing_else():
    files = {path for path in WEB.rglob("*") if path.is_file()}
    assert {path for path in files if path.parent.parent != WEB / "docs"} == set()
    assert {path.suffix for path in files} == {".md"}


def test_the_server_gives_the_page(server, page, text):
    path = f"/extensions/comfyui-invsr/docs/{page.parent.name}/en.md"
    assert server.fetch(path).decode() == text


def test_the_server_has_no_page_for_an_unknown_node(server):
    with pytest.raises(HTTPError, match="404"):
        server.fetch("/extensions/comfyui-invsr/docs/InvSRUnknown/en.md")


def test_the_page_is_plain_markdown_with_its_parts(text, schema):
    assert text.startswith(f"# {schema['display_name']}\n\n")
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    expected = ["Inputs", "Outputs", "Recipes", "If something goes wrong"]
    assert [title for title in titles if title != "Good to know"] == expected
    assert not re.search(r"<\w|!\[", text), "HTML or an image"
    assert set(re.findall(r"https?://[^\s)]+", text)) <= {"https://arxiv.org/abs/2412.09013"}
    assert text.isascii()
    assert len(text.splitlines()) <= 90


def test_every_input_has_its_line_and_no_other(text, widgets):
    assert [id_ for id_, _, _ in entries(text, "Inputs")] == list(widgets)
    assert section(text, "Inputs").count("\n- `") == len(widgets), "a line of another form"
    if not widgets:
        assert section(text, "Inputs").strip() == "None."


def test_every_output_has_its_line_and_no_other(text, schema):
    found = [(id_, facts) for id_, facts, _ in entries(text, "Outputs")]
    assert found == [*zip(schema["output_name"], schema["output"], strict=True)]


def test_ranges_defaults_and_choices_are_the_schemas(text, widgets, schema):
    optional = schema["input"].get("optional", {})
    for id_, facts, words in entries(text, "Inputs"):
        kind, options = widgets[id_][0], (*widgets[id_][1:], {})[0]
        if kind in ("INT", "FLOAT"):
            check_number(id_, facts, options)
        elif kind == "STRING":
            shown = f"`{options['default']}`" if options["default"] else "empty"
            assert facts == f"text, default {shown}", id_
        elif kind == "COMBO" and "default" in options:
            assert facts == f"default `{options['default']}`", id_
            assert set(options["options"]) <= set(re.findall(r"`([^`]+)`", words)), id_
        elif kind == "COMBO":
            assert facts == "file", id_
        else:
            assert facts == kind + (", optional" if id_ in optional else ""), id_


def check_number(id_, facts, options):
    stated = FACTS.fullmatch(facts)
    assert stated, f"{id_}: {facts}"
    assert float(stated["default"]) == options["default"], id_
    if options["max"] >= COUNTLESS:
        assert facts.startswith("0 or more"), id_
    else:
        assert float(stated["min"]) == options["min"], id_
        assert float(stated["max"]) == options["max"], id_


def test_settings_that_the_page_advises_can_be_set(text, widgets):
    for id_, value in SETTING.findall(text):
        kind, options = widgets[id_]
        if kind in ("INT", "FLOAT"):
            assert options["min"] <= float(value) <= options["max"], id_
        elif kind == "COMBO":
            assert value in options["options"], id_
        elif id_ == "timesteps":
            parse_timesteps(value)
        else:
            assert kind == "STRING", id_


def test_the_schedules_of_the_schedulers_page_are_the_real_ones():
    text = (WEB / "docs" / "InvSRScheduler" / "en.md").read_text()
    stated = {int(steps): parse_timesteps(list_) for steps, list_ in SCHEDULE.findall(text)}
    assert stated == {steps: published_timesteps(steps) for steps in range(1, 6)}


def test_ids_named_anywhere_on_the_page_exist(text, schemas):
    known = {id_ for node in schemas.values() for id_ in (*inputs_of(node), *node["output_name"])}
    assert set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text)) <= known


def test_messages_the_page_explains_are_ones_the_pack_gives(text, said_by_the_pack):
    quoted = MESSAGE.findall(section(text, "If something goes wrong"))
    unknown = [each for each in quoted if not any(each in said for said in said_by_the_pack)]
    assert unknown == []


@pytest.fixture(scope="module")
def said_by_the_pack():
    """Every text in the pack's code, constants filled in and whatever varies as "..."."""
    files = [path for name in ("nodes", "invsr_core") for path in (ROOT / name).rglob("*.py")]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    numbers = {
        node.targets[0].id: str(node.value.value)
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    return [
        re.sub(r"%\w", "...", said)
        for tree in trees
        for node in ast.walk(tree)
        if (said := spelled(node, numbers))
    ]


def spelled(node, numbers):
    """Give the text of a string expression; of anything else its constant value or "..."."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            spelled(part, numbers)
            if isinstance(part, ast.Constant)
            else numbers.get(getattr(part.value, "id", None), "...")
            for part in node.values
        )
    return ""


@pytest.mark.parametrize("alias", ["super resolution", "upscale", "SR", "enhance"])
@pytest.mark.parametrize(
    "node",
    ["InvSRUpscale", "InvSRUpscaleVideo", "InvSREncode", "InvSRPartialSampler", "InvSRDecode"],
)
def test_nodes_are_found_by_what_people_type(schemas, node, alias):
    assert alias in schemas[node]["search_aliases"]


def test_every_node_input_and_output_describes_itself(schemas):
    for id_, schema in schemas.items():
        assert schema["description"], id_
        assert "super resolution" in schema["search_aliases"], id_
        assert all(schema["output_tooltips"] or ()), id_
        for name, (_, *options) in inputs_of(schema).items():
            assert options[0]["tooltip"], f"{id_}.{name}"
