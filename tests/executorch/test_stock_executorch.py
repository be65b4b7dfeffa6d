import pytest

from mnv4_executorch import target
from tests.stock import lowered_both_ways

pytestmark = pytest.mark.toolchain("executorch")


@pytest.mark.parametrize("recipe", ["fp32", "int8"])
def test_speedups_change_debug_handles_only(small, tmp_path, recipe):
    (fast, stock), agreement = lowered_both_ways(target, small, recipe, tmp_path)
    assert agreement > 100
    assert target.operators(fast) == target.operators(stock) == {"delegate": 1}
    assert fast.stat().st_size == stock.stat().st_size
