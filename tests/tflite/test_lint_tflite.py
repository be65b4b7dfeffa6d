"""Lint of `.tflite` models: ours, one as it comes, and one that was quantized."""

import numpy as np
import pytest

from mnv4_mobile.errors import BundleError
from mnv4_tflite import target
from tests.damage import check_refusals

pytestmark = pytest.mark.toolchain("tflite")


def lint(path, small):
    return {(f.rule, f.layer): f for f in target.lint(path, small.layers)}


@pytest.fixture(scope="module")
def float_model(small, tmp_path_factory):
    return small.lower(target, tmp_path_factory.mktemp("lint") / "float.tflite")


def test_ours_is_clean(demo_bundle):
    bundle = demo_bundle("tflite")
    assert target.operators(bundle.artifact)["PAD"] > 0  # each fused into its convolution
    assert target.lint(bundle.artifact, bundle.convolutions) == []


def test_a_pad_for_two_convolutions_is_all_that_is_left_in_attention(small, float_model):
    assert set(lint(float_model, small)) == {("pad", "stages.1.1.key.down.conv")}


def test_bytes_and_channels_first(small, tmp_path):
    path = small.lower(target, tmp_path / "a.tflite", "fp16", input="pixels", layout="nchw")
    found = lint(path, small)
    cast = next(finding for (rule, _), finding in found.items() if rule == "cast")
    assert cast.what == "CAST from uint8 to float32, outside XNNPACK"
    assert any(rule == "transpose" for rule, _ in found)
    # The DEQUANTIZE of float16 weights is done while loading.
    assert not {"delegate-break", "conversion-pair", "float-layer"} & {rule for rule, _ in found}


def test_a_network_as_it_comes(small, tmp_path):
    path = small.lower(target, tmp_path / "plain.tflite", folded=False)
    found = lint(path, small)
    assert {rule for rule, _ in found} >= {"transpose", "batch-norm", "delegate-break"}
    # A product with computed weights becomes a FULLY_CONNECTED, which XNNPACK does not take.
    (broken,) = (f for (rule, _), f in found.items() if rule == "delegate-break")
    assert broken.what.startswith("FULLY_CONNECTED")
    assert broken.layer == "stages.1.1"
    assert ("batch-norm", "stages.1.1.norm") in found


def test_integers(small, float_model, tmp_path):
    from litert_quantizer import quantizer
    from litert_quantizer.qtyping import TFLOperationName as Name

    tool = quantizer.Quantizer(str(float_model))
    tool.add_static_config(".*", Name.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    for layers, name in (("head.*", Name.CONV_2D), (".*", Name.ADD), (".*", Name.BATCH_MATMUL)):
        tool.update_quantization_recipe(layers, name, algorithm_key="no_quantize")
    images = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)
    ranges = tool.calibrate({"serving_default": [{"image": images}]})
    path = tmp_path / "int8.tflite"
    path.write_bytes(tool.quantize(ranges).quantized_model)
    found = lint(path, small)
    left = {layer: f.what for (rule, layer), f in found.items() if rule == "float-layer"}
    assert left["head.classifier"] == "CONV_2D in float32, others in int8"
    assert left["stages.1.1"].endswith("in float between integers")
    assert "stem.conv" not in left


@pytest.mark.parametrize(
    "data", [b"", b"not a model at all, but long enough", b"\x10\0\0\0TFL3" * 9]
)
def test_a_damaged_file_is_refused(tmp_path, data):
    path = tmp_path / "broken.tflite"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"broken\.tflite"):
        target.lint(path, ["stem.conv"])


def test_any_damage_is_a_bundle_error(demo_bundle, tmp_path):
    check_refusals(target, demo_bundle("tflite"), tmp_path / "broken.tflite")
