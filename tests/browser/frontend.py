"""ComfyUI's page in a browser: load a graph, queue it, read what the page knows, take a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page

ARGUMENTS = (
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing leaves this machine
)
SETTINGS = {
    "Comfy.Locale": "en",
    "Comfy.VueNodes.Enabled": False,
    "Comfy.TutorialCompleted": True,  # else the template browser covers every screenshot
    "Comfy.InstalledVersion": "1.47.12",
    "Comfy.Workflow.Persist": False,  # else the page brings back what was open last
    "Comfy.Minimap.Visible": False,  # these two would cover a part of the graph
    "Comfy.RightSidePanel.IsOpen": False,
    "LiteGraph.Canvas.MaximumFps": 5,  # else drawing takes half the CPU from the run
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,  # else a large graph's text is left out
}
"""Of a user who is not new, and whose graph is not covered."""
VIEWPORT = {"width": 1600, "height": 1000}
SCREENSHOT = {"width": 2560, "height": 1440}
FOLDER = "comfyui-invsr"
"""The pack's folder in custom_nodes, by which the page knows it."""

HOSTS_OWN = (
    "Failed to load resource: the server responded with a status of 404",  # files of the user's
    "legacy queue/history menu is deprecated",
    "ComfyApp graph accessed before initialization",
    "ComfyApp.open_maskeditor is deprecated",
    "https://huggingface.co/",  # the sizes of missing models, which the server's policy forbids
)
"""What the page of ComfyUI 0.30.0 itself says, with or without this pack."""

_READY = "() => window.app?.vueAppReady && window.app?.isGraphReady && app.graph.nodes.length"
"""The page opens with a graph of its own; another one that is loaded earlier would be replaced."""
_LOAD = "async ([graph, name]) => { await app.loadGraphData(graph, true, true, name) }"
_TEMPLATE = """async ([folder, name]) => {
    const answer = await fetch(`/api/workflow_templates/${folder}/${encodeURIComponent(name)}.json`)
    await app.loadGraphData(await answer.json(), true, true, name)
}"""
_STATE = """name => {
    const page = document.querySelector('#vue-app').__vue_app__
    return JSON.parse(JSON.stringify(page.config.globalProperties.$pinia._s.get(name).$state))
}"""
_UNKNOWN = """() => app.graph.nodes.map(node => node.type)
    .filter(type => !(type in LiteGraph.registered_node_types))"""
_WATCH = """() => {
    window.ended = null
    for (const kind of ['execution_success', 'execution_error', 'execution_interrupted'])
        app.api.addEventListener(kind, event => { window.ended = [kind, event.detail] })
}"""

VIEW_STATE = {"compare_view", "video-preview"}
"""Inputs for what ImageCompare and LoadVideo show just now; only the page has values for them."""


def settled(prompt: dict[str, Any]) -> dict[str, Any]:
    """Give a prompt without what belongs to the page's view."""
    return {
        node: {**step, "inputs": {k: v for k, v in step["inputs"].items() if k not in VIEW_STATE}}
        for node, step in prompt.items()
    }


class Frontend:
    """The page, and what it complained about; `complaints` leaves out what the host always says."""

    def __init__(self, page: "Page", address: str) -> None:
        self.page, self._address = page, address
        self.complaints: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.open()

    def open(self) -> None:
        """Load the page, anew if it is open: with the server's present nodes, files, settings."""
        self.page.goto(f"http://{self._address}")
        self.page.wait_for_function(_READY, timeout=60_000)
        self.page.evaluate(_WATCH)

    def load_template(self, name: str) -> None:
        """Open a shipped workflow as the template browser does."""
        self.page.evaluate(_TEMPLATE, [FOLDER, name])

    def load(self, graph: dict[str, Any], name: str) -> None:
        self.page.evaluate(_LOAD, [graph, name])

    def prompt(self) -> dict[str, Any]:
        """Give what the page would queue."""
        return self.page.evaluate("async () => (await app.graphToPrompt()).output")

    def state(self, store: str) -> dict[str, Any]:
        """Read a Pinia store of the page."""
        return self.page.evaluate(_STATE, store)

    def nodes(self) -> list[tuple[Any, str]]:
        """Give the id and type of every node of the open graph."""
        nodes = self.page.evaluate("() => app.graph.nodes.map(node => [node.id, node.type])")
        return [(node, kind) for node, kind in nodes]

    def select(self, kind: str) -> None:
        """Select the node of a type and bring it to the middle."""
        self.page.evaluate(
            "id => app.canvas.selectNode(app.graph.getNodeById(id))", self.id_of(kind)
        )
        self.command("Comfy.Canvas.FitView")

    def id_of(self, kind: str) -> Any:
        return next(node for node, each in self.nodes() if each == kind)

    def unknown_nodes(self) -> list[str]:
        return self.page.evaluate(_UNKNOWN)

    def command(self, name: str) -> None:
        """Run a command of the page's menu."""
        self.page.evaluate("name => app.extensionManager.command.execute(name)", name)

    def run(self, *, seconds: float) -> str:
        """Press Run, wait for the end, and give the prompt's id. Fails with the server's reason."""
        self.page.evaluate("() => { window.ended = null }")
        self.page.get_by_test_id("queue-button").click()
        ended = "() => window.ended ?? (app.lastNodeErrors && ['refused', app.lastNodeErrors])"
        found = self.page.wait_for_function(ended, timeout=1000 * seconds)
        kind, detail = found.json_value()
        assert kind == "execution_success", (kind, detail)
        return detail["prompt_id"]

    def screenshot(self, path: Path) -> None:
        """Take a picture of the whole graph."""
        self.page.set_viewport_size(SCREENSHOT)
        self.page.wait_for_timeout(500)  # the canvas follows
        self.command("Comfy.Canvas.FitView")
        self.page.wait_for_timeout(1000)  # the view moves there; pictures of nodes arrive
        self.page.screenshot(path=path)
        self.page.set_viewport_size(VIEWPORT)

    def _note(self, message: "ConsoleMessage") -> None:
        about = message.location["url"]
        known = FOLDER not in about and any(says in message.text for says in HOSTS_OWN)
        if message.type in ("error", "warning") and not known:
            self.complaints.append(f"{message.type}: {message.text} ({about})")
