"""Calls that break the promise, each in another way."""

import os
import subprocess
import tempfile

from mnv4_mobile.errors import ConfigError
from tests.hostile.kinds.kind import Kind


def _refuse(given, out):
    raise ConfigError("x: found 1, must be 2")


def _unexpected(given, out):
    raise KeyError("x")


def _compute(given, out):
    while True:
        pass


def _compute_elsewhere(given, out):
    subprocess.run(["sh", "-c", "ulimit -t 4; while :; do :; done"], check=False)


def _take_memory(given, out):
    bytearray(600 << 20)


def _take_all_memory(given, out):
    try:
        bytearray(8 << 30)
    except MemoryError:
        raise ConfigError("not readable") from None


def _crash(given, out):
    os.abort()


def _exit(given, out):
    os._exit(1)


def _leave_a_file(given, out):
    tempfile.mkstemp()


def _leave_a_folder(given, out):
    (out / ".mnv4-abc").mkdir()


def _leave_a_process(given, out):
    subprocess.Popen(["sleep", "60"])


def _change_the_input(given, out):
    (given / "new").touch()


_CALLS = {
    "accepted": lambda given, out: None,
    "refused": _refuse,
    "KeyError: 'x'": _unexpected,
    "more than 2 s of CPU time": _compute,
    "s of CPU time, then": _compute_elsewhere,
    r"took \d+ MB": _take_memory,
    "memory ran out": _take_all_memory,
    "died of SIGABRT": _crash,
    "ended the process": _exit,
    "left tmp/": _leave_a_file,
    "left out/.mnv4-abc": _leave_a_folder,
    "left 1 processes": _leave_a_process,
    "left in/new": _change_the_input,
}


def _if_hostile(call):
    return lambda given, out: (given / "hostile").exists() and call(given, out)


KINDS = {
    what: Kind(lambda: {"good": b""}, lambda random: {"hostile": b""}, _if_hostile(call))
    for what, call in _CALLS.items()
}
"""The calls by what is said about them."""
