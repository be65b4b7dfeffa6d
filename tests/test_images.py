"""Decoding and finding of pictures."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mnv4_mobile import limits
from mnv4_mobile.errors import ImageError
from mnv4_mobile.images import list_images, read_image
from mnv4_mobile.limits import FLAG

Bytes = npt.NDArray[np.uint8]


def picture(height: int, width: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, depth: int, colour: int, samples: bytes, extra: bytes = b""
) -> bytes:
    """A PNG written by hand, for what Pillow does not write."""
    row = len(samples) // height
    rows = b"".join(b"\0" + samples[i : i + row] for i in range(0, row * height, row or 1))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def short_png(length: int, *, interlaced: bool) -> bytes:
    """A PNG of 40 x 40 whose compressed data end properly, but after too few rows."""
    header = struct.pack(">IIBBBBB", 40, 40, 8, 0, 0, 0, interlaced)
    data = zlib.compress(b"\1" * length)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", data)
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


# --- read_image

UPRIGHT: dict[int, Callable[[Bytes], Bytes]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a),
    9: lambda a: a,  # not an orientation
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    # Blocks of 16 flat pixels pass through JPEG almost unchanged.
    stored = np.kron(picture(2, 3), np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    Image.fromarray(stored).save(path, exif=exif, quality=100, subsampling=0)
    expected = UPRIGHT[orientation](stored)
    read = read_image(path)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).max() <= (0 if suffix == ".png" else 3)


SAMPLES16 = np.array([[0, 255, 256], [0x1234, 0xFE01, 0xFFFF]], np.uint16)
HIGH_BYTES = (SAMPLES16 >> 8).astype(np.uint8)
BIG_ENDIAN = SAMPLES16.astype(">u2").tobytes()
GREY = picture(5, 4)[:, :, 0]


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def rgb(grey: Bytes) -> Bytes:
    return np.repeat(grey[:, :, None], 3, axis=2)


def palette(**options: object) -> bytes:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    return saved(image, "PNG", **options)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(saved(Image.fromarray(GREY), "PNG"), rgb(GREY), id="grey"),
        pytest.param(
            saved(Image.fromarray(GREY > 99), "PNG"), rgb((GREY > 99) * np.uint8(255)), id="bilevel"
        ),
        pytest.param(png(3, 2, 16, 0, BIG_ENDIAN), rgb(HIGH_BYTES), id="grey16-png"),
        pytest.param(saved(Image.fromarray(SAMPLES16), "TIFF"), rgb(HIGH_BYTES), id="grey16-tiff"),
        pytest.param(b"P5 3 2 65535\n" + BIG_ENDIAN, rgb(HIGH_BYTES), id="grey16-pgm"),
        pytest.param(png(1, 2, 16, 2, BIG_ENDIAN), HIGH_BYTES.reshape(2, 1, 3), id="colour16-png"),
        pytest.param(palette(), [[[10, 20, 30], [40, 50, 60]]], id="palette"),
        pytest.param(
            palette(transparency=b"\0\x80"), [[[10, 20, 30], [40, 50, 60]]], id="palette-alpha"
        ),
        pytest.param(
            saved(Image.new("RGBA", (1, 1), (1, 2, 3, 0)), "PNG"), [[[1, 2, 3]]], id="rgba"
        ),
        pytest.param(saved(Image.new("LA", (1, 1), (7, 9)), "PNG"), [[[7, 7, 7]]], id="grey-alpha"),
        pytest.param(
            saved(Image.new("CMYK", (1, 1), (255, 0, 255, 0)), "JPEG", quality=100),
            [[[0, 255, 0]]],
            id="cmyk-jpeg",
        ),
        pytest.param(
            saved(Image.new("CMYK", (1, 1), (0, 51, 255, 51)), "TIFF"),
            [[[204, 163, 0]]],
            id="cmyk-tiff",
        ),
        pytest.param(
            saved(
                Image.new("RGB", (1, 1), "red"),
                "GIF",
                save_all=True,
                append_images=[Image.new("RGB", (1, 1), "blue")],
            ),
            [[[255, 0, 0]]],
            id="first-frame",
        ),
        pytest.param(  # what some phones write under the name .jpg
            saved(
                Image.new("RGB", (8, 8), (9, 9, 9)),
                "MPO",
                save_all=True,
                append_images=[Image.new("RGB", (8, 8), (200, 200, 200))],
            ),
            np.full((8, 8, 3), 9),
            id="multi-picture-jpeg",
        ),
    ],
)
def test_read_image_gives_rgb(tmp_path: Path, data: bytes, expected: npt.ArrayLike) -> None:
    path = tmp_path / "picture"
    path.write_bytes(data)
    read = read_image(path)
    assert read.dtype == np.uint8
    assert read.flags.writeable
    np.testing.assert_array_equal(read, expected)


FINE = saved(Image.fromarray(picture(40, 60)), "JPEG")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "not an image in a format", id="empty"),
        pytest.param(b"just text\n", "not an image in a format", id="text"),
        pytest.param(FINE[: len(FINE) // 2], "truncated", id="truncated-jpeg"),
        pytest.param(saved(Image.fromarray(GREY), "PNG")[:60], "truncated", id="truncated-png"),
        pytest.param(png(60_000, 60_000, 8, 2, b"\0" * 60_000), f"pixels.*{FLAG}", id="bomb"),
        pytest.param(
            png(9_000, 8_000, 8, 2, b"\0" * 9_000),
            f"found 72000000 pixels, allowed are 64000000; {FLAG}",
            id="large",
        ),
        pytest.param(png(7_900, 8_000, 8, 0, b"\0" * 7_900), "truncated", id="largest"),
        pytest.param(short_png(30 * 41, interlaced=False), "truncated", id="short-png"),
        pytest.param(
            short_png(1675 - 3 * 41, interlaced=True), "truncated", id="short-interlaced-png"
        ),
        pytest.param(png(0, 1, 8, 2, b""), "", id="zero-size"),
        pytest.param(
            saved(Image.fromarray(np.full((2, 2), 70_000, np.int32)), "TIFF"), "32-bit", id="int32"
        ),
        pytest.param(
            saved(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), "floating", id="float"
        ),
        pytest.param(
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image", id="eps"
        ),
    ],
)
def test_read_image_refuses(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=rf"broken\.jpg: .*{message}"):
            read_image(path)


def test_read_image_refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"missing\.png: .*No such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(ImageError, match="directory"):
        read_image(tmp_path)


def test_read_image_does_not_wait_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(ImageError, match="device, must be a file"):
            read_image(path)


def test_black_rows_are_read(tmp_path: Path) -> None:
    path = tmp_path / "black.png"
    black = picture(9, 7)
    black[5:] = 0
    Image.fromarray(black).save(path)
    np.testing.assert_array_equal(read_image(path), black)
    path.write_bytes(png(7, 1, 8, 0, b"\0" * 7))
    assert not read_image(path).any()


def test_limits_of_images_are_lifted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(picture(30, 40)).save(path)
    for name, allowed in (("IMAGE_PIXELS", 1199), ("IMAGE_BYTES", 100)):
        monkeypatch.setattr(limits, name, allowed)
        with pytest.raises(
            ImageError, match=rf"x\.png: found .*allowed are {allowed}; {FLAG} lifts"
        ):
            read_image(path)
        monkeypatch.setattr(limits, "_lifted", True)
        assert read_image(path).shape == (30, 40, 3)
        monkeypatch.undo()


def test_a_photo_of_fifty_megapixels_is_read(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    Image.new("L", (8160, 6144), 99).save(path)
    assert limits.IMAGE_PIXELS > 8160 * 6144
    assert read_image(path)[-1, -1].tolist() == [99, 99, 99]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images") / "damaged"


@settings(max_examples=200)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"]),
    damage=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    keep=st.floats(0, 1),
)
def test_a_damaged_picture_is_read_or_refused(
    scratch: Path, kind: str, damage: list[tuple[float, int]], keep: float
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = bytearray(saved(Image.fromarray(picture(9, 7)), kind, exif=exif))
    for where, value in damage:
        data[int(where * (len(data) - 1))] = value
    scratch.write_bytes(data[: int(keep * len(data))] if keep < 0.5 else data)
    try:
        read = read_image(scratch)
    except ImageError:
        return
    assert read.dtype == np.uint8
    assert read.ndim == 3
    assert read.shape[2] == 3


# --- list_images


def test_list_images(tmp_path: Path) -> None:
    wanted = ["a/2.jpg", "a/3/x.tiff", "a.png", "b/1.JPEG"]
    for name in [*wanted, "a/._2.jpg", "b/labels.txt", "README"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == wanted


def test_list_images_reads_each_folder_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "b" / "deep").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for path in (data / "b/1.png", data / "b/deep/2.png", tmp_path / "other/3.png"):
        path.touch()
    for link, target in {
        **{"here": ".", "there": ".", "b/deep/up": "../..", "b/again": "deep"},
        **{"c": tmp_path / "other", "4.png": tmp_path / "other/3.png", "gone.png": "nowhere"},
    }.items():
        (data / link).symlink_to(target)
    found = [path.relative_to(data).as_posix() for path in list_images(data)]
    assert found == ["4.png", "b/1.png", "b/again/2.png", "c/3.png", "gone.png"]


def test_list_images_refuses(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.touch()
    with pytest.raises(ImageError, match="no image found"):
        list_images(tmp_path)
    with pytest.raises(ImageError, match="missing: No such file"):
        list_images(tmp_path / "missing")
    with pytest.raises(ImageError, match=r"labels\.txt: Not a directory"):
        list_images(file)
