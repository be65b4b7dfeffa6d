import pytest

from mnv4_mobile.measuring.devices.thermal import hottest
from mnv4_mobile.measuring.measurement import Thermal
from mnv4_mobile.measuring.session import is_cool_enough


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ([], Thermal()),
        (["-127000\n", "0\n", "200000", "off\n"], Thermal()),
        (["41000\n", "69900\n", "0\n"], Thermal(status="nominal", celsius=69.9)),
        (["70000\n"], Thermal(status="fair", celsius=70.0)),
        (["85000\n", "30000\n"], Thermal(status="serious", celsius=85.0)),
        (["90000\n"], Thermal(status="critical", celsius=90.0)),
    ],
)
def test_the_hottest_plausible_sensor_counts(readings, expected):
    assert hottest(readings) == expected


def test_a_gate_lets_its_own_status_and_better_ones_pass():
    assert is_cool_enough(Thermal(status="fair"), "fair")
    assert is_cool_enough(Thermal(status="nominal"), "fair")
    assert not is_cool_enough(Thermal(status="serious"), "fair")
    assert is_cool_enough(Thermal(), "nominal")
