"""The kinds of hostile input: how each is made from good documents, and which calls read it."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import yaml

from mnv4_mobile.errors import ImageError, MobileError, WeightsError
from tests.hostile.mutations import (
    PRINTABLE,
    RAW_JSON,
    RAW_YAML,
    TEXTS,
    change,
    changed_json,
    changed_lines,
    damaged,
    encoded,
    integer,
    misspelled,
    structure,
    text_of,
)
from tests.hostile.promise import BrokenError, Fifo, Files, Link

ROOT = Path(__file__).parents[2]
BUNDLES = "MNV4_HOSTILE_BUNDLES"
"""The environment variable with the folder of the demo bundles, one for each target."""


@dataclass(frozen=True)
class Kind:
    """A kind of input."""

    good: Callable[[], Files]
    """Returns an input that is accepted."""
    make: Callable[[Random], Files]
    """Returns a hostile input."""
    call: Callable[[Path, Path], None]
    """Reads the input in a folder; what it writes goes to a second folder."""
    target: str | None = None
    """The target whose demo bundle and toolchain the kind needs."""


def seeded(kind: str, seed: int) -> Files:
    """Returns the input of a seed, always the same one."""
    return KINDS[kind].make(Random(f"{kind} {seed}"))


def command(*words: object) -> None:
    """Runs the command in this process.

    Raises:
        MobileError: As the command.
    """
    from mnv4_mobile.cli.show import end_json

    try:
        _app().main(list(map(str, words)), "mnv4", standalone_mode=False)
    except MobileError as error:
        end_json(error)
        raise
    end_json(None)


@functools.cache
def _app() -> Any:
    from typer.main import get_command

    from mnv4_mobile.cli import app

    return get_command(app)


def each(*calls: Callable[[], object]) -> None:
    """Makes all calls, and raises the error of the first one that was refused."""
    refused = None
    for call in calls:
        try:
            call()
        except MobileError as error:
            print(f"error: {error}")
            refused = refused or error
    if refused is not None:
        raise refused


# YAML


def _shipped(folder: str) -> dict[str, str]:
    paths = sorted((ROOT / "configs" / folder).glob("*.yaml"))
    return {path.name: path.read_text() for path in paths}


@functools.cache
def _texts(folder: str) -> tuple[str, ...]:
    texts = list(_shipped(folder).values())
    if folder == "models":
        texts.append((ROOT / "tests/data/hybrid-narrow.yaml").read_text())
    return tuple(texts)


_BOMBS = (
    "b0: &b0 [1]\n" + "".join(f"b{i + 1}: &b{i + 1} [*b{i}, *b{i}]\n" for i in range(30)),
    "b0: &b0 {x: 1}\n"
    + "".join(f"b{i + 1}: &b{i + 1} {{<<: [{', '.join([f'*b{i}'] * 9)}]}}\n" for i in range(12)),
    "a: &a {x: 1, y: 2}\nb: {<<: *a, <<: *a}\n",
    "- " * 3000 + "a\n",
    "? " * 2000 + "a\n",
    "a: " + "{a: " * 400 + "1" + "}" * 400 + "\n",
    "a: !!binary " + "A" * 100_000 + "\n",
    "a: '" + "x" * 1_100_000 + "'\n",
    "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system [id]\n",
    "a: 1\n---\nb: 2\n",
    "\ufeffa: 1\n",
    "a: " + "1_" * 5000 + "\n",
    "a: " + "1:" * 5000 + "1\n",
)


def _yaml(folder: str, random: Random) -> Files:
    text = random.choice(_texts(folder))
    match random.randrange(10):
        case 0 | 1:
            data = changed_lines(random, text, RAW_YAML)
        case 2:
            data = damaged(random, text.encode())
        case 3:
            bomb = random.choice(_BOMBS)
            data = encoded(random.choice((bomb, text + "\n" + bomb, bomb + text)))
        case _:
            data = encoded(text_of(change(random, yaml.safe_load(text), RAW_YAML)))
    return {"hostile.yaml": data}


def _good_yaml(folder: str) -> Files:
    return {"hostile.yaml": _texts(folder)[0].encode()}


def _read_model(given: Path, out: Path) -> None:
    from mnv4_mobile.model.fit import fit_checkpoint
    from mnv4_mobile.model.grammar import load_model
    from mnv4_mobile.model.resolve import resolve

    file = given / "hostile.yaml"
    spec = load_model(str(file))
    each(
        partial(command, "models", file),
        partial(command, "models", file, "--json"),
        partial(resolve, str(file), "random:0"),
    )
    with suppress(WeightsError):  # of another network
        fit_checkpoint(_demo(), spec)


@functools.cache
def _demo() -> Any:
    from mnv4_mobile.model.checkpoint_index import read_index
    from mnv4_mobile.model.checkpoint_source import DEMO

    return read_index(DEMO)


def _read_recipe(given: Path, out: Path) -> None:
    file = given / "hostile.yaml"
    each(partial(command, "recipes", file), partial(command, "recipes", file, "--json"))


def _read_sweep(given: Path, out: Path) -> None:
    from mnv4_mobile import records
    from mnv4_mobile.measuring.sweep import load_sweep

    sweep = load_sweep(str(given / "hostile.yaml"))
    for plan in sweep.plans():
        assert plan.key
        plan.cores  # noqa: B018
    records.encode(sweep)
    if sweep.build is not None:
        sweep.build.input_sizes  # noqa: B018


# Records in JSON


@functools.cache
def _golden(name: str) -> tuple[Any, ...]:
    cases = json.loads((ROOT / "tests/golden/documents" / f"{name}.json").read_text())
    return tuple(json.loads(case["text"]) for case in cases["accept"])


def _plan(random: Random) -> Files:
    name = random.choice(("plan", "job", "result"))
    return {f"{name}.json": changed_json(random, random.choice(_golden(name)))}


def _good_plan() -> Files:
    return {f"{n}.json": text_of(_golden(n)[0]).encode() for n in ("plan", "job", "result")}


def _read_plan(given: Path, out: Path) -> None:
    from mnv4_mobile import records
    from mnv4_mobile.measuring.devices.app import Job, Result
    from mnv4_mobile.measuring.plan import Plan

    types: Mapping[str, Any] = {"plan": Plan, "job": Job, "result": Result}
    for path in sorted(given.iterdir()):
        record = records.decode(path.read_bytes(), types[path.stem], str(path))
        plan = record if isinstance(record, Plan) else getattr(record, "plan", None)
        if plan is not None:
            assert plan.key
            plan.cores  # noqa: B018
            plan.with_values({})
        records.encode(record)


# Bundles


@functools.cache
def _bundle(target: str) -> Files:
    """Returns the files of the demo bundle for a target."""
    folder = Path(os.environ[BUNDLES]) / f"conv-small-035-96x96-fp32-{target}"
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"bundle/{path.relative_to(folder)}": path.read_bytes() for path in paths}


def _manifest(target: str) -> Any:
    return json.loads(_bundle(target)["bundle/manifest.json"])  # type: ignore[arg-type]


def _artifact(target: str) -> str:
    """Returns the name of the artifact in the demo bundle."""
    name: str = _manifest(target)["artifact"]["path"]
    return name


_LINKS = (
    "/etc/hostname",
    "/dev/zero",
    "manifest.json",
    "..",
    ".",
    "/",
    "nowhere",
    "/proc/self/mem",
)


def _hostile_bundle(target: str, random: Random) -> Files:
    files, manifest = dict(_bundle(target)), _manifest(target)
    name = f"bundle/{manifest['artifact']['path']}"
    what = random.randrange(10)
    if what == 0:
        path = random.choice(sorted(files))
        match random.randrange(5):
            case 0:
                del files[path]
            case 1:
                files[path] = Link(random.choice(_LINKS))
            case 2:
                files[path] = Fifo()
            case 3:
                content = files[path]
                assert isinstance(content, bytes)
                files[path] = damaged(random, content)
            case _:
                del files[path]
                files[f"{path}/x"] = b"x"
    elif what == 1:
        extra = random.choice(("bundle/x", "bundle/golden/x.bin", "bundle/a/b", "bundle/é\n"))
        files[extra] = random.choice((Link(random.choice(_LINKS)), Fifo(), b"x"))
    elif what == 2 and target != "coreml":  # an artifact whose hash is right
        content = files[name]
        assert isinstance(content, bytes)
        files[name] = content = damaged(random, content, _structure(target))
        manifest["artifact"] |= {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
        files["bundle/manifest.json"] = text_of(manifest).encode()
    elif 2 < what < 6:
        _put_texts(random, manifest)
        files["bundle/manifest.json"] = text_of(manifest).encode()
    changed = what > 5 or random.randrange(6) == 0
    if changed and "bundle/manifest.json/x" not in files:
        files["bundle/manifest.json"] = changed_json(random, manifest)
    return files


def _put_texts(random: Random, manifest: Any) -> None:
    """Puts texts into a manifest that stay valid, to be written into code, tables and pages."""
    text = partial(random.choice, PRINTABLE)
    output = manifest["outputs"][0]["name"]
    for _ in range(random.choice((1, 2, 5))):
        match random.randrange(7):
            case 0:
                manifest["model"][random.choice(("name", "weights", "licence"))] = text()
            case 1:
                manifest["labels"][random.randrange(len(manifest["labels"]))] = text()
            case 2:
                random.choice(manifest["layers"])[random.choice(("name", "why", "block"))] = text()
            case 3:
                manifest[random.choice(("recipe", "recipe", "target"))] = text()
            case 4:
                manifest[random.choice(("versions", "options"))][text()] = text()
            case 5:
                manifest["requires"][f"{manifest['target']}.x"] = text()
            case _:
                manifest["outputs"][0]["name"] = new = text()
                for golden in manifest["golden"]:
                    golden["tensor"] = new if golden["tensor"] == output else golden["tensor"]
                for unit in manifest["parity"].values():
                    unit[new] = unit.pop(output)
                output = new


def _read_bundle(target: str, given: Path, out: Path) -> None:
    from mnv4_mobile.bundle.manifest import open_bundle
    from mnv4_mobile.measuring.subject import open_subject

    path = given / "bundle"
    bundle = open_bundle(path)
    each(
        bundle.gates,
        partial(bundle.golden, "input"),
        partial(bundle.golden, "eager"),
        partial(bundle.golden, "artifact"),
        lambda: open_subject(path).feeds(),
        partial(command, "inspect", path),
        partial(command, "inspect", path, "--json"),
        partial(command, "lint", path),
        partial(_write_sdk, "ios" if target == "coreml" else "android", path, out / "sdk"),
    )


def _write_sdk(platform: str, bundle: Path, out: Path) -> None:
    try:
        command("sdk", platform, bundle, "-o", out)
    except MobileError:
        if out.exists():
            raise BrokenError("a refused sdk left its folder") from None
        raise
    outside = [path for path in out.rglob("*") if path.is_symlink()]
    if outside:
        raise BrokenError(f"sdk copied a link: {outside[0]}")


# Artifacts


@functools.cache
def _structure(target: str, file: str = "") -> list[int]:
    content = _bundle(target)[f"bundle/{_artifact(target)}{file}"]
    assert isinstance(content, bytes)
    return structure(content)


def _bytes(random: Random, target: str, file: str = "") -> bytes:
    content = _bundle(target)[f"bundle/{_artifact(target)}{file}"]
    assert isinstance(content, bytes)
    match random.randrange(8):
        case 0:
            return misspelled(random, content)
        case 1:
            return damaged(random, content)
        case 2:
            return content[: random.randrange(len(content))]
        case _:
            return damaged(random, content, _structure(target, file))


def _hostile_file(target: str, random: Random) -> Files:
    return {_artifact(target): _bytes(random, target)}


def _good_artifact(target: str) -> Files:
    name = _artifact(target)
    return {
        path.removeprefix("bundle/"): content
        for path, content in _bundle(target).items()
        if path.removeprefix("bundle/").startswith(name)
    }


def _hostile_package(random: Random) -> Files:
    files, name = _good_artifact("coreml"), _artifact("coreml")
    path = random.choice(sorted(files))
    content = files[path]
    assert isinstance(content, bytes)
    match random.randrange(8):
        case 0:
            del files[path]
        case 1:
            files[path] = random.choice((Link(random.choice(_LINKS)), Fifo(), b""))
        case 2:
            manifest = json.loads(files[f"{name}/Manifest.json"])  # type: ignore[arg-type]
            for item in manifest["itemInfoEntries"].values():
                if random.randrange(2):
                    item["path"] = random.choice(TEXTS)
            files[f"{name}/Manifest.json"] = text_of(manifest).encode()
        case 3:
            manifest = json.loads(files[f"{name}/Manifest.json"])  # type: ignore[arg-type]
            files[f"{name}/Manifest.json"] = changed_json(random, manifest)
        case _:
            files[path] = _bytes(random, "coreml", path.removeprefix(name))
    return files


def _read_artifact(target: str, given: Path, out: Path) -> None:
    from mnv4_mobile.measuring.subject import open_subject
    from mnv4_mobile.target import load_target

    path, loaded = given / _artifact(target), load_target(target)
    layers = [one["name"] for one in _manifest(target)["layers"] if one["kind"] == "convolution"]
    each(
        partial(loaded.operators, path),
        partial(loaded.lint, path, layers),
        partial(loaded.inputs, path),
        lambda: open_subject(path).feeds(),
    )


# Images

_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF")


@functools.cache
def _pictures() -> tuple[bytes, ...]:
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
            data = random.choice(_pictures())
            data = data[: random.randrange(len(data))]
        case 2:
            data = damaged(random, random.choice(_pictures()))
        case _:
            data = random.choice(_pictures())
            data = damaged(random, data, range(min(len(data), 200)))
    suffix = random.choice(("png", "jpg", "gif", "tif", "webp"))
    files: Files = {f"hostile.{suffix}": data}
    if random.randrange(8) == 0:
        for name in ("a", "b", "c.png", "d/e", "d/f"):
            files[name] = random.choice((Link(random.choice((*_LINKS, "d", "../d"))), Fifo(), b""))
        files["d/g.png"] = data
    return files


def _read_picture(given: Path, out: Path) -> None:
    from mnv4_mobile.images import Preprocess, list_images, pixels, read_image

    for path in list_images(given):
        with suppress(ImageError):
            pixels(read_image(path), Preprocess(size=(96, 96)))
    (path,) = given.glob("hostile.*")
    read_image(path)


# Checkpoints


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


# Measurements


@functools.cache
def _records() -> tuple[Any, ...]:
    """Returns the records of a good store, as lines of a file of them."""
    from mnv4_mobile.records import plain
    from tests import records

    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(3)]
    measured = [
        records.measurement(id=ids[0]),
        records.measurement(id=ids[1], session=1, latencies=(5.5, 6.0, 7.25)),
        records.measurement(id=ids[2], session=2, status="failed"),
    ]
    lines = [{"measurement": plain(one)} for one in measured]
    lines.append({"evaluation": plain(records.evaluation())})
    lines.append({"profile": plain(records.profile())})
    return tuple(json.loads(json.dumps(line)) for line in lines)


def _lines(random: Random) -> Files:
    found = [text_of(line).encode() for line in _records()]
    at = random.randrange(len(found))
    found[at] = changed_json(random, _records()[at])
    if random.randrange(10) == 0:
        found.insert(at, random.choice((b"", b"{}", b"null", b"[]", b"\xff", found[at], b"\0")))
    return {"hostile.jsonl": b"\n".join(found) + b"\n"}


def _good_lines() -> Files:
    return {"hostile.jsonl": b"\n".join(text_of(line).encode() for line in _records()) + b"\n"}


def _import(given: Path, out: Path) -> None:
    """Imports a file; if that works, every other command on the store must work."""
    (path,) = given.iterdir()
    store = out / "store.sqlite"
    command("results", "import", path, "--store", store)
    try:
        _use(store, out)
    except MobileError as error:
        raise BrokenError(f"imported, but then: {error}") from error


def _use(store: Path, out: Path) -> None:
    from mnv4_mobile.measuring.results.store import Store

    with Store(store, "read") as opened:
        ids = [one.id for one in opened.measurements()]
    words: list[list[object]] = [
        ["results"],
        ["results", "list"],
        ["results", "list", "--json"],
        ["results", "export", out / "all.jsonl"],
        ["results", "export", out / "all.csv"],
        ["report", "-o", out / "report.html"],
        ["report", "-o", out / "report.md"],
        ["report", "-o", out / "report.csv"],
    ]
    words += [["results", "show", ids[0]]] if ids else []
    words += [["results", "delete", *ids, "--yes"]] if ids else []
    for one in words:
        with suppress(*(() if ids else (MobileError,))):  # a report on nothing is refused
            command(*one, "--store", store)


@functools.cache
def _parquet() -> bytes:
    from mnv4_mobile.measuring.results.exchange import Records, export_records
    from tests.records import measurement

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "good.parquet")
        one = measurement(id="00000000-0000-4000-8000-000000000000")
        export_records(Records(measurements=[one]), path)
        return path.read_bytes()


def _hostile_parquet(random: Random) -> Files:
    data = _parquet()
    if random.randrange(3) == 0:  # the record itself, which Parquet keeps as text
        from pyarrow import parquet, table

        body = changed_json(random, _records()[0]["measurement"])
        file = io.BytesIO()
        parquet.write_table(table({"record": [random.choice((body, body.decode("latin1")))]}), file)
        return {"hostile.parquet": file.getvalue()}
    if random.randrange(3):
        return {"hostile.parquet": damaged(random, data, range(len(data) - 4000, len(data)))}
    return {"hostile.parquet": damaged(random, data)}


@functools.cache
def _store() -> bytes:
    from mnv4_mobile.measuring.results.exchange import import_records
    from mnv4_mobile.measuring.results.store import Store

    with tempfile.TemporaryDirectory() as folder:
        lines, path = Path(folder, "good.jsonl"), Path(folder, "good.sqlite")
        content = _good_lines()["hostile.jsonl"]
        assert isinstance(content, bytes)
        lines.write_bytes(content)
        with Store(path) as store:
            import_records(store, lines)
        return path.read_bytes()


def _sql(random: Random) -> bytes:
    """Returns a store that was changed with SQL."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "hostile.sqlite")
        path.write_bytes(_store())
        database = sqlite3.connect(path, isolation_level=None)
        table = random.choice(("measurements", "evaluations", "profiles"))
        for statement, values in _statements(random, database, table):
            try:
                database.execute(statement, values)
            except (sqlite3.Error, OverflowError, UnicodeError):
                continue
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        return path.read_bytes()


