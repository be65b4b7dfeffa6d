"""Checkpoints and names of classes."""

from __future__ import annotations

import functools
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from mnv4_mobile.errors import MobileError
from tests.hostile.kinds.images import zeros
from tests.hostile.kinds.kind import Kind
from tests.hostile.mutations import (
    RAW_JSON,
    TEXTS,
    change,
    changed_json,
    damaged,
    encoded,
    integer,
    misspelled,
    text_of,
)
from tests.hostile.promise import BrokenError, Files


@functools.cache
def _state() -> Any:
    from mnv4_mobile.model.random_weights import random_state
    from mnv4_mobile.testing import tiny_model

    return random_state(tiny_model(), 0)


@functools.cache
def _safetensors() -> bytes:
    from safetensors.torch import save

    return save({name: tensor.contiguous() for name, tensor in _state().items()})


def _hostile_safetensors(random: Random) -> Files:
    data = _safetensors()
    size = int.from_bytes(data[:8], "little")
    tree, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    match random.randrange(6):
        case 0:
            found = damaged(random, data, range(size + 8))
        case 1:
            found = data[: random.randrange(len(data))]
        case 2:
            found = struct.pack("<Q", integer(random) % 2**64) + data[8:]
        case 3:
            tree["__metadata__"] = change(
                random, {"format": "pt", "mnv4.labels": '["a"]', "labels": "[]"}, RAW_JSON
            )
            text = encoded(text_of(tree))
            found = struct.pack("<Q", len(text)) + text + rest
        case _:
            text = encoded(text_of(change(random, tree, RAW_JSON)))
            found = struct.pack("<Q", len(text)) + text + rest
    config = _CONFIG if random.randrange(2) else None
    files: Files = {"hostile.safetensors": found}
    if config is not None:
        files["config.json"] = changed_json(random, config)
    return files


_CONFIG = {
    "architecture": "mobilenetv4_conv_small",
    "num_classes": 3,
    "num_features": 1280,
    "pretrained_cfg": {
        "tag": "e2400_r224_in1k",
        "input_size": [3, 224, 224],
        "test_input_size": [3, 256, 256],
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "num_classes": 3,
        "license": "apache-2.0",
        "label_names": ["n1", "n2", "n3"],
        "label_descriptions": {"n1": "a cat", "n2": "a dog", "n3": "neither"},
    },
    "model_args": {"num_classes": 3, "in_chans": 3, "global_pool": "avg"},
}


def _hostile_labels(random: Random) -> Files:
    names = ["cat", "dog", "bird"]
    if random.randrange(2):
        tree = random.choice((names, {str(i): name for i, name in enumerate(names)}))
        return {"hostile.json": changed_json(random, tree)}
    names[random.randrange(3)] = random.choice(TEXTS)
    data = encoded("\n".join(names))
    return {"hostile.txt": data if random.randrange(3) else damaged(random, data)}


def _read_names(given: Path, out: Path) -> None:
    from mnv4_mobile.labels import check_labels, read_labels

    (path,) = given.iterdir()
    labels = read_labels(str(path))
    check_labels(labels, len(labels))
    if any(character in label for label in labels for character in "\n\r\0\x1b"):
        raise BrokenError(f"accepted {labels!r}")


@functools.cache
def _pth() -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"state_dict": dict(_state()), "epoch": 3, "arch": "tiny"}, file)
    return file.getvalue()


_PICKLES = (
    b"cposix\nsystem\n(S'touch $TMPDIR/ran'\ntR.",
    b'cbuiltins\neval\n(S\'open("ran","w")\'\ntR.',
    b"\x80\x02]q\x00" + b"h\x00a" * 2000 + b".",
    b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    b"\x80\x02J\xff\xff\xff\x7fN\x85R.",
    b"ctorch\nzeros\n(I100000\nI100000\ntR.",
    b"c_codecs\nencode\n(V\xff\nVlatin1\ntR.",
    b"I" + b"9" * 5000 + b"\n.",
    b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b".",
    b".",
    b"",
)


def _zipped(entries: Mapping[str, bytes], method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, method)
    return file.getvalue()


def _bomb(entries: Mapping[str, bytes], bomb: str, size: int) -> bytes:
    """Returns an archive in which one entry inflates to that many zeros."""
    packed = {
        name: (0, len(content), content, zlib.crc32(content)) for name, content in entries.items()
    }
    packed[bomb] = (8, size, zeros(size), _crc(size))
    body, index = b"", b""
    for name, (method, length, content, crc) in packed.items():
        text = name.encode()
        common = struct.pack(
            "<HHHHHIIIHH", 20, 0, method, 0, 33, crc, len(content), length, len(text), 0
        )
        index += b"PK\1\2" + struct.pack("<H", 20) + common
        index += struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + text
        body += b"PK\3\4" + common + text + content
    end = struct.pack("<HHHHIIH", 0, 0, len(packed), len(packed), len(index), len(body), 0)
    return body + index + b"PK\5\6" + end


@functools.cache
def _crc(size: int) -> int:
    crc, piece = 0, bytes(1 << 24)
    for _ in range(size >> 24):
        crc = zlib.crc32(piece, crc)
    return crc


def _hostile_pth(random: Random) -> Files:
    data = _pth()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in entries if name.endswith("data.pkl"))
    method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    match random.randrange(10):
        case 0:
            found = damaged(random, data)
        case 1:
            found = data[: random.randrange(len(data))]
        case 2:
            entries[pickled] = random.choice(_PICKLES)
            found = _zipped(entries, method)
        case 3:
            found = random.choice(_PICKLES)  # the format before archives
        case 4:
            del entries[random.choice(sorted(entries))]
            found = _zipped(entries, method)
        case 5:
            size = random.choice((1 << 24, 1 << 29, 1 << 30))
            found = _bomb(entries, random.choice(sorted(entries)), size)
        case 6:
            name = random.choice(sorted(entries))
            entries[name] = damaged(random, entries[name])
            found = _zipped(entries, method)
        case 7:
            entries[pickled] = misspelled(random, entries[pickled])
            found = _zipped(entries, method)
        case _:
            entries[pickled] = damaged(random, entries[pickled])
            found = _zipped(entries, method)
    return {f"hostile.{random.choice(('pth', 'pt', 'ckpt', 'bin'))}": found}


def _read_checkpoint(given: Path, out: Path) -> None:
    from mnv4_mobile.model.checkpoint_about import about_timm
    from mnv4_mobile.model.resolve import resolve
    from mnv4_mobile.model.weights import load_checkpoint
    from mnv4_mobile.testing import tiny_model

    (path,) = given.glob("hostile.*")
    about_timm(path)
    load_checkpoint(tiny_model(), str(path))
    try:
        resolve(str(path))
    except MobileError as error:  # no shipped network is that tiny
        print(error)


KINDS = {
    "safetensors": Kind(
        lambda: {"hostile.safetensors": _safetensors()}, _hostile_safetensors, _read_checkpoint
    ),
    "labels": Kind(lambda: {"hostile.txt": b"a\nb\n"}, _hostile_labels, _read_names),
    "pth": Kind(lambda: {"hostile.pth": _pth()}, _hostile_pth, _read_checkpoint),
}
