import ast
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import mnv4_mobile
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.cli import main
from mnv4_mobile.errors import ConfigError, LoweringError, ToolchainError
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, normalise, random_images
from mnv4_mobile.recipe import Keep, load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Target, check_recipe, load_target, missing, require, target_names
from mnv4_mobile.tensors import TensorSpec, feed
from mnv4_mobile.testing import tiny_model

PREPROCESS = Preprocess(
    size=(64, 96), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
)


def test_the_shipped_targets_satisfy_the_protocol():
    assert target_names() == ["coreai", "coreml", "executorch", "snapdragon", "tflite"]
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
        "weights: {form: palette, bits: 4, per: tensor, clustering: kmeans}\n"
    )
    with pytest.raises(LoweringError, match=r"tflite: recipe mine: found 'palettize-4', supp"):
        check_recipe(load_target("tflite"), spec, load_recipe(str(path)))


@pytest.mark.parametrize("name", ["coreai", "coreml", "executorch", "tflite"])
def test_activations_of_16_bits_are_refused_where_the_runtime_lacks_them(name):
    spec = BuildSpec(model=tiny_model(), preprocess=PREPROCESS)
    recipe = replace(load_recipe("int8"), keep=Keep(int16=("stem", "*.add")))
    with pytest.raises(
        LoweringError, match=r"int8: keep\.int16: found stem, \*\.add, supported: n"
    ):
        check_recipe(load_target(name), spec, recipe)


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
    rows = {row["target"]: row for row in json.loads(capsys.readouterr().out)["targets"]}
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


NAMED = (
    "sdks",
    *("measuring/devices/browser", "measuring/devices/ios.py", "measuring/devices/android_app.py"),
)
"""Where the core may name a target: what the SDKs, the apps and the page of LiteRT.js run."""


def test_the_core_names_no_target():
    core = Path(mnv4_mobile.__file__).parent
    for path in core.rglob("*.py"):
        if path.relative_to(core).as_posix().startswith(NAMED):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in ("coreml", "executorch", "tflite"):
                raise AssertionError(f"{path}:{node.lineno} names {node.value}")
