"""`all` targets and recipes, and what is skipped."""

import sys

import pytest

from mnv4_mobile import Options
from mnv4_mobile.builder.matrix import build_cells, cells
from mnv4_mobile.builder.selection import maps, select_recipes, select_targets
from mnv4_mobile.configs import shipped
from mnv4_mobile.errors import ConfigError, LoweringError, ToolchainError
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import load_target
from tests.notes import Notes

TARGETS = ("coreai", "coreml", "executorch", "tflite")
"""Those that take part in `all` without a required option."""


@pytest.fixture
def installed(monkeypatch):
    """Pretends that the toolchains of some targets are installed, and those of others are not."""

    def install(*names):
        for name in (*TARGETS, "snapdragon"):
            modules = ("json",) if name in names else ("no_such_toolchain",)
            monkeypatch.setattr(type(load_target(name)), "modules", modules)

    install(*TARGETS, "snapdragon")
    return install


def matrix(targets=("all",), recipes=("all",), sizes=(None,), progress=None, **keywords):
    options = [Options(size=size, calibrate=keywords.pop("calibrate", None)) for size in sizes]
    return cells(
        ["conv-small-035"],
        "demo",
        targets,
        recipes,
        options,
        progress=progress or Notes(),
        **keywords,
    )


def test_all_targets_are_those_whose_toolchain_is_installed(installed, tmp_path):
    installed("executorch", "tflite")
    progress = Notes()
    assert list(select_targets(["all"], [{}], progress)) == ["executorch", "tflite"]
    assert progress.notes == [
        f"--target all: left out: {name}: its toolchain is not installed; "
        f"pip install 'mnv4-mobile[{name}]'"
        for name in ("coreai", "coreml", "snapdragon")
    ]
    with pytest.raises(ToolchainError, match="coreml: its toolchain is not installed"):
        build_cells(matrix(["coreml"], ["fp32"]), tmp_path, cache=None)
    installed()
    with pytest.raises(ToolchainError, match=r"no toolchain .* pip install 'mnv4-mobile\[all\]'"):
        select_targets(["all"], [{}], progress)


def test_all_leaves_out_a_target_whose_required_option_is_missing(installed):
    installed("tflite", "snapdragon")
    progress = Notes()
    assert list(select_targets(["all"], [{}], progress)) == ["tflite"]
    assert (
        "--target all: left out: option snapdragon.soc: missing; --set snapdragon.soc=VALUE, "
        "allowed: SM8350, SM8450, SM8475, SM8550, SM8650, SM8750, SM8845, SM8850, all"
    ) in progress.notes
    given = {"snapdragon": {"soc": "SM8650"}}
    assert "snapdragon" in select_targets(["all"], [given], progress)


def test_a_broken_target_is_left_out_of_all(installed, monkeypatch):
    monkeypatch.setitem(sys.modules, "mnv4_tflite", None)
    progress = Notes()
    assert list(select_targets(["all"], [{}], progress)) == ["coreai", "coreml", "executorch"]
    assert "target tflite: cannot be loaded" in progress.notes[-1]


def test_all_recipes_are_the_shipped_ones_and_others_join_them(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("precision: float32\ngate: {sqnr_db: 1}\n")
    found = [recipe.name for recipe in select_recipes(["all", str(mine), "int8"])]
    assert found == [*shipped("recipes"), "mine"]


@pytest.mark.usefixtures("installed")
def test_what_is_not_supported_is_refused_before_any_work():
    with pytest.raises(ConfigError) as error:
        matrix()
    assert str(error.value) == (
        "--calibrate: missing; recipes int8, int8-distilled, w8a16 need a folder of images, or "
        "random for generated ones; --skip-unsupported builds the rest"
    )
    with pytest.raises(LoweringError, match=r"^coreai: recipe int8-dynamic: .*--skip-unsup"):
        matrix(calibrate="random")
    with pytest.raises(LoweringError, match=r"supported: fp16, fp32, int8$"):
        matrix(["executorch"], ["int4-weights"], calibrate="random")
    with pytest.raises(LoweringError, match="tflite: recipe w8a16: found 'int8-int16', supported:"):
        matrix(["tflite"], ["w8a16"], calibrate="random")


@pytest.mark.usefixtures("installed")
def test_what_is_not_supported_is_skipped_and_named_once():
    progress = Notes()
    found = matrix(skip_unsupported=True, progress=progress, sizes=((64, 64), (96, 96)))
    assert {cell.target for cell in found} == {*TARGETS}
    built = {cell.recipe.name for cell in found if cell.target == "executorch"}
    assert built == {"fp16", "fp32"}
    notes = [note for note in progress.notes if note.startswith("skipped")]
    assert notes == [
        "skipped without --calibrate: int8, int8-distilled, w8a16",
        "skipped for coreai, which does not support them: int8-dynamic",
        "skipped for coreml, which does not support them: int8-dynamic",
        "skipped for executorch, which does not support them: int4-weights, int8-dynamic, "
        "int8-weights, palettize-4, palettize-6, palettize-8",
        "skipped for tflite, which does not support them: int4-weights, palettize-4, "
        "palettize-6, palettize-8",
    ]
    with pytest.raises(LoweringError, match="found 'int8-dynamic', supported: fp16"):
        matrix(["executorch"], ["int8-dynamic"], skip_unsupported=True)


@pytest.mark.usefixtures("installed")
def test_a_size_that_is_given_twice_is_built_once():
    sizes = [None, (96, 96), (64, 64), (96, 96)]  # 96 x 96 is the demo's own
    found = matrix(["tflite", "tflite"], ["fp32", "fp32"], sizes)
    assert [cell.options.size for cell in found] == [(96, 96), (64, 64)]


@pytest.mark.parametrize("name", TARGETS)
def test_the_recipes_of_a_target_are_those_that_it_accepts(mnv4, installed, name):
    target = load_target(name)
    supported = [one for one in shipped("recipes") if maps(target, load_recipe(one))]
    found = matrix([name], calibrate="random", skip_unsupported=True)
    assert [cell.recipe.name for cell in found] == supported
    assert "int8-distilled" in supported
    code, out, _ = mnv4("targets")
    (line,) = [line for line in out.splitlines() if line.startswith(name)]
    assert (code, ", ".join(supported) in line) == (0, True)
