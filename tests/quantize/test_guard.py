"""The range guard: sums that float16 cannot hold are found, and scaled where that is exact."""

import copy

import numpy as np
import pytest
import torch
from torch import fx

from benchmarks.float16_range import Float16
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.reference import eager
from mnv4_mobile.bundle.manifest import LEAST_MARGIN
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, random_images
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.program.export import export
from mnv4_mobile.program.observe import fed
from mnv4_mobile.program.operations import operations
from mnv4_mobile.progress import Progress
from mnv4_mobile.quantize.assignment import wide
from mnv4_mobile.quantize.calibration import choose_images
from mnv4_mobile.quantize.equalization import all_channels, float_channels
from mnv4_mobile.quantize.guard import FLOAT16_MAX, largest_sums, margins
from mnv4_mobile.quantize.prepare import prepared
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.testing import tiny_model
from tools.reference.outliers import add_outliers

PREPROCESS = Preprocess(
    size=(32, 32), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
)
IMAGES = random_images(PREPROCESS, 2, seed=3)
FP16 = load_recipe("fp16")


@pytest.fixture(scope="module")
def calibration():
    return choose_images("random", PREPROCESS, images=4, seed=0, progress=Progress())


def network(act="relu", *, pooled=False):
    model = tiny_model(act, pooled_queries=pooled)
    net = MobileNetV4(model)
    net.load_state_dict(random_state(model, 0))
    return net.eval().requires_grad_(False)


def spec_of(net):
    return BuildSpec(model=net.spec, preprocess=PREPROCESS)


def guarded(net, calibration):
    return prepared(net, spec_of(net), FP16, calibration)


def margins_of(net, calibration, form="nchw"):
    spec = spec_of(net)
    return margins(largest_sums(export(net, spec, form), spec, calibration))


def in_float16(net):
    """Returns the logits that a runtime without wider sums computes."""
    spec = spec_of(net)
    return Float16(export(net, spec, "nchw")).outputs(IMAGES, spec)


def decibel(net, expected):
    return float(sqnr_db(expected, in_float16(net)).min())


def planted(net, group, factor):
    """Returns a copy in which the first channel of a group is larger, but not what is computed."""
    found = copy.deepcopy(net)
    channels = list(all_channels(found))[group]
    factors = torch.ones(channels.count)
    factors[0] = factor
    channels.scale(factors)
    return found


@pytest.mark.parametrize(
    ("act", "group", "layer"),
    [
        ("relu", 0, "stages.0.0.expand.conv"),
        ("relu", 10, "stages.1.4.value.down.conv"),
        ("relu", 13, "stages.1.4.add"),
        ("relu", 14, "mean"),
        ("gelu", 5, "stages.1.4.avg_pool"),
    ],
)
def test_an_outlier_that_overflows_is_scaled_down(calibration, act, group, layer):
    net = network(act, pooled=True)
    expected = eager(net, IMAGES, spec_of(net))["logits"]
    broken = planted(net, group, 2.0**16)
    assert margins_of(broken, calibration)[layer] < 1
    assert decibel(broken, expected) < 0
    mended = guarded(broken, calibration)
    assert min(margins_of(mended, calibration).values()) >= LEAST_MARGIN
    assert decibel(mended, expected) > 40
    assert np.array_equal(eager(mended, IMAGES, spec_of(net))["logits"], expected)


def test_queries_keys_values_and_features_of_the_head_are_scaled_down(calibration):
    net = network()
    expected = eager(net, IMAGES, spec_of(net))["logits"]
    value, key, query, head = float_channels(net)
    for group in (value, query, head):
        group.scale(torch.full((group.count,), 2.0**16))
    found = margins_of(net, calibration)
    large = {"stages.1.4.value.project", "stages.1.4.query", "head.conv.conv"}
    assert large <= {name for name, margin in found.items() if margin < 1}
    key.scale(torch.full((key.count,), 2.0**32))
    assert margins_of(net, calibration)["stages.1.4.key.project"] < 1
    mended = guarded(net, calibration)
    assert min(margins_of(mended, calibration).values()) >= LEAST_MARGIN
    assert np.array_equal(eager(mended, IMAGES, spec_of(net))["logits"], expected)


