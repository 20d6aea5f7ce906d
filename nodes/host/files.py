"""The pack's model folder, `models/invsr`."""

import os

import folder_paths

FOLDER = "invsr"


def register_model_folder() -> None:
    """Add `models/invsr` and the output folder's `invsr`, listing only model files.

    An extra_model_paths.yaml may have added the folder already, without a filter on extensions.
    """
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
    folder_paths.add_model_folder_path(FOLDER, _output_folder())
    folder_paths.folder_names_and_paths[FOLDER][1].update(folder_paths.supported_pt_extensions)


def predictor_names() -> list[str]:
    return folder_paths.get_filename_list(FOLDER)


def predictor_path(name: str) -> str:
    return folder_paths.get_full_path_or_raise(FOLDER, name)


def new_predictor_path(prefix: str) -> str:
    """Give a free numbered name that starts with `prefix` in the output folder's `invsr`."""
    folder, name, counter, _, _ = folder_paths.get_save_image_path(prefix, _output_folder())
    return os.path.join(folder, f"{name}_{counter:05}_.safetensors")


def _output_folder() -> str:
    return os.path.join(folder_paths.get_output_directory(), FOLDER)
