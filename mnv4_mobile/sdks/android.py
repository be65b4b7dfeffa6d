"""Gradle modules: the Kotlin library of `android_demo`, and modules with bundles in their assets.

One folder holds the library once, and any number of models modules. Every run writes the whole
folder anew, from the bundles that it is given and those that the folder has already.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
from msgspec import Meta

from mnv4_mobile.bundle.manifest import (
    MANIFEST,
    AnyBundle,
    Bundle,
    GoldenEntry,
    Identifier,
    open_bundle,
    write_manifest,
)
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.errors import BundleError, ConfigError, unknown
from mnv4_mobile.files import copy_folder
from mnv4_mobile.records import Record, replace, whole
from mnv4_mobile.sdks import shipping
from mnv4_mobile.sdks.code import kotlin_comment, kotlin_string
from mnv4_mobile.sdks.names import open_bundles

AGPS = (8, 9)
"""Major versions of the Android Gradle Plugin that the modules can be written for."""
NAME = "main"
"""Name of the models module if none is given."""
MODULES = {
    "mnv4": "the library: manifests, preprocessing, images, `MobileNetV4`",
    "mnv4-litert": "runs `.tflite`: LiteRT",
    "mnv4-executorch": "runs `.pte`: ExecuTorch",
    "mnv4-camerax": "optional: reads the frames of CameraX, an `ImageProxy`",
    "mnv4-measure": "optional: measures a network in your app; no app needs it in a release",
}
"""The modules of the library, and what each is for."""
Runtime = Literal["mnv4-executorch", "mnv4-litert"]
RUNTIMES: Mapping[str, Runtime] = {"tflite": "mnv4-litert", "executorch": "mnv4-executorch"}
"""The module that runs the artifacts of each target."""
Bundles: TypeAlias = Mapping[str, Mapping[str, Bundle]]
"""Bundles by their constants, by the names of their models modules."""
_ASSETS = Path("src/main/assets/mnv4")
_PLUGIN = '    id("com.android.library")\n'
_KOTLIN_PLUGIN = '    id("org.jetbrains.kotlin.android")\n'
_VERSION = 'version = "1.0"\n'
_NAME = "[a-z][a-z0-9]*(-[a-z0-9]+)*"
_NAMESPACE = r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+"
_RELEASE = "[A-Za-z0-9][A-Za-z0-9._+-]*"
_CONSTANT = "[A-Z][A-Z0-9_]*"
# Reserved in Java or hard keywords of Kotlin: no part of a package may be one.
_KEYWORDS = """
    abstract as assert boolean break byte case catch char class const continue default do double
    else enum extends false final finally float for fun goto if implements import in instanceof int
    interface is long native new null object package private protected public return short static
    strictfp super switch synchronized this throw throws transient true try typealias typeof val var
    void volatile when while
