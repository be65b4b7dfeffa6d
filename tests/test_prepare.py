"""Preparation changes weights, but not what a network computes."""

import dataclasses

import pytest
import torch

from mnv4_mobile.calibration import choose
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, random_images
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.parity import sqnr_db
from mnv4_mobile.prepare import prepared
from mnv4_mobile.progress import Progress
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.reference import eager
from mnv4_mobile.target import BuildSpec
from mnv4_mobile.testing import tiny_model

PREPROCESS = Preprocess(
    size=(64, 64), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
)
IMAGES = random_images(PREPROCESS, 4, seed=3)


@pytest.fixture(scope="module")
def calibration():
    return choose("random", PREPROCESS, images=4, seed=0, progress=Progress())


def uneven(model, outputs):
    """A network whose channels have very different ranges."""
    net = MobileNetV4(model, outputs)
    net.load_state_dict(random_state(model, 0))
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            factor = torch.exp(1.5 * torch.randn(module.num_features, generator=generator))
            module.weight.data.mul_(factor)
            module.bias.data.mul_(factor)
    return net.eval().requires_grad_(False)


def channel_ranges(net, name):
    """The largest range of a module's output's channels, by the median one."""
    found = []
    net.get_submodule(name).register_forward_hook(lambda _, __, y: found.append(y))
    spec = BuildSpec(model=net.spec, preprocess=PREPROCESS, outputs=net.outputs)
    eager(net, IMAGES, spec)
    ranges = found[0].amax((0, 2, 3)) - found[0].amin((0, 2, 3))
    return float(ranges.max() / ranges.median())


@pytest.mark.parametrize("act", ["relu", "leaky_relu", "relu6", "gelu"])
@pytest.mark.parametrize("outputs", [("logits",), ("stage_0", "embedding", "logits", "stage_1")])
@pytest.mark.parametrize("pooled", [False, True])
def test_equalizing_computes_the_same(calibration, act, outputs, pooled):
    net = uneven(tiny_model(act, pooled_queries=pooled), outputs)
    spec = BuildSpec(model=net.spec, preprocess=PREPROCESS, outputs=outputs)
    found = prepared(net, load_recipe("int8"), calibration)
    changed = [n for n, w in found.state_dict().items() if not torch.equal(w, net.state_dict()[n])]
    assert "stages.1.2.project.norm.weight" in changed
    expected, got = eager(net, IMAGES, spec), eager(found, IMAGES, spec)
    for name in outputs:
        assert sqnr_db(expected[name], got[name]).min() > 130


def test_equalizing_brings_ranges_together(calibration):
    net = uneven(tiny_model(), ("logits",))
    found = prepared(net, load_recipe("int8"), calibration)
    # Inside a block, and a stream that additions and attention share.
    for name in ("stages.1.0.expand", "stages.1.0.middle", "stages.1.3", "final"):
        assert channel_ranges(found, name) < 0.7 * channel_ranges(net, name)


def test_outputs_and_bounded_activations_are_left_alone(calibration):
    net = uneven(tiny_model("relu6"), ("stage_0", "stage_1", "logits"))
    found, given = prepared(net, load_recipe("int8"), calibration).state_dict(), net.state_dict()
    for name in ("stages.0.0.project", "stages.0.0.expand", "final", "stem"):
        assert torch.equal(found[f"{name}.norm.weight"], given[f"{name}.norm.weight"])


def test_without_steps_nothing_changes(calibration):
    net = uneven(tiny_model(), ("logits",))
    recipe = dataclasses.replace(load_recipe("int8"), prepare=())
    found = prepared(net, recipe, calibration)
    assert all(torch.equal(w, net.state_dict()[n]) for n, w in found.state_dict().items())
