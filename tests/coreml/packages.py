"""Packages that coremltools wrote, for the interpreter to run."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
MODEL = "Data/com.apple.CoreML/model.mlmodel"


def sqnr(expected, found):
    """Signal to noise in dB; infinite where they are equal."""
    expected, found = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    assert expected.shape == found.shape
    noise = np.square(expected - found).sum()
    return 10 * math.log10(np.square(expected).sum() / noise) if noise else math.inf


def convert(ct, folder, module, image, target, precision, **options):
    """Save a torch module as an .mlpackage; (its path, the MLModel)."""
    program = torch.export.export(module.eval(), (image,)).run_decompositions({})
    options.setdefault("inputs", [ct.TensorType(name="image", shape=tuple(image.shape))])
    return write(
        ct,
        folder,
        program,
        minimum_deployment_target=getattr(ct.target, target),
        compute_precision=getattr(ct.precision, precision),
        **options,
    )


def write(ct, folder, program, **options):
    model = ct.convert(program, convert_to="mlprogram", skip_model_load=True, **options)
    package = folder / "model.mlpackage"
    model.save(str(package))
    return package, model


def write_mil(ct, folder, function, opset, shape, precision="FLOAT32"):
    """Save a program written with coremltools' builder `mb`, on one input `x`."""
    from coremltools.converters.mil import Builder as mb

    target = getattr(ct.target, opset)
    specs = [mb.TensorSpec(shape=shape)]
    program = mb.program(input_specs=specs, opset_version=target)(lambda x: function(mb, x))
    precision = getattr(ct.precision, precision)
    return write(
        ct, folder, program, minimum_deployment_target=target, compute_precision=precision
    )[0]


class Layers(nn.Module):
    """Layers big enough to be compressed, no more."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 24, 3, padding=1)
        self.linear = nn.Linear(24, 32)

    def forward(self, x):
        return self.linear(F.relu(self.conv(x)).mean((2, 3)))
