"""The tables of Core AI: cells that are kept, columns, lines."""

import pytest

from benchmarks import coreai
from benchmarks.quantization import Place

CELL = {"model": "conv-small", "recipe": "int8"}
SIZES = {"bytes": 2_500_000, "operators": {"conv2d": 47, "add": 10, "transpose": 2}}


def test_the_table_of_built_networks():
    pairs = {"to float": [34.56, 28.1, 0.987]}
    record = {**CELL, "pairs": pairs, "images": 192, **SIZES, "cpu_s": 12.3}
    assert coreai.table([record, record | {"model": "mine"}]).splitlines() == [
        "| network | recipe | to float: dB, median / p10, agreement | images | MB | operators "
        "| transposes | build CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| conv-small | int8 | 34.6 / 28.1, 98.7% | 192 | 2.50 | 59 | 2 | 12 |",
        "| mine | int8 | 34.6 / 28.1, 98.7% | 192 | 2.50 | 59 | 2 | 12 |",
    ]


@pytest.mark.parametrize(
    ("measured", "line"),
    [
        (SIZES, "| conv-small | int8 | 2.50 | 59 | 2 |"),
        ({"sqnr_db": 46.7, **SIZES}, "| conv-small | int8 | 46.7 | 2.50 | 59 | 2 |"),
        (
            {"pairs": {name: [33.0, 28.0, 1.0] for name in "ab"}, "images": 2},
            "| conv-small | int8 | 33.0 / 28.0, 100.0% | 33.0 / 28.0, 100.0% | 2 |",
        ),
    ],
)
def test_a_line_has_what_was_measured(measured, line):
    assert coreai.table([CELL | measured]).splitlines()[-1] == line


def test_a_cell_that_is_there_is_not_made_again(tmp_path, monkeypatch):
    made = []
    part = coreai.Part(make=lambda *cell: made.append(cell) or SIZES, recipes=("fp32",))
    monkeypatch.setitem(coreai.PARTS, "naive", part)
    (tmp_path / "cells").mkdir()
    place = Place(tmp_path, tmp_path, pictures=2, interpreted=2)
    for _ in range(2):
        assert coreai.kept(place, "naive", "conv-small", "int8") == CELL | SIZES
    assert made == [(place, "conv-small", "int8")]
