"""The tables of Core AI: which cells a part has, cells that are kept, lines."""

from itertools import combinations

import pytest

from benchmarks import coreai
from benchmarks.quantization import Place

BUILT = {
    "model": "conv-small",
    "recipe": "int8",
    "sqnr_db": 34.56,
    "sqnr_db_p10": 28.1,
    "top1_agreement": 0.987,
    "n": 192,
    "bytes": 2_500_000,
    "operators": {"conv2d": 47, "add": 10, "transpose": 2},
    "build_s": 12.3,
}
COMPARED = {
    "model": "conv-small",
    "recipe": "fp16",
    "n": 192,
    **{
        f"{name}_{key}": value
        for name in ("coreml", "coreai", "both")
        for key, value in (("sqnr_db", 50.0), ("sqnr_db_p10", 45.0), ("top1_agreement", 1.0))
    },
}
ROUNDED = {
    "model": "conv-small",
    "recipe": "int8",
    "n": 192,
    "pairs": {f"{one}, {other}": [33.0, 1.0] for one, other in combinations("abcd", 2)},
}


@pytest.mark.parametrize(
    ("part", "record"),
    [
        ("trained", BUILT),
        ("interpreter", COMPARED),
        ("rounding", ROUNDED),
        ("naive", {key: BUILT[key] for key in ("model", "recipe", "bytes", "operators")}),
    ],
)
def test_a_line_has_the_cells_of_its_head(part, record):
    head = " | ".join(coreai.HEADS[part])
    assert coreai.line(record).count("|") == head.count("|") + 2


def test_the_line_of_a_built_cell():
    line = "| conv-small | int8 | 34.6 / 28.1 | 98.7% | 192 | 2.50 | 59 / 2 | 12 |"
    assert coreai.line(BUILT) == line


def test_trained_networks_are_those_with_a_checkpoint():
    assert coreai.cells("trained", ["mine"]) == [("mine", recipe) for recipe in coreai.RECIPES]
    assert {model for model, _ in coreai.cells("structure", ["mine"])} > {"conv-small"}


def test_a_cell_that_is_there_is_not_made_again(tmp_path, monkeypatch):
    made = []
    monkeypatch.setitem(coreai.MAKE, "naive", lambda *cell: made.append(cell) or BUILT)
    place = Place(tmp_path, tmp_path, pictures=2, interpreted=2)
    for _ in range(2):
        assert coreai.kept(place, "naive", "conv-small", "fp32") == BUILT
    assert made == [(place, "conv-small", "fp32")]
