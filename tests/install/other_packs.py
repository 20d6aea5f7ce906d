"""Stand-ins for packs that share names, folders or hooks with this one; written by recipe."""

OLD_INVSR_IDS = ("LoadInvSRModels", "InvSRSampler")
TILED_DIFFUSION_IDS = (
    "TiledDiffusion",
    "SpotDiffusionParams_TiledDiffusion",
    "NoiseInversion",
    "VAEEncodeTiled_TiledDiffusion",
    "VAEDecodeTiled_TiledDiffusion",
)
LOADED = "stand-in {name} loaded, InvSR nodes known: {known}"

# Replaces the entry of models/invsr, with a list where the host itself has a set.
_OLD_INVSR = """
import logging, os, sys
import folder_paths, nodes

folder = os.path.join(folder_paths.models_dir, "invsr")
folder_paths.folder_names_and_paths["invsr"] = ([folder], [".pth", ".special"])

sys.path.insert(0, os.path.dirname(__file__))
import invsr_core, loader
assert invsr_core.OWNER == loader.OWNER == "stand-in", "got another pack's module"
known = "InvSRUpscale" in nodes.NODE_CLASS_MAPPINGS
logging.info(f"stand-in old_invsr loaded, InvSR nodes known: {known}")


class Load:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"invsr_model": (folder_paths.get_filename_list("invsr"),)}}

    RETURN_TYPES, FUNCTION, CATEGORY = ("INVSR_PIPE",), "run", "INVSR"

    def run(self, invsr_model):
        return (invsr_model,)


class Sample:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"invsr_pipe": ("INVSR_PIPE",), "images": ("IMAGE",)}}

    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "run", "INVSR"

    def run(self, invsr_pipe, images):
        return (images,)


NODE_CLASS_MAPPINGS = {"LoadInvSRModels": Load, "InvSRSampler": Sample}
NODE_DISPLAY_NAME_MAPPINGS = {"InvSRSampler": "InvSR Sampler"}
"""

# As packs did that changed the host's sampling for all: modules under common names, one slot.
_TILED_DIFFUSION = """
import logging, sys, types
import nodes

for name in ("tiling", "sampling", "noise", "host", "progress", "images", "weights"):
    sys.modules[name] = types.ModuleType(name)
known = "InvSRUpscale" in nodes.NODE_CLASS_MAPPINGS
logging.info(f"stand-in tiled_diffusion loaded, InvSR nodes known: {known}")


class Patch:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "run", "_for_testing"

    def run(self, model):
        model = model.clone()
        model.set_model_unet_function_wrapper(
            lambda apply, given: apply(given["input"], given["timestep"], **given["c"])
        )
        return (model,)


NODE_CLASS_MAPPINGS = {name: type(name, (Patch,), {}) for name in IDS}
"""


def write_other_packs(custom_nodes):
    """Write every stand-in into a `custom_nodes` folder."""
    for name in ("invsr_core", "loader"):
        package = custom_nodes / "old_invsr" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text('OWNER = "stand-in"\n')
    (custom_nodes / "old_invsr" / "__init__.py").write_text(_OLD_INVSR)
    tiled = custom_nodes / "tiled_diffusion"
    tiled.mkdir()
    (tiled / "__init__.py").write_text(f"IDS = {TILED_DIFFUSION_IDS!r}\n{_TILED_DIFFUSION}")
