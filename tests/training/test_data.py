"""Crops from folders: order, position, and files that are no pictures."""

import logging

import pytest
import torch

from invsr_core.training.data import (
    CropDataset,
    MicrobatchSampler,
    find_images,
    load_crops,
    random_crop,
    read_image,
)
from invsr_core.training.draw import generator_for


def crops(files, count, *, first=0, workers=0, process=0, processes=1):
    dataset = CropDataset(files, size=64, seed=1)
    sampler = MicrobatchSampler(2, first=first, process=process, processes=processes)
    stream = load_crops(dataset, sampler, workers=workers)
    return [next(stream) for _ in range(count)]


def test_a_stream_can_start_anywhere_with_any_number_of_workers(pictures):
    files = find_images([pictures])
    whole = crops(files, 7)
    resumed = crops(files, 3, first=4, workers=2)
    assert all(torch.equal(*pair) for pair in zip(whole[4:], resumed, strict=True))


def test_processes_share_the_microbatches_of_one(pictures):
    files = find_images([pictures])
    alone = crops(files, 6)
    shared = [crops(files, 3, process=rank, processes=2) for rank in range(2)]
    together = [batch for pair in zip(*shared, strict=True) for batch in pair]
    assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))


def test_every_file_comes_once_per_round_in_a_new_order(pictures):
    files = find_images([pictures])
    dataset = CropDataset(files, size=64, seed=1)
    rounds = [[dataset._file_at(8 * n + i).name for i in range(8)] for n in range(3)]
    assert all(sorted(names) == sorted(path.name for path in files) for names in rounds)
    assert rounds[0] != rounds[1] != rounds[2]


def test_unreadable_files_are_skipped_with_one_line_each(pictures, caplog):
    (pictures / "bad.png").write_text("no picture")
    (pictures / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with caplog.at_level(logging.WARNING):
        stream = crops(find_images([pictures]), 20)
    assert all(batch.shape == (2, 3, 64, 64) for batch in stream)
    said = [record.getMessage() for record in caplog.records]
    assert sorted(line.split()[1] for line in said) == ["bad.png", "cut.jpg"]


def test_a_folder_of_unreadable_files_is_an_error(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("no picture")
    with pytest.raises(ValueError, match="None of the 2 training images can be read"):
        crops(find_images([tmp_path]), 1)


def test_empty_and_missing_folders_are_named(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(ValueError, match=f"'{tmp_path}' has no images"):
        find_images([tmp_path])
    with pytest.raises(ValueError, match=r"nowhere' does not exist"):
        find_images([tmp_path / "nowhere"])


@pytest.mark.parametrize("size", [(3, 20, 100), (3, 1, 5), (3, 63, 64)])
def test_images_smaller_than_the_crop_are_extended_by_reflection(size):
    image = torch.rand(size, generator=generator_for("cpu", "small"))
    crop = random_crop(image, 64, generator_for("cpu", 4))
    assert crop.shape == (3, 64, 64)
    assert set(crop.flatten().tolist()) <= set(image.flatten().tolist())


def test_the_extension_mirrors_the_bottom_and_right_edges():
    image = torch.arange(6.0).view(1, 2, 3)
    crop = random_crop(image, 4, generator_for("cpu", 1))
    rows = [[0, 1, 2, 1], [3, 4, 5, 4], [0, 1, 2, 1], [3, 4, 5, 4]]
    expected = torch.tensor(rows, dtype=torch.float32)[None]
    assert torch.equal(crop, expected) or torch.equal(crop, expected.flip(2))


def test_gray_and_transparent_pictures_become_rgb(tmp_path):
    from PIL import Image

    for mode in ("L", "RGBA", "P", "I;16"):
        path = tmp_path / f"{mode[0]}.png"
        Image.new(mode, (5, 7)).save(path)
        assert read_image(path).shape == (3, 7, 5)
