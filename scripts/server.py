"""A real ComfyUI server on loopback, and a client for it. Runs in the host's Python."""

import asyncio
import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from comfy_cli.workflow_to_api import convert_ui_to_api
from host import Host

Event = dict[str, Any]


class ServerError(RuntimeError):
    """The server did not start, refused a prompt, or reported a failed one."""


class Server:
    """ComfyUI with `base` as its data folder; use as a context manager."""

    def __init__(self, host: Host, base: Path, *arguments: str, port: int | None = None) -> None:
        self.base, self.port = base, port or _free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._log = base / "server.log"
        self._command = [
            *(str(host.python), str(host.tree / "main.py")),
            *("--listen", "127.0.0.1", "--port", str(self.port), "--disable-auto-launch"),
            *("--base-directory", str(base), "--disable-api-nodes"),
            *("--database-url", f"sqlite:///{base / 'user' / 'comfyui.db'}"),
            *arguments,
        ]
        for folder in ("custom_nodes", "models", "input", "output", "user/default/workflows"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        self._extra_paths = base / "extra_model_paths.yaml"

    def __enter__(self) -> "Server":
        command = list(self._command)
        if self._extra_paths.exists():
            command += ["--extra-model-paths-config", str(self._extra_paths)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )
        try:
            self._wait_until_up(seconds=180)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def get(self, path: str) -> Any:
        """Fetch JSON."""
        return json.loads(self.fetch(path))

    def fetch(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=60) as response:
            return response.read()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send JSON. Raises ServerError with the server's explanation if it refuses."""
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read()
        except urllib.error.HTTPError as refusal:
            raise ServerError(refusal.read().decode(errors="replace")) from None
        return json.loads(text) if text else None

    def to_prompt(self, workflow: dict[str, Any]) -> dict[str, Any]:
        """Turn a saved workflow into the form that is queued."""
        return convert_ui_to_api(workflow, self.get("/object_info"))

    def run(
        self, prompt: dict[str, Any], on_event: Callable[[Event], None] = lambda event: None
    ) -> dict[str, Any]:
        """Queue a prompt, follow it to its end, and give each node's UI output by node id.

        `on_event` sees every message; previews come as {"type": "preview", "data": bytes}.
        Raises ServerError if the prompt is refused, fails or is interrupted.
        """
        return asyncio.run(self._run(prompt, on_event))

    def download(self, image: dict[str, str]) -> bytes:
        """Fetch an image that a node reported."""
        return self.fetch(f"/view?{urllib.parse.urlencode(image)}")

    async def _run(
        self, prompt: dict[str, Any], on_event: Callable[[Event], None]
    ) -> dict[str, Any]:
        client = uuid.uuid4().hex
        url = f"http://{self.address}/ws?clientId={client}"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, max_msg_size=0) as ws,
        ):
            body = {"prompt": prompt, "client_id": client}
            queued = (await asyncio.to_thread(self.post, "/prompt", body))["prompt_id"]
            async for event in _events(ws):
                await asyncio.to_thread(on_event, event)
                if _is_success(event, queued):
                    return self._outputs(queued)
        raise ServerError(f"The server closed the connection:\n{self.log()[-2000:]}")

    def _outputs(self, prompt_id: str) -> dict[str, Any]:
        # The host announces success a moment before it writes its history.
        while prompt_id not in (history := self.get(f"/history/{prompt_id}")):
            time.sleep(0.05)
        return history[prompt_id]["outputs"]

    def _wait_until_up(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerError(f"ComfyUI did not start:\n{self.log()[-3000:]}")
            try:
                self.get("/system_stats")
                return
            except OSError:
                time.sleep(0.3)
        raise ServerError(f"ComfyUI did not answer in {seconds:.0f} s:\n{self.log()[-3000:]}")


async def _events(ws: aiohttp.ClientWebSocketResponse) -> Any:
    async for message in ws:
        if message.type == aiohttp.WSMsgType.TEXT:
            yield json.loads(message.data)
        elif message.type == aiohttp.WSMsgType.BINARY:
            yield {"type": "preview", "data": message.data}


def _is_success(event: Event, prompt_id: str) -> bool:
    data = event["data"]
    if not isinstance(data, dict) or data.get("prompt_id") != prompt_id:
        return False
    if event["type"] in ("execution_error", "execution_interrupted"):
        raise ServerError(data.get("exception_message") or "The run was interrupted.")
    return event["type"] == "execution_success"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
