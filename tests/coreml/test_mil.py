"""The interpreter against torch and coremltools, on packages that coremltools wrote."""

import contextlib
import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from mnv4_coreml.mil import Port, Program
from mnv4_mobile.errors import BundleError, ConfigError, LoweringError, MobileError
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.spec import ConvSpec, HeadSpec, MMQASpec, ModelSpec, UIRSpec

pytestmark = pytest.mark.toolchain("coreml")
WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"
MODEL = "Data/com.apple.CoreML/model.mlmodel"


@pytest.fixture(scope="session")
def ct():
    return pytest.importorskip("coremltools")


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


# Every operator that a converted network brings


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


# Whole networks


def tiny_network():
    """Every block; query pooling on a 7 x 5 map; batch norms that do something."""
    spec = ModelSpec(
        name="tiny",
        stem=ConvSpec(out_channels=8, kernel_size=3, stride=2),
        stages=(
            (
                UIRSpec(
                    out_channels=16,
                    hidden_channels=32,
                    extra_kernel_size=3,
                    middle_kernel_size=5,
                    stride=2,
                ),
            ),
            (
                UIRSpec(
                    out_channels=24,
                    hidden_channels=48,
                    extra_kernel_size=None,
                    middle_kernel_size=3,
                    stride=2,
                ),
                MMQASpec(
                    out_channels=24,
                    attention_channels=32,
                    num_heads=4,
                    query_pooling_stride=2,
                    kv_kernel_size=3,
                    kv_stride=2,
                ),
                MMQASpec(
                    out_channels=24,
                    attention_channels=32,
                    num_heads=4,
                    query_pooling_stride=None,
                    kv_kernel_size=None,
                    kv_stride=None,
                ),
            ),
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


# Compressed weights


class Layers(nn.Module):
    """Layers big enough to be compressed, no more."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(16, 24, 3, padding=1)
        self.linear = nn.Linear(24, 32)

    def forward(self, x):
        return self.linear(F.relu(self.conv(x)).mean((2, 3)))


@pytest.fixture(scope="session")
def layers(ct, tmp_path_factory):
    """The image, and the MLModel for each deployment target."""
    torch.manual_seed(0)
    module, image = Layers(), torch.randn(1, 16, 6, 6)
    folder = tmp_path_factory.mktemp("layers")
    return image.numpy(), {
        target: convert(ct, folder, module, image, target, "FLOAT32")[1]
        for target in ("iOS16", "iOS18")
    }


def quantize(co, model, joint=False, **options):
    config = co.OptimizationConfig(co.OpLinearQuantizerConfig(weight_threshold=64, **options))
    return co.linear_quantize_weights(model, config, joint_compression=joint)


def palettize(co, model, joint=False, **options):
    config = co.OptimizationConfig(co.OpPalettizerConfig(weight_threshold=64, **options))
    return co.palettize_weights(model, config, joint_compression=joint)


def prune(co, model):
    config = co.OpMagnitudePrunerConfig(weight_threshold=64, target_sparsity=0.5)
    return co.prune_weights(model, co.OptimizationConfig(config))


COMPRESSIONS = {
    "affine_int8": ("iOS16", lambda co, m: quantize(co, m)),
    "affine_uint8": ("iOS16", lambda co, m: quantize(co, m, mode="linear", dtype="uint8")),
    "lut_6": ("iOS16", lambda co, m: palettize(co, m, mode="uniform", nbits=6)),
    "sparse": ("iOS16", prune),
    "int8_18": ("iOS18", lambda co, m: quantize(co, m, mode="linear")),
    "int4_block": (
        "iOS18",
        lambda co, m: quantize(co, m, dtype="int4", granularity="per_block", block_size=8),
    ),
    "lut_3": ("iOS18", lambda co, m: palettize(co, m, mode="uniform", nbits=3)),
    "lut_4_grouped": (
        "iOS18",
        lambda co, m: palettize(
            co, m, mode="uniform", nbits=4, granularity="per_grouped_channel", group_size=8
        ),
    ),
    "lut_vector": ("iOS18", lambda co, m: palettize(co, m, nbits=4, cluster_dim=2)),
    "sparse_18": ("iOS18", prune),
    "sparse_int8": ("iOS18", lambda co, m: quantize(co, prune(co, m), joint=True)),
    "sparse_lut": (
        "iOS18",
        lambda co, m: palettize(co, prune(co, m), joint=True, mode="uniform", nbits=4),
    ),
}


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressed_weights_agree_with_coremltools(ct, layers, tmp_path, name):
    """Against the same package after coremltools' own decompression."""
    import coremltools.optimize.coreml as co

    image, models = layers
    target, compress = COMPRESSIONS[name]
    compressed = compress(co, models[target])
    compressed.save(str(tmp_path / "small.mlpackage"))
    co.decompress_weights(compressed).save(str(tmp_path / "dense.mlpackage"))
    small, dense = (Program(tmp_path / f"{kind}.mlpackage") for kind in ("small", "dense"))
    assert any(key.startswith("constexpr_") for key in small.operators())
    assert not any(key.startswith("constexpr_") for key in dense.operators())
    (found,), (expected,) = (p({"image": image}).values() for p in (small, dense))
    assert sqnr(expected, found) > 120


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


# What it refuses


def test_unknown_operators_are_all_named(ct, tmp_path):
    package = write_mil(
        ct,
        tmp_path,
        lambda mb, x: mb.reduce_argmax(x=mb.cumsum(x=mb.relu(x=x), axis=0), axis=0),
        "iOS16",
        (4,),
    )
    with pytest.raises(LoweringError, match="know: cumsum, reduce_argmax"):
        Program(package)


@pytest.fixture(scope="session")
def package(ct, tmp_path_factory):
    """A small sound package: two layers, (1, 16, 6, 6) to (1, 32)."""
    folder = tmp_path_factory.mktemp("package")
    return convert(ct, folder, Layers(), torch.randn(1, 16, 6, 6), "iOS16", "FLOAT16")[0]


@pytest.fixture
def copy(package, tmp_path):
    """A package that a test may damage."""
    return shutil.copytree(package, tmp_path / "copy.mlpackage")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "found none, must be image"),
        ({"picture": np.zeros((1, 16, 6, 6))}, "found picture, must be image"),
        ({"image": np.zeros((2, 16, 6, 6))}, r"\(2, 16, 6, 6\), must be float16 of shape"),
    ],
)
def test_inputs_that_do_not_fit(package, inputs, message):
    with pytest.raises(ConfigError, match=message):
        Program(package)(inputs)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-10])


