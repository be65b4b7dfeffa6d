from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.configs import shipped
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, normalise, random_images
from mnv4_mobile.model.blocks import AntiAlias
from mnv4_mobile.model.deploy import FORMS, DeployNet
from mnv4_mobile.model.form import Form
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.model.spec import ConvSpec, MMQASpec
from mnv4_mobile.testing import tiny_model
from tests.blocks import uir

OUTPUTS = ("logits", "probabilities", "embedding", "stage_0", "stage_1")
PREPROCESS = Preprocess(
    size=(72, 104), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
)


def network(spec, outputs=("logits",)):
    net = MobileNetV4(spec, outputs)
    net.load_state_dict(random_state(spec, 0))
    return net.eval()


def inputs():
    pixels = random_images(PREPROCESS, 2, seed=0)
    return pixels, torch.from_numpy(normalise(pixels, PREPROCESS))


@pytest.mark.parametrize("name", shipped("models"))
def test_the_cost_of_a_spec_is_that_of_the_network(name):
    spec = load_model(name)
    with torch.device("meta"):
        net = MobileNetV4(spec)
    counts = {
        row.name: sum(p.numel() for p in net.get_submodule(row.name).parameters())
        for row in spec.table()
    }
    assert counts == {row.name: row.cost.params for row in spec.table()}


def test_macs_and_shapes_are_those_of_the_running_network():
    spec = tiny_model()
    net = network(spec)
    macs: dict[str, int] = {}
    shapes: dict[str, tuple[int, ...]] = {}

    def convolved(name):
        def hook(module, _, y):
            macs[name] = macs.get(name, 0) + module.weight.numel() * y[0, 0].numel()

        return hook

    names = [row.name for row in spec.table((64, 96))]
    for name in names:
        block = net.get_submodule(name)
        block.register_forward_hook(lambda _, __, y, n=name: shapes.update({n: tuple(y.shape[1:])}))
        for part in block.modules():
            if isinstance(part, nn.Conv2d):
                part.register_forward_hook(convolved(name))
    with torch.no_grad():
        net(torch.zeros(1, 3, 64, 96))
    for row in spec.table((64, 96)):
        products = 0
        block = dict(spec.blocks()).get(row.name)
        if isinstance(block, MMQASpec):  # q k and attention v, each queries x keys x channels
            queries = row.cost.shape[1] * row.cost.shape[2]
            keys = -(-row.cost.shape[1] // 2) * -(-row.cost.shape[2] // 2)
            products = 2 * queries * keys * block.attention_channels
        assert row.cost.macs == macs[row.name] + products
        if row.name != "head":
            assert row.cost.shape == shapes[row.name]


def test_every_form_that_a_target_may_name_has_a_function():
    assert tuple(FORMS) == get_args(Form)


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("act", ["relu", "gelu"])
def test_the_deploy_form_is_the_same_function(act, form, pooled):
    net = network(tiny_model(act, pooled_queries=pooled), OUTPUTS)
    _, x = inputs()
    deployed = DeployNet(net, PREPROCESS.size, form)
    with torch.no_grad():
        reference, found = net(x), deployed(x)
    assert list(found) == list(OUTPUTS)
    for name in OUTPUTS:
        assert sqnr_db(reference[name].numpy(), found[name].numpy()).min() > 97
    left = {type(module).__name__ for module in deployed.modules()}
    assert not left & {"BatchNorm2d", "LayerScale", "MMQA"}


@pytest.mark.parametrize(("aa", "side"), [("avg", 2), ("blurpc", 3)])
def test_anti_aliasing_becomes_depthwise_convolutions(aa, side):
    # Every block with a stride: conv, fi, uir with a middle and with an extra convolution, final.
    tiny = tiny_model()
    conv = ConvSpec(out_channels=16, kernel_size=3, stride=2)
    spec = replace(
        tiny,
        stages=((conv, *tiny.stages[0]), (*tiny.stages[1], uir(24, 48, 3, None, 2))),
        final=replace(tiny.final, stride=2),
        aa_layer=aa,
    )
    size = (64, 128)
    net = network(spec)
    deployed = DeployNet(net, size, "nchw")
    macs: dict[str, int] = {}

    def count(name):
        def hook(module, _, y):
            macs[name] = macs.get(name, 0) + module.weight.numel() * y[0, 0].numel()

        return hook

    rows = {row.name: row.cost for row in spec.table(size)}
    for name in rows:
        for part in deployed.net.get_submodule(name).modules():
            if isinstance(part, nn.Conv2d):
                part.register_forward_hook(count(name))
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        reference, found = net(x)["logits"], deployed(x)["logits"]
    assert sqnr_db(reference.numpy(), found.numpy()).min() > 97
    assert not {AntiAlias} & {type(module) for module in deployed.modules()}
    filters = {name: part for name, part in deployed.named_modules() if name.endswith(".aa")}
    assert list(filters) == [
        "net.stages.0.0.aa",
        "net.stages.0.1.expand.aa",
        "net.stages.1.0.middle.aa",
        "net.stages.1.5.extra.aa",
        "net.final.aa",
    ]
    for part in filters.values():
        assert (part.stride, part.kernel_size) == ((2, 2), (side, side))
        assert part.groups == part.in_channels
        torch.testing.assert_close(part.weight.sum((1, 2, 3)), torch.ones(len(part.weight)))
    for name, _ in (*spec.blocks(), ("final", None)):
        if name != "stages.1.4":  # attention, whose products are no convolutions
            assert rows[name].macs == macs[name], name


def test_normalisation_folds_into_the_graph():
    net = network(tiny_model())
    pixels, x = inputs()
    deployed = DeployNet(net, PREPROCESS.size, "nhwc", PREPROCESS)
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    with torch.no_grad():
        reference, found = net(x)["logits"], deployed(planes)["logits"]
    assert sqnr_db(reference.numpy(), found.numpy()).min() > 97


def test_deploying_leaves_the_network_as_it_was():
    net = network(tiny_model())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    DeployNet(net, (64, 64), "nhwc")
    after = net.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_outputs_are_named_and_shaped():
    net = network(tiny_model(), OUTPUTS)
    with torch.no_grad():
        found = net(torch.zeros(2, 3, 64, 96))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "logits": (2, 10),
        "probabilities": (2, 10),
        "embedding": (2, 40),
        "stage_0": (2, 16, 16, 24),
        "stage_1": (2, 40, 8, 12),
    }
    torch.testing.assert_close(found["probabilities"].sum(1), torch.ones(2))


