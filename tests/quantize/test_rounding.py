"""GPTQ: weights on their grids, closer to float than one by one, found by every target."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call
from torch.nn import functional as F

from mnv4_mobile.builder.reference import eager
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.images import normalise
from mnv4_mobile.program.export import export
from mnv4_mobile.progress import Progress
from mnv4_mobile.quantize.assignment import assignments
from mnv4_mobile.quantize.calibration import choose_images
from mnv4_mobile.quantize.rounding import _fed_back, _feedback, _Inputs, _rounded, rounded
from mnv4_mobile.recipe import Keep, Weights, load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import load_target
from mnv4_mobile.tensors import feed
from tools.reference.sheet import read_sheet

DATA = Path(__file__).parents[1] / "data"
WEIGHTS_ONLY = load_recipe("int8-weights")


def correlated(groups, size, samples=400, seed=0):
    """Inputs (G, D, P) that go together, as those of a network do."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(groups, size, size, generator=generator) / size**0.5
    return mixed @ torch.randn(groups, size, samples, generator=generator)


def nearest(weight, per="channel"):
    peak = weight.abs().amax((1, 2, 3) if per == "channel" else (0, 1, 2, 3), keepdim=True)
    return (weight / (peak / 127)).round() * (peak / 127)


def error(weight, other, inputs):
    """Squared, of what a convolution's outputs are over the inputs (G, D, P)."""
    rows = (weight - other).reshape(len(inputs), -1, inputs.shape[1])
    return float((rows @ inputs).square().sum())


@pytest.mark.parametrize("per", ["tensor", "channel"])
@pytest.mark.parametrize(("groups", "shape"), [(1, (24, 70, 1, 1)), (16, (16, 1, 3, 3))])
def test_outputs_come_closer_and_the_grid_stays(groups, shape, per):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    inputs = correlated(groups, weight[0].numel())
    found = _rounded(weight, inputs @ inputs.mT, Weights(bits=8, per=per))
    assert error(weight, found, inputs) < 0.7 * error(weight, nearest(weight, per), inputs)
    # What every target's quantizer does: the largest weight is 127 steps.
    torch.testing.assert_close(nearest(found, per), found, rtol=1e-6, atol=0)
    axes = (1, 2, 3) if per == "channel" else (0, 1, 2, 3)
    torch.testing.assert_close(found.abs().amax(axes), weight.abs().amax(axes))


def test_inputs_that_do_not_go_together_round_to_the_nearest():
    weight = torch.randn(8, 20, 1, 1, generator=torch.Generator().manual_seed(1))
    products = torch.diag(torch.rand(20, generator=torch.Generator().manual_seed(2)))[None]
    found = _rounded(weight, products, Weights(bits=8))
    torch.testing.assert_close(found, nearest(weight))


@pytest.mark.parametrize("products", [torch.zeros(1, 6, 6), torch.ones(1, 6, 6)])
def test_inputs_that_are_dead_or_the_same(products):
    weight = torch.randn(3, 6, 1, 1, generator=torch.Generator().manual_seed(1))
    weight[1] = 0
    found = _rounded(weight, products, Weights(bits=8))
    assert found.isfinite().all()
    assert (found - weight).abs().max() < 10 * float(weight.abs().max()) / 127


def textbook(steps, inverse, largest):
    """Optimal brain surgery, a weight at a time, as the paper derives it (equations 2 and 3)."""
    steps, found = steps.clone(), torch.empty_like(steps)
    for i in range(steps.shape[1]):
        found[:, i] = steps[:, i].round().clamp(-largest, largest)
        steps -= (steps[:, i] - found[:, i])[:, None] * inverse[i] / inverse[i, i]
        inverse = inverse - inverse[:, i, None] * inverse[i] / inverse[i, i]
    return found


@settings(max_examples=30)
@given(st.integers(2, 150), st.integers(0, 10**6))
def test_it_is_what_the_paper_derives(size, seed):
    generator = torch.Generator().manual_seed(seed)
    steps = 40 * torch.randn(1, size, 3, generator=generator, dtype=torch.float64)
    inputs = correlated(1, size, 3 * size, seed)
    products = inputs @ inputs.mT
    found = _fed_back(steps.numpy(), np.ones_like(steps.numpy()), _feedback(products.numpy()), 127)
    damped = products[0].double()
    damped += 0.01 * damped.diagonal().mean() * torch.eye(size)
    inverse = torch.linalg.inv(damped.flip(0, 1))  # the last is rounded first
    expected = textbook(steps[0].flip(0).T, inverse, 127).T.flip(0)
    assert np.array_equal(found[0], expected.numpy())


