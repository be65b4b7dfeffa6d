"""Bundles for what `mnv4 sdk` writes to be compiled with.

They have hostile texts, an id that is used twice, or are for the NPU of an SoC.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from mnv4_mobile.bundle.folder import open_bundle, write_manifest
from mnv4_mobile.files import copy_folder, sha256
from mnv4_mobile.records import replace

HOSTILE = '*/ init { error() } /* \n fatalError() \r \u2028 \u202e */ " $x ${x} \\(x) \\ | `x` <!--'
"""Ends comments and strings of Kotlin and Swift, and cells of Markdown."""


def hostile_bundle(bundle: Path, folder: Path) -> Path:
    """Copies a bundle, and puts `HOSTILE` wherever its manifest may hold any text."""
    manifest = open_bundle(bundle).manifest
    model = replace(manifest.model, name=HOSTILE, weights=HOSTILE, licence=HOSTILE)
    copy = folder / "hostile-bundle"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    copy_folder(bundle, copy)
    write_manifest(copy, replace(manifest, id=copy.name, model=model, recipe=HOSTILE))
    return copy


def relabelled_bundle(bundle: Path, folder: Path) -> Path:
    """Copies a bundle as a classifier of other things, with the same id."""
    manifest = open_bundle(bundle).manifest
    assert manifest.labels is not None
    copy = folder / manifest.id
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    copy_folder(bundle, copy)
    labels = tuple(f"thing {index}" for index in range(len(manifest.labels)))
    write_manifest(copy, replace(manifest, labels=labels))
    return copy


def compiled_bundle(bundle: Path, folder: Path, soc: str) -> Path:
    """Copies a bundle for LiteRT as one that was compiled for the NPU of an SoC.

    The artifact is still the plain one, with the SoC's name after its end, so that a stand-in for
    the NPU can run it.
    """
    manifest = open_bundle(bundle).manifest
    copy = folder / manifest.id.replace("tflite", f"{soc}-snapdragon")
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    copy_folder(bundle, copy)
    artifact = copy / manifest.artifact.path
    artifact.write_bytes(artifact.read_bytes() + soc.encode())
    manifest = replace(
        manifest,
        id=copy.name,
        target="snapdragon",
        requires={"snapdragon.soc": soc},
        artifact=replace(manifest.artifact, bytes=artifact.stat().st_size, sha256=sha256(artifact)),
    )
    write_manifest(copy, manifest)
    return copy