_ENDLESS = (
    "CREATE VIEW {table} AS WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n) "
    "SELECT seq, 'x' AS id, 'x' AS run, '{{}}' AS body FROM n"
)
_TRIGGER = (
    "CREATE TRIGGER t AFTER {event} ON {table} BEGIN "
    "INSERT INTO measurements SELECT * FROM measurements; END"
)
_ALTERED = (
    "DROP COLUMN {column}",
    "RENAME TO x",
    "RENAME COLUMN {column} TO x",
    "ADD COLUMN x GENERATED ALWAYS AS (randomblob(1000000000))",
)


def _statements(random: Random, database: sqlite3.Connection, table: str) -> list[Any]:
    """Returns statements that change a store, with their parameters."""
    column = random.choice([row[1] for row in database.execute(f"PRAGMA table_info({table})")])
    (body,) = database.execute(f"SELECT body FROM {table}").fetchone()
    match random.randrange(9):
        case 0:
            values = (None, 1, 1.5, "", "[]", "null", b"\xff", b"[]", "[" * 2000, 2**62)
            return [(f"UPDATE {table} SET {column} = ?", (random.choice(values),))]
        case 1 | 2 | 3:
            changed = changed_json(random, json.loads(body))
            stored = random.choice((changed, changed.decode(errors="replace")))
            return [(f"UPDATE {table} SET body = ?", (stored,))]
        case 4:
            name = random.choice(("user_version", "application_id"))
            return [(f"PRAGMA {name} = {integer(random) % 2**31}", ())]
        case 5:
            return [(f"DROP TABLE {table}", ()), (_ENDLESS.format(table=table), ())]
        case 6:
            change = random.choice(_ALTERED).format(column=column)
            return [(f"ALTER TABLE {table} {change}", ())]
        case 7:
            event = random.choice(("DELETE", "INSERT"))
            return [
                (_TRIGGER.format(event=event, table=table), ()),
                (f"INSERT INTO {table} SELECT * FROM {table}", ()),
            ]
        case _:
            text = "UPDATE sqlite_schema SET sql = ? WHERE name = ?"
            return [("PRAGMA writable_schema = ON", ()), (text, (random.choice(TEXTS), table))]


