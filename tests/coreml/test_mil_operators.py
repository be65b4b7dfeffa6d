"""The interpreter's operators against torch, in packages that coremltools wrote."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mnv4_coreml.mil import Program
from mnv4_coreml.mil.operators import erf
from tests.coreml.packages import convert, sqnr, write_mil

pytestmark = pytest.mark.toolchain("coreml")


class Zoo(nn.Module):
    """One output for each way that a network can come to an operator."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Conv2d(3, 8, 3, 2, 1)
        self.depthwise = nn.Conv2d(8, 16, 5, 1, 2, groups=8)
        self.grouped = nn.Conv2d(16, 12, 3, 1, (2, 1), dilation=(2, 1), groups=4)
        self.strided = nn.Conv2d(12, 12, 3, 2, 1, groups=12, bias=False)
        self.norm = nn.BatchNorm2d(12)
        nn.init.uniform_(self.norm.running_mean, -1, 1)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)
        self.linear = nn.Linear(12, 7)
        self.head = nn.Linear(12, 7, bias=False)

    def forward(self, x):
        x = self.dense(x)
        tanh = torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3)))
        out = {
            "relu6": F.relu6(3 * x),
            "gelu": F.gelu(x),
            "gelu_tanh": 0.5 * x * (1 + tanh),
            "gelu_sigmoid": x * torch.sigmoid(1.702 * x),
            "silu": F.silu(x),
            "sigmoid": torch.sigmoid(x),
            "hard_sigmoid": F.hardsigmoid(3 * x),
            "hard_swish": F.hardswish(3 * x),
            "leaky_relu": F.leaky_relu(x, 0.1),
            "clamp": x.clamp(-0.5, 0.25),
            "tanh": torch.tanh(x),
            "erf": torch.erf(x),
            "arithmetic": (x - 2 * x.square()) / (1.5 + x.pow(2)) + torch.rsqrt(x * x + 1),
            "sqrt": torch.sqrt(x * x + 2) + x**3,
        }
        y = F.relu(self.grouped(self.depthwise(x)))
        y = self.norm(torch.cat([y[:, :6], -y[:, 6:]], 1))
        a, _, _ = torch.split(y, [2, 4, 6], 1)
        p, q = y.chunk(2, 1)
        z = self.strided(y)
        pooled = F.avg_pool2d(z, 2)
        out |= {
            "split": a.mean(1, keepdim=True) + p * q,
            "slice": y[:, ::2, 1:-1, 3],
            "narrow": y.narrow(2, 1, 4),
            "conv": z,
            "conv_same": F.conv2d(z, self.strided.weight, groups=12, padding="same"),
            "avg_pool": pooled,
            "avg_pool_padded": F.avg_pool2d(z, 3, 2, 1),
            "avg_pool_inside": F.avg_pool2d(z, 3, 2, 1, count_include_pad=False),
            "up": F.interpolate(pooled, size=z.shape[-2:], mode="bilinear"),
            "up_corners": F.interpolate(pooled, size=(9, 13), mode="bilinear", align_corners=True),
            "up_twice": F.interpolate(pooled, scale_factor=2.0, mode="bilinear"),
            "down": F.interpolate(z, size=(3, 2), mode="bilinear"),
            "pad": F.pad(z, (1, 2, 0, 1), value=0.5),
            "pad_reflect": F.pad(z, (1, 2, 1, 1), mode="reflect"),
            "pad_replicate": F.pad(z, (1, 2, 1, 1), mode="replicate"),
            "squeeze": z.mean(2, keepdim=True).squeeze(2),
            "permute": z.permute(0, 2, 3, 1) + 1,
        }
        t = z.flatten(2).transpose(1, 2)
        h = t.reshape(1, -1, 3, 4).transpose(1, 2)
        one = h[:, :1] * 1.5
        return out | {
            "attention": torch.softmax(t @ t.transpose(1, 2) * 0.3, -1) @ t,
            "sdpa": F.scaled_dot_product_attention(h, h * 2, h),
            "multi_query": F.scaled_dot_product_attention(h, one, one),
            "einsum": torch.einsum("bhnd,bmd->bhnm", h, t[..., :4]),
            "linear": self.linear(t.mean(1)) + self.head(t.mean(1)),
            "expand": z.mean(2)[:, None].expand(1, 3, -1, -1) * 1.5,
            "repeat": t.repeat(1, 2, 1),
        }


@pytest.fixture(scope="session")
def zoo():
    torch.manual_seed(0)
    module, image = Zoo().eval(), torch.randn(1, 3, 34, 26)
    with torch.no_grad():
        return module, image, {name: y.numpy() for name, y in module(image).items()}


