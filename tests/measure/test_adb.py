"""Real adbd processes and Google's adb; Android's services are stand-ins (tools/boards.py)."""

import re
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mnv4_mobile.errors import ConfigError, DeviceError, ParityError
from mnv4_mobile.measure import android
from mnv4_mobile.measure.adb import AdbShell, adb_path, kind
from mnv4_mobile.measure.device import DeviceGoneError, connect
from mnv4_mobile.measure.measurement import DeviceInfo, Thermal
from mnv4_mobile.progress import Progress
from tests.measure.conftest import LONG, QUICK, while_it_runs
from tools import boards

pytestmark = pytest.mark.peer("adbd")


@pytest.fixture
def adb(monkeypatch):
    """An adb server of its own, without devices."""
    with (
        tempfile.TemporaryDirectory(prefix="mnv4-") as folder,
        closing(boards.Adb(Path(folder), adb_path())) as adb,
    ):
        for name, value in adb.environment.items():
            monkeypatch.setenv(name, value)
        yield adb


def only(devices):
    """The one device, closed at the end."""
    (device,) = devices
    return closing(device)


def left(adb, serial):
    """What is in the shell's folder of a device."""
    return adb.adb("-s", serial, "shell", "ls -A /data/local/tmp").split()


@pytest.mark.toolchain("executorch")
@pytest.mark.peer("c++")
def test_two_devices_are_measured_at_once(adb, subject, runner):
    serials = [adb.device(port) for port in (5601, 5602)]
    pte = subject("executorch")
    found = {}

    def measure(serial):
        with only(connect(f"adb:{serial}", runner)) as device:
            device.check(pte, QUICK)
            found[serial] = (
                device.describe(),
                [
                    device.measure(pte, plan, Progress())
                    for plan in (QUICK, replace(QUICK, threads=2))
                ],
            )

    threads = [threading.Thread(target=measure, args=[serial]) for serial in serials]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[serials[0]][0] == DeviceInfo(
        id="adb:BOARD5601",
        model="Board 5601",
        soc="Loopback L1",
        os_build="Android 14 AP1A",
        cores=found[serials[0]][0].cores,
    )
    for serial in serials:
        for samples in found[serial][1]:
            assert samples.golden_sqnr_db > 90
            assert len(samples.latencies_ms) == len(samples.t_ms) == 5
            assert samples.load_cold_ms > 0
            assert samples.load_warm_ms > 0
            assert 1 < samples.peak_rss_mb < 200
            assert samples.versions["runtime"].startswith("executorch ")
            assert samples.thermal_before == Thermal(status="nominal", celsius=42.25)
            assert samples.conditions["battery_percent"] == 87
            assert samples.conditions["screen"] == "asleep"
            assert 0 <= samples.conditions["busy"] <= 1
        assert left(adb, serial) == []


@pytest.mark.toolchain("executorch")
@pytest.mark.peer("c++")
def test_a_device_that_vanishes_in_the_middle_of_a_run(adb, subject, runner):
    serial = adb.device(5601)
    with only(connect("adb", runner)) as device:
        with (
            while_it_runs(lambda: adb.unplug(5601)),
            pytest.raises(DeviceGoneError, match=re.escape(f"adb:{serial}: offline")),
        ):
            device.measure(subject("executorch"), LONG, Progress())
        with pytest.raises(DeviceGoneError, match="offline"):
            device.thermal()
    with pytest.raises(DeviceError, match=f"adb:{serial}: offline"):
        connect("adb")
    (attached,) = kind.attached()
    assert attached.address == f"adb:{serial}"
    assert attached.missing.startswith("offline")

    adb.device(5601)  # it comes back, and is connected again
    with only(connect(f"adb:{serial}", runner)) as device:
        assert device.measure(subject("executorch"), QUICK, Progress()).golden_sqnr_db > 90


@pytest.mark.toolchain("executorch")
@pytest.mark.peer("c++")
def test_no_space_left_on_a_device(adb, subject, runner):
    serial = adb.device(5601, megabytes=8)
    message = f"adb:{serial}: cannot copy to /data/local/tmp/.*: No space left on device"
    with only(connect("adb", runner)) as device:
        with pytest.raises(DeviceError, match=message) as error:
            device.measure(subject("executorch"), QUICK, Progress())
        assert not isinstance(error.value, DeviceGoneError)
    assert left(adb, serial) == []


def test_addresses_that_are_no_device(adb):
    with pytest.raises(DeviceError, match="adb: no device is attached: plug one in"):
        connect("adb")
    with pytest.raises(
        DeviceError, match=r"adb:127\.0\.0\.1:5999: failed to connect .*refused; is"
    ):
        connect("adb:127.0.0.1:5999")
    with pytest.raises(ConfigError, match="adb:a b: not a serial number nor HOST:PORT"):
        connect("adb:a b")
    first, second = adb.device(5601), adb.device(5602)
    with pytest.raises(DeviceError, match=f"several devices, say which .*: {first}, {second}"):
        connect("adb")
    with pytest.raises(DeviceError, match=f"adb:NOPE: not attached; attached: {first}, {second}"):
        connect("adb:NOPE")
    assert [(found.address, found.info.model, found.missing) for found in kind.attached()] == [
        (f"adb:{first}", "Board 5601", None),
        (f"adb:{second}", "Board 5602", None),
    ]