def _hostile_store(random: Random) -> Files:
    match random.randrange(5):
        case 0:
            data = damaged(random, _store())
        case 1:
            data = damaged(random, _store(), range(200))
        case 2:
            data = _store()
            data = data[: random.randrange(len(data))]
        case _:
            data = _sql(random)
    return {"hostile.sqlite": data}


def _read_store(given: Path, out: Path) -> None:
    """Reads, imports and uses a store; a store that cannot be read is refused by all commands."""
    import shutil

    path = given / "hostile.sqlite"
    copied = out / "copy.sqlite"
    shutil.copy(path, copied)

    def use() -> None:
        from mnv4_mobile.measuring.results.store import Store

        with Store(copied, "read") as opened:
            opened.measurements(), opened.evaluations(), opened.profiles(), opened.runs()
        _use(copied, out)

    each(
        partial(command, "results", "--store", copied),
        partial(command, "report", "--store", copied, "-o", out / "r.html"),
        partial(_import, given, out),
        use,
    )


# Folders that this package wrote earlier

_KEY = "0" * 64
_CANARY = b"not to be touched"


def _cached(random: Random) -> Files:
    """Returns a cache with a damaged entry, or remains of a process that was killed."""
    entry: Any = {"id": "x", "sha256": hashlib.sha256(b"").hexdigest()}
    folder = f"cache/{_KEY}"
    files: Files = {f"{folder}/entry.json": changed_json(random, entry), "canary": _CANARY}
    match random.randrange(4):
        case 0:
            name = random.choice(("x", "entry.json"))
            files[f"{folder}/{name}"] = random.choice((Link(random.choice(_LINKS)), Fifo()))
        case 1:
            files[f"{folder}/x/manifest.json"] = random.choice((Link("/dev/zero"), Fifo(), b"{}"))
        case 2:
            files["cache/.mnv4-abcdefgh"] = Link("..")
        case _:
            files["cache/.mnv4-abcdefgh/gone/0"] = Link("../../../..")
    return files