def other_weights(file):
    data = bytearray(file.read_bytes())
    data[64:68] = bytes(4)
    file.write_bytes(data)


def no_root(file):
    file.write_text(json.dumps(json.loads(file.read_text()) | {"rootModelIdentifier": "x"}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (WEIGHTS, truncate),
        (WEIGHTS, other_weights),
        (WEIGHTS, lambda file: file.write_bytes(b"")),
        (WEIGHTS, lambda file: file.unlink()),
        (MODEL, truncate),
        (MODEL, lambda file: file.write_bytes(b"")),
        (MODEL, lambda file: file.write_bytes(b"not a protobuf")),
        (MODEL, lambda file: file.unlink()),
        ("Manifest.json", no_root),
        ("Manifest.json", truncate),
        ("Manifest.json", lambda file: file.unlink()),
    ],
)
def test_damage_names_the_file(copy, name, damage):
    damage(copy / name)
    with pytest.raises(BundleError, match=name):
        Program(copy)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_to_the_model_goes_through_as_another_error(package, copy, data):
    sound = (package / MODEL).read_bytes()
    at = data.draw(st.integers(0, len(sound) - 1))
    byte = data.draw(st.integers(0, 255))
    (copy / MODEL).write_bytes(sound[:at] + bytes([byte]) + sound[at + 1 :])
    with contextlib.suppress(MobileError):
        Program(copy)


def test_runs_without_a_toolchain(package):
    """coremltools and torch take seconds to import; predicting must not pay for them."""
    code = """
import sys
from pathlib import Path
import numpy as np
from mnv4_coreml.mil import Program
Program(Path(sys.argv[1]))({"image": np.zeros((1, 16, 6, 6), np.float32)})
print(sorted({"torch", "coremltools"} & sys.modules.keys()))
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(package)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
