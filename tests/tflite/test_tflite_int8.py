"""Integers for LiteRT, on small networks."""

import pytest

from mnv4_mobile.errors import LoweringError
from mnv4_mobile.progress import Progress
from mnv4_mobile.quantize.calibration import choose_images
from mnv4_mobile.recipe import Keep, load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import check_recipe
from mnv4_tflite import target

pytestmark = pytest.mark.toolchain("tflite")
INT8 = load_recipe("int8")


def quantized(case, path, recipe=INT8, **options):
    """The case in integers: what it runs like, and how close it comes."""
    spec = replace(case.spec, **options)
    calibration = choose_images("random", spec.preprocess, images=8, seed=0, progress=Progress())
    check_recipe(target, spec, recipe)
    lowered = target.lower(case.program, spec, recipe, calibration, path)
    return lowered, *replace(case, lowered=lowered).run()


def test_convolutions_in_integers_the_rest_in_float(conv, folder):
    lowered, said, decibel = quantized(conv, folder / "conv-int8.tflite")
    found = target.operators(lowered.path)
    # One QUANTIZE where a float stream is read, one DEQUANTIZE where it is written.
    assert found == target.operators(conv.lowered.path) | {"QUANTIZE": 11, "DEQUANTIZE": 13}
    assert said["delegated"]
    assert decibel["logits"] > 5  # random weights
    assert lowered.outputs == conv.lowered.outputs
    assert lowered.path.stat().st_size < 0.3 * conv.lowered.path.stat().st_size
    layers = {layer.name: (layer.precision, layer.why) for layer in lowered.layers}
    assert layers["head.classifier"] == ("int8-dynamic", "keep.after_pooling")
    assert layers["mean"][0] == "float32"
    assert "stem.conv" not in layers


def test_attention_outputs_and_a_batch(maps, folder):
    lowered, said, decibel = quantized(maps, folder / "maps-int8.tflite")
    assert said["delegated"]
    assert said["tensors"] == ["image", *maps.spec.outputs]
    assert lowered.outputs == maps.lowered.outputs
    assert min(decibel.values()) > 12
    assert {layer.name for layer in lowered.layers} >= {"stages.1.0.bmm", "stages.1.0.softmax"}


def test_bytes_additions_and_kept_modules(half, folder):
    keep = Keep(modules=("stages.0.0",))
    recipe = replace(INT8, keep=keep)
    lowered, _, decibel = quantized(half, folder / "kept-int8.tflite", recipe)
    assert decibel["logits"] > 15
    assert lowered.input.dtype == "uint8"
    layers = {layer.name: (layer.precision, layer.why) for layer in lowered.layers}
    assert layers["stages.0.1.add"] == ("int8", None)
    assert layers["stages.0.0.expand.conv"] == ("float32", "keep.modules: stages.0.0")


@pytest.mark.parametrize(("name", "more"), [("int8-weights", "DEQUANTIZE"), ("int8-dynamic", None)])
def test_without_ranges(few, folder, name, more):
    lowered, _, decibel = quantized(few, folder / f"{name}.tflite", load_recipe(name))
    found, given = target.operators(lowered.path), target.operators(few.lowered.path)
    convolutions = found["CONV_2D"] + found["DEPTHWISE_CONV_2D"]
    assert found == given | ({more: convolutions} if more else {})
    assert decibel["logits"] > 20
    assert lowered.path.stat().st_size < 0.5 * few.lowered.path.stat().st_size
    assert lowered.layers == ()


def test_integers_in_and_out(conv, folder):
    lowered, said, decibel = quantized(conv, folder / "conv-io.tflite", io="int8")
    floats, _, given = quantized(conv, folder / "conv-int8.tflite")
    found = target.operators(lowered.path)
    # The QUANTIZE of the input is gone, that of the output exists.
    assert found == target.operators(floats.path)
    assert said["delegated"]
    assert {lowered.input.dtype, lowered.outputs[0].dtype} == {"int8"}
    assert lowered.input.quantization.scale > 0
    assert decibel["logits"] > given["logits"] - 1


def test_unsigned_integers_of_a_batch_with_feature_maps(maps, folder):
    lowered, _, decibel = quantized(maps, folder / "maps-io.tflite", io="uint8")
    assert {output.dtype for output in lowered.outputs} == {"uint8"}
    assert lowered.input.quantization.zero_point > 0
    assert min(decibel.values()) > 12


def test_pixels_stay_pixels(half, folder):
    lowered, _, decibel = quantized(half, folder / "pixels-io.tflite", io="uint8")
    assert (lowered.input.dtype, lowered.input.quantization) == ("uint8", None)
    assert lowered.outputs[0].quantization.scale > 0
    assert decibel["logits"] > 12


def test_integers_need_static_activations(few, folder):
    with pytest.raises(LoweringError, match=r"io: found 'int8'.*integers need static activations"):
        quantized(few, folder / "no.tflite", load_recipe("int8-dynamic"), io="int8")
