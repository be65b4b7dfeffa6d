"""The layers of a manifest."""

from dataclasses import replace
from pathlib import Path

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.pipeline import layers
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.program.export import export
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import Lowered
from mnv4_mobile.tensors import TensorSpec
from mnv4_mobile.testing import tiny_model


def test_filters_of_anti_aliasing_are_convolutions_where_they_run():
    tiny = tiny_model()
    model = replace(tiny, stages=(tiny.stages[0][:1], tiny.stages[1][:1]), aa_layer="avg")
    net = MobileNetV4(model, ("logits",)).eval()
    net.load_state_dict(random_state(model, 0))
    preprocess = Preprocess(
        size=(64, 64), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    program = export(net, BuildSpec(model=model, preprocess=preprocess), "nchw")
    image = TensorSpec(
        name="image", kind="image", shape=(1, 3, 64, 64), dtype="float32", layout="nchw"
    )
    lowered = Lowered(path=Path("x"), input=image, outputs=())
    found = [layer.name for layer in layers(program, load_recipe("fp32"), lowered)]
    at = found.index("stages.0.0.expand.aa")
    assert found[at - 1 : at + 2] == [
        "stages.0.0.expand.conv",
        "stages.0.0.expand.aa",
        "stages.0.0.project.conv",
    ]