# Debian's adbd lets everybody in. This one knows no key: it answers whatever comes with a new token
# to sign, as Android's does until its user allows the computer.
UNAUTHORISED = """
import os, socket, struct
listener = socket.create_server(("127.0.0.1", 5604))
while True:
    peer, _ = listener.accept()
    with peer:
        while head := peer.recv(24, socket.MSG_WAITALL):
            command, _, _, length, _, _ = struct.unpack("<6I", head)
            peer.recv(length, socket.MSG_WAITALL)
            token = os.urandom(20)
            auth = struct.unpack("<I", b"AUTH")[0]
            answer = (auth, 1, 0, len(token), sum(token), auth ^ 0xFFFFFFFF)
            if command == auth:
                tries += 1
            else:
                tries = 0
            if tries < 2:  # then it waits for its user
                peer.sendall(struct.pack("<6I", *answer) + token)
"""


def test_a_device_that_has_not_allowed_this_computer(adb):
    listens = adb.start(sys.executable, "-c", UNAUTHORISED)
    try:
        boards.until(lambda: "refused" not in adb.adb("connect", "127.0.0.1:5604"))
        boards.until(lambda: "unauthorized" in adb.adb("devices"))
        for address in ("adb", "adb:127.0.0.1:5604"):
            with pytest.raises(DeviceError, match=r"adb:127\.0\.0\.1:5604: not authorised: unlock"):
                connect(address)
        (attached,) = kind.attached()
        assert attached.missing.startswith("not authorised")
    finally:
        listens.kill()
        listens.wait()


@pytest.mark.toolchain("executorch")
def test_tools_that_cannot_be(adb, subject, fake_tool):
    adb.device(5601)
    pte = subject("executorch")
    cases = [
        (
            None,
            "without --tool: nothing there runs executorch; programs that do, .*: mnv4-executorch-",
        ),
        ("/no/such/file", "--tool: /no/such/file: does not exist"),
        (
            str(fake_tool("benchmark_model", "")),
            r"--tool .*/benchmark_model: nothing there runs executorch",
        ),
    ]
    for tool, message in cases:
        with only(connect("adb", tool)) as device, pytest.raises(ConfigError, match=message):
            device.check(pte, QUICK)
    foreign = fake_tool("mnv4-executorch-runner", "")
    foreign.write_bytes(b"\x7fELF\2\1\1" + bytes(11) + b"\xf3\0" + bytes(40))  # RISC-V: unknown
    with only(connect("adb", str(foreign))) as device:
        device.check(pte, QUICK)
        with pytest.raises(DeviceError, match=r"cannot be started: .* built for this device"):
            device.measure(pte, QUICK, Progress())
        with pytest.raises(ConfigError, match=r"affinity: found '99', .* has cores 0 to"):
            device.check(pte, replace(QUICK, affinity="99"))
    foreign.write_bytes(b"\x7fELF\2\1\1" + bytes(11) + b"\x28\0" + bytes(40))
    message = r"is for 32-bit ARM, but adb:.* is x86_64"
    with only(connect("adb", str(foreign))) as device, pytest.raises(ConfigError, match=message):
        device.check(pte, QUICK)


@pytest.mark.toolchain("executorch")
def test_a_tool_that_fails_or_prints_a_summary(adb, subject, fake_tool):
    adb.device(5601)
    pte = subject("executorch")
    broken = fake_tool("mnv4-executorch-runner", "echo 'cannot load: 0x23' >&2; exit 3")
    message = "exit code 3: cannot load: 0x23"
    with only(connect("adb", str(broken))) as device, pytest.raises(DeviceError, match=message):
        device.measure(pte, QUICK, Progress())
    line = "Model executed successfully 5 time(s) in 12.500000 ms."
    summary = fake_tool("executor_runner", f'[ "$1" -nt / ]; echo "$@" >&2; echo "{line}"')
    with only(connect("adb", str(summary))) as device:
        samples = device.measure(pte, replace(QUICK, affinity="0"), Progress())
    assert samples.summary.mean == 2.5
    assert samples.summary.count == 5
    assert samples.golden_sqnr_db is None
    assert samples.latencies_ms == ()
    assert samples.conditions["affinity"] == "0"


