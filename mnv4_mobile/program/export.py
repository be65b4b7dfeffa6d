"""The deploy form as an exported program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.model.form import Form

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.model.net import MobileNetV4


def export(net: MobileNetV4, spec: BuildSpec, form: Form) -> ExportedProgram:
    """The deploy form as one graph, which all targets with this form share.

    Args:
        net: In inference mode.
        spec: What is built.
        form: How attention computes its products.
    """
    import torch

    from mnv4_mobile.model.deploy import DeployNet

    inside = spec.preprocess if spec.input == "pixels" else None
    module = DeployNet(net, spec.preprocess.size, form, inside)
    dtype = torch.uint8 if inside else torch.float32
    example = torch.zeros(spec.batch, 3, *spec.preprocess.size, dtype=dtype)
    with torch.no_grad():
        return torch.export.export(module, (example,))
