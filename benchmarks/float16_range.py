"""Plants outliers that float16 cannot hold into a trained network, and measures what mends them.

    python -m benchmarks.float16_range [--targets coreai,coreml,snapdragon]

Each line is a place. Before: the network as it is. After: prepared as recipe `fp16` says, with what
could not be scaled in float32 where the target can. SQNR against the PyTorch model in float32, the
median over `JUDGED` images: simulated (`Float16`), and from each target's artifact, executed as
`mnv4 verify` executes it on this machine.
"""

from __future__ import annotations

import argparse
import copy
import math
import tempfile
from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.reference import eager, load_net
from mnv4_mobile.bundle.manifest import LEAST_MARGIN
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.model.blocks import MMQA
from mnv4_mobile.model.grammar import read_model
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.weights import load_checkpoint
from mnv4_mobile.program.export import export
from mnv4_mobile.program.observe import fed
from mnv4_mobile.quantize.assignment import wide
from mnv4_mobile.quantize.equalization import all_channels, float_channels
from mnv4_mobile.quantize.guard import IMAGES, guard, largest_sums, margins
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import completed, load_target
from mnv4_mobile.tensors import feed
from tools.reference.outliers import SHARE, add_outliers
from tools.reference.sheet import Pixels, read_sheet

DATA = Path(__file__).parents[1] / "tests" / "data"
JUDGED = 4
"""The number of images to compare outputs on."""
FACTOR = 2.0**16
OPTIONS = {"snapdragon": {"soc": "SM8750"}}
_aten = torch.ops.aten
Values = npt.NDArray[np.float32]


class Float16(fx.Interpreter):
    """Runs a deploy form as the simplest hardware would: every value and running sum is float16.

    Args:
        program: The deploy form.
        float32: The nodes of its graph that compute in float32.
    """

    def __init__(self, program: ExportedProgram, float32: Collection[fx.Node] = ()) -> None:
        super().__init__(program.graph_module)
        self._program, self._float32 = program, float32

    @torch.inference_mode()
    def outputs(self, images: Pixels, spec: BuildSpec) -> Values:
        """Returns the first output for (N, H, W, 3) RGB pixels after resizing."""
        known = {**self._program.state_dict, **self._program.constants}
        names: dict[str, str] = {
            **self._program.graph_signature.inputs_to_parameters,
            **self._program.graph_signature.inputs_to_buffers,
        }
        inputs = [node.name for node in self._program.graph.nodes if node.op == "placeholder"]
        found = []
        for picture in images:
            values = [known[names[n]] if n in names else fed(picture, spec) for n in inputs]
            found.append(self.run(*values)[0].float().numpy())
        return np.concatenate(found)

    def run_node(self, n: fx.Node) -> Any:
        """Runs one node of the graph in its type."""
        if n.op != "call_function":
            return super().run_node(n)
        target: Any = n.target
        dtype = torch.float32 if n in self._float32 else torch.float16
        given, options = fx.node.map_aggregate(
            self.fetch_args_kwargs_from_env(n),
            lambda a: a.to(dtype) if isinstance(a, Tensor) and a.is_floating_point() else a,
        )
        if dtype == torch.float16 and target in _RUNNING:
            return _RUNNING[target](*given)
        return target(*given, **options)


def _running(terms: Tensor, axis: int) -> Tensor:
    """Adds terms one after the other."""
    total = torch.zeros((), dtype=torch.float16)
    for term in terms.unbind(axis):
        total = total + term
    return total


def _mean(x: Tensor, axes: list[int], *_: object) -> Tensor:
    flat = x.flatten(2)
    return _running(flat, 2).div(flat.shape[2]).view(*x.shape[:2], *[1 for _ in axes])


def _product(a: Tensor, b: Tensor) -> Tensor:
    return _running(a.unsqueeze(-1) * b.unsqueeze(-3), -2)


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    shape: Any = weight.shape[2:]
    patches = nn.functional.unfold(x.float(), shape, dilation, padding, stride).half()
    patches = patches.view(1, groups, 1, -1, patches.shape[-1])
    terms = patches * weight.view(1, groups, -1, patches.shape[3], 1)
    total = _running(terms, 3).view(1, weight.shape[0], -1)
    if bias is not None:
        total = total + bias.view(1, -1, 1)
    side = math.isqrt(total.shape[2])
    return total.view(1, -1, side, side)


_RUNNING: dict[Any, Callable[..., Tensor]] = {
    _aten.conv2d.default: _convolution,
    _aten.mean.dim: _mean,
    _aten.bmm.default: _product,
    _aten.matmul.default: _product,
}
"""The operators that add many terms."""


