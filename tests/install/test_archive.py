"""What would be published: metadata as the registry reads it, and the files in the archive."""

import zipfile

import pytest

USERS_GET = {
    *("__init__.py", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"),
    *("demo_models.safetensors", "demo_models.md"),
    *("nodes/", "invsr_core/", "workflows/", "subgraphs/", "web/", "locales/"),
}


@pytest.fixture(scope="module")
def names(archive):
    with zipfile.ZipFile(archive) as files:
        assert files.testzip() is None
        return set(files.namelist())


def test_the_registrys_own_check_finds_nothing(comfy_node):
    output = comfy_node("validate")
    assert "All validation checks passed" in output
    assert "arning" not in output


def test_the_registry_reads_all_metadata(host, working_copy):
    from comfy_cli.registry.config_parser import extract_node_configuration

    read = extract_node_configuration(str(working_copy / "pyproject.toml"))
    assert read.project.name == "invsr-native"
    assert read.project.version
    assert read.project.license.text == "GPL-3.0-or-later"
    assert read.project.dependencies == []
    assert read.project.supported_os == ["OS Independent"]
    assert "GPU :: NVIDIA CUDA" in read.project.supported_accelerators
    assert read.project.supported_comfyui_version == ">=0.30.0"
    assert read.tool_comfy.display_name == "InvSR (native)"


def test_users_get_what_they_need_and_nothing_else(names):
    tops = {name.partition("/")[0] + ("/" if "/" in name else "") for name in names}
    assert tops <= USERS_GET
    assert tops >= {name for name in USERS_GET if not name.endswith("/")}
    assert {"nodes/", "invsr_core/", "workflows/"} <= tops
    assert "invsr_core/training/configs/published.toml" in names
    strange = [name for name in names if "test" in name.lower() or "__pycache__" in name]
    assert not strange


def test_the_archive_is_small(archive, record_testsuite_property):
    size = archive.stat().st_size
    record_testsuite_property("bytes of the archive", size)
    assert size < 30e6


def test_the_demo_and_the_server_tests_run_on_the_files_of_the_archive(host, names, tmp_path):
    from host import copy_pack

    copied = copy_pack(tmp_path)
    files = {path.relative_to(copied).as_posix() for path in copied.rglob("*") if path.is_file()}
    assert files <= names
    assert {name for name in names if "/" in name} <= files


COMPLETE = {
    "project": {"version": "1.2.3", "urls": {"Repository": "somewhere"}},
    "tool": {"comfy": {"PublisherId": "someone"}},
}
CHANGELOG = "## [Unreleased]\n\n## [1.2.3] - 2030-01-02\n"


@pytest.mark.parametrize(
    ("changes", "changelog", "tag", "says"),
    [
        ({}, CHANGELOG, "v1.2.3", None),
        ({}, CHANGELOG, None, None),
        ({}, CHANGELOG, "v1.2.4", "tag is v1.2.4"),
        ({}, "## [1.2.3]\n", None, "no dated section for 1.2.3"),
        ({"tool": {"comfy": {"PublisherId": ""}}}, CHANGELOG, None, "PublisherId is empty"),
        ({"project": {"version": "1.2.3"}}, CHANGELOG, None, "no Repository"),
    ],
    ids=["complete", "complete, no tag", "wrong tag", "undated", "no publisher", "no repository"],
)
def test_the_release_check_names_what_is_missing(host, changes, changelog, tag, says):
    from check_release import obstacles

    found = obstacles({**COMPLETE, **changes}, changelog, tag)
    assert len(found) == (says is not None)
    assert says is None or says in found[0]
