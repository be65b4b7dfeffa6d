"""Lint of `.mlpackage` programs: ours, one as it comes, and one with everything wrong."""

import shutil

import numpy as np
import pytest

from mnv4_coreml import target
from mnv4_mobile.errors import BundleError

pytestmark = pytest.mark.toolchain("coreml")


def test_ours_has_its_precision_and_no_more(demo_bundle):
    bundle = demo_bundle("coreml")
    findings = target.lint(bundle.artifact, bundle.convolutions)
    (whole,) = (finding for finding in findings if finding.rule == "float32")
    assert (whole.layer, whole.what) == ("", f"{len(bundle.convolutions)} x conv in float32")
    assert "-r fp16" in whole.advice
    # The widths of the smallest variant are multiples of 8.
    assert {finding.rule for finding in findings} == {"float32", "channels"}


def test_attention_of_ours_is_clean_in_float16(small, tmp_path):
    path = small.lower(target, tmp_path / "half.mlpackage", "fp16")
    assert {finding.rule for finding in target.lint(path, small.layers)} == {"channels"}
    path = small.lower(target, tmp_path / "io.mlpackage", "fp16", io="float32")
    casts = [f for f in target.lint(path, small.layers) if f.rule == "cast"]
    assert [f.layer for f in casts] == ["stem.conv", "head.classifier"]


def test_layers_are_those_of_the_weights(small, tmp_path):
    from mnv4_coreml.lint import graph_of
    from mnv4_coreml.mil.saved import SavedModel

    path = small.lower(target, tmp_path / "a.mlpackage")
    graph = graph_of(SavedModel(path), small.layers)
    named = 0
    for operator, layer in zip(graph.operators, graph.layers, strict=True):
        if operator.convolution:
            (weight,) = (n for n in operator.inputs if "weight" in n)
            assert layer.replace(".", "_") in weight
            named += 1
    assert named == len(small.layers)


def test_a_network_as_it_comes(small, tmp_path):
    path = small.lower(target, tmp_path / "plain.mlpackage", folded=False)
    findings = target.lint(path, small.layers)
    attention = {f.rule for f in findings if f.layer.startswith("stages.1.1")}
    assert attention >= {"transpose", "rank", "heads"}
    products = [f for f in findings if f.rule == "heads"]
    assert [f.what for f in products] == ["2 x matmul in 4 parts, broadcast"]
    assert "in the weights" in products[0].advice
    assert "batch-norm" in {f.rule for f in findings}


def test_everything_wrong(tmp_path):
    from mnv4_coreml.speedups import coremltools

    ct = coremltools()
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    def weights(*shape):
        return np.random.default_rng(0).normal(size=shape).astype(np.float16)

    def convolution(x, w, **options):
        return mb.conv(x=x, weight=w, pad_type="valid", **options)

    def scale():
        return np.float16(0.1)

    @mb.program(
        input_specs=[mb.TensorSpec((1, 3, 64, 64), types.fp16)], opset_version=ct.target.iOS17
    )
    def program(x):
        data = np.ones((20, 3, 3, 3), np.int8)
        small = mb.constexpr_affine_dequantize(
            quantized_data=data, zero_point=np.int8(0), scale=np.float16(0.1), axis=0
        )
        x = convolution(x, small)
        x = convolution(x, weights(16, 20, 3, 3), dilations=[2, 2])
        x = mb.pad(x=x, pad=[0, 0, 0, 0, 1, 1, 1, 1], mode="reflect")
        x = mb.mul(x=x, y=weights(1, 16, 1, 1))
        x = mb.avg_pool(x=x, kernel_sizes=[15, 15], strides=[1, 1], pad_type="valid")
        x = mb.transpose(x=x, perm=[0, 2, 3, 1])
        x = mb.gather(x=x, indices=[0, 2, 1], axis=1)
        x = mb.quantize(input=x, scale=scale(), output_dtype="int8")
        x = mb.dequantize(input=x, scale=scale())
        x = mb.quantize(input=x, scale=np.float16(0.2), output_dtype="int8")
        x = mb.dequantize(input=x, scale=scale())
        x = mb.linear(x=x, weight=weights(8, 16))
        x = mb.transpose(x=x, perm=[0, 3, 1, 2])
        return convolution(x, weights(5, 8, 1, 1))

    model = ct.convert(
        program,
        minimum_deployment_target=ct.target.iOS17,
        pass_pipeline=ct.PassPipeline.EMPTY,
        skip_model_load=True,
    )
    path = tmp_path / "wrong.mlpackage"
    model.save(str(path))
    findings = target.lint(path, ["a", "b", "c"])
    found = {(f.rule, f.layer, f.what) for f in findings}
    assert found >= {
        ("channels", "a", "20 channels"),
        ("neural-engine", "b", "dilated conv"),
        ("pad", "b", "pad"),
        ("batch-norm", "b", "mul by one constant per channel"),
        ("neural-engine", "b", "avg_pool with a kernel of 15 x 15"),
        ("neural-engine", "b", "gather"),
        ("conversion-pair", "b", "quantize after dequantize"),
        ("linear", "b", "linear"),
        ("float-layer", "c", "conv in float16, others in constexpr_affine_dequantize"),
    }
    assert [f.what for f in findings if f.rule == "transpose"] == ["2 x transpose"]


def test_a_damaged_package_is_refused(demo_bundle, tmp_path):
    path = tmp_path / "broken.mlpackage"
    shutil.copytree(demo_bundle("coreml").artifact, path)
    (specification,) = path.rglob("*.mlmodel")
    specification.write_bytes(specification.read_bytes()[:-1000])
    with pytest.raises(BundleError, match=r"broken\.mlpackage"):
        target.lint(path, ["stem.conv"])
