"""Bundles, and the bytes of artifacts."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from mnv4_mobile.errors import MobileError
from tests.hostile.kinds.kind import BUNDLES, Kind, command, each
from tests.hostile.mutations import (
    PRINTABLE,
    TEXTS,
    changed_json,
    damaged,
    misspelled,
    structure,
    text_of,
)
from tests.hostile.promise import BrokenError, Fifo, Files, Link


@functools.cache
def demo_bundle(target: str) -> Files:
    """Returns the files of the demo bundle for a target."""
    (folder,) = Path(os.environ[BUNDLES]).glob(f"*-{target}")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {f"bundle/{path.relative_to(folder)}": path.read_bytes() for path in paths}


def _manifest(target: str) -> Any:
    return json.loads(demo_bundle(target)["bundle/manifest.json"])  # type: ignore[arg-type]


def _artifact(target: str) -> str:
    """Returns the name of the artifact in the demo bundle."""
    name: str = _manifest(target)["artifact"]["path"]
    return name


LINKS = (
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
    files, manifest = dict(demo_bundle(target)), _manifest(target)
    name = f"bundle/{manifest['artifact']['path']}"
    what = random.randrange(10)
    if what == 0:
        path = random.choice(sorted(files))
        match random.randrange(5):
            case 0:
                del files[path]
            case 1:
                files[path] = Link(random.choice(LINKS))
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
        files[extra] = random.choice((Link(random.choice(LINKS)), Fifo(), b"x"))
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
    from mnv4_mobile.bundle.folder import open_bundle
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


@functools.cache
def _structure(target: str, file: str = "") -> list[int]:
    content = demo_bundle(target)[f"bundle/{_artifact(target)}{file}"]
    assert isinstance(content, bytes)
    return structure(content)


def _bytes(random: Random, target: str, file: str = "") -> bytes:
    content = demo_bundle(target)[f"bundle/{_artifact(target)}{file}"]
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
        for path, content in demo_bundle(target).items()
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
            files[path] = random.choice((Link(random.choice(LINKS)), Fifo(), b""))
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


def _hostile_asset(random: Random) -> Files:
    files, name = _good_artifact("coreai"), _artifact("coreai")
    path = random.choice(sorted(files))
    content = files[path]
    assert isinstance(content, bytes)
    match random.randrange(6):
        case 0:
            del files[path]
        case 1:
            files[path] = random.choice((Link(random.choice(LINKS)), Fifo(), b""))
        case 2:
            metadata = json.loads(files[f"{name}/metadata.json"])  # type: ignore[arg-type]
            files[f"{name}/metadata.json"] = changed_json(random, metadata)
        case 3:
            files[path] = _bytes(random, "coreai", path.removeprefix(name))
        case _:  # a program whose hash is right
            content = damaged(
                random, _bytes(random, "coreai", "/main.mlirb"), _structure("coreai", "/main.mlirb")
            )
            files[f"{name}/main.mlirb"] = content
            files[f"{name}/main.hash"] = hashlib.sha256(content).digest()
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


KINDS = {
    "bundle": Kind(
        partial(demo_bundle, "tflite"),
        partial(_hostile_bundle, "tflite"),
        partial(_read_bundle, "tflite"),
        "tflite",
    ),
    "bundle-ios": Kind(
        partial(demo_bundle, "coreml"),
        partial(_hostile_bundle, "coreml"),
        partial(_read_bundle, "coreml"),
        "coreml",
    ),
    "tflite": Kind(
        partial(_good_artifact, "tflite"),
        partial(_hostile_file, "tflite"),
        partial(_read_artifact, "tflite"),
        "tflite",
    ),
    "npu": Kind(
        partial(_good_artifact, "snapdragon"),
        partial(_hostile_file, "snapdragon"),
        partial(_read_artifact, "snapdragon"),
        "snapdragon",
    ),
    "pte": Kind(
        partial(_good_artifact, "executorch"),
        partial(_hostile_file, "executorch"),
        partial(_read_artifact, "executorch"),
        "executorch",
    ),
    "aimodel": Kind(
        partial(_good_artifact, "coreai"),
        _hostile_asset,
        partial(_read_artifact, "coreai"),
        "coreai",
        cpu_s=4.0,  # a process imports Core AI's runtime: 2.1 s on a processor without AVX-512
    ),
    "mlpackage": Kind(
        partial(_good_artifact, "coreml"),
        _hostile_package,
        partial(_read_artifact, "coreml"),
        "coreml",
    ),
}