def _good_cache() -> Files:
    return {"cache/x/y": b"", "canary": _CANARY}


def _read_cache(given: Path, out: Path) -> None:
    from mnv4_mobile.builder.cache import Cache

    os.environ["MNV4_CACHE"] = str(given / "cache")
    each(
        partial(command, "cache"),
        partial(command, "cache", "--json"),
        lambda: Cache(given / "cache").take(_KEY, out),
        partial(command, "cache", "prune", "--older-than", "0"),
    )
    if (given / "canary").read_bytes() != _CANARY:
        raise BrokenError("the cache changed a file outside")


def _library(random: Random) -> Files:
    """Returns a library whose marker someone has changed, beside a bundle."""
    marker: Any = {
        "version": "1",
        "models": {"X": "x"},
        "files": {"README.md": hashlib.sha256(b"a").hexdigest(), "../canary": "0" * 64},
    }
    files: Files = {
        "sdk/mnv4-sdk.json": changed_json(random, marker),
        "sdk/README.md": b"a",
        "sdk/mine.kt": random.choice((b"x", Link("/etc/hostname"), Link("nowhere"))),
        "canary": _CANARY,
    }
    if random.randrange(4) == 0:
        files[random.choice(sorted(files))] = random.choice((Link("/dev/zero"), Fifo()))
    return files | _bundle("tflite")


