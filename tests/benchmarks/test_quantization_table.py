"""The table of quantization: variants of recipes, cells that are kept, lines."""

import json

import pytest

from benchmarks import quantization
from mnv4_mobile.recipe import Gate, Keep, load_recipe
from mnv4_mobile.records import replace

RECORD = {
    "model": "conv-small",
    "target": "tflite",
    "recipe": "int8",
    "bytes": 2_500_000,
    "cpu_s": 12.3,
    "top1_drop": -0.002,
    "sqnr_db": 34.56,
    "sqnr_db_p10": 28.1,
    "top1_agreement": 0.987,
    "n": 1000,
}


@pytest.mark.parametrize("recipe", ["fp32", "fp16", "int8"])
def test_random_weights_have_no_gate(tmp_path, recipe):
    found = load_recipe(quantization.unbounded(tmp_path, recipe))
    assert found == replace(load_recipe(recipe), gate=Gate(sqnr_db=-100))


@pytest.fixture
def place(tmp_path):
    return quantization.Place(tmp_path, tmp_path, pictures=2, interpreted=1)


def test_variants_of_the_shipped_recipe(place):
    everything = load_recipe(place.recipe("all-int8"))
    assert (everything.keep, everything.prepare) == (Keep(), ())
    assert everything.activations.range == "minmax"
    unprepared = load_recipe(place.recipe("unprepared-int8"))
    assert (unprepared.keep, unprepared.prepare) == (load_recipe("int8").keep, ())
    assert load_recipe(place.recipe("equalized-int8")).prepare == ("equalize",)
    assert place.recipe("int8") == "int8"


def test_recipes_that_a_target_lacks_are_left_out(place):
    found = {
        target: {
            r for r in ("fp32", "fp16", "stock", "all-int8", "int8-weights") if place.has(target, r)
        }
        for target in ("executorch", "tflite", "coreml")
    }
    assert found == {
        "executorch": {"fp32", "stock", "all-int8"},
        "tflite": {"fp32", "stock", "all-int8", "int8-weights"},
        "coreml": {"fp16", "stock", "all-int8", "int8-weights"},
    }


def test_a_cell_that_is_there_is_not_made_again(place, monkeypatch):
    made = []
    monkeypatch.setattr(quantization, "judge", lambda *cell: made.append(cell) or RECORD)
    (place.out / "cells").mkdir()
    for _ in range(2):
        assert quantization.kept(place, "conv-small", "tflite", "int8") == RECORD
    assert len(made) == 1
    assert json.loads((place.out / "cells" / "conv-small-tflite-int8.json").read_text()) == RECORD


def test_a_line_a_cell(tmp_path):
    timed = RECORD | {"ms": 1.5, "ratio": {"low": 1.0, "middle": 1.05, "high": 1.1}}
    lines = quantization.table([RECORD, timed]).splitlines()
    assert lines[2] == (
        "| conv-small | tflite | int8 | 2.50 | 34.6 / 28.1 | 98.7% | -0.2 | 1000 | 12 |  |  |"
    )
    assert lines[3].endswith("| 1.50 | 1.05 (1.00 to 1.10) |")
    assert len({line.count("|") for line in lines}) == 1
    quantization.draw([RECORD], tmp_path / "chart.png")
    assert (tmp_path / "chart.png").stat().st_size > 1000
