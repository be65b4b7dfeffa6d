"""Real adbd processes and Google's adb; Android's services are stand-ins (tools/boards.py)."""

import hashlib
import re
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from mnv4_mobile.errors import ConfigError, DeviceError, ParityError
from mnv4_mobile.measuring.device import DeviceGoneError, connect
from mnv4_mobile.measuring.devices import android_app
from mnv4_mobile.measuring.devices.adb import AdbShell, kind
from mnv4_mobile.measuring.measurement import DeviceInfo, Summary, Thermal
from mnv4_mobile.measuring.results.doubts import doubts
from mnv4_mobile.measuring.session import PlannedSession, measured
from mnv4_mobile.progress import Progress
from mnv4_mobile.records import plain, replace
from tests.measuring.conftest import LONG, QUICK, only, while_it_runs
from tools import boards

pytestmark = pytest.mark.peer("adbd")


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


@pytest.mark.toolchain("executorch")
def test_tools_that_cannot_be(adb, subject, fake_tool):
    adb.device(5601)
    pte = subject("executorch")
    cases = [
        (
            None,
            "without --tool: no program for executorch; allowed, .*: mnv4-executorch-",
        ),
        ("/no/such/file", "--tool: /no/such/file: does not exist"),
        (
            str(fake_tool("benchmark_model", "")),
            r"--tool .*/benchmark_model: no program for executorch",
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
        with pytest.raises(ConfigError, match=r"unit: found 'npu', executorch on .*: cpu"):
            device.check(pte, replace(QUICK, unit="npu"))
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
    summary = fake_tool("executor_runner", f'echo "$@" >&2; echo "{line}"')
    with only(connect("adb", str(summary))) as device:
        samples = device.measure(pte, replace(QUICK, affinity="0"), Progress())
    assert samples.summary.mean == 2.5
    assert samples.summary.count == 5
    assert samples.golden_sqnr_db is None
    assert samples.latencies_ms == ()
    assert samples.conditions["affinity"] == "0"
    # Who ran it is known by more than a name, as it tells no version.
    digest = hashlib.sha256(summary.read_bytes()).hexdigest()
    assert samples.versions == {"tool": f"executor_runner {digest[:12]}"}


BENCHMARK_MODEL = """
[ -f "${1#--graph=}" ] || exit 1
case "$*" in *--use_gpu=true*)
    echo "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed \
by the delegate." >&2 ;;
esac
case "$*" in *--report_peak_memory_footprint=true*)
    echo "INFO: Overall peak memory footprint (MB) via periodic monitoring: 31.5" ;;
esac
# To its errors, as the real one logs.
echo "INFO: count=50 first=1900 curr=2100 min=1800 max=2600 avg=2000 std=150" >&2
echo "INFO: Inference timings in us: Init: 7000, First inference: 2900, Warmup (avg): 2200, \
Inference (avg): 2000" >&2
"""


@pytest.mark.toolchain("tflite")
def test_benchmark_model_is_run_where_the_user_has_one(adb, subject, fake_tool):
    """A stand-in that prints what benchmark_model does: none was to be had."""
    adb.device(5601)
    tool = fake_tool("android_aarch64_benchmark_model", BENCHMARK_MODEL)
    with only(connect("adb", str(tool))) as device:
        device.check(subject("tflite"), QUICK)
        samples = device.measure(subject("tflite"), QUICK, Progress())
        on_gpu = replace(QUICK, unit="gpu")
        device.check(subject("tflite"), on_gpu)
        session = PlannedSession(subject=subject("tflite"), plan=on_gpu, session=0)
        (fallen,) = measured(device, [session], "run", Progress())
        with pytest.raises(ConfigError, match=r"unit: found 'npu', tflite on .*: cpu, gpu"):
            device.check(subject("tflite"), replace(QUICK, unit="npu"))
    assert samples.ran_on == ("cpu",)
    assert fallen.samples.ran_on == ("cpu",)
    assert "fallback asked for gpu, ran on cpu" in map(str, doubts(fallen))
    assert samples.summary == Summary(mean=2.0, std=0.15, min=1.8, max=2.6, count=50)
    assert (samples.load_cold_ms, samples.first_ms, samples.peak_rss_mb) == (7.0, 2.9, 31.5)
    assert samples.golden_sqnr_db is None
    assert samples.thermal_after == Thermal(status="nominal", celsius=42.25)


ON_NPU = """
[ -f "$ADSP_LIBRARY_PATH/libQnnHtpV79Skel.so" ] || { echo no Skel >&2; exit 1; }
[ "$LD_LIBRARY_PATH" = "$ADSP_LIBRARY_PATH" ] || { echo other libraries >&2; exit 1; }
case "$*" in
    *"--use_npu=true --dispatch_library_path=$ADSP_LIBRARY_PATH"*) ;;
    *) echo not on the NPU >&2; exit 1 ;;
esac
"""


@pytest.mark.toolchain("snapdragon")
def test_a_compiled_file_is_run_with_the_libraries_beside_the_tool(
    adb, subject, fake_tool, tmp_path
):
    """Stand-ins for LiteRT's tool and the libraries, which only a phone can run."""
    serial = adb.device(5601)
    fake_tool("benchmark_model", ON_NPU + BENCHMARK_MODEL)
    with only(connect("adb", str(tmp_path))) as device:
        device.check(subject("snapdragon"), replace(QUICK, unit="npu"))
        with pytest.raises(DeviceError, match="benchmark_model: exit code 1: no Skel"):
            device.measure(subject("snapdragon"), QUICK, Progress())
    for name in ("libQnnHtpV79Skel.so", "libLiteRtDispatch_Qualcomm.so"):
        (tmp_path / name).write_bytes(b"")
    with only(connect("adb", str(tmp_path))) as device:
        samples = device.measure(subject("snapdragon"), QUICK, Progress())
    assert (samples.summary.mean, samples.peak_rss_mb, samples.ran_on) == (2.0, 31.5, ())
    assert left(adb, serial) == []


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
        "from mnv4_mobile.measuring.devices.adb import AdbShell;"
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


def _for(subject, target):
    return replace(subject, artifact=replace(subject.artifact, target=target))


@pytest.mark.toolchain("executorch")
def test_the_benchmark_app_is_driven_by_its_instrumentation(adb, subject):
    """An argument-checking stand-in for the app: no Android runs here."""
    import json

    from mnv4_mobile.measuring.measurement import Samples

    programs = {**boards.ANDROID, "am": APP, "pm": boards.APP_LISTED}
    serial = adb.device(5601, programs=programs)
    answer = {
        "schema": 1,
        "job": "JOB",
        "status": "ok",
        "error": None,
        "samples": plain(Samples(golden_sqnr_db=80.0, latencies_ms=(1.5,), t_ms=(0.0,))),
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
        with pytest.raises(ConfigError, match=r"unit: found 'gpu', executorch on .*: cpu"):
            device.check(pte, replace(QUICK, unit="gpu"))
        device.check(_for(pte, "tflite"), replace(QUICK, unit="gpu"))
        device.check(_for(pte, "snapdragon"), replace(QUICK, unit="npu"))
        with pytest.raises(ConfigError, match=r"unit: found 'cpu', snapdragon on .*: npu"):
            device.check(_for(pte, "snapdragon"), replace(QUICK, unit="cpu"))
        with pytest.raises(ConfigError, match="app cannot run coreml, only tflite, snapdragon, ex"):
            device.check(_for(pte, "coreml"), QUICK)
    folder = f"/sdcard/Android/data/{android_app.PACKAGE}/files"
    assert adb.adb("-s", serial, "shell", "ls", "-A", folder).split() == []
