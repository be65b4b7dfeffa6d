"""MobileNetV4 on phones: one PyTorch definition, three verified artifacts.

    from mnv4_mobile import build, load

    (bundle,) = build("conv-small-035", weights="demo", out="out", targets=["tflite"])
    with load(bundle.path) as model:
        print(model.classify(["digit.jpg"])[0][0])

The names are imported on first use, so that `import mnv4_mobile` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnv4_mobile.builder.cell import Options
    from mnv4_mobile.builder.matrix import build
    from mnv4_mobile.quality.predict import Model, Prediction, load

__all__ = ["Model", "Options", "Prediction", "build", "load"]

_HOME = {
    "build": "builder.matrix",
    "Options": "builder.cell",
    "load": "quality.predict",
    "Model": "quality.predict",
    "Prediction": "quality.predict",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
