"""Calibration images: chosen, held out, skipped, complained about."""

import os

import pytest
from PIL import Image

from mnv4_mobile.errors import ConfigError, ImageError
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, random_images
from mnv4_mobile.quantize.calibration import choose_images
from tests.notes import Notes

PREPROCESS = Preprocess(
    size=(32, 32), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """120 pictures, one of them broken."""
    path = tmp_path_factory.mktemp("pictures")
    for index, picture in enumerate(random_images(PREPROCESS, 119, 0)):
        Image.fromarray(picture).save(path / f"{index:03d}.png")
    (path / "broken.png").write_bytes(b"no picture")
    return path


def chosen(folder, images=200, held_out=0, seed=0):
    notes = Notes()
    found = choose_images(
        str(folder), PREPROCESS, images=images, seed=seed, progress=notes, held_out=held_out
    )
    return found, notes.notes


def test_a_broken_file_is_named_skipped_and_counted(folder):
    found, notes = chosen(folder)
    assert (len(found), found.skipped, len(found.held)) == (119, 1, 0)
    (note,) = notes
    assert "skipped" in note
    assert "broken.png" in note


def test_what_is_no_file_is_skipped(folder, tmp_path):
    for index in range(3):
        (tmp_path / f"{index}.png").write_bytes((folder / f"{index:03}.png").read_bytes())
    (tmp_path / "again").symlink_to(".")
    (tmp_path / "gone.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    found, notes = chosen(tmp_path)
    assert (len(found), found.skipped) == (3, 2)
    assert any("gone.png: not readable as an image: No such file" in note for note in notes)
    assert any("pipe.png: a directory or device, must be a file" in note for note in notes)


def test_pictures_held_out_are_others(folder):
    found, _ = chosen(folder, images=20, held_out=50)
    assert (len(found), len(found.held)) == (20, 50)
    assert not {*found.paths} & {*found.held}
    assert found.held_out().shape == (50, 32, 32, 3)
    assert chosen(folder, images=20, held_out=50)[0] == found
    assert chosen(folder, images=20, held_out=50, seed=1)[0].paths != found.paths


def test_a_fifth_is_held_out_where_there_are_few(folder):
    found, notes = chosen(folder, held_out=128)
    assert (len(found), len(found.held)) == (96, 23)
    assert any("only 96 images, better 100" in note for note in notes)


def test_the_hash_is_of_the_pictures(folder):
    some, others = chosen(folder, images=20)[0], chosen(folder, images=21)[0]
    assert some.sha256() == chosen(folder, images=20)[0].sha256() != others.sha256()
    assert chosen("random", images=3)[0].sha256() is None


def test_random_images_held_out_are_others():
    found, _ = chosen("random", images=3)
    assert not (found.held_out()[0] == next(iter(found))).all()


def test_pictures_that_look_alike(tmp_path):
    for index in range(100):
        Image.new("RGB", (32, 32), (90, 90, 90 + index % 2)).save(tmp_path / f"{index}.png")
    assert chosen(tmp_path)[1] == [
        "calibration: the images look alike; their ranges will not fit others"
    ]


def test_too_few(tmp_path):
    with pytest.raises(ImageError, match="no image found"):
        chosen(tmp_path)
    for index in range(4):
        Image.new("RGB", (32, 32), (60 * index, 0, 0)).save(tmp_path / f"{index}.png")
    assert len(chosen(tmp_path)[0]) == 4
    with pytest.raises(ConfigError, match="found 4 readable images, must be 5 or more"):
        chosen(tmp_path, held_out=10)
    for index in range(1, 4):
        (tmp_path / f"{index}.png").unlink()
    with pytest.raises(ConfigError, match="found 1 readable images, must be 2 or more"):
        chosen(tmp_path)