def _scaled(*patterns: str) -> Callable[[MobileNetV4], None]:
    """Returns a function that scales some output channels of the modules with these names."""

    def plant(net: MobileNetV4) -> None:
        names = {module: name for name, module in net.named_modules()}
        for group in (*all_channels(net), *float_channels(net)):
            if any(fnmatchcase(names[group.written[0]], pattern) for pattern in patterns):
                factors = torch.ones(group.count)
                factors[: max(1, int(group.count * SHARE))] = FACTOR
                group.scale(factors)

    return plant


def _mean_of_many(net: MobileNetV4) -> None:
    """Scales all pooled channels, so that their values fit and the sum of the mean does not."""
    *_, pooled = all_channels(net)
    pooled.scale(torch.full((pooled.count,), 2.0**12))


def _large_products(net: MobileNetV4) -> None:
    *_, last = (block for block in net.modules() if isinstance(block, MMQA))
    last.query.weight.mul_(2.0**9)
    last.key.project.weight.mul_(2.0**9)


def _before_gelu(net: MobileNetV4) -> None:
    for block in net.modules():
        if isinstance(getattr(block, "act", None), nn.ReLU):
            block.act = nn.GELU()
    assert net.stem.norm is not None
    first: Any = net.stages[0]
    for parameter in (net.stem.norm.weight, net.stem.norm.bias):
        parameter.mul_(FACTOR)
    first[0].expand.conv.weight.div_(FACTOR)


PLACES: dict[str, Callable[[MobileNetV4], None]] = {
    "none": lambda _: None,
    "inside blocks": _scaled("stages.?.?.expand", "stages.?.?.extra", "stages.?.?.middle"),
    "residual streams": _scaled("stages.?.?.project"),
    "the sum of the pooling": _mean_of_many,
    "keys, values, head": _scaled("*.key.project", "*.value.project", "head.conv"),
    "everywhere": lambda net: add_outliers(net, factor=FACTOR),
    "queries x keys": _large_products,
    "before GELU": _before_gelu,
}


def measured(
    net: MobileNetV4,
    spec: BuildSpec,
    images: Pixels,
    seen: Pixels,
    targets: list[str],
) -> Iterator[str]:
    """Yields the cells of a line: the margin, layers in float32, and the SQNRs."""
    expected = eager(net, images, spec)["logits"]
    recipe = load_recipe("fp16")
    mended = copy.deepcopy(net)
    guard(mended, spec, seen)
    cells: list[list[str]] = []
    for one in (net, mended):
        narrow: tuple[str, ...] = ()
        program = export(one, spec, "nchw")
        found = margins(largest_sums(program, spec, seen))
        layer = min(found, key=lambda name: found[name])
        if one is not net:
            narrow = tuple(name for name, margin in found.items() if margin < LEAST_MARGIN)
        large = wide(program.graph, narrow)
        made = Float16(program, large.nodes).outputs(images, spec)
        texts = [f"{found[layer]:.2g}", f"{len(large.layers)}", _decibels(expected, made)]
        for name in targets:
            target = load_target(name)
            options: Any = OPTIONS.get(name)
            chosen = completed(replace(spec, overflowing=narrow), target, recipe, options=options)
            own = export(one, chosen, target.form(chosen, recipe))
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"artifact{target.suffix}"
                lowered = target.lower(own, chosen, recipe, None, path)
                with Worker(name, path) as worker:
                    fed_in = (feed(lowered.input, i[None], spec.preprocess) for i in images)
                    answers = [next(iter(worker.run(inputs).values())) for inputs in fed_in]
            texts.append(_decibels(expected, np.concatenate(answers).astype(np.float32)))
        cells.append(texts)
    for before, after in zip(*cells, strict=True):
        yield before if before == after else f"{before} -> {after}"


def _decibels(expected: Values, found: Values) -> str:
    return f"{np.median(sqnr_db(expected, found)):.1f}" if np.isfinite(found).all() else "NaN"


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--targets", default="coreai,coreml,snapdragon")
    targets = parser.parse_args().targets.split(",")
    model = read_model(str(DATA / "hybrid-narrow.yaml")).spec
    checkpoint = load_checkpoint(model, str(DATA / "hybrid-narrow.safetensors"))
    preprocess = checkpoint.preprocess.completed(model.input_size)
    spec = BuildSpec(model=checkpoint.spec, preprocess=preprocess)
    trained = load_net(checkpoint, spec)
    seen = read_sheet(DATA / "reference_calibration.npz")[0][:IMAGES]
    images = read_sheet(DATA / "reference_evaluation.npz")[0][:JUDGED]
    columns = ["outliers", "least margin", "layers in float32", "simulated", *targets]
    print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns), flush=True)
    for place, plant in PLACES.items():
        net = copy.deepcopy(trained)
        plant(net)
        cells = measured(net, spec, images, seen, targets)
        print("| " + " | ".join([place, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