"""


def _text(pattern: str) -> Meta:
    return Meta(pattern=whole(pattern))


class _Models(Record, frozen=True, kw_only=True):
    """A models module."""

    namespace: Annotated[str, _text(_NAMESPACE)]
    """The package of its `Mnv4Models`."""
    bundles: Mapping[Annotated[str, _text(_CONSTANT)], Identifier]
    """Bundle ids by their constants."""


class _Marker(shipping.Marker, frozen=True, kw_only=True):
    agp: Annotated[int, Meta(ge=AGPS[0], le=AGPS[-1])]
    """Major version of the Android Gradle Plugin that the modules are for."""
    release: Annotated[str, _text(_RELEASE)]
    """The version under which Gradle publishes the modules."""
    runtimes: tuple[Runtime, ...]
    """The modules with runtimes."""
    models: Mapping[Annotated[str, _text(_NAME)], _Models]
    """The models modules by their names."""


def write_android(
    given: Sequence[AnyBundle],
    out: Path,
    *,
    name: str = NAME,
    namespace: str | None = None,
    agp: int | None = None,
    version: str | None = None,
) -> shipping.Written:
    """Writes the library, and the bundles into a models module.

    A folder that was written before keeps its other models modules, and what it was written with
    where an argument is None.

    Args:
        given: Bundles for LiteRT or ExecuTorch.
        out: The folder of all modules. Other files in it are kept.
        name: The models module is `models-<name>`; it is replaced if it was written before.
        namespace: The package of its `Mnv4Models`. Default: `io.github.mnv4.models.<name>`.
        agp: Major version of the Android Gradle Plugin. Default: 9.
        version: The version under which Gradle publishes the modules. Default: 1.0.

    Raises:
        ConfigError: A bundle that the library does not run, two bundles with one name, a name that
            no package can have, or `out` holds something else.
        BundleError: A damaged bundle.
    """
    if agp is not None and agp not in AGPS:
        raise ConfigError(unknown("agp", agp, AGPS))
    _check_texts(name, namespace, version)
    models = open_bundles(given, tuple(RUNTIMES), "kotlin")
    for bundle in models.values():
        _check_runs(bundle)

    def fill(folder: Path, old: _Marker | None) -> _Marker:
        kept = {} if old is None else _kept(out, old, without=name)
        every = dict(sorted((kept | {name: models}).items()))
        marker = _Marker(
            agp=agp or (old.agp if old else 9),
            release=version or (old.release if old else "1.0"),
            runtimes=_runtimes(old, every),
            models={key: _entry(old, key, found) for key, found in every.items()},
        )
        if namespace:
            mine = replace(marker.models[name], namespace=namespace)
            marker = replace(marker, models={**marker.models, name: mine})
        _check_packages(marker, name)
        _fill(folder, out.absolute().name, marker, every)
        return marker

    old, _ = shipping.write_library(out, _Marker, fill)
    before = old.models.get(name) if old else None
    return shipping.written(out, models, before.bundles if before else None)


def library() -> Path:
    """Returns the folder of the Kotlin library's modules."""
    return shipping.library("android", "android_demo")


def _check_texts(name: str, namespace: str | None, version: str | None) -> None:
    if not re.fullmatch(_NAME, name):
        raise ConfigError(
            f"name: found {name!r}, must be words of small letters and digits with `-` between "
            "them, a letter first"
        )
    package = namespace or _package(name)
    if not re.fullmatch(_NAMESPACE, package):
        raise ConfigError(
            f"namespace: found {package!r}, must be a package, like com.example.models"
        )
    if keywords := [part for part in package.split(".") if part in _KEYWORDS.split()]:
        raise ConfigError(
            f"{'namespace' if namespace else 'name'}: found {keywords[0]!r}, which is a keyword of "
            "Java or Kotlin, so no package can have it"
        )
    if version is not None and not re.fullmatch(_RELEASE, version):
        raise ConfigError(
            f"version: found {version!r}, must be letters, digits, `.`, `_`, `+` and `-`, like 1.0"
        )


def _package(name: str) -> str:
    return f"io.github.mnv4.models.{name.replace('-', '_')}"


def _runtimes(old: _Marker | None, every: Bundles) -> tuple[Runtime, ...]:
    """Returns the modules with runtimes: those of all bundles, and those that an app includes."""
    needed = {RUNTIMES[b.manifest.target] for models in every.values() for b in models.values()}
    return tuple(sorted(needed.union(old.runtimes if old else ())))


def _entry(old: _Marker | None, name: str, models: Mapping[str, Bundle]) -> _Models:
    before = old.models.get(name) if old else None
    return _Models(
        namespace=before.namespace if before else _package(name),
        bundles={constant: bundle.manifest.id for constant, bundle in models.items()},
    )


def _check_packages(marker: _Marker, name: str) -> None:
    """Refuses a package that another module has: AGP 9 does not build such a project."""
    taken = {f"models-{key}": entry.namespace for key, entry in marker.models.items()}
    mine = taken.pop(f"models-{name}")
    for module in MODULES:
        script = (library() / module / "build.gradle.kts").read_text("utf-8")
        taken |= {module: re.findall('namespace = "(.+)"', script)[0]}
    for module, package in taken.items():
        if package == mine:
            raise ConfigError(
                f"namespace: found {package!r}, which {module} has; every module needs its own"
            )


