import pytest

from mnv4_coreml import target
from mnv4_mobile.files import sha256
from tests.stock import lowered_both_ways

pytestmark = pytest.mark.toolchain("coreml")


@pytest.mark.parametrize("recipe", ["fp32", "int8"])
def test_speedups_change_no_byte(small, tmp_path, recipe):
    (fast, stock), agreement = lowered_both_ways(target, small, recipe, tmp_path)
    assert agreement > 100
    assert sha256(fast) == sha256(stock)
