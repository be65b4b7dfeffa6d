"""Folders that this package wrote earlier: its cache, and libraries for apps."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.hostile.kinds.bundles import LINKS, demo_bundle
from tests.hostile.kinds.kind import Kind, command, each
from tests.hostile.mutations import (
    changed_json,
)
from tests.hostile.promise import BrokenError, Fifo, Files, Link

_KEY = "0" * 64
_CANARY = b"not to be touched"
_BUNDLE = "conv-small-035-96x96-fp32-tflite"


def _cached(random: Random) -> Files:
    """Returns a cache with a damaged entry, or remains of a process that was killed."""
    entry: Any = {"id": "x", "sha256": hashlib.sha256(b"").hexdigest()}
    folder = f"cache/{_KEY}"
    files: Files = {f"{folder}/entry.json": changed_json(random, entry), "canary": _CANARY}
    match random.randrange(4):
        case 0:
            name = random.choice(("x", "entry.json"))
            files[f"{folder}/{name}"] = random.choice((Link(random.choice(LINKS)), Fifo()))
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
    """Returns a library with a models module, whose marker someone has changed, beside a bundle."""
    bundle = demo_bundle("tflite")
    other = {"namespace": "a.b", "bundles": {"X": _BUNDLE}}
    marker: Any = {
        "version": "1",
        "agp": 9,
        "release": "1",
        "runtimes": ["mnv4-litert"],
        "models": {random.choice(("other", "other", "x/../../../stolen")): other},
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
    module = f"sdk/models-other/src/main/assets/mnv4/other.{_BUNDLE}"
    kept = {f"{module}/{path.removeprefix('bundle/')}": data for path, data in bundle.items()}
    return files | bundle | kept


def _good_library() -> Files:
    return dict(demo_bundle("tflite"))


def _write_again(given: Path, out: Path) -> None:
    for name in ("sdk", "canary"):
        if (given / name).exists():
            (given / name).rename(out / name)
    canary = out / "canary"
    before = canary.read_bytes() if canary.is_file() and not canary.is_symlink() else b""
    names = {path.name for path in out.iterdir()}
    command("sdk", "android", given / "bundle", "-o", out / "sdk")
    if strange := {path.name for path in out.iterdir()} - names - {"sdk"}:
        raise BrokenError(f"sdk wrote {strange} outside")
    if before == _CANARY and canary.read_bytes() != before:
        raise BrokenError("sdk changed a file outside")


KINDS = {
    "cache": Kind(_good_cache, _cached, _read_cache),
    "library": Kind(_good_library, _library, _write_again, "tflite"),
}
