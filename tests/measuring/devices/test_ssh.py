"""A real sshd on loopback, and the system's ssh."""

import ast
import os
import re
import shutil
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnv4_mobile.errors import ConfigError, DeviceError
from mnv4_mobile.measuring.device import DeviceGoneError, connect
from mnv4_mobile.measuring.devices.ssh import SshShell, kind
from mnv4_mobile.measuring.devices.tool import tools_of
from mnv4_mobile.measuring.subject import open_subject
from mnv4_mobile.progress import Progress
from mnv4_mobile.records import replace
from tests.measuring.conftest import LONG, QUICK, only, while_it_runs
from tools import boards

pytestmark = pytest.mark.peer("sshd")


@pytest.fixture
def sshd(monkeypatch, free_tcp_port):
    """A server, and a client that is configured for it."""
    with (
        tempfile.TemporaryDirectory(prefix="mnv4-") as folder,
        closing(boards.Sshd(Path(folder), free_tcp_port)) as sshd,
    ):
        for name, value in sshd.environment.items():
            monkeypatch.setenv(name, value)
        yield sshd


@pytest.fixture
def shell(sshd):
    """A connected shell."""
    with closing(SshShell("board", None)) as shell:
        yield shell


def left(sshd):
    """What is in the home of the sessions."""
    return [path.name for path in sshd.home.iterdir() if path.name.startswith("mnv4-")]


def running(sshd):
    """Whether a program runs in the home of the sessions."""
    return any(
        str(sshd.home) in " ".join(process.info["cmdline"] or ())
        for process in psutil.process_iter(["cmdline"])
    )


@pytest.mark.toolchain("executorch")
@pytest.mark.peer("c++")
def test_a_pte_is_measured_by_the_runner(sshd, subject, runner, tmp_path):
    user = os.environ.get("USER") or "root"
    with only(connect(f"ssh:{user}@127.0.0.1:{sshd.port}", runner)) as device:
        info = device.describe()
        assert info.id == f"ssh:{user}@127.0.0.1:{sshd.port}"
        assert " Linux " in info.os_build
        assert info.cores == os.cpu_count()
        device.check(subject("executorch"), QUICK)
        samples = device.measure(
            subject("executorch"), replace(QUICK, affinity="fastest"), Progress()
        )
        # The same file as one from elsewhere: timed, with nothing to check.
        bare = shutil.copy(subject("executorch").path, tmp_path)
        bare = device.measure(open_subject(Path(bare)), QUICK, Progress())
        assert left(sshd) != []
    assert left(sshd) == []
    assert (bare.golden_sqnr_db, len(bare.latencies_ms)) == (None, 5)
    assert samples.golden_sqnr_db > 90
    assert len(samples.latencies_ms) == 5
    assert samples.versions["runtime"].startswith("executorch ")
    assert re.fullmatch("mnv4-executorch-runner [0-9a-f]{12}", samples.versions["tool"])
    assert "0" in str(samples.conditions["affinity"])


@pytest.mark.toolchain("tflite")
def test_a_tflite_is_measured_by_litert_in_python(sshd, subject, tmp_path):
    with only(connect("ssh:board", None)) as device:
        device.check(subject("tflite"), QUICK)
        samples = device.measure(subject("tflite"), replace(QUICK, affinity="0"), Progress())
        assert samples.golden_sqnr_db > 90
        assert len(samples.latencies_ms) == len(samples.t_ms) == 5
        assert samples.first_ms > 0
        assert samples.peak_rss_mb > 10
        assert samples.ran_on == ("cpu",)
        assert samples.versions["runtime"].startswith("litert ")
        assert samples.conditions["affinity"] == "0"

        # The same file as one from elsewhere: timed, with nothing to check.
        bare = open_subject(Path(shutil.copy(subject("tflite").path, tmp_path)))
        assert bare.bundle is None
        samples = device.measure(bare, QUICK, Progress())
        assert samples.golden_sqnr_db is None
        assert len(samples.latencies_ms) == 5


