"""The interpreter on whole networks, against torch."""

import numpy as np
import pytest
import torch
from torch import nn

from mnv4_coreml.mil import Port, Program
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.spec import ConvSpec, HeadSpec, ModelSpec
from tests.blocks import mmqa, uir
from tests.coreml.packages import convert, sqnr

pytestmark = pytest.mark.toolchain("coreml")


def tiny_network():
    """Every block; query pooling on a 7 x 5 map; batch norms that do something."""
    spec = ModelSpec(
        name="tiny",
        stem=ConvSpec(out_channels=8, kernel_size=3, stride=2),
        stages=(
            (uir(16, 32, 3, 5, 2),),
            (uir(24, 48, None, 3, 2), mmqa(24, 32, 4, 2, 3), mmqa(24, 32, 4)),
        ),
        final=ConvSpec(out_channels=32, kernel_size=1, stride=1),
        head=HeadSpec(hidden_channels=40, num_classes=11),
        act="gelu",
        layer_scale=0.5,
        features=(0,),
        input_size=(56, 40),
    )
    torch.manual_seed(0)
    network = MobileNetV4(spec, ("logits", "embedding", "stage_0"))
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 56, 40))
    return network.eval()


def test_network_with_query_pooling_on_odd_sizes(ct, tmp_path):
    network, image = tiny_network(), torch.randn(2, 3, 56, 40)
    names = ("logits", "embedding", "stage_0")
    outputs = [ct.TensorType(name=name) for name in names]
    package, _ = convert(ct, tmp_path, network, image, "iOS17", "FLOAT32", outputs=outputs)
    program = Program(package)
    assert program.operators()["upsample_bilinear"] == program.operators()["avg_pool"] == 1
    assert [(port.name, port.shape) for port in program.outputs] == [
        ("logits", (2, 11)),
        ("embedding", (2, 32)),
        ("stage_0", (2, 16, 14, 10)),
    ]
    found = program({"image": image.numpy()})
    with torch.no_grad():
        expected = network(image)
    assert not {name for name in names if sqnr(expected[name], found[name]) < 100}


@pytest.mark.parametrize("layout", ["RGB", "BGR"])
def test_classifier_of_images(ct, tmp_path, layout):
    """The image is RGB whatever the program's layout; scale and bias are in the program."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3, 2, 1), nn.Flatten(), nn.Linear(5 * 4 * 6, 12))
    labels = [f"class {i}" for i in range(12)]
    package, _ = convert(
        ct,
        tmp_path,
        nn.Sequential(network, nn.Softmax(1)),
        torch.rand(1, 3, 8, 12),
        "iOS16",
        "FLOAT32",
        inputs=[
            ct.ImageType(
                name="image",
                shape=(1, 3, 8, 12),
                scale=0.02,
                bias=[-1.0, -2.0, -3.0],
                color_layout=getattr(ct.colorlayout, layout),
            )
        ],
        classifier_config=ct.ClassifierConfig(labels),
    )
    program = Program(package)
    assert program.class_labels == tuple(labels)
    assert program.inputs == (
        Port(name="image", shape=(1, 8, 12, 3), dtype="uint8", kind="image", layout=layout),
    )
    assert [(port.kind, port.shape) for port in program.outputs] == [
        ("label", (1,)),
        ("probabilities", (1, 12)),
    ]
    pixels = np.random.default_rng(0).integers(0, 256, (1, 8, 12, 3), np.uint8)
    found = program({"image": pixels})
    planes = torch.from_numpy(pixels[..., ::-1].copy() if layout == "BGR" else pixels)
    x = planes.permute(0, 3, 1, 2) * 0.02 - torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    with torch.no_grad():
        expected = torch.softmax(network(x), 1).numpy()
    label, probabilities = (found[port.name] for port in program.outputs)
    assert sqnr(expected, probabilities) > 110
    assert label.tolist() == [labels[expected.argmax()]]