@settings(max_examples=30)
@given(
    st.sampled_from([(1, 1), (3, 3), (5, 5)]),
    st.sampled_from([1, 2]),
    st.integers(0, 2),
    st.sampled_from([1, 2, 6]),
)
def test_patches_are_what_a_convolution_multiplies(kernel, stride, padding, groups):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(6, 12, kernel, stride, padding, groups=groups)

        def forward(self, x):
            return self.conv(x)

    net, x = Net(), torch.randn(1, 6, 9, 7, generator=torch.Generator().manual_seed(0))
    (node,) = (
        n
        for n in torch.export.export(net, (x,)).graph.nodes
        if n.target is torch.ops.aten.conv2d.default
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnv4_mobile.quantize.rounding._SAMPLES", 10**6)  # all positions
        patches = _Inputs([node])._patches(node, x[0])
    multiplied = net.conv.weight.view(groups, 12 // groups, -1) @ patches
    expected = F.conv2d(x, net.conv.weight, None, stride, padding, groups=groups)
    expected = expected.view(groups, 12 // groups, -1)
    # The positions come in any order.
    torch.testing.assert_close(multiplied.sort().values, expected.sort().values)


@pytest.mark.slow
def test_a_trained_network_comes_closer_on_other_pictures(trained_hybrid):
    net, spec = trained_hybrid
    program = export(net, spec, "nchw")
    given_weights = {name: value.clone() for name, value in program.state_dict.items()}
    seen = read_sheet(DATA / "reference_calibration.npz")[0]
    found = rounded(program, spec, WEIGHTS_ONLY, seen)
    assert all(torch.equal(w, program.state_dict[n]) for n, w in given_weights.items())
    pictures = read_sheet(DATA / "reference_evaluation.npz")[0][::3]
    expected = eager(net, pictures, spec)["logits"]

    batch = torch.from_numpy(normalise(pictures, spec.preprocess))
    module = program.module(check_guards=False)

    def decibel(state):
        with torch.no_grad():
            outputs = [functional_call(module, state, (x[None],))["logits"] for x in batch]
        return float(np.median(sqnr_db(expected, torch.cat(outputs).numpy())))

    each = {n: nearest(w) if w.dim() == 4 else w for n, w in given_weights.items()}
    assert decibel(found.state_dict) > decibel(each) + 2
    again = rounded(program, spec, WEIGHTS_ONLY, seen).state_dict
    assert all(torch.equal(w, again[n]) for n, w in found.state_dict.items())
    assert all(w.is_contiguous() for w in found.state_dict.values())


def test_what_a_recipe_keeps_is_not_rounded(small):
    program = export(small.net, small.spec, "nchw")
    recipe = replace(WEIGHTS_ONLY, keep=Keep(depthwise=True, modules=("stem",)))
    pictures = choose_images("random", small.spec.preprocess, images=4, seed=0, progress=Progress())
    found = rounded(program, small.spec, recipe, pictures)
    parameters = program.graph_signature.inputs_to_parameters
    kept = {
        parameters[one.operation.node.args[1].name]
        for one in assignments(program.graph, recipe, weights_alone="")
        if one.operation.kind == "conv" and one.scheme is None
    }
    assert "net.stem.conv.weight" in kept
    same = {n for n, w in found.state_dict.items() if torch.equal(w, program.state_dict[n])}
    assert {n for n in same if program.state_dict[n].dim() == 4} >= kept
    assert len({n for n in found.state_dict if n not in same}) > 5


@pytest.mark.toolchain("tflite")
def test_litert_finds_these_very_integers(small, tmp_path):
    target, preprocess = load_target("tflite"), small.spec.preprocess
    pictures = choose_images("random", preprocess, images=4, seed=0, progress=Progress())
    program = rounded(export(small.net, small.spec, "nhwc"), small.spec, WEIGHTS_ONLY, pictures)
    path = tmp_path / f"model{target.suffix}"
    lowered = target.lower(program, small.spec, WEIGHTS_ONLY, None, path)
    module, (picture, *_) = program.module(check_guards=False), pictures
    with torch.no_grad():
        expected = module(torch.from_numpy(normalise(picture[None], preprocess)))["logits"].numpy()
    found = target.open(path, 1)(feed(lowered.input, picture[None], preprocess))["logits"]
    assert sqnr_db(expected, found).min() > 80
