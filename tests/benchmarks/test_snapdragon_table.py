"""The table of compiled networks: recipes without a gate, and its lines."""

from benchmarks import snapdragon
from mnv4_mobile.recipe import Gate, load_recipe
from mnv4_mobile.records import replace

RECORD = {"model": "conv-small", "recipe": "int8", "soc": "SM8750", "seconds": 9.6, "error": ""}


def test_recipes_are_the_shipped_ones_without_a_gate(tmp_path):
    for name in snapdragon.RECIPES:
        found = load_recipe(snapdragon.without_gate(name, tmp_path))
        assert found == replace(load_recipe(name), gate=Gate(sqnr_db=-200))


def test_lines_of_the_table():
    measured = RECORD | {"operators": {"DISPATCH_OP": 1}, "bytes": 2_890_000}
    measured |= {"sqnr_db": 32.41, "p10": 24.5, "n": 64}
    assert snapdragon.row(measured | {"same": 0.984}) == (
        "| conv-small | int8 | SM8750 | 1 DISPATCH_OP | 32.4 | 24.5 | 98.4% | 2.9 | 10 |"
    )
    assert "| 24.5 |  | 2.9 |" in snapdragon.row(measured)
    failed = snapdragon.row(RECORD | {"error": "the NPU does not take X\nmore"})
    assert failed.startswith("| conv-small | int8 | SM8750 | failed: the NPU does not take X |")
    assert failed.count("|") == len(snapdragon.COLUMNS) + 1
