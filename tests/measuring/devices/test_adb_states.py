"""Which Android devices are attached, and what they lack: real adbd processes, Google's adb."""

import sys
import threading

import pytest

from mnv4_mobile.errors import ConfigError, DeviceError
from mnv4_mobile.measuring.device import connect
from mnv4_mobile.measuring.devices.adb import kind
from mnv4_mobile.measuring.results.store import Store
from tests.measuring.conftest import only
from tools import boards

pytestmark = pytest.mark.peer("adbd")


def test_addresses_that_are_no_device(adb):
    with pytest.raises(DeviceError, match="adb: no device is attached: plug one in"):
        connect("adb")
    with pytest.raises(
        DeviceError, match=r"adb:127\.0\.0\.1:5999: failed to connect .*refused; is"
    ):
        connect("adb:127.0.0.1:5999")
    with pytest.raises(ConfigError, match="adb:a b: neither a serial number nor HOST:PORT"):
        connect("adb:a b")
    first = adb.device(5601)
    second = adb.device(5602, programs={**boards.ANDROID, "pm": boards.APP_LISTED})
    with pytest.raises(DeviceError, match=f"several devices, say which .*: {first}, {second}"):
        connect("adb")
    with pytest.raises(DeviceError, match=f"adb:NOPE: not attached; attached: {first}, {second}"):
        connect("adb:NOPE")
    assert [(found.address, found.info.model, found.missing) for found in kind.attached()] == [
        (
            f"adb:{first}",
            "Board 5601",
            "needs the benchmark app, or a program: --tool",
        ),
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


def test_a_wireless_device_is_connected_when_it_is_named(adb):
    serial = adb.device(5601)
    adb.adb("disconnect", serial)
    assert kind.attached() == []
    with only(connect(f"adb:{serial}")) as device:
        # By its serial number: the address is another one tomorrow.
        assert device.describe().id == "adb:BOARD5601"


def test_without_a_client(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "adbutils", None)
    (attached,) = kind.attached()
    assert (attached.address, attached.info) == ("adb", None)
    assert attached.missing == "adb: not installed; pip install 'mnv4-mobile[adb]'"


@pytest.mark.toolchain("executorch")
@pytest.mark.peer("c++")
def test_a_sweep_goes_on_where_its_device_vanished(adb, mnv4, demo_bundle, runner, tmp_path):
    serial = adb.device(5601)
    sweep, path = tmp_path / "mine.yaml", tmp_path / "s.sqlite"
    sweep.write_text(
        f"description: x\nbundles: [{demo_bundle('executorch').path}]\nthreads: [1, 2]\n"
        f"devices: [{{device: 'adb:{serial}', tool: {runner}}}]\n"
        "plan: {warmup: 1, runs: 3, seconds: 0.5, repeats: 2}\n"
    )
    arguments = ("sweep", sweep, "--run", "night", "--store", path)

    def unplug():
        boards.until(lambda: path.exists() and stored(path), 120)
        adb.unplug(5601)

    thread = threading.Thread(target=unplug)
    thread.start()
    code, _, err = mnv4(*arguments)
    thread.join()
    assert code == 5
    assert f"left out: adb:{serial}: offline" in err
    before = [m for m in stored(path) if m.status == "ok"]
    assert 0 < len(before) < 4

    adb.device(5601)
    code, _, err = mnv4(*arguments)
    assert code == 0, err
    assert f"{len(before)} of 4 sessions already recorded" in " ".join(err.split())
    after = [m for m in stored(path) if m.status == "ok"]
    assert after[: len(before)] == before
    assert sorted((m.plan.threads, m.session) for m in after) == [(1, 0), (1, 1), (2, 0), (2, 1)]


def stored(path):
    with Store(path) as store:
        return store.measurements()
