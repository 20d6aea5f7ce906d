"""InvSR for ComfyUI: super-resolution in arbitrary steps by diffusion inversion, natively."""

from typing import Any

WEB_DIRECTORY = "web"
"""Help pages, one for each node and language."""


async def comfy_entrypoint() -> Any:
    """Give the host this pack's nodes; imports nothing of the host before it asks."""
    from .nodes import InvSRExtension

    return InvSRExtension()