def test_a_mean_whose_values_fit_overflows_by_its_sum(calibration):
    net = network()
    expected = eager(net, IMAGES, spec_of(net))["logits"]
    broken = copy.deepcopy(net)
    last = list(all_channels(broken))[-1]
    last.scale(torch.full((last.count,), 2.0**12))
    found = margins_of(broken, calibration)
    assert found.pop("mean") < 1 < min(found.values())
    assert decibel(broken, expected) < 0
    assert decibel(guarded(broken, calibration), expected) > 40


def test_the_trained_hybrid_with_large_outliers_overflows_until_it_is_guarded(trained_hybrid):
    net, spec = trained_hybrid
    broken = copy.deepcopy(net)
    add_outliers(broken, factor=2.0**16)
    seen = choose_images("random", spec.preprocess, images=2, seed=0, progress=Progress())
    before, after = (
        margins(largest_sums(export(one, spec, "nhwc"), spec, seen))
        for one in (broken, prepared(broken, spec, FP16, seen))
    )
    assert min(before.values()) < 1
    assert min(after.values()) >= LEAST_MARGIN


def test_what_needs_no_scaling_is_left_alone(calibration):
    net = network()
    found = guarded(net, calibration).state_dict()
    assert all(torch.equal(w, found[name]) for name, w in net.state_dict().items())


def test_what_cannot_be_scaled_is_named_and_right_in_float32(calibration):
    net = network("gelu")
    for parameter in (net.stem.norm.weight, net.stem.norm.bias):
        parameter.mul_(1e6)
    net.stages[0][0].expand.conv.weight.mul_(1e-6)
    found = margins_of(guarded(net, calibration), calibration)
    narrow = [name for name, margin in found.items() if margin < LEAST_MARGIN]
    assert narrow == ["stem.conv", "stem.act"]
    spec, expected = spec_of(net), eager(net, IMAGES, spec_of(net))["logits"]
    assert decibel(net, expected) < 0
    program = export(net, spec, "nchw")
    found = Float16(program, wide(program.graph, narrow).nodes).outputs(IMAGES, spec)
    assert sqnr_db(expected, found).min() > 40


def test_no_order_of_the_terms_exceeds_the_bound_and_one_reaches_it():
    net = network(pooled=True)
    spec = spec_of(net)
    program = export(net, spec, "nchw")
    found = largest_sums(program, spec, IMAGES)
    largest = {}

    class Terms(fx.Interpreter):
        def run_node(self, n):
            if n in convs:
                (x, weight, *rest), _ = self.fetch_args_kwargs_from_env(n)
                bias, *rest = rest or (None,)
                bias = torch.zeros(len(weight)) if bias is None else bias
                for sign in (1, -1):  # the positive terms alone, and the negative ones alone
                    total = (sign * bias).clamp(min=0).view(1, -1, 1, 1)
                    for side in (1, -1):
                        w = (sign * side * weight).clamp(min=0)
                        total = total + n.target((side * x).clamp(min=0), w, None, *rest)
                    peak = max(float(total.max()), float(weight.abs().max()))
                    largest[convs[n]] = max(largest.get(convs[n], 0), peak)
            return super().run_node(n)

    convs = {one.node: one.name for one in operations(program.graph) if one.kind == "conv"}
    known = {**program.state_dict, **program.constants}
    inputs = program.graph_signature.input_specs
    for picture in IMAGES:
        x = fed(picture, spec)
        Terms(program.graph_module).run(*(known.get(one.target, x) for one in inputs))
    assert len(largest) == len(convs) > 20
    for name, peak in largest.items():
        assert float(found[name].max()) == pytest.approx(peak, rel=1e-5)
    assert torch.finfo(torch.float16).max == FLOAT16_MAX
