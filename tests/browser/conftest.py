"""One server with the pack, one browser, and the page between them."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path += [str(Path(__file__).parent), str(ROOT / "scripts")]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WORKFLOWS = {path.stem: path for path in sorted((ROOT / "workflows").glob("*.json"))}


@pytest.fixture(params=WORKFLOWS)
def name(request):
    """Each shipped workflow's name in turn."""
    return request.param


@pytest.fixture(scope="session")
def workflows():
    """All shipped workflows by name."""
    return {name: json.loads(path.read_text()) for name, path in WORKFLOWS.items()}


@pytest.fixture
def workflow(workflows, name):
    return workflows[name]


@pytest.fixture(scope="package")
def server(tmp_path_factory, workflows):
    """A server with the pack, stand-ins and input files, and no model."""
    tree = os.environ.get("INVSR_TEST_HOST")
    if tree is None:
        _cannot_run("needs a ComfyUI: run scripts/test.py")
    import stand_ins
    from comfy_server import Server
    from host import Host, copy_pack

    base = tmp_path_factory.mktemp("browser")
    options = ("--cpu", "--use-pytorch-cross-attention", "--preview-method", "latent2rgb")
    server = Server(Host(Path(tree), Path(sys.executable)), base, *options)
    copy_pack(base / "custom_nodes")
    stand_ins.put_pack(base)
    stand_ins.put_inputs(base, workflows.values())
    with server:
        yield server


@pytest.fixture(scope="package")
def browser():
    names = map(shutil.which, BROWSERS)
    executable = os.environ.get("INVSR_CHROMIUM") or next(filter(None, names), None)
    if executable is None:
        _cannot_run("needs Chromium: apt-get install chromium, or set INVSR_CHROMIUM")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _cannot_run("needs playwright: install the extra `dev`")
    from frontend import ARGUMENTS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(browser, server):
    """The page that a file's tests share."""
    from frontend import SETTINGS, VIEWPORT, Frontend

    server.post("/settings", SETTINGS)
    page = browser.new_page(viewport=VIEWPORT)
    page.set_default_timeout(60_000)
    yield Frontend(page, server.address)
    page.close()


@pytest.fixture
def no_complaints(page):
    """Fail the test if the page says anything that it does not say without the pack."""
    page.complaints.clear()
    yield
    assert page.complaints == []


@pytest.fixture
def setting(server, page):
    """Change settings of the user's for one test, in a page loaded anew."""
    from frontend import SETTINGS

    def change(settings):
        server.post("/settings", settings)
        page.open()

    yield change
    server.post("/settings", SETTINGS)
    page.open()


@pytest.fixture
def screenshot(request, page):
    """Take a picture of the page's graph, named by the test and by what it was run on."""
    folder = Path(os.environ.get("INVSR_SCREENSHOTS") or ROOT / "build" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)

    def take(name):
        page.screenshot(folder / f"{re.sub('[^A-Za-z0-9]+', '-', name)}.png")

    return take


def _cannot_run(reason):
    required = os.environ.get("INVSR_BROWSER_TESTS") == "required"
    (pytest.fail if required else pytest.skip)(reason)