def _good_library() -> Files:
    return dict(_bundle("tflite"))


def _write_again(given: Path, out: Path) -> None:
    for name in ("sdk", "canary"):
        if (given / name).exists():
            (given / name).rename(out / name)
    canary = out / "canary"
    before = canary.read_bytes() if canary.is_file() and not canary.is_symlink() else b""
    command("sdk", "android", given / "bundle", "-o", out / "sdk")
    if before == _CANARY and canary.read_bytes() != before:
        raise BrokenError("sdk changed a file outside")


# The command line

_UNREAD = ("doctor", "devices")
"""Commands that look at this machine, and hardly at their arguments."""
_NUMBERS = (
    *("9" * 5000, "-" + "9" * 400, "1e999", "nan", "inf", "-inf", "-1", "0", "1.5", "", "0x10"),
    *("1_0", "\u0661", "1e-400", "2147483648", " 1 ", "true", "1" + "0" * 30),
)
_VALUES = (
    *(text for text in TEXTS if "\0" not in text),
    *(
        "\udcff",
        "a\udcffb",
        "IN/hostile.yaml",
        "IN/folder",
        "IN/folder/x",
        "IN/fifo",
        "IN/nothing/x",
    ),
    *("/dev/null", "/dev/full", "x" * 300, "IN/records.jsonl", "IN/good.png", "IN", "OUT/é", "OUT"),
)


