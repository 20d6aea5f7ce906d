"""Everything the nodes need of ComfyUI: sockets, layouts, memory, progress, model checks."""
