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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import yaml

from mnv4_mobile.errors import MobileError
from tests.hostile.mutations import (
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
    _app().main(list(map(str, words)), "mnv4", standalone_mode=False)


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
    file = given / "hostile.yaml"
    each(partial(command, "models", file), partial(command, "models", file, "--json"))


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


def _hostile_bundle(random: Random) -> Files:
    target = "tflite"
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
    elif what == 2:  # an artifact whose hash is right
        content = files[name]
        assert isinstance(content, bytes)
        files[name] = content = damaged(random, content, _structure(target))
        manifest["artifact"] |= {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
        files["bundle/manifest.json"] = text_of(manifest).encode()
    if what > 2 or random.randrange(4) == 0:
        files["bundle/manifest.json"] = changed_json(random, manifest)
    return files


def _read_bundle(given: Path, out: Path) -> None:
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
        partial(_write_sdk, path, out / "sdk"),
    )


def _write_sdk(bundle: Path, out: Path) -> None:
    try:
        command("sdk", "android", bundle, "-o", out)
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
    return {f"hostile.{suffix}": data}


def _read_picture(given: Path, out: Path) -> None:
    from mnv4_mobile.images import Preprocess, list_images, pixels, read_image

    for path in list_images(given):
        pixels(read_image(path), Preprocess(size=(96, 96)))


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
    return {"hostile.safetensors": found}


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
    from mnv4_mobile.model.resolve import resolve
    from mnv4_mobile.model.weights import load_checkpoint
    from mnv4_mobile.testing import tiny_model

    (path,) = given.iterdir()
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
    _use(store, out)


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
    ]
    words += [["results", "show", ids[0]]] if ids else []
    words += [["results", "delete", *ids, "--yes"]] if ids else []
    for one in words:
        try:
            command(*one, "--store", store)
        except MobileError as error:
            if ids:  # a report on nothing is refused, and so is a choice
                raise BrokenError(
                    f"imported, but then {' '.join(map(str, one))}: {error}"
                ) from error


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
    "bundle": Kind(partial(_bundle, "tflite"), _hostile_bundle, _read_bundle, "tflite"),
    "records": Kind(_good_lines, _lines, _import),
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
    "image": Kind(lambda: {"good.png": _pictures()[0]}, _image, _read_picture),
    "safetensors": Kind(
        lambda: {"good.safetensors": _safetensors()}, _hostile_safetensors, _read_checkpoint
    ),
    "pth": Kind(lambda: {"good.pth": _pth()}, _hostile_pth, _read_checkpoint),
    "http": Kind(_good_requests, _requests, _serve),
}
"""All kinds by name."""
