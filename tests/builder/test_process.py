"""The processes of builders: what they tell, how long they live, and how they end."""

import os
import signal
import struct
import zlib
from pathlib import Path

import psutil
import pytest
import yaml

from mnv4_mobile import limits
from mnv4_mobile.builder import process
from mnv4_mobile.builder.cell import Options
from mnv4_mobile.builder.matrix import cells
from mnv4_mobile.builder.pipeline import Task
from mnv4_mobile.builder.process import build_apart, end_all, kept_warm
from mnv4_mobile.configs import config_folder
from mnv4_mobile.errors import CrashError
from mnv4_mobile.limits import FLAG
from mnv4_mobile.progress import Progress
from mnv4_mobile.records import replace


class Recorded(Progress):
    """Keeps all that it receives."""

    def __init__(self):
        self.told = []

    def step(self, text, worker=""):
        self.told.append(("step", text, worker))

    def update(self, text, worker=""):
        self.told.append(("update", text, worker))

    def note(self, text):
        self.told.append(("note", text, ""))

    def end(self, worker=""):
        self.told.append(("end", "", worker))


def task(found, scratch):
    """A task of these cells."""
    made_of = {cell: cell.ingredients() for cell in found}
    return Task(cells=tuple(found), ingredients=made_of, scratch=scratch)


@pytest.mark.toolchain("tflite")
def test_steps_updates_and_notes_come_out_of_the_process(tmp_path):
    recipe = tmp_path / "short.yaml"
    values = yaml.safe_load((config_folder("recipes") / "int8-distilled.yaml").read_text())
    values |= {"distill": {"steps": 1}, "calibration": {"images": 64}}
    recipe.write_text(yaml.safe_dump(values))
    options = Options(size=(32, 32), calibrate="random", verify=False)
    found = cells(
        ["conv-small-035"], "random:0", ["tflite"], [str(recipe)], [options], progress=Progress()
    )
    progress = Recorded()
    (built,) = build_apart(task(found, tmp_path), progress)
    assert built.error is None
    told = [(kind, text) for kind, text, _ in progress.told]
    assert ("step", "conv-small-035: prepare the weights") in told
    (update,) = [text for kind, text in told if kind == "update"]
    assert update.startswith("distill: 1/1, ")
    assert ("note", "calibration images are generated: good for structure and speed only") in told
    # All but notes name the process, so that the display of several keeps them apart.
    workers = {worker for kind, _, worker in progress.told if kind != "note"}
    assert len(workers) == 1
    assert workers.pop().isdigit()
    assert told[-1] == ("end", "")


@pytest.fixture
def alone(monkeypatch):
    """No builder waits, and none is to wait, whatever the other tests' builders do."""
    monkeypatch.setattr(process, "_idle", [])
    monkeypatch.setattr(process, "_keeping", 0)


@pytest.fixture
def lost(tmp_path):
    """A task that fails at once, without a toolchain: its folder does not exist."""
    found = cells(
        *(["conv-small-035"], "random:0", ["tflite"], ["fp32"], [Options()]), progress=Progress()
    )
    return task(found, tmp_path / "nowhere")


class Named(Progress):
    """Remembers which processes have ended a task."""

    def __init__(self):
        self.names = []

    def end(self, worker=""):
        self.names.append(worker)


def build_lost(task, times=1):
    """The processes that a task was given to."""
    progress = Named()
    for _ in range(times):
        (built,) = build_apart(task, progress)
        assert "a cluster needs a folder" in str(built.error)
    return progress.names


@pytest.mark.toolchain("tflite")
def test_a_builder_is_kept_for_the_next_task_and_ends_with_the_matrix(alone, lost):
    first, second = build_lost(lost, 2)
    assert first != second
    assert not psutil.pid_exists(int(first))
    with kept_warm():
        with kept_warm():
            names = build_lost(lost, 2)
        names += build_lost(lost)
        assert len(set(names)) == 1
        assert psutil.pid_exists(int(names[0]))
    assert not psutil.pid_exists(int(names[0]))
    assert build_lost(lost) != names[:1]


@pytest.mark.toolchain("tflite")
def test_a_builder_works_in_the_folder_of_its_caller(alone, lost, tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    task = replace(lost, scratch=Path("here"))
    with kept_warm():
        build_lost(task)
        monkeypatch.chdir(tmp_path)
        (built,) = build_apart(replace(task, cells=(replace(task.cells[0], weights="none.pth"),)))
        assert "no such file" in str(built.error)


@pytest.mark.toolchain("tflite")
def test_a_builder_that_was_killed_or_has_grown_is_replaced(alone, lost, monkeypatch):
    with kept_warm():
        (killed,) = build_lost(lost)
        os.kill(int(killed), signal.SIGKILL)
        psutil.wait_procs([psutil.Process(int(killed))], timeout=10)
        (other,) = build_lost(lost)
        assert killed != other
        monkeypatch.setattr(process, "_MAX_IDLE_BYTES", 1)
        (grown,) = build_lost(lost)
        assert grown != other
        assert process._idle == []


@pytest.mark.toolchain("tflite")
def test_all_end_at_once(alone, lost):
    """Ctrl-C ends the builders that wait and those that build."""

    class Ends(Progress):
        def step(self, text, worker=""):
            end_all()

    with kept_warm():
        (waiting,) = build_lost(lost)
        end_all()
        psutil.wait_procs([psutil.Process(int(waiting))], timeout=10)
        (built,) = build_apart(replace(lost, scratch=lost.scratch.parent), Ends())
        assert isinstance(built.error, CrashError)
        assert "signal 9 (SIGKILL" in str(built.error)
        assert process._idle == []


@pytest.mark.toolchain("tflite")
def test_builders_have_the_limits_of_the_command(tmp_path, mnv4):
    header = struct.pack(">IIBBBBB", 9_000, 8_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header
    for index in range(4):
        data = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(b"IHDR" + header))
        (tmp_path / f"{index}.png").write_bytes(data + struct.pack(">I", 0) + b"IDAT" + bytes(4))
    build = ("build", "demo", "-t", "tflite", "--images", tmp_path, "-o", tmp_path / "out")
    code, _, err = mnv4(*build, "--no-cache")
    assert (code, f"allowed are 64000000; {FLAG} lifts the limit" in err) == (2, True), err
    code, _, err = mnv4(*build, "--no-cache", FLAG)
    assert (code, "image file is truncated" in err) == (2, True), err
    limits.lift(False)
