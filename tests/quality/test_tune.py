"""Searching a recipe: the search itself, its state and what it writes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv4_mobile.builder.cell import Options
from mnv4_mobile.builder.matrix import cells
from mnv4_mobile.errors import ConfigError, ParityError
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.tune import Rung, Wish, _fewest, recipe_yaml, tune
from mnv4_mobile.recipe import Keep, KeepOn, load_recipe
from mnv4_mobile.records import plain, replace
from tests.notes import Notes

pytestmark = pytest.mark.toolchain("tflite")
DATA = Path(__file__).parents[1] / "data"


@given(st.integers(0, 40), st.integers(0, 60))
def test_the_fewest_that_keep_the_bound(most, needed):
    asked = []

    def keeps(count):
        asked.append(count)
        return count >= needed

    assert _fewest(keeps, most) == (needed if needed <= most else None)
    assert len(asked) == len({*asked}) <= 14
    assert max(asked) <= most


@pytest.fixture
def wish():
    (cell,) = cells(
        [str(DATA / "hybrid-narrow.yaml")],
        str(DATA / "hybrid-narrow.safetensors"),
        ["tflite"],
        ["int8"],
        [Options(calibrate="random")],
        progress=Progress(),
    )
    return Wish(cell=cell, max_drop=0.5, dataset=None, objective="size")


def write_state(path, wish, drops):
    """Writes the state of a search that has built as many rungs."""
    order = ["stem", "stages.0.0", "stages.1.0", "stages.1.1"]
    ladder = {
        "range": "mse",
        "prepare": [],
        "order": order,
        "reasons": ["mse: 31.0 dB\nprepare: x"],
    }
    rungs = {}
    for count, drop in drops.items():
        rung = Rung(
            kept=tuple(order[:count]),
            bytes=10**6,
            latency_ms=1.5,
            drop=drop,
            sqnr_db=30 + count,
            images=100,
        )
        rungs[str(count)] = plain(rung)
    path.write_text(json.dumps({"key": wish.key(), "ladder": ladder, "rungs": rungs}))


def test_goes_on_from_its_state_and_writes_a_recipe(wish, tmp_path):
    state = tmp_path / "state.json"
    write_state(state, wish, {0: 3.0, 1: 2.0, 2: 0.4})
    progress = Notes()
    found = tune(wish, state, cache=None, progress=progress)
    assert "one of 100 images is 1.00 points: too few to judge 0.5 by" in progress.notes
    assert found.rung.kept == ("stem", "stages.0.0")
    path = tmp_path / "tuned.yaml"
    path.write_text(recipe_yaml(found))
    assert load_recipe(str(path)) == replace(found.recipe, name="tuned")
    assert found.recipe.activations.range == "mse"
    assert found.recipe.keep.modules == ("stem", "stages.0.0")
    assert found.recipe.gate.top1_agreement == pytest.approx(0.995)
    assert "# 1 blocks in float: 2.00 points" in path.read_text()


def test_blocks_in_float_join_what_the_unit_keeps(wish, tmp_path):
    """LiteRT's artifacts are for the CPU, so what that keeps of its own has to grow."""
    keep = Keep(modules=("head",), cpu=KeepOn(modules=("final",)))
    cell = replace(wish.cell, recipe=replace(wish.cell.recipe, keep=keep))
    wish, state = replace(wish, cell=cell), tmp_path / "state.json"
    write_state(state, wish, {0: 3.0, 1: 0.1})
    found = tune(wish, state, cache=None, progress=Progress())
    assert found.recipe.keep.modules == ("head",)
    assert found.recipe.keep.on("cpu").modules == ("final", "stem")
    path = tmp_path / "tuned.yaml"
    path.write_text(recipe_yaml(found))
    assert load_recipe(str(path)).keep == found.recipe.keep


def test_a_bound_that_no_artifact_keeps(wish, tmp_path):
    state = tmp_path / "state.json"
    write_state(state, wish, {0: 3.0, 1: 2.0, 2: 1.5, 4: 1.0})
    with pytest.raises(ParityError, match=r"up to 4 blocks in float; the best: 4 blocks.*1\.00"):
        tune(wish, state, cache=None, progress=Progress())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "not the state of a search"),
        ('{"key": "x", "ladder": 5, "rungs": {}}', "ladder: found 5, must be an object"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_is_no_state(wish, tmp_path, text, message):
    state = tmp_path / "state.json"
    state.write_text(text)
    with pytest.raises(ConfigError, match=message):
        tune(wish, state, cache=None, progress=Progress())
