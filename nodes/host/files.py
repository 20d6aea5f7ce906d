"""The pack's model folder, `models/invsr`."""

import os

import folder_paths

FOLDER = "invsr"


def register_model_folder() -> None:
    """Add `models/invsr` and the output folder's `invsr` to what the host knows under that name.

    Another pack or an extra_model_paths.yaml may have the name too: its file types stay its own.
    """
    types = set(folder_paths.supported_pt_extensions)
    folder_paths.folder_names_and_paths.setdefault(FOLDER, ([], types))
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
    folder_paths.add_model_folder_path(FOLDER, _output_folder())


def predictor_names() -> list[str]:
    """List the model files, whatever others did to the entry since.

    Past the host's cache, which is one per name: our list would stand in for another pack's.
    """
    register_model_folder()
    folders = folder_paths.get_folder_paths(FOLDER)
    names = {name for folder in folders for name in folder_paths.recursive_search(folder)[0]}
    return folder_paths.filter_files_extensions(names, folder_paths.supported_pt_extensions)


def predictor_path(name: str) -> str:
    return folder_paths.get_full_path_or_raise(FOLDER, name)


def new_predictor_path(prefix: str) -> str:
    """Give a free numbered name that starts with `prefix` in the output folder's `invsr`."""
    folder, name, counter, _, _ = folder_paths.get_save_image_path(prefix, _output_folder())
    return os.path.join(folder, f"{name}_{counter:05}_.safetensors")


def _output_folder() -> str:
    return os.path.join(folder_paths.get_output_directory(), FOLDER)
