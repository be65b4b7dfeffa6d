"""MobileNetV4 on phones: one PyTorch definition, three verified artifacts.

    from mnv4_mobile import build, load

    (bundle,) = build("conv-small-035", weights="demo", out="out", targets=["tflite"])
    with load(bundle.path) as model:
        print(model.classify(["digit.jpg"])[0][0])

`build` writes bundles, as `mnv4 build` does, with `Options` for everything beside model, weights,
targets and recipes. `open_bundle` reads one from disk; `load` makes a `Model` of it that runs
pictures. `verify` compares a bundle's artifact with the float model, `evaluate` judges it on a
dataset. All of them raise a `MobileError` for what their caller can mend; its subclasses say what
is wrong. `docs/how-to/your-own-target.md` has what a target of your own may import beside these.

The names are imported on first use, so that `import mnv4_mobile` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnv4_mobile.builder.cell import Options
    from mnv4_mobile.builder.matrix import build
    from mnv4_mobile.bundle.manifest import Bundle, open_bundle
    from mnv4_mobile.bundle.parity import Parity
    from mnv4_mobile.errors import (
        BundleError,
        ConfigError,
        CrashError,
        DiskError,
        ImageError,
        LoweringError,
        MobileError,
        ParityError,
        ToolchainError,
        WeightsError,
    )
    from mnv4_mobile.progress import Progress
    from mnv4_mobile.quality.evaluate import Evaluation, evaluate
    from mnv4_mobile.quality.predict import Model, Prediction, load
    from mnv4_mobile.quality.verify import verify

__all__ = [
    "Bundle",
    "BundleError",
    "ConfigError",
    "CrashError",
    "DiskError",
    "Evaluation",
    "ImageError",
    "LoweringError",
    "MobileError",
    "Model",
    "Options",
    "Parity",
    "ParityError",
    "Prediction",
    "Progress",
    "ToolchainError",
    "WeightsError",
    "build",
    "evaluate",
    "load",
    "open_bundle",
    "verify",
]

_MODULES = {
    "builder.cell": ("Options",),
    "builder.matrix": ("build",),
    "bundle.manifest": ("Bundle", "open_bundle"),
    "bundle.parity": ("Parity",),
    "errors": tuple(name for name in __all__ if name.endswith("Error")),
    "progress": ("Progress",),
    "quality.evaluate": ("Evaluation", "evaluate"),
    "quality.predict": ("Model", "Prediction", "load"),
    "quality.verify": ("verify",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