@functools.cache
def _commands() -> tuple[tuple[tuple[str, ...], Any], ...]:
    """Returns the words and the parameters of every command that reads its arguments first."""
    found: list[Any] = []

    def add(words: tuple[str, ...], group: Any) -> None:
        for name, one in group.commands.items():
            if hasattr(one, "commands"):
                add((*words, name), one)
            elif name not in _UNREAD:
                found.append(((*words, name), one.params))

    add((), _app())
    return tuple(found)


def _arguments(random: Random) -> Files:
    """Returns the words of a command as JSON, and files that they may name."""
    words, params = random.choice(_commands())
    found = list(words)
    for param in params:
        if param.param_type_name == "argument":
            found += [random.choice(_VALUES) for _ in range(random.choice((1, 1, 2)))]
        elif random.randrange(4) == 0 and param.opts[-1] != "--help":
            found.append(random.choice(param.opts))
            if not param.is_flag:
                found.append(random.choice(random.choice((_VALUES, _NUMBERS))))
    if random.randrange(8) == 0:
        found.insert(random.randrange(1, len(found) + 1), random.choice(_VALUES))
    return {
        "words.json": json.dumps(found).encode(),
        "hostile.yaml": _yaml(random.choice(("models", "recipes", "sweeps")), random)[
            "hostile.yaml"
        ],
        "records.jsonl": _good_lines()["hostile.jsonl"],
        "good.png": _pictures()[0],
        "folder/x.txt": b"x",
        "fifo": Fifo(),
    }