def _check_runs(bundle: Bundle) -> None:
    """Refuses what the Kotlin library refuses to open."""
    image = bundle.input
    if image.shape[0] != 1:
        raise ConfigError(
            f"{bundle.path}: input {image.name}: takes {image.shape[0]} images, must take 1; "
            "build it with --batch 1"
        )
    pixels = image.dtype == "uint8" and image.quantization is None
    for what, tensor in [("input", image), *(("output", output) for output in bundle.outputs)]:
        integers = tensor.dtype in ("int8", "uint8") and tensor.quantization is not None
        if tensor.dtype != "float32" and not integers and not (tensor is image and pixels):
            kinds = "float32, quantized integers" + (" or uint8 pixels" if tensor is image else "")
            raise ConfigError(
                f"{bundle.path}: {what} {tensor.name}: is {tensor.dtype}, the Android library "
                f"takes {kinds}"
            )


def _kept(out: Path, old: _Marker, without: str) -> dict[str, dict[str, Bundle]]:
    """Opens the bundles of the models modules that a folder has already.

    A module that the user removed is left out.

    Raises:
        BundleError: Files of a module were removed or changed.
    """
    kept = {}
    for name, entry in old.models.items():
        module = out / f"models-{name}"
        if name == without or not module.is_dir():
            continue
        try:
            kept[name] = {
                constant: open_bundle(module / _ASSETS / f"{name}.{id}")
                for constant, id in entry.bundles.items()
            }
        except BundleError as error:
            raise BundleError(
                f"{error}; write models-{name} again with --name {name}, or delete its folder"
            ) from None
    return kept


def _fill(folder: Path, project: str, marker: _Marker, every: Bundles) -> None:
    optional = [name for name in MODULES if name not in RUNTIMES.values()]
    modules = [name for name in MODULES if name in (*optional, *marker.runtimes)]
    for module in modules:
        (folder / module).mkdir()
        copy_folder(library() / module, folder / module, without=["build"])
        _adapt(folder / module / "build.gradle.kts", marker)
    for name, models in every.items():
        _fill_models(folder / f"models-{name}", name, marker, models)
    _write_readme(folder / "README.md", project, modules, marker, every)


def _adapt(script: Path, marker: _Marker, values: Mapping[str, str] | None = None) -> None:
    """Changes a build script of the library to the versions of a folder."""
    plugin = _PLUGIN + (_KOTLIN_PLUGIN if marker.agp == 8 else "")
    release = f'version = "{marker.release}"\n'
    values = {_PLUGIN: plugin, _VERSION: release, **(values or {})}
    script.write_text(shipping.fill_in(script.read_text("utf-8"), values), "utf-8")


def _fill_models(folder: Path, name: str, marker: _Marker, models: Mapping[str, Bundle]) -> None:
    namespace = marker.models[name].namespace
    folder.mkdir()
    copy_folder(library() / "template" / "models", folder)
    runtimes = sorted({RUNTIMES[bundle.manifest.target] for bundle in models.values()})
    lines = "".join(f'    implementation(project("$sdk:{module}"))\n' for module in runtimes)
    values = {"NAMESPACE": namespace, "    // runtimes\n": lines}
    _adapt(folder / "build.gradle.kts", marker, values)
    code = folder / "src/main/kotlin" / Path(*namespace.split(".")) / "Mnv4Models.kt"
    code.parent.mkdir(parents=True)
    code.write_text(_code(name, namespace, models), "utf-8")
    for bundle in models.values():
        _ship(bundle, folder / _ASSETS / f"{name}.{bundle.manifest.id}")


