import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.cli import main
from mnv4_mobile.errors import ConfigError, LoweringError, ToolchainError
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, normalise, random_images
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import (
    Target,
    check_recipe,
    load_target,
    missing,
    require,
    target_names,
)
from mnv4_mobile.tensors import TensorSpec, feed
from mnv4_mobile.testing import tiny_model

PREPROCESS = Preprocess(
    size=(64, 96), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
)


def test_the_shipped_targets_satisfy_the_protocol():
    assert target_names() == ["coreml", "executorch", "tflite"]
    for name in target_names():
        target = load_target(name)
        assert isinstance(target, Target)
        assert target.name == name


def test_a_missing_toolchain_is_answered_with_its_command():
    target = SimpleNamespace(name="coreml", extra="coreml", modules=("no_such_module_at_all",))
    with pytest.raises(ToolchainError, match=r"pip install 'mnv4-mobile\[coreml\]'"):
        require(target)


def test_a_missing_package_around_a_module_is_no_crash():
    modules = ("no_such_package.no_such_module", "mnv4_mobile.target")
    assert missing(SimpleNamespace(modules=modules)) == ["no_such_package.no_such_module"]


def test_a_recipe_that_a_target_lacks_is_refused_with_those_it_has(tmp_path):
    spec = BuildSpec(model=tiny_model(), preprocess=PREPROCESS)
    path = tmp_path / "mine.yaml"
    path.write_text(
        "description: x\nprecision: float16\ngate: {sqnr_db: 1}\n"
        "weights: {form: palette, bits: 4, clustering: kmeans}\n"
    )
    with pytest.raises(LoweringError, match=r"tflite: recipe mine: found 'palettize-4', supp"):
        check_recipe(load_target("tflite"), spec, load_recipe(str(path)))


@pytest.mark.parametrize("name", ["executorch", "tflite"])
@pytest.mark.parametrize(
    ("precision", "per", "message"),
    [
        (
            "float32",
            "tensor",
            "weights.per: found 'tensor', supported with quantized weights: chan",
        ),
        ("float16", "channel", "precision: found 'float16', supported with quantized weights: flo"),
    ],
)
def test_weights_that_would_be_quantized_otherwise_are_refused(name, precision, per, message):
    spec = BuildSpec(model=tiny_model(), preprocess=PREPROCESS)
    recipe = load_recipe("int8")
    assert recipe.weights is not None
    weights = replace(recipe.weights, per=per)
    with pytest.raises(LoweringError, match=message):
        check_recipe(load_target(name), spec, replace(recipe, weights=weights, precision=precision))


DISTILLED = """
description: x
precision: float32
weights: {{bits: 8}}
activations: {{{0}}}
prepare: [distill]
distill: {1}
calibration: {{images: 100}}
gate: {{sqnr_db: 1}}
"""

ROUNDED = """
description: x
precision: float16
weights: {{{0}}}
prepare: [gptq]
calibration: {{images: 100}}
gate: {{sqnr_db: 1}}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROUNDED.format("bits: 4, per: block, size: 32"), "prepare: gptq: only with integer weig"),
        (ROUNDED.format("form: palette, bits: 4, clustering: kmeans"), "prepare: gptq: only with"),
        ("description: x\nprecision: int8\ngate: {sqnr_db: 1}\n", "precision: found 'int8', allo"),
        ("description: x\nprecision: float16\ngate: {sqnr: 1}\n", "gate: sqnr_db: missing; a gat"),
        ("description: x\nprecision: float16\n", r"gate: missing; .* gate: \{sqnr_db: 15\}"),
        ("description: x\nprecision: float16\ngate: {sqnr_db: 1}\nwhy: 1\n", "unknown key 'why'"),
        ("precision: float16\n", "description: missing"),
        (DISTILLED.format("mode: dynamic", "{}"), "prepare: distill: only with static activations"),
        (DISTILLED.format("mode: static", "{steps: 0}"), "distill: steps: found 0, must be 1 or"),
        (DISTILLED.format("mode: static", "{rate: 2.0}"), "distill: rate: found 2, must be betwee"),
        (DISTILLED.format("mode: static", "{pace: 2}"), "distill: unknown key 'pace'"),
    ],
)
def test_a_bad_recipe_is_named(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        load_recipe(str(path))
    assert str(error.value).startswith(str(path))


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """Installs a distribution with one broken target and one that is no target."""
    info = tmp_path / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[mnv4_mobile.targets]\nbroken = foreign_broken:target\nodd = foreign_odd:target\n"
    )
    (tmp_path / "foreign_broken.py").write_text("raise RuntimeError('no licence')\n")
    (tmp_path / "foreign_odd.py").write_text("target = 3\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("third_party")
def test_a_broken_target_is_a_row_and_an_error_of_its_own(monkeypatch, capsys):
    with pytest.raises(ConfigError, match="target broken: cannot be loaded: RuntimeError"):
        load_target("broken")
    with pytest.raises(ConfigError, match="target odd: foreign_odd:target is not a Target"):
        load_target("odd")
    monkeypatch.setattr(sys, "argv", ["mnv4", "targets", "--json"])
    with pytest.raises(SystemExit):
        main()
    rows = {row["target"]: row for row in json.loads(capsys.readouterr().out)}
    assert "no licence" in rows["broken"]["state"]
    assert rows["tflite"]["artifact"] == ".tflite"


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_feed_gives_what_the_input_asks_for(layout, dtype):
    pixels = random_images(PREPROCESS, 2, seed=0)
    shape = (2, 64, 96, 3) if layout == "nhwc" else (2, 3, 64, 96)
    tensor = TensorSpec(name="x", kind="image", shape=shape, dtype=dtype, layout=layout)
    (name, value), *_ = feed(tensor, pixels, PREPROCESS).items()
    assert name == "x"
    assert value.shape == shape
    assert value.dtype == dtype
    assert value.flags.c_contiguous
    planes = value if layout == "nchw" else np.moveaxis(value, -1, 1)
    expected = np.moveaxis(pixels, -1, 1) if dtype == "uint8" else normalise(pixels, PREPROCESS)
    np.testing.assert_array_equal(planes, expected.astype(dtype))