def _good_arguments() -> Files:
    return {"words.json": b'["targets", "--json"]'}


def _run(given: Path, out: Path) -> None:
    words = json.loads((given / "words.json").read_bytes())
    places = {"IN": str(given), "OUT": str(out)}
    found = ["/".join(places.get(part, part) for part in word.split("/")) for word in words]
    os.environ["HF_HUB_OFFLINE"] = "1"
    command(*found)


# HTTP


_PATHS = ("", "api/join", "api/next", "api/progress", "api/result", "api/bye", "api/files/JOB/x")
_METHODS = (
    "GET",
    "POST",
    "POST",
    "POST",
    "PUT",
    "HEAD",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "get",
    "G\0T",
)
_HEADERS = (
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Content-Length: 20000000",
    "Content-Length: 3\r\nContent-Length: 4",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked, identity",
    "Content-Encoding: gzip",
    "Content-Encoding: br",
    "Content-Type: text/plain; charset=utf-99",
    "Content-Type: multipart/form-data; boundary=" + "x" * 200,
    "Expect: 100-continue",
    "Expect: x",
    "Upgrade: websocket\r\nConnection: Upgrade",
    "Connection: close",
    "Range: bytes=0-0,5-1,99999999999999999999-",
    "If-Modified-Since: x",
    "Cookie: mnv4_phone=" + "f" * 32,
    "Cookie: mnv4_phone=\x80\xff",
    "Cookie: " + "a=b; " * 2000,
    "Host: evil",
    "X: " + "a" * 9000,
    "X : y",
    " folded",
    "\0: \0",
    "Accept-Encoding: gzip",
)


