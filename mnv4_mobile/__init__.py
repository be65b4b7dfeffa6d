"""MobileNetV4 on phones: one PyTorch definition, verified ExecuTorch, Core ML and LiteRT artifacts.

    from mnv4_mobile import Store, build, evaluate, load, measure, report, sdk, verify

    bundles = build("demo", out="out", targets=["tflite"])
    for bundle in bundles:
        verify(bundle)
        with Store("mnv4.sqlite") as store:
            store.add(evaluate(bundle, "dataset"))
    measure(bundles, device="host", store="mnv4.sqlite")
    report("report.html", store="mnv4.sqlite")
    sdk("android", bundles, out="mnv4")

    with load(bundles[0]) as model:
        print(model.classify(["photo.jpg"])[0][0])

`build`, `verify`, `evaluate`, `measure`, `report` and `sdk` do what the commands of these names do,
and take the same choices. `Options` has the choices of a build, `Plan` those of measuring, `Bounds`
those of a report's verdict. `load` starts a bundle's runtime to classify images, `open_bundle`
reads a bundle, `Store` reads and writes a file of measurements and evaluations.

Every function raises a `MobileError` for a mistake of its caller; the subclass says what is wrong.
Other modules may change at any time, except those that docs/how-to/your-own-target.md lists.

The names are imported on first use, so that `import mnv4_mobile` takes no time.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # importing typing takes longer than all else here
if TYPE_CHECKING:
    from mnv4_mobile.builder.cell import Options
    from mnv4_mobile.builder.matrix import build
    from mnv4_mobile.bundle.folder import Bundle, open_bundle
    from mnv4_mobile.bundle.parity import Parity
    from mnv4_mobile.errors import (
        BundleError,
        ConfigError,
        CrashError,
        DeviceError,
        DiskError,
        ImageError,
        LoweringError,
        MobileError,
        ParityError,
        StoreError,
        ToolchainError,
        WeightsError,
    )
    from mnv4_mobile.measuring.measurement import Measurement
    from mnv4_mobile.measuring.perform import Failure, Measured, measure
    from mnv4_mobile.measuring.plan import Plan
    from mnv4_mobile.measuring.report.write import report
    from mnv4_mobile.measuring.results.choose import Bounds
    from mnv4_mobile.measuring.results.store import Store
    from mnv4_mobile.progress import Progress
    from mnv4_mobile.quality.evaluate import Evaluation, evaluate
    from mnv4_mobile.quality.predict import Model, Prediction, load
    from mnv4_mobile.quality.verify import verify
    from mnv4_mobile.sdks.shipping import Written
    from mnv4_mobile.sdks.write import sdk

__all__ = [
    "Bounds",
    "Bundle",
    "BundleError",
    "ConfigError",
    "CrashError",
    "DeviceError",
    "DiskError",
    "Evaluation",
    "Failure",
    "ImageError",
    "LoweringError",
    "Measured",
    "Measurement",
    "MobileError",
    "Model",
    "Options",
    "Parity",
    "ParityError",
    "Plan",
    "Prediction",
    "Progress",
    "Store",
    "StoreError",
    "ToolchainError",
    "WeightsError",
    "Written",
    "build",
    "evaluate",
    "load",
    "measure",
    "open_bundle",
    "report",
    "sdk",
    "verify",
]

_MODULES = {
    "builder.cell": ("Options",),
    "builder.matrix": ("build",),
    "bundle.folder": ("Bundle", "open_bundle"),
    "bundle.parity": ("Parity",),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "measuring.measurement": ("Measurement",),
    "measuring.perform": ("Failure", "Measured", "measure"),
    "measuring.plan": ("Plan",),
    "measuring.report.write": ("report",),
    "measuring.results.choose": ("Bounds",),
    "measuring.results.store": ("Store",),
    "progress": ("Progress",),
    "quality.evaluate": ("Evaluation", "evaluate"),
    "quality.predict": ("Model", "Prediction", "load"),
    "quality.verify": ("verify",),
    "sdks.shipping": ("Written",),
    "sdks.write": ("sdk",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
