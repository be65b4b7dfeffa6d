"""Gradle modules: the Kotlin library of `android_demo`, and bundles in the assets of others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from mnv4_mobile.bundle.folder import AnyBundle, Bundle
from mnv4_mobile.errors import ConfigError, unknown
from mnv4_mobile.files import copy_folder
from mnv4_mobile.records import replace, whole
from mnv4_mobile.sdks import shipping
from mnv4_mobile.sdks.code import kotlin_comment, kotlin_string
from mnv4_mobile.sdks.names import open_bundles

AGPS = (8, 9)
"""Major versions of the Android Gradle Plugin that the modules can be written for."""
MODULES = {
    "mnv4": "the library: manifests, preprocessing, images, `MobileNetV4`",
    "mnv4-litert": "runs `.tflite`: LiteRT",
    "mnv4-executorch": "runs `.pte`: ExecuTorch",
    "mnv4-camerax": "optional: reads the frames of CameraX, an `ImageProxy`",
    "mnv4-measure": "optional: measures a network in your app; no app needs it in a release",
}
"""The modules of the library, and what each is for."""
Runtime = Literal["mnv4-executorch", "mnv4-litert"]
RUNTIMES: Mapping[str, Runtime] = {
    "tflite": "mnv4-litert",
    "snapdragon": "mnv4-litert",
    "executorch": "mnv4-executorch",
}
"""The module that runs the artifacts of each target."""
SOC = "snapdragon.soc"
"""The key in `requires` of a bundle that runs only on the NPU of one SoC."""
_ASSETS = Path("src/main/assets/mnv4")
_PLUGIN = '    id("com.android.library")\n'
_KOTLIN_PLUGIN = '    id("org.jetbrains.kotlin.android")\n'
_VERSION = 'version = "1.0"\n'
_NAMESPACE = r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+"
_RELEASE = "[A-Za-z0-9][A-Za-z0-9._+-]*"
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


class _Models(shipping.Models, frozen=True, kw_only=True):
    """A models module."""

    namespace: Annotated[str, _text(_NAMESPACE)]
    """The package of its `Mnv4Models`."""


class _Marker(shipping.Marker, frozen=True, kw_only=True):
    agp: Annotated[int, Meta(ge=AGPS[0], le=AGPS[-1])]
    """Major version of the Android Gradle Plugin that the modules are for."""
    release: Annotated[str, _text(_RELEASE)]
    """The version under which Gradle publishes the modules."""
    runtimes: tuple[Runtime, ...]
    """The modules with runtimes."""
    models: Mapping[shipping.Name, _Models]
    """The models modules by their names."""


def write_android(
    given: Sequence[AnyBundle],
    out: Path,
    *,
    name: str = shipping.NAME,
    namespace: str | None = None,
    agp: int | None = None,
    version: str | None = None,
) -> shipping.Written:
    """Writes the library, and the bundles into a models module.

    A folder that was written before keeps its other models modules, and what it was written with
    where an argument is None.

    Args:
        given: Bundles for LiteRT or ExecuTorch. Those that were compiled for the NPUs of SoCs need
            the plain one of the same network beside them.
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
        shipping.check_runs(bundle, "Android", ["float32"])
    _check_compiled(models.values())

    def fill(folder: Path, old: _Marker | None, every: shipping.Bundles) -> _Marker:
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

    return shipping.write_library(out, _Marker, name, models, lambda _: _ASSETS, fill)


def _check_compiled(models: Iterable[Bundle]) -> None:
    """Refuses compiled bundles that an app could not choose from.

    Raises:
        ConfigError: There is no plain bundle for other devices, or two are for the same SoC.
    """
    bundles = list(models)
    for i, bundle in enumerate(bundles):
        soc = bundle.manifest.requires.get(SOC)
        if soc is None:
            continue
        same = [other for other in bundles if _same_network(bundle, other)]
        if not any(other.manifest.target == "tflite" for other in same):
            raise ConfigError(
                f"{bundle.path}: runs only on the NPU of {soc}; give the bundle of the same model "
                f"and recipe for tflite too, which all other devices run: mnv4 build -t tflite -r "
                f"{bundle.manifest.recipe}"
            )
        for other in bundles[:i]:
            if other.manifest.requires.get(SOC) == soc and other in same:
                raise ConfigError(
                    f"{bundle.path} and {other.path}: both are for the NPU of {soc}; give one"
                )


def _compiled(plain: Bundle, models: Iterable[Bundle]) -> dict[str, str]:
    """Returns the ids of a plain bundle's compiled ones, by their SoCs."""
    return {
        bundle.manifest.requires[SOC]: bundle.manifest.id
        for bundle in models
        if SOC in bundle.manifest.requires
        and plain.manifest.target == "tflite"
        and _same_network(plain, bundle)
    }


def _same_network(one: Bundle, other: Bundle) -> bool:
    """Returns whether an app may run either of two bundles."""

    def key(bundle: Bundle) -> tuple[object, ...]:
        manifest = bundle.manifest
        outputs = [(output.name, output.kind, output.shape) for output in manifest.outputs]
        return manifest.model, manifest.recipe, manifest.preprocess, manifest.labels, outputs

    return key(one) == key(other)


def library() -> Path:
    """Returns the folder of the Kotlin library's modules."""
    return shipping.library("android", "android_demo")


def _check_texts(name: str, namespace: str | None, version: str | None) -> None:
    shipping.check_name(name)
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


def _runtimes(old: _Marker | None, every: shipping.Bundles) -> tuple[Runtime, ...]:
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


def _fill(folder: Path, project: str, marker: _Marker, every: shipping.Bundles) -> None:
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
    shipping.ship(name, models, folder / _ASSETS)


def _code(name: str, namespace: str, models: Mapping[str, Bundle]) -> str:
    lines = [f"package {namespace}", "", "import io.github.mnv4.Mnv4Model", ""]
    lines.append("/** The bundles in this module's assets. */")
    lines.append("public object Mnv4Models {")
    for constant, bundle in models.items():
        arguments = [kotlin_string(shipping.shipped_id(name, bundle.manifest.id))]
        if compiled := _compiled(bundle, models.values()):
            pairs = (
                f"{kotlin_string(soc)} to {kotlin_string(shipping.shipped_id(name, id))}"
                for soc, id in compiled.items()
            )
            arguments.append(f"mapOf({', '.join(pairs)})")
        value = f"Mnv4Model({', '.join(arguments)})"
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
    every: shipping.Bundles,
) -> None:
    first = next(iter(every))
    needed = ["mnv4", *marker.runtimes, *(f"models-{name}" for name in every)]
    tables = []
    for name, models in every.items():
        tables += [f"### models-{name}", "", f"Package `{marker.models[name].namespace}`.", ""]
        tables += [shipping.table(models), ""]
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