@pytest.mark.toolchain("executorch")
@pytest.mark.peer("c++")
def test_a_device_that_computes_something_else_is_not_measured(adb, subject, runner):
    adb.device(5601)
    pte = subject("executorch")

    class Wrong:
        """The same bundle for a model that gives something else."""

        def __getattr__(self, name):
            return getattr(pte.bundle, name)

        def golden(self, source):
            tensors = pte.bundle.golden(source)
            return {k: v[::-1] if source == "eager" else v for k, v in tensors.items()}

    message = "output logits: wrong on the device"
    with only(connect("adb", runner)) as device, pytest.raises(ParityError, match=message):
        device.measure(replace(pte, bundle=Wrong()), QUICK, Progress())


def test_programs_end_and_are_killed_with_what_they_started(adb):
    serial = adb.device(5601)
    with closing(AdbShell(serial)) as shell:
        for code in (0, 7):
            ended = shell.run(["sh", "-c", f"echo out; echo err >&2; exit {code}"], timeout_s=60)
            assert (ended.code, ended.stdout, ended.stderr) == (code, b"out\n", "err\n")
        data = bytes(range(256)) * 5000
        assert shell.pull(shell.push(data, "a 'b'/c")) == data
        with pytest.raises(DeviceError, match="sh: took more than 1 s, killed"):
            shell.run(["sh", "-c", "sleep 4321; true"], timeout_s=1)
        boards.until(lambda: "4321" not in adb.adb("-s", serial, "shell", "ps ax | grep '[4]321'"))


def test_a_killed_measurement_leaves_nothing_running(adb):
    serial = adb.device(5601)
    code = (
        "from mnv4_mobile.measure.adb import AdbShell;"
        f"AdbShell({serial!r}).run(['sleep', '{LONG.seconds}'], timeout_s=100)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    with while_it_runs(process.kill):
        process.wait()
    seconds = re.escape(f"sleep {LONG.seconds}")
    boards.until(lambda: not re.search(seconds, adb.adb("-s", serial, "shell", "ps ax -o args")))


def test_thermal_status(adb):
    serial = adb.device(5601)
    with only(connect("adb")) as device:
        for number, status in ((0, "nominal"), (2, "fair"), (3, "serious"), (6, "critical")):
            text = boards.THERMAL.format(status=number)
            adb.adb("-s", serial, "shell", f"cat > /data/thermal <<'E'\n{text}E")
            assert device.thermal() == Thermal(status=status, celsius=42.25)


# As the benchmark app would: it finds its job, and answers with the job's id.
APP = """
[ "$*" = "instrument -w -r io.github.mnv4.benchmark/.Measure" ] || exit 1
cd /sdcard/Android/data/io.github.mnv4.benchmark/files/mnv4 || exit 1
[ -f job/bundle/manifest.json ] || exit 1
[ -e /data/crash ] && echo "INSTRUMENTATION_RESULT: shortMsg=Process crashed." && exit
id=$(sed -n 's/^ *"id": "\\(.*\\)",$/\\1/p' job/job.json)
sed "s/JOB/$id/" /data/answer > result.json
"""
INSTALLED = """
[ "$*" = "list instrumentation io.github.mnv4.benchmark" ] || exit 1
echo "instrumentation:io.github.mnv4.benchmark/.Measure (target=io.github.mnv4.benchmark)"
"""


@pytest.mark.toolchain("executorch")
def test_the_benchmark_app_is_driven_by_its_instrumentation(adb, subject):
    """An argument-checking stand-in for the app: no Android runs here."""
    import json
    from dataclasses import asdict

    from mnv4_mobile.measure.measurement import Samples

    programs = {**boards.ANDROID, "am": APP, "pm": INSTALLED}
    serial = adb.device(5601, programs=programs)
    answer = {
        "schema": 1,
        "job": "JOB",
        "status": "ok",
        "error": None,
        "samples": asdict(Samples(golden_sqnr_db=80.0, latencies_ms=(1.5,), t_ms=(0.0,))),
    }

    def shell(command):
        adb.adb("-s", serial, "shell", command)

    shell(f"echo '{json.dumps(answer)}' > /data/answer")
    pte = subject("executorch")
    with only(connect("adb")) as device:
        device.check(pte, QUICK)
        samples = device.measure(pte, QUICK, Progress())
        assert samples.golden_sqnr_db == 80.0
        assert samples.latencies_ms == (1.5,)
        assert samples.thermal_after == Thermal(status="nominal", celsius=42.25)
        assert samples.conditions["screen"] == "asleep"
        shell("touch /data/crash")
        with pytest.raises(DeviceError, match=r"result.json: .*shortMsg=Process crashed\."):
            device.measure(pte, QUICK, Progress())
        bare = replace(pte, bundle=None)
        with pytest.raises(ConfigError, match="the benchmark app measures bundles"):
            device.check(bare, QUICK)
    folder = f"/sdcard/Android/data/{android.PACKAGE}/files"
    assert adb.adb("-s", serial, "shell", "ls", "-A", folder).split() == []
