"""Checkpoints that would take gigabytes, or for ever, if they were read as they ask for it."""

import json
import pickle
import struct
import time
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mnv4_mobile import limits
from mnv4_mobile.errors import MobileError, WeightsError
from mnv4_mobile.model.checkpoint_index import read_index
from mnv4_mobile.model.weights import load_checkpoint
from tests.model.checkpoints import TINY, save

pytestmark = pytest.mark.usefixtures("one_thread")


def archive(path: Path, pickled: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    """A checkpoint of torch with this pickle."""
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("archive/data.pkl", b"\x80\x02" + pickled + b".")
        file.writestr("archive/version", "3\n")
        file.writestr("archive/byteorder", "little")
    return path


def old(path: Path, pickled: bytes) -> Path:
    """A checkpoint in the format before torch 1.6 with this pickle."""
    heads = (0x1950A86A20F9469CFC6C, 1001, {})
    path.write_bytes(b"".join(pickle.dumps(one, 2) for one in heads) + b"\x80\x02" + pickled + b".")
    return path


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def nested(levels: int, made: bytes) -> bytes:
    """Tuples that each hold the one before twice, in a few bytes each."""
    steps = b"".join(b"h" + bytes([at - 1]) + b"\x86q" + bytes([at]) for at in range(1, levels))
    return made + b"q\0" + steps


HUGE = b"\x8a\x06" + (10**12).to_bytes(6, "little")
ENCODED = b"c_codecs\nencode\n" * 60 + text("a" * 9) + (text("hex_codec") + b"\x86R") * 60
LISTS = b"]q\0(KKKKe" + b"".join(
    b"](" + (b"h" + bytes([at])) * 99 + b"eq" + bytes([at + 1]) for at in range(9)
)
PICKLES = {
    "bytearray": b"}" + text("a") + b"cbuiltins\nbytearray\n" + HUGE + b"\x85Rs",
    "tensor": b"}" + text("a") + b"ctorch\nFloatTensor\n" + LISTS + b"\x85Rs",
    "encode": ENCODED,
    "storage": b"}" + text("a") + b"ctorch\nFloatStorage\n" + HUGE + b"\x85Rs",
    "hidden": b"c\xc3\xa9\nb\n0" + ENCODED,
    "printed": LISTS + b")R",
    "hashed": b"}" + nested(60, b"K\1") + b"Ns",
    "classes": b"".join(b"ca%d\nb\n" % at for at in range(2_000)) + b"}",
    "deep": (b"}" + text("a")) * 9_999 + b"N" + b"s" * 9_999,
}


@pytest.mark.parametrize("form", [archive, old])
@pytest.mark.parametrize("name", PICKLES)
def test_pickles_do_not_grow(name: str, form, tmp_path: Path) -> None:
    path = form(tmp_path / "x.pth", PICKLES[name])
    begin = time.process_time()
    with pytest.raises(WeightsError, match=r"x\.pth: ") as refused:
        load_checkpoint(TINY, str(path))
    assert time.process_time() - begin < 4  # seconds, also on a busy machine
    assert len(str(refused.value)) < 500


def test_compressed_entries_are_refused(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    zeros = archive(tmp_path / "zeros.pth", b"\0" * 2**24, zipfile.ZIP_DEFLATED)
    assert zeros.stat().st_size < 20_000
    with pytest.raises(WeightsError, match=r"zeros\.pth: .*data\.pkl: found compressed data \(167"):
        read_index(zeros)


def test_a_description_may_be_large_if_the_user_says_so(
    tiny: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(tiny, tmp_path / "x.pth")
    save(tiny, tmp_path / "x.safetensors")
    for name, limit in (("x.pth", "OPERATIONS"), ("x.pth", "HEADER_BYTES")):
        monkeypatch.setattr(limits, limit, 99)
        with pytest.raises(WeightsError, match=rf"found \d+ .*allowed are 99; {limits.FLAG} lifts"):
            read_index(tmp_path / name)
    with pytest.raises(WeightsError, match=rf"x\.safetensors: .* are 99; {limits.FLAG} lifts"):
        read_index(tmp_path / "x.safetensors")
    monkeypatch.setattr(limits, "_lifted", True)
    for name in ("x.pth", "x.safetensors"):
        assert len(read_index(tmp_path / name).shapes) > 20


def test_what_trainers_store_is_within_the_limits(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    many = OrderedDict((f"layers.{at}.weight", torch.zeros(1)) for at in range(1_000))
    betas = (0.9, 0.999)
    groups = [{"betas": betas, "lr": np.float64(0.1)} for _ in range(50)]
    state = {"state_dict": tiny, "optimizer": many, "groups": groups, "args": {1, 2}, "z": 1j}
    torch.save(state, tmp_path / "x.ckpt")
    assert load_checkpoint(TINY, str(tmp_path / "x.ckpt")).state


def test_one_value_for_many_is_refused(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    wide = {"head.classifier.weight": (10**9, 32, 1, 1), "head.classifier.bias": (10**9,)}
    torch.save(tiny | {n: torch.ones(1).expand(s) for n, s in wide.items()}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"classifier\.weight: found one value repeated in 1000"):
        load_checkpoint(TINY, str(tmp_path / "x.pth"))


def test_negative_variances_are_refused(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    name = "stages.0.0.norm.running_var"
    with pytest.raises(WeightsError, match=r"x\.safetensors: stages\.0\.0.*holds negative values"):
        load_checkpoint(TINY, save(tiny | {name: -tiny[name]}, tmp_path / "x.safetensors"))


def header(**entries: object) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 2**63) + b"{}",
        header(a={"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}) + bytes(4),
        header(a={"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}) + bytes(4),
        header(a={"dtype": "F32", "shape": [1], "data_offsets": [0]}) + bytes(4),
        header(a={"dtype": "F32", "shape": [2**62] * 9_999, "data_offsets": [0, 4]}) + bytes(4),
        header(a=[], __metadata__={"b": 1}),
        struct.pack("<Q", 300_000) + b"[" * 300_000,
        struct.pack("<Q", 60)
        + b'{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} '[:60],
    ],
    ids=["length", "huge", "negative", "offsets", "sides", "kinds", "deep", "surrogate"],
)
def test_headers_of_safetensors_are_checked(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"x\.safetensors: not a readable safetensors file"):
        read_index(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", '["a", "\\ud800"]'),
        ("labels", "[" * 100_000),
        ("preprocess", '{"crop": NaN}'),
        ("preprocess", '{"mean": [1e400, 1, 1]}'),
        ("preprocess", '{"std": [0, 1, 1]}'),
        ("preprocess", '{"size": [1000000000, 1]}'),
        ("preprocess", '{"size": [0, 1]}'),
    ],
)
def test_metadata_with_absurd_values(
    name: str, value: str, tiny: dict[str, Tensor], tmp_path: Path
) -> None:
    path = save(tiny, tmp_path / "x.safetensors", {"format": "mnv4-mobile", name: value})
    with pytest.raises(MobileError, match=rf"x\.safetensors: metadata: {name}"):
        load_checkpoint(TINY, path)
