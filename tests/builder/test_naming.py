"""Names of bundles, and which of them may be replaced."""

import json
import re
import shutil
from pathlib import Path

import pytest

import mnv4_mobile
from mnv4_mobile import Options
from mnv4_mobile.builder.cell import CODE, code_sha256, folder_code_sha256
from mnv4_mobile.builder.matrix import build_cells, cells
from mnv4_mobile.builder.naming import check_overwriting, expected_id
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.files import sha256
from mnv4_mobile.progress import SILENT
from mnv4_mobile.records import replace

DATA = Path(__file__).parents[1] / "data"


def matrix(target="coreml", recipe="fp16", models=("conv-small",), weights="random:0", **options):
    chosen = [Options(calibrate="random", **options)]
    return cells(models, weights, [target], [recipe], chosen, progress=SILENT)


@pytest.mark.parametrize(
    ("target", "recipe", "options", "name"),
    [
        ("coreml", "fp16", {}, "conv-small-224x224-fp16-coreml"),
        ("coreml", "fp16", {"size": (96, 128)}, "conv-small-96x128-fp16-coreml"),
        ("coreml", "fp16", {"io": "float16"}, "conv-small-224x224-fp16-coreml"),
        ("coreml", "fp16", {"io": "float32"}, "conv-small-224x224-fp16-io-float32-coreml"),
        ("tflite", "fp16", {"io": "float32"}, "conv-small-224x224-fp16-tflite"),
        (
            "coreml",
            "int8",
            {"options": {"coreml": {"min_ios": 17}}},
            "conv-small-224x224-int8-core",
        ),
        (
            "coreml",
            "int8",
            {"options": {"coreml": {"min_ios": 18}}},
            "conv-small-224x224-int8-18-c",
        ),
        (
            "tflite",
            "fp32",
            {"outputs": ("features", "logits")},
            "conv-small-224x224-fp32-features-l",
        ),
        ("tflite", "fp32", {"name": "birds", "verify": False}, "birds-224x224-fp32-tflite"),
        (
            "tflite",
            "fp32",
            {"batch": 4, "input": "pixels", "layout": "nchw", "outputs": ("embedding",)},
            "conv-small-224x224-fp32-pixels-embedding-nchw-b4-tflite",
        ),
    ],
)
def test_a_name_has_every_choice_that_is_not_the_default(target, recipe, options, name):
    (cell,) = matrix(target, recipe, **options)
    found = expected_id(cell)
    assert found.startswith(name)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", found)


@pytest.mark.parametrize("target", ["coreml", "executorch", "tflite"])
def test_the_stock_path_is_named_and_hashed_where_it_was_asked_for(target):
    (default,) = matrix(target, "fp32")
    (stock,) = matrix(target, "fp32", options={target: {"stock": "true"}})
    (same,) = matrix(target, "fp32", options={target: {"stock": False}})
    assert expected_id(stock) == f"conv-small-224x224-fp32-stock-{target}"
    assert expected_id(same) == expected_id(default) == f"conv-small-224x224-fp32-{target}"
    assert same.ingredients() == default.ingredients() != stock.ingredients()


def test_a_size_comes_from_the_checkpoint():
    (cell,) = matrix("tflite", "fp32", ["demo"], None)
    assert expected_id(cell) == "conv-small-035-96x96-fp32-tflite"
    hybrid = str(DATA / "hybrid-narrow.yaml")
    (cell,) = matrix("tflite", "fp32", [hybrid], str(DATA / "hybrid-narrow.safetensors"))
    assert expected_id(cell) == "hybrid-narrow-96x96-fp32-tflite"


def test_a_name_is_for_one_model_and_has_the_pattern_of_ids(tmp_path):
    with pytest.raises(ConfigError, match="--name: found 'birds' for 2 models, must be one model"):
        matrix(models=["conv-small", "conv-medium"], name="birds")
    for name in ("", "a b", "../a", ".a", "a\n"):
        with pytest.raises(ConfigError, match=r"--name: found .*, must be letters, digits"):
            matrix(name=name)
    strange = tmp_path / "my recipe.yaml"
    strange.write_text("description: x\nprecision: float32\ngate: {sqnr_db: 1}\n")
    with pytest.raises(ConfigError, match="recipe: found 'my recipe', must be letters"):
        matrix(recipe=str(strange))
    mine = tmp_path / "my model.yaml"
    shutil.copy(DATA / "hybrid-narrow.yaml", mine)
    with pytest.raises(ConfigError, match=r"my model.yaml: the model's name: found 'my model'"):
        matrix(models=[str(mine)])
    assert expected_id(*matrix(models=[str(mine)], name="mine")).startswith("mine-")