def _request(random: Random) -> bytes:
    """Returns the bytes of a request; the call puts in what it does not know."""
    from tests.measuring.devices.browser_client import result

    path, method = random.choice(_PATHS), random.choice(_METHODS)
    body: bytes = b""
    if random.randrange(3):
        tree = random.choice(
            (result("JOB"), {"user_agent": "Mozilla/5.0", "cores": 4}, {"job": "JOB", "text": "x"})
        )
        body = text_of(tree).encode()
        if random.randrange(4):
            body = changed_json(random, tree)
    target = random.choice(
        (f"/TOKEN/{path}?page=a",) * 6 + ("*", "/", "http://evil/", "//", "x:1", "/" + "a" * 9000)
    )
    if random.randrange(8) == 0:
        target += random.choice(
            ("%00", "%ff", "/../../etc/passwd", "&page=b", "#x", "?", " ", "é", "%2e%2e%2f")
        )
    lines = [f"{method} {target} HTTP/{random.choice(('1.1',) * 8 + ('1.0', '2.0', '0.9', 'x'))}"]
    lines.append("Host: 127.0.0.1")
    if random.randrange(3):
        lines.append("Cookie: COOKIE")
    lines.append(f"Content-Length: {len(body)}")
    for _ in range(random.choice((0, 0, 1, 2))):
        lines.insert(random.randrange(1, len(lines) + 1), random.choice(_HEADERS))
    data = "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body
    match random.randrange(10):
        case 0:
            return damaged(random, data)
        case 1:
            return data[: random.randrange(len(data))]
        case _:
            return data


def _requests(random: Random) -> Files:
    return {f"{number}.http": _request(random) for number in range(random.choice((1, 2, 4)))}


def _good_requests() -> Files:
    return {"0.http": b"GET /TOKEN/api/next?page=a HTTP/1.1\r\nHost: a\r\nCookie: COOKIE\r\n\r\n"}


def _serve(given: Path, out: Path) -> None:
    from tests.hostile.server import attacked

    attacked([path.read_bytes() for path in sorted(given.iterdir())], out)


KINDS: Mapping[str, Kind] = {
    "model": Kind(partial(_good_yaml, "models"), partial(_yaml, "models"), _read_model),
    "recipe": Kind(partial(_good_yaml, "recipes"), partial(_yaml, "recipes"), _read_recipe),
    "sweep": Kind(partial(_good_yaml, "sweeps"), partial(_yaml, "sweeps"), _read_sweep),
    "plan": Kind(_good_plan, _plan, _read_plan),
    "bundle": Kind(
        partial(_bundle, "tflite"),
        partial(_hostile_bundle, "tflite"),
        partial(_read_bundle, "tflite"),
        "tflite",
    ),
    "bundle-ios": Kind(
        partial(_bundle, "coreml"),
        partial(_hostile_bundle, "coreml"),
        partial(_read_bundle, "coreml"),
        "coreml",
    ),
    "records": Kind(_good_lines, _lines, _import),
    "parquet": Kind(lambda: {"hostile.parquet": _parquet()}, _hostile_parquet, _import),
    "store": Kind(lambda: {"hostile.sqlite": _store()}, _hostile_store, _read_store),
    "tflite": Kind(
        partial(_good_artifact, "tflite"),
        partial(_hostile_file, "tflite"),
        partial(_read_artifact, "tflite"),
        "tflite",
    ),
    "pte": Kind(
        partial(_good_artifact, "executorch"),
        partial(_hostile_file, "executorch"),
        partial(_read_artifact, "executorch"),
        "executorch",
    ),
    "mlpackage": Kind(
        partial(_good_artifact, "coreml"),
        _hostile_package,
        partial(_read_artifact, "coreml"),
        "coreml",
    ),
    "image": Kind(lambda: {"hostile.png": _pictures()[0]}, _image, _read_picture),
    "safetensors": Kind(
        lambda: {"hostile.safetensors": _safetensors()}, _hostile_safetensors, _read_checkpoint
    ),
    "labels": Kind(lambda: {"hostile.txt": b"a\nb\n"}, _hostile_labels, _read_names),
    "pth": Kind(lambda: {"hostile.pth": _pth()}, _hostile_pth, _read_checkpoint),
    "cache": Kind(_good_cache, _cached, _read_cache),
    "library": Kind(_good_library, _library, _write_again, "tflite"),
    "arguments": Kind(_good_arguments, _arguments, _run),
    "http": Kind(_good_requests, _requests, _serve),
}
"""All kinds by name."""