@pytest.mark.toolchain("tflite")
def test_a_host_without_litert_says_what_to_install(sshd, subject):
    python = sshd.folder / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # no installed packages
    python.chmod(0o755)
    message = r"LiteRT in Python: exit code 1: numpy is not installed; on the device: .* install"
    with (
        only(connect("ssh:board", f"device:{python}")) as device,
        pytest.raises(DeviceError, match=message),
    ):
        device.measure(subject("tflite"), QUICK, Progress())


def test_what_runs_on_devices_is_python_3_9():
    (tool,) = [tool for tool in tools_of("tflite") if tool.script]
    ast.parse(tool.script.read_text(), feature_version=(3, 9))


@pytest.mark.toolchain("executorch")
@pytest.mark.peer("c++")
def test_a_connection_that_drops_in_the_middle_of_a_run(sshd, subject, runner):
    with only(connect("ssh:board", runner)) as device:
        with (
            while_it_runs(sshd.drop),
            pytest.raises(DeviceGoneError, match="ssh:board: the connection was lost"),
        ):
            device.measure(subject("executorch"), LONG, Progress())
        boards.until(lambda: not running(sshd))  # it would have taken a minute
        # The host is still there: the next command connects again.
        assert device.measure(subject("executorch"), QUICK, Progress()).golden_sqnr_db > 90
    assert left(sshd) == []


def test_a_program_that_takes_too_long_is_killed_with_what_it_started(sshd, shell):
    with pytest.raises(DeviceError, match="ssh:board: sh: took more than 1 s, killed") as error:
        shell.run(["sh", "-c", f"sleep 60; echo {sshd.home}"], timeout_s=1)
    assert not isinstance(error.value, DeviceGoneError)
    boards.until(lambda: not running(sshd))
    ended = shell.run(["sh", "-c", "echo out; echo 'a b' >&2; exit 7"], timeout_s=60)
    assert (ended.code, ended.stdout, ended.stderr) == (7, b"out\n", "a b\n")


def test_what_a_killed_measurement_left_is_removed_a_day_later(sshd, shell):
    for name, days in (("mnv4-old", 3), ("mnv4-new", 0), ("mine", 3)):
        (sshd.home / name).mkdir()
        (sshd.home / name / "model.pte").touch()
        os.utime(sshd.home / name, times=2 * (time.time() - days * 86400,))
    shell.push(b"x", "file")
    kept = {path.name for path in sshd.home.iterdir() if path.is_dir()}
    assert kept == {"mine", "mnv4-new", shell.folder.rpartition("/")[2]}


@given(data=st.binary(max_size=5000), name=st.text(st.characters(codec="ascii"), min_size=1))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_and_arguments_pass_as_they_are(sshd, shell, data, name):
    assert shell.pull(shell.push(data, "file")) == data
    if "\0" not in name:
        assert shell.run(["printf", "%s", name], timeout_s=60).stdout == name.encode()


def test_hosts_that_cannot_be_reached(sshd, tmp_path, free_tcp_port_factory):
    def refused(address, message):
        with pytest.raises(DeviceError, match=message):
            connect(address)

    sshd.configure(key="other_key")
    refused("ssh:board", r"ssh:board: it accepts no key of yours: `ssh-copy-id board`")
    sshd.configure()
    (sshd.folder / "known_hosts").write_text("")
    refused("ssh:board", "its host key is not known: connect once with `ssh board`")
    sshd.know(sshd.folder / "other_key.pub")
    refused("ssh:board", "its host key has changed")
    port = free_tcp_port_factory()
    refused(f"ssh:127.0.0.1:{port}", f"ssh:127.0.0.1:{port}: nothing listens there")
    refused("ssh:mnv4.invalid", r"ssh:mnv4\.invalid: no such host")


@pytest.mark.parametrize("address", ["", "-oProxyCommand=x", "a b", "u@-h", "h:port", "u@h:1:2"])
def test_addresses_that_are_no_host(address):
    with pytest.raises(ConfigError, match=r"allowed: ssh:\[user@\]host\[:port\]"):
        connect(f"ssh:{address}")


def test_no_host_is_listed():
    assert kind.attached() == []
