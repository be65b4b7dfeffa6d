"""What devices say about themselves, as they would print it; tests with real ones are beside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv4_mobile.measuring.devices import facts
from mnv4_mobile.measuring.measurement import DeviceInfo, Thermal

FOLDERS = "\n".join(f"/sys/devices/system/cpu/cpu{core}" for core in range(4))


class Says:
    """A shell that gives prepared answers, by a word of the question; else none."""

    name = "ssh:pi@board"

    def __init__(self, **answers):
        self._answers = answers

    def ask(self, questions):
        return {name: self._answers.get(name, "") for name in questions}


def test_a_raspberry_pi():
    pi = Says(
        release='PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nID=debian',
        machine="aarch64",
        kernel="Linux 6.6.51+rpt-rpi-2712",
        tree="Raspberry Pi 5 Model B Rev 1.0",
        compatible="brcm,bcm2712",
        cores=FOLDERS,
    )
    found = facts.ask(pi)
    assert found.info == DeviceInfo(
        id="ssh:pi@board",
        model="Raspberry Pi 5 Model B Rev 1.0",
        soc="brcm,bcm2712",
        os_build="Debian GNU/Linux 12 (bookworm) Linux 6.6.51+rpt-rpi-2712",
        cores=4,
    )
    assert found.machine == "aarch64"
    assert found.fastest == (0, 1, 2, 3)


def test_a_phone():
    props = {
        "ro.product.manufacturer": "Google",
        "ro.product.model": "Pixel 8",
        "ro.soc.manufacturer": "Google",
        "ro.soc.model": "Tensor G3",
        "ro.build.version.release": "14",
        "ro.build.id": "UQ1A.240105.004",
        "ro.build.version.incremental": "11206848",
        "ro.serialno": "3A1B2C",
        "ro.multi": "",
    }
    clocks = "\n".join(
        f"/sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq:{clock}"
        for core, clock in ((0, 1704000), (1, 1704000), (2, 2367000), (3, 2914000))
    )
    getprop = "\n".join(f"[{key}]: [{value}]" for key, value in props.items())
    found = facts.ask(Says(getprop=getprop, machine="aarch64", cores=FOLDERS, clocks=clocks))
    assert found.info == DeviceInfo(
        id="adb:3A1B2C",
        model="Google Pixel 8",
        soc="Google Tensor G3",
        os_build="Android 14 UQ1A.240105.004 11206848",
        cores=4,
    )
    assert found.fastest == (3,)


def test_an_older_phone_without_the_socs_name():
    getprop = (
        "[ro.product.manufacturer]: [OnePlus]\n[ro.product.model]: [ONEPLUS A3003]\n"
        "[ro.board.platform]: [msm8996]\n[ro.build.version.release]: [9]\n"
    )
    info = facts.ask(Says(getprop=getprop)).info
    assert (info.id, info.model, info.soc) == ("ssh:pi@board", "ONEPLUS A3003", "msm8996")
    assert (info.os_build, info.cores) == ("Android 9", None)


@given(st.dictionaries(st.sampled_from(["getprop", "release", "cpuinfo", "cores"]), st.text()))
def test_any_answer_is_some_device(answers):
    assert facts.ask(Says(**answers)).info.id


SERVICE = """Thermal Status: {status}
Cached temperatures:
\tTemperature{{mValue=99.0, mType=3, mName=skin, mStatus=0}}
Current temperatures from HAL:
\tTemperature{{mValue=NaN, mType=2, mName=battery, mStatus=0}}
\tTemperature{{mValue=-99.9, mType=6, mName=pa, mStatus=0}}
\tTemperature{{mValue=38.5, mType=3, mName=skin, mStatus=0}}
Current cooling devices from HAL:
Temperature static thresholds from HAL:
\tTemperatureThreshold{{mType=3, mHotThrottlingThresholds=[NaN, 39.0], mValue=120.0}}
"""


@pytest.mark.parametrize(
    ("status", "name"),
    [
        *((0, "nominal"), (1, "fair"), (2, "fair"), (3, "serious")),
        *((4, "critical"), (5, "critical"), (6, "critical")),
    ],
)
def test_androids_thermal_status(status, name):
    said = Says(service=SERVICE.format(status=status), sensors="61000")
    assert facts.thermal(said) == Thermal(status=name, celsius=38.5)


def test_sensors_without_a_service():
    assert facts.thermal(Says(sensors="45000\n52500\n-40000\nx")).celsius == 52.5
    assert facts.thermal(Says()) == Thermal()


@given(
    busy=st.integers(0, 1000),
    idle=st.integers(0, 1000),
    start=st.lists(st.integers(0, 99), min_size=10, max_size=10),
)
def test_the_busy_share(busy, idle, start):
    spent = [busy, 0, 0, idle, 0, 0, 0, 0, busy, 0]  # a guest's time is in the user's too
    end = [a + b for a, b in zip(start, spent, strict=True)]
    begin, after = ("cpu  " + " ".join(map(str, row)) for row in (start, end))
    found = facts.conditions(Says(begin=begin, end=after))
    if busy + idle:
        assert found == {"busy": pytest.approx(busy / (busy + idle), abs=1e-3)}
    else:
        assert found == {}


def test_conditions_of_a_phone_and_of_a_notebook():
    phone = Says(
        governor="schedutil\nwalt",
        battery="Current Battery Service state:\n  AC powered: false\n  level: 87\n  scale: 100",
        power="POWER MANAGER\n  mWakefulness=Awake\n  mWakefulnessChanging=false",
        idle="ACTIVE",
        capacity="55",
    )
    assert facts.conditions(phone) == {
        "governor": "schedutil,walt",
        "battery_percent": 87.0,
        "screen": "awake",
        "deviceidle": "active",
    }
    assert facts.conditions(Says(capacity="55\n54")) == {"battery_percent": 55.0}