def test_layer_scale_is_left_out_where_there_is_none():
    keys = MobileNetV4(replace(tiny_model(), layer_scale=None)).state_dict()
    assert not [key for key in keys if "layer_scale" in key]


def test_stride_sits_on_the_middle_depthwise_or_else_on_the_extra_one():
    def strides(extra, middle):
        from mnv4_mobile.model.blocks import UIR

        block = UIR(8, uir(8, 16, extra, middle, 2), "relu", None)
        return [part.conv.stride[0] if part else None for part in (block.extra, block.middle)]

    assert strides(3, 5) == [1, 2]
    assert strides(3, None) == [2, None]
    assert strides(None, 3) == [None, 2]


def test_expansion_is_left_out_where_it_would_not_expand():
    from mnv4_mobile.model.blocks import UIR

    spec = uir(8, 8, None, 3)
    block = UIR(8, spec, "relu", None)
    assert block.expand is None
    assert spec.cost((8, 10, 10), layer_scale=False).params == sum(
        p.numel() for p in block.parameters()
    )


@pytest.mark.parametrize("size", [(100, 96), (96, 33), (0, 32), (16, 16)])
def test_a_size_that_the_strides_do_not_divide_is_refused(size):
    with pytest.raises(ConfigError, match=rf"input size: found {size[0]}x{size[1]}.* of 32"):
        load_model("conv-small").table(size)


def test_total_stride_counts_every_strided_block():
    assert load_model("hybrid-large").total_stride == 32
    assert tiny_model().total_stride == 8


def test_outputs_that_there_are_not_are_refused():
    spec = load_model("conv-small")
    with pytest.raises(
        ConfigError,
        match=r"'stage_4', did you mean stage_3\? allowed: logits, .*, stage_0, stage_1, stage_2,",
    ):
        spec.check_outputs(("stage_4",))
    with pytest.raises(ConfigError, match="each once"):
        spec.check_outputs(("logits", "logits"))
