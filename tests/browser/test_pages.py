"""What a user finds in the page: templates, the help page, a translation, the blueprint."""

import json
import re
from pathlib import Path

import pytest
from frontend import FOLDER, SETTINGS
from PIL import Image

ROOT = Path(__file__).parents[2]
BLUEPRINT = "InvSR upscale"


@pytest.fixture(autouse=True)
def page_anew(page, server):
    """Start without open dialogs and panels, and fail if the page says anything about the pack."""
    page.complaints.clear()
    server.post("/settings", SETTINGS)
    page.open()
    yield
    assert [each for each in page.complaints if "invsr" in each.lower()] == []


def test_the_template_browser_shows_every_workflow_with_its_thumbnail(page, workflows):
    open_templates(page)
    cards = page.page.locator("[data-testid^='template-workflow-']")
    shown = {each.get_attribute("data-testid").split("-", 2)[2]: each for each in cards.all()}
    assert set(shown) == set(workflows)
    for name, card in shown.items():
        card.scroll_into_view_if_needed()
        size = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
        thumbnail = ROOT / "workflows" / f"{name}.jpg"
        assert thumbnail.exists(), name
        assert tuple(card.locator("img").first.evaluate(size)) == Image.open(thumbnail).size


def test_a_click_on_a_template_opens_its_graph(page, workflows, screenshot):
    open_templates(page)
    screenshot("templates")
    page.page.get_by_test_id("template-workflow-InvSR upscale").click()
    has_it = "() => app.graph.nodes.map(node => node.type).includes('InvSRUpscale')"
    page.page.wait_for_function(has_it)
    assert len(page.nodes()) == len(workflows["InvSR upscale"]["nodes"])


def test_the_help_button_of_a_node_shows_its_help_page(page, screenshot):
    page.load_template("InvSR upscale")
    page.select("InvSRUpscale")
    with page.page.expect_response("**/docs/InvSRUpscale/*.md") as answer:
        page.page.get_by_test_id("info-button").click()
    assert answer.value.ok
    help_page = page.page.locator(".node-help-content")
    help_page.get_by_role("heading").first.wait_for()
    screenshot("help")
    written = (ROOT / "web" / "docs" / "InvSRUpscale" / "en.md").read_text()
    headings = [line.strip("# ") for line in written.splitlines() if line.startswith("#")]
    shown = help_page.inner_text()
    assert headings
    assert all(heading in shown for heading in headings)


@pytest.mark.parametrize("language", ["zh"])
def test_a_node_is_shown_in_the_users_language(page, server, setting, language, screenshot):
    translated = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text())
    node = translated["InvSRUpscale"]
    setting({"Comfy.Locale": language, "Comfy.VueNodes.Enabled": True})
    page.load_template("InvSR upscale")
    on_screen = page.page.locator(f"[data-node-id='{page.id_of('InvSRUpscale')}']")
    on_screen.get_by_text(node["display_name"]).wait_for()
    screenshot(f"language {language}")
    schema = server.get("/object_info/InvSRUpscale")["InvSRUpscale"]["input"]
    inputs = {**schema["required"], **schema["optional"]}
    plain = [name for name, (_, options) in inputs.items() if not options.get("advanced")]
    text = on_screen.inner_text()
    assert [name for name in plain if node["inputs"][name]["name"] not in text] == []


def test_the_blueprint_is_found_by_search_and_placed(page, screenshot):
    page.page.evaluate("() => app.graph.clear()")
    page.command("Workspace.SearchBox.Toggle")
    page.page.keyboard.type(BLUEPRINT)
    found = page.page.get_by_test_id("result-item").filter(has_text="Blueprint")
    found.filter(has_text=re.compile(f"^{BLUEPRINT}")).click()
    page.page.mouse.click(900, 500)
    page.page.wait_for_function("() => app.graph.nodes.length == 1")
    screenshot("blueprint")
    inside = "() => app.graph.nodes[0].subgraph.nodes.map(node => node.type)"
    assert "InvSRUpscale" in page.page.evaluate(inside)


def open_templates(page):
    page.command("Comfy.BrowseTemplates")
    page.page.get_by_text(FOLDER, exact=True).click()
    page.page.get_by_test_id("template-workflow-InvSR upscale").wait_for()
