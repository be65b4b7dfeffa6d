import pytest

from mnv4_tflite import target
from tests.stock import lowered_both_ways

pytestmark = pytest.mark.toolchain("tflite")


def test_speedups_change_no_operator(small, tmp_path):
    (fast, stock), agreement = lowered_both_ways(target, small, "int8", tmp_path)
    assert agreement > 100
    assert target.operators(fast) == target.operators(stock)
    assert fast.stat().st_size == stock.stat().st_size