def test_names_that_no_manifest_can_hold_are_refused_before_any_work(tmp_path):
    weights = tmp_path / "birds\udcff.safetensors"
    shutil.copy(DATA / "hybrid-narrow.safetensors", weights)
    with pytest.raises(ConfigError, match=r"the weights' name: found 'birds\\udcff"):
        matrix(models=[str(DATA / "hybrid-narrow.yaml")], weights=str(weights))
    strange = tmp_path / "m\udcff.yaml"
    shutil.copy(DATA / "hybrid-narrow.yaml", strange)
    with pytest.raises(ConfigError, match=r"the model's name: found 'm\\udcff'"):
        matrix(models=[str(strange)], name="mine")


def test_two_cells_of_one_name_are_refused_before_any_work(tmp_path):
    (tmp_path / "conv-small.yaml").write_text((DATA / "hybrid-narrow.yaml").read_text())
    twice = ["conv-small", str(tmp_path / "conv-small.yaml")]
    with pytest.raises(ConfigError, match=r"two bundles would have this name.* model;"):
        matrix(models=twice, size=(96, 96))


@pytest.mark.toolchain("tflite")
def test_a_bundle_of_other_ingredients_is_not_replaced(tmp_path):
    (cell,) = matrix("tflite", "fp32")
    ingredients = cell.ingredients()
    path = tmp_path / expected_id(cell)
    check_overwriting(path, cell, ingredients, force=False)
    path.mkdir()
    manifest = {
        "ingredients": ingredients | {"weights": "b" * 64, "versions": "b" * 64, "code": "b" * 64},
        "model": {"weights": "birds.safetensors"},
        "versions": {"torch": "1.0"},
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    check_overwriting(path, cell, manifest["ingredients"], force=False)
    check_overwriting(path, cell, ingredients, force=True)
    with pytest.raises(ConfigError) as error:
        build_cells([cell], tmp_path, cache=None)
    text = str(error.value)
    assert text.startswith(
        f"{path}: holds a bundle made of other ingredients: weights (birds.safetensors, now "
        "random:0), code, versions ("
    )
    assert "torch 1.0, now 2" in text
    assert text.endswith("); --force replaces it")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_an_edit_counts_only_where_it_decides_bytes(tmp_path):
    package = Path(mnv4_mobile.__file__).parent
    copy = tmp_path / "mnv4_mobile"
    shutil.copytree(package, copy, ignore=lambda _, names: [n for n in names if n == "web"])
    before = folder_code_sha256(copy, CODE)
    assert before == folder_code_sha256(package, CODE)
    for name in ("quality/evaluate.py", "cli/build.py", "measuring/plan.py", "sdks/ios.py"):
        (copy / name).write_text("# edited\n")
    (copy / "testing.py").unlink()
    assert folder_code_sha256(copy, CODE) == before
    for name in ("quantize/simulate.py", "recipe.py", "model/net.py", "bundle/parity.py"):
        path = copy / name
        text = path.read_text()
        path.write_text(text + "# edited\n")
        assert folder_code_sha256(copy, CODE) != before, name
        path.write_text(text)
    assert folder_code_sha256(copy, CODE) == before


@pytest.mark.slow
def test_everything_that_a_builder_imports_counts():
    """Imports that a function makes count too: all modules of the wings are imported."""
    import subprocess
    import sys

    code = (
        "import importlib, pkgutil, sys, mnv4_mobile\n"
        "for wing in ('builder', 'bundle', 'model', 'program', 'quantize'):\n"
        "    package = importlib.import_module(f'mnv4_mobile.{wing}')\n"
        "    for one in pkgutil.walk_packages(package.__path__, f'mnv4_mobile.{wing}.'):\n"
        "        importlib.import_module(one.name)\n"
        "print(*(n.split('.')[1] for n in sys.modules if n.startswith('mnv4_mobile.')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {name.removesuffix(".py") for name in CODE}


def test_what_is_asked_for_in_vain_is_no_other_cell():
    (cell,) = matrix()
    assert expected_id(replace(cell, chosen={"min_ios": 16})) == expected_id(cell)


def test_the_code_of_the_target_that_one_builds_on_counts(chip, monkeypatch):
    (cell,) = matrix()
    cell = replace(cell, target="chip")
    before = cell.contents(sha256)
    monkeypatch.setattr(type(chip), "base", "tflite")
    after = cell.contents(sha256)
    assert after["code"] == [*before["code"], code_sha256("mnv4_tflite")]