def _ship(bundle: Bundle, folder: Path) -> None:
    """Copies a bundle with one golden pair: its pixels, and the float model's outputs for them."""
    golden = {entry.path for entry in bundle.manifest.golden}
    copied = [name for name in bundle.files if name != MANIFEST and name not in golden]
    data = {name: (bundle.path / name).read_bytes() for name in copied}
    image = _pair(bundle)
    entries = []
    for entry in _shipped(bundle):
        data[entry.path] = bundle.golden(entry.source)[entry.tensor][[image]].tobytes()
        digest = hashlib.sha256(data[entry.path]).hexdigest()
        entries.append(replace(entry, shape=(1, *entry.shape[1:]), sha256=digest))
    for name, content in data.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    write_manifest(folder, replace(bundle.manifest, golden=tuple(entries)))


def _shipped(bundle: Bundle) -> list[GoldenEntry]:
    """Returns the golden tensors with which a device checks itself."""
    return [entry for entry in bundle.manifest.golden if entry.source in ("input", "eager")]


def _pair(bundle: Bundle) -> int:
    """Returns the golden image on which the artifact is furthest above its gates.

    A gate holds for the median of the images, so a device that computes what the build's did may
    miss it on any other one. Without the artifact's outputs, it is the first image.
    """
    eager, artifact, gates = bundle.golden("eager"), bundle.golden("artifact"), bundle.gates()
    if not artifact:
        return 0
    room = [sqnr_db(eager[name], artifact[name]) - gates[name] for name in artifact]
    return int(np.min(room, axis=0).argmax())


def _code(name: str, namespace: str, models: Mapping[str, Bundle]) -> str:
    lines = [f"package {namespace}", "", "import io.github.mnv4.Mnv4Model", ""]
    lines.append("/** The bundles in this module's assets. */")
    lines.append("public object Mnv4Models {")
    for constant, bundle in models.items():
        value = f"Mnv4Model({kotlin_string(f'{name}.{bundle.manifest.id}')})"
        lines += [f"    {kotlin_comment(f'{shipping.about(bundle)}.')}"]
        lines += [f"    public val {constant}: Mnv4Model = {value}", ""]
    lines.append("    /** All bundles, in the order in which they were given. */")
    lines.append(f"    public val ALL: List<Mnv4Model> = listOf({', '.join(models)})")
    return "\n".join([*lines, "}", ""])


def _write_readme(
    path: Path,
    project: str,
    modules: Sequence[str],
    marker: _Marker,
    every: Bundles,
) -> None:
    first = next(iter(every))
    needed = ["mnv4", *marker.runtimes, *(f"models-{name}" for name in every)]
    tables = []
    for name, models in every.items():
        tables += [f"### models-{name}", "", f"Package `{marker.models[name].namespace}`.", ""]
        tables += ["| Model | Contents | Size | Self-check | Licence of the weights |"]
        tables += ["| --- | --- | --- | --- | --- |"]
        for constant, bundle in models.items():
            sizes = ((bundle.path / e.path).stat().st_size / e.shape[0] for e in _shipped(bundle))
            tables.append(
                shipping.table_row(constant, bundle, more=[f"{sum(sizes) / 1000:.0f} kB"])
            )
        tables.append("")
    values = {
        "<!-- include -->": "\n".join(f'    ":{project}:{module}",' for module in needed),
        "<!-- models project -->": f":{project}:models-{first}",
        "<!-- namespace -->": marker.models[first].namespace,
        "<!-- constant -->": next(iter(every[first])),
        "<!-- modules -->": "\n".join(f"| `{name}/` | {MODULES[name]} |" for name in modules),
        "<!-- models -->": "\n".join(tables).rstrip("\n"),
        "<!-- agp -->": _AGP_NOTES[marker.agp],
    }
    text = (library() / "template" / "README.md").read_text("utf-8")
    path.write_text(shipping.fill_in(text, values), "utf-8")


_AGP_NOTES = {
    9: "Android Gradle Plugin 9, which has Kotlin built in",
    8: "Android Gradle Plugin 8 with `org.jetbrains.kotlin.android` 2.2 or newer",
}
