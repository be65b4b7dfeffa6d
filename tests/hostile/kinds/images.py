"""Images."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from random import Random

from mnv4_mobile.errors import ImageError
from tests.hostile.kinds.bundles import LINKS
from tests.hostile.kinds.kind import ROOT, Kind
from tests.hostile.mutations import (
    damaged,
)
from tests.hostile.promise import Fifo, Files, Link

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF")


@functools.cache
def pictures() -> tuple[bytes, ...]:
    from PIL import Image

    Image.init()
    photo = Image.open(ROOT / "mnv4_mobile/demo/pictures/two.jpg").resize((48, 36))
    found = []
    for name in _FORMATS:
        if name in Image.SAVE:
            for mode in ("RGB", "L", "P", "I;16", "RGBA", "CMYK", "1"):
                file = io.BytesIO()
                try:
                    photo.convert(mode).save(file, name)
                except (OSError, ValueError, KeyError):
                    continue
                found.append(file.getvalue())
    return tuple(found)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@functools.cache
def zeros(size: int) -> bytes:
    """Returns that many zero bytes, deflated without a header; the size is a multiple of 2^24."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    return piece * (size >> 24) + b"\x03\x00"


def _png_bomb(random: Random) -> bytes:
    width, height = (
        random.choice((1, 100, 13_000, 16_384, 50_000, 2**31 - 1, 0)) for _ in range(2)
    )
    depth, colour = random.choice(((8, 2), (8, 6), (16, 6), (1, 0), (8, 3), (16, 0), (3, 9)))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, random.choice((0, 0, 1)))
    pixels = b"\x78\x9c" + zeros(random.choice((1 << 24, 1 << 27, 1 << 30)))
    parts = [_chunk(b"IHDR", header)]
    if random.randrange(4) == 0:
        parts.append(_chunk(b"zTXt", b"a\0\0" + pixels))
    if random.randrange(4) == 0:
        parts.append(_chunk(b"iCCP", b"a\0\0" + pixels))
    parts += [_chunk(b"IDAT", pixels), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _image(random: Random) -> Files:
    match random.randrange(8):
        case 0:
            data = _png_bomb(random)
        case 1:
            data = random.choice(pictures())
            data = data[: random.randrange(len(data))]
        case 2:
            data = damaged(random, random.choice(pictures()))
        case _:
            data = random.choice(pictures())
            data = damaged(random, data, range(min(len(data), 200)))
    suffix = random.choice(("png", "jpg", "gif", "tif", "webp"))
    files: Files = {f"hostile.{suffix}": data}
    if random.randrange(8) == 0:
        for name in ("a", "b", "c.png", "d/e", "d/f"):
            files[name] = random.choice((Link(random.choice((*LINKS, "d", "../d"))), Fifo(), b""))
        files["d/g.png"] = data
    return files


def _read_picture(given: Path, out: Path) -> None:
    from mnv4_mobile.images import Preprocess, list_images, pixels, read_image

    for path in list_images(given):
        with suppress(ImageError):
            pixels(read_image(path), Preprocess(size=(96, 96)))
    (path,) = given.glob("hostile.*")
    read_image(path)


KINDS = {
    "image": Kind(lambda: {"hostile.png": pictures()[0]}, _image, _read_picture),
}