@pytest.mark.parametrize(
    ("target", "precision", "bound"),
    [("iOS16", "FLOAT32", 125), ("iOS18", "FLOAT16", 60)],
)
def test_operators_agree_with_torch(ct, zoo, tmp_path, target, precision, bound):
    module, image, expected = zoo
    # A prefix, because an output may not have the name of an operator in the program.
    outputs = [ct.TensorType(name=f"out_{name}") for name in expected]
    package, _ = convert(ct, tmp_path, module, image, target, precision, outputs=outputs)
    program = Program(package)
    found = program({"image": image.numpy()})
    poor = {
        name: found[f"out_{name}"].dtype.name
        for name, y in expected.items()
        if sqnr(y, found[f"out_{name}"]) < bound
    }
    assert not poor
    assert {y.dtype.name for y in found.values()} == {precision.replace("FLOAT", "float")}
    fused = "scaled_dot_product_attention" in program.operators()
    assert fused == (target == "iOS18")


def test_operators_that_torch_does_not_bring(ct, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 5, 7, 5)).astype(np.float32)
    weight = rng.standard_normal((4, 5, 4, 3)).astype(np.float32)

    def function(mb, x):
        size = {"target_size_height": 11, "target_size_width": 10}
        target = {"shape": [9, 0], "resized_dims": np.uint32(2)}
        corners, centres = "STRICT_ALIGN_CORNERS", "UNALIGN_CORNERS"
        return (
            mb.resize_bilinear(x=x, **size, sampling_mode=corners, name="corners"),
            mb.resize_bilinear(x=x, **size, sampling_mode=centres, name="centres"),
            mb.resize(x=x, **target, sampling_mode=centres, name="resize"),
            mb.einsum(values=(x, x), equation="nchw,nwhu->nchu", name="einsum"),
            mb.identity(x=x, name="identity"),
            mb.slice_by_size(x=x, begin=[0, 1, 2, 0], size=[1, 2, -1, 3], name="by_size"),
            mb.slice_by_index(
                x=x,
                begin=[0, -1, 0, 0],
                end=[1, 0, 7, 4],
                stride=[1, 1, 2, 1],
                begin_mask=[True, False, False, False],
                end_mask=[True, False, False, False],
                squeeze_mask=[False, True, False, False],
                name="by_index",
            ),
            mb.conv(x=x, weight=weight, pad_type="same", strides=[2, 2], name="same"),
            mb.conv(x=x, weight=weight, pad_type="same_lower", name="same_lower"),
        )

    found = Program(write_mil(ct, tmp_path, function, "iOS17", x.shape))({"x": x})
    t, w = torch.from_numpy(x), torch.from_numpy(weight)
    expected = {
        "corners": F.interpolate(t, (11, 10), mode="bilinear", align_corners=True),
        "centres": F.interpolate(t, (11, 10), mode="bilinear"),
        "resize": F.interpolate(t, (9, 5), mode="bilinear"),
        "einsum": torch.einsum("nchw,nwhu->nchu", t, t),
        "identity": t,
        "by_size": t[:, 1:3, 2:, :3],
        "by_index": t[:, 4, ::2, :4],
        "same": F.conv2d(F.pad(t, (1, 1, 1, 2)), w, stride=2),
        "same_lower": F.conv2d(F.pad(t, (1, 1, 2, 1)), w),
    }
    assert not {name for name, y in expected.items() if sqnr(y, found[name]) < 110}


def test_float16_is_rounded_between_operators_and_overflows(ct, tmp_path):
    package = write_mil(
        ct,
        tmp_path,
        lambda mb, x: mb.mul(x=mb.add(x=x, y=np.float32(0.1)), y=np.float32(300.0), name="y"),
        "iOS16",
        (4,),
        "FLOAT16",
    )
    x = np.array([0.3, -1.7, 3.14159, 60000.0], np.float32)
    found = Program(package)({"x": x})["y"]
    half = np.float16
    with np.errstate(over="ignore"):
        expected = (x.astype(half) + half(0.1)) * half(300)
    np.testing.assert_array_equal(found.astype(half), expected)
    assert np.isinf(found[-1])


def test_not_a_number_stays_one():
    assert np.isnan(erf(np.array([np.nan, np.inf], np.float32))).tolist() == [True, False]


@pytest.mark.parametrize("axis", [None, 1])
def test_quantized_activations(ct, tmp_path, axis):
    x = np.random.default_rng(0).normal(0, 2, (1, 3, 4, 4)).astype(np.float32)
    scale = np.float32(0.03) if axis is None else np.array([0.03, 0.1, 0.01], np.float32)
    zero = np.uint8(100) if axis is None else np.array([100, 0, 255], np.uint8)

    def function(mb, x):
        options = {"scale": scale, "zero_point": zero, "axis": axis}
        options = {key: value for key, value in options.items() if value is not None}
        return mb.dequantize(
            input=mb.quantize(input=x, output_dtype="uint8", **options), name="y", **options
        )

    program = Program(write_mil(ct, tmp_path, function, "iOS17", x.shape))
    assert program.operators() == {"quantize": 1, "dequantize": 1}
    s, z = (np.float32(v).reshape(1, -1, 1, 1) for v in (scale, zero))
    expected = (np.clip(np.round(x / s) + z, 0, 255) - z) * s
    np.testing.assert_allclose(program({"x": x})["y"], expected, rtol=1e-6)
