"""Core ML models that Xcode's compiler compiles on a Mac, so that no device has to.

Written from Apple's documentation of the compiler, and tested with a stand-in for it. It has not
been run on a Mac.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mnv4_mobile.bundle.folder import Bundle, open_bundle, write_manifest
from mnv4_mobile.bundle.manifest import ArtifactEntry
from mnv4_mobile.errors import BundleError, ConfigError, ToolchainError
from mnv4_mobile.files import sha256, size
from mnv4_mobile.records import replace

_SOURCE, _COMPILED = ".mlpackage", ".mlmodelc"


@contextmanager
def compiled(models: Mapping[str, Bundle]) -> Iterator[dict[str, Bundle]]:
    """Yields the bundles with every Core ML package compiled; they exist until the block ends.

    The artifact of such a bundle is the compiled model, and its size and hash are those of the
    compiled model, because it is what a device loads. All else of the manifest stays: the golden
    pairs check on the device what was compiled from the package.

    Raises:
        ConfigError: No bundle holds a Core ML package.
        ToolchainError: This is not a Mac with Xcode.
        BundleError: The compiler fails.
    """
    packages = [one for one in models.values() if one.artifact.suffix == _SOURCE]
    if not packages:
        artifacts = ", ".join(bundle.artifact.name for bundle in models.values())
        raise ConfigError(f"compiled: found {artifacts}, compiles only {_SOURCE}")
    if shutil.which("xcrun") is None:
        raise ToolchainError(
            "compiled: needs a Mac with Xcode; found no xcrun. Leave --compiled out, and each "
            "device compiles the model when it opens it for the first time"
        )
    with tempfile.TemporaryDirectory() as folder:
        yield {
            constant: _compiled(bundle, Path(folder, bundle.path.name))
            if bundle in packages
            else bundle
            for constant, bundle in models.items()
        }


def _compiled(bundle: Bundle, folder: Path) -> Bundle:
    """Writes a bundle with the compiled model into a new folder, and opens it."""
    bundle.copy_to(folder)
    package = folder / bundle.manifest.artifact.path
    model = package.with_suffix(_COMPILED)
    command = ["xcrun", "coremlcompiler", "compile", str(package), str(model.parent)]
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode or not model.is_dir():
        said = " ".join(done.stdout.split()[-60:]) or f"exit code {done.returncode}"
        raise BundleError(f"{bundle.artifact}: xcrun coremlcompiler cannot compile it: {said}")
    shutil.rmtree(package)
    artifact = ArtifactEntry(
        path=model.relative_to(folder).as_posix(), bytes=size(model), sha256=sha256(model)
    )
    write_manifest(folder, replace(bundle.manifest, artifact=artifact))
    return open_bundle(folder)
