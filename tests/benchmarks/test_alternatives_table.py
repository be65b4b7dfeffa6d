"""The tables of the alternatives: latencies, and quality only where a network is trained."""

from benchmarks import alternatives

RECORD = {
    "model": "conv-small",
    "way": "LiteRT",
    "recipe": "int8",
    "threads": 1,
    "ms": 1.534,
    "ratio": {"low": 0.98, "middle": 1.0, "high": 1.02},
    "load_ms": 24.4,
    "first_ms": 1.72,
    "memory_mb": 9.4,
    "bytes": 2_860_000,
    "quality": [29.43, 24.36, 0.964],
    "cpu_s": 23.2,
}


def test_a_line_has_quality_only_of_a_trained_network():
    _, _, trained, random = alternatives.table([RECORD, RECORD | {"quality": None}]).splitlines()
    begin = "| conv-small | LiteRT | int8 | 1.53 | 24 | 1.7 | 9 | 2.86 |"
    assert trained == f"{begin} 29.4 / 24.4 | 96.4% | 23 |"
    assert random == f"{begin}  |  | 23 |"


def test_latencies_have_a_column_for_each_network_and_number_of_threads():
    slower = {"ratio": {"low": 1.5, "middle": 1.7, "high": 2.0}}
    records = [RECORD, RECORD | {"threads": 2}, RECORD | slower | {"threads": 2, "way": "MNN"}]
    lines = alternatives.ratios(records).splitlines()
    assert lines[0] == "| way | recipe | conv-small, threads: 1 | conv-small, threads: 2 |"
    assert "| LiteRT | int8 | 1.00 (0.98 to 1.02) | 1.00 (0.98 to 1.02) |" in lines
    assert "| MNN | int8 |  | 1.70 (1.50 to 2.00) |" in lines


def test_a_network_is_trained_if_it_has_a_checkpoint(tmp_path):
    network = alternatives.Network("conv-small", tmp_path, 224, tmp_path)
    assert (network.trained, network.weights) == (False, "random:0")
    network.checkpoint.touch()
    assert (network.trained, network.weights) == (True, str(network.checkpoint))
