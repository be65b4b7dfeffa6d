"""The table of accelerators: cells, lines, cells that are kept."""

from pathlib import Path

from benchmarks import accelerators

RECORD = {"model": "conv-small", "recipe": "int8", "unit": "SM8750", "bytes": 2_890_000}
MEASURED = {"left": {}, "partitions": 1, "sqnr_db": 32.41, "p10": 24.5, "n": 192, "same": 0.984}


def test_every_variant_is_built_for_both_targets_in_fp32_first():
    found = list(accelerators.plan("variants", Path("none")))
    assert len(found) == 9 * (3 + 2)
    assert found[:2] == [("conv-small-035", "fp32", "tflite"), ("conv-small-035", "fp16", "tflite")]
    trained = set(accelerators.plan("trained", Path("tests/data")))
    assert ("hybrid-narrow", "int8", "snapdragon") in trained


def test_lines_of_the_table():
    cpu = {**RECORD, "unit": "CPU", "sqnr_db": 33.0, "p10": 25.4, "bytes": 2_861_686, "cpu_s": 71}
    cut = RECORD | MEASURED | {"left": {"CONV_2D": 2, "ADD": 1}, "partitions": 3, "same": None}
    failed = RECORD | {"recipe": "fp16", "error": "the NPU does not take X"}
    parent = cpu | {"recipe": "fp32", "sqnr_db": 200.0, "p10": 200.0, "same": 1.0}
    assert "| equal | equal | 100.0% | 2.9 | 71 |" in accelerators.table([parent])
    lines = accelerators.table([cpu, RECORD | MEASURED, cut, failed]).splitlines()
    assert lines[2:] == [
        "| conv-small | int8 | CPU |  |  | 33.0 | 25.4 |  | 2.9 | 71 |",
        "|  |  | SM8750 | nothing | 1 | 32.4 | 24.5 | 98.4% | 2.9 |  |",
        "|  |  | SM8750 | 2 CONV_2D, 1 ADD | 3 | 32.4 | 24.5 |  | 2.9 |  |",
        "|  | fp16 | SM8750 | failed: the NPU does not take X |  |  |  |  |  |  |",
    ]
    assert {line.count("|") for line in lines} == {len(accelerators.HEADS) + 1}
    head, *_ = accelerators.table([cut]).splitlines()
    assert "partitions" in head
    assert "agreement" not in head  # random weights have none


def test_a_cell_that_is_there_is_not_made_again(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(accelerators, "made", lambda *cell: made.append(cell) or [RECORD])
    (tmp_path / "cells").mkdir()
    cell = (tmp_path, "variants", "conv-small", "int8", "snapdragon", tmp_path)
    assert [accelerators.kept(*cell) for _ in range(2)] == [[RECORD], [RECORD]]
    assert made == [cell]
