"""What the error of a missed gate says to do, on real artifacts."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import mnv4_mobile
from mnv4_mobile import Options, build
from mnv4_mobile.builder.advice import _overflow
from mnv4_mobile.builder.cell import Cell
from mnv4_mobile.builder.network import Network
from mnv4_mobile.bundle.manifest import LEAST_MARGIN
from mnv4_mobile.configs import config_folder
from mnv4_mobile.errors import ParityError
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.progress import SILENT
from mnv4_mobile.quantize.guard import FLOAT16_MAX
from mnv4_mobile.recipe import load_recipe
from tests.notes import Notes

DEMO = Path(mnv4_mobile.__file__).parent / "demo" / "conv-small-035.safetensors"
FACTOR = 1e5


@pytest.fixture(scope="module")
def overflowing(tmp_path_factory):
    """The demo's weights with a stem that gives values beyond float16, which the next layer undoes.

    ReLU lets factors through, so that the float32 network computes what it did before.
    """
    with safe_open(DEMO, "pt") as file:
        state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no mapping
        metadata = file.metadata()
    for name in ("stem.norm.weight", "stem.norm.bias"):
        state[name] = state[name] * FACTOR
    state["stages.0.0.conv.weight"] = state["stages.0.0.conv.weight"] / FACTOR
    path = tmp_path_factory.mktemp("overflowing") / "large.safetensors"
    save_file(state, path, metadata)
    return path


def network(weights, target="coreml", recipe="fp16"):
    cell = Cell(
        model=load_model("conv-small-035"),
        weights=str(weights),
        target=target,
        recipe=load_recipe(recipe),
        options=Options(size=(96, 96)),
    )
    return cell, Network(cell, SILENT)


def test_the_layer_that_overflows_is_found(overflowing):
    cell, found = network(overflowing)
    text, _ = _overflow(cell.recipe, found.program("nchw", cell.recipe, None), found, None)
    assert text.startswith("float16 overflows: it holds up to 65504, stem.conv reaches ")
    assert ";" not in text  # it is also the first
    cell, usual = network("demo")
    (text,) = _overflow(cell.recipe, usual.program("nchw", cell.recipe, None), usual, None)
    assert text.startswith("no layer overflows: float16 holds up to 65504, ")
    assert 0 < float(text.split()[-1]) < FLOAT16_MAX
    (_, outputs), (_, expected) = found.golden[96, 96], usual.golden[96, 96]
    np.testing.assert_allclose(outputs["logits"], expected["logits"], atol=1e-3)


@pytest.mark.toolchain("coreai")
def test_an_overflow_is_named_and_with_calibration_images_scaled_down(
    overflowing, tmp_path, demo_images
):
    def built(calibrate):
        return build(
            "conv-small-035",
            weights=str(overflowing),
            out=tmp_path / "out",
            targets=["coreai"],
            recipes=["fp16"],
            options=Options(calibrate=calibrate),
        )

    with pytest.raises(ParityError) as error:
        built(None)
    first, overflow, *rest = str(error.value).split("\n  ")
    assert "does not compute what the model computes: logits at " in first
    assert overflow.startswith("float16 overflows: it holds up to 65504, stem.conv reaches ")
    assert float(overflow.split()[-1]) > FLOAT16_MAX
    same = f"conv-small-035 --weights {overflowing} -t coreai"
    assert rest == [
        "scale down what overflows, where that is exact: --calibrate DIR",
        f"try: mnv4 build {same} -r fp32",
        f"try: mnv4 build {same} -r int8 --calibrate DIR",
    ]
    (bundle,) = built(str(demo_images))
    found = bundle.manifest.float16_range
    assert (found.images, found.margin >= LEAST_MARGIN) == (9, True)


@pytest.mark.toolchain("coreai")
def test_an_overflow_that_cannot_be_scaled_down_stays_float32(overflowing, tmp_path, demo_images):
    text = (config_folder("models") / "conv-small-035.yaml").read_text()
    mine, progress = tmp_path / "mine.yaml", Notes()
    mine.write_text(text.replace("act_type: relu", "act_type: gelu"))
    weights = tmp_path / "large.safetensors"
    save_file(load_file(overflowing), weights)  # without the name of the network with ReLU
    (bundle,) = build(
        str(mine),
        weights=str(weights),
        out=tmp_path / "out",
        targets=["coreai"],
        recipes=["fp16"],
        options=Options(size=(32, 32), calibrate=str(demo_images)),
        progress=progress,
    )
    (note,) = [note for note in progress.notes if "overflow" in note]
    assert ": computed in float32, with the layers that read them, because float16 may" in note
    assert "stem.conv 0." in note
    assert "stem.act 0." in note
    assert bundle.manifest.float16_range.margin >= LEAST_MARGIN
    why = {layer.name: (layer.precision, layer.why) for layer in bundle.manifest.layers}
    assert why["stem.conv"] == ("float32", "guard: float16 may overflow")
    assert why["stages.0.0.conv"] == ("float32", "guard: reads stem.act")


@pytest.mark.toolchain("tflite")
def test_a_missed_int8_gate_names_the_commands_that_raise_it(tmp_path, demo_images):
    values = yaml.safe_load((config_folder("recipes") / "int8.yaml").read_text())
    strict = tmp_path / "strict.yaml"
    strict.write_text(yaml.safe_dump(values | {"gate": {"sqnr_db": 150}, "prepare": ["equalize"]}))
    mine = tmp_path / "my net.yaml"
    mine.write_text((config_folder("models") / "conv-small-035.yaml").read_text())
    with pytest.raises(ParityError) as error:
        build(
            str(mine),
            weights="demo",
            out=tmp_path / "out",
            targets=["tflite"],
            recipes=[str(strict)],
            options=Options(calibrate=str(demo_images), name="mine"),
        )
    first, *rest = str(error.value).split("\n  ")
    assert "must be 150 or more" in first
    network, calibrate = f"'{mine}' --weights demo", f"--calibrate {demo_images}"
    assert rest == [
        "calibrate with more images: found 9, the recipe uses 128",
        f"try: mnv4 build {network} -t tflite -r int8-distilled {calibrate}",
        f"try: mnv4 build {network} -t tflite -r int8-weights {calibrate}",
        f"try: mnv4 build {network} -t tflite -r fp16 {calibrate}",
        f"see what each block costs: mnv4 sensitivity {network} {calibrate}",
        f"search what to keep in float: mnv4 tune {network} -t tflite {calibrate} --max-drop 1",
    ]


@pytest.fixture
def demo_images():
    return DEMO.parent / "pictures"
