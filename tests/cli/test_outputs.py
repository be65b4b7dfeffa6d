"""Places that nothing can be written to: one line that names them, exit code 2, nothing left."""

import pytest
from records import measurement

from mnv4_mobile.configs import config_folder
from mnv4_mobile.measuring.results.store import Store

DEMO = config_folder("models").parents[1] / "mnv4_mobile" / "demo"
MODEL = ("conv-small-035", "--weights", "demo")
CALIBRATE = ("--calibrate", DEMO / "pictures")

FOLDERS = [
    ("build", *MODEL, "-t", "tflite", "-o"),
    ("sweep", "quick", "-o"),
    ("sdk", "android", "BUNDLE", "-o"),
    ("sdk", "ios", "BUNDLE", "-o"),
    ("tune", *MODEL, *CALIBRATE, "-t", "tflite", "-o"),
]
"""Commands that write a folder, which comes last."""
FILES = [
    (("sensitivity", *MODEL, *CALIBRATE, "-o"), ".png"),
    (("diff", "BUNDLE", "--weights", "demo", "-o"), ".html"),
    (("report", "-o"), ".html"),
    (("report", "-o"), ".csv"),
    (("results", "export"), ".jsonl"),
    (("results", "export"), ".csv"),
    (("measure", "ARTIFACT", "--store"), ".sqlite"),
    (("evaluate", "BUNDLE", DEMO / "pictures", "--store"), ".sqlite"),
    (("profile", "BUNDLE", "--runs", "1", "--store"), ".sqlite"),
    (("results", "import", "STORE", "--store"), ".sqlite"),
]
"""Commands that write a file, which comes last, and its suffix."""


@pytest.fixture
def fails(mnv4, demo_bundle, tmp_path, monkeypatch, capfd):
    """A function that runs a command that cannot write its output, and checks how it ends."""
    store = tmp_path / "mnv4.sqlite"
    monkeypatch.setenv("MNV4_STORE", str(store))
    monkeypatch.chdir(tmp_path)
    with Store(store) as opened:
        opened.add(measurement())

    def run(words, out):
        names = {"STORE": store}
        if {"BUNDLE", "ARTIFACT"} & {*words}:
            bundle = demo_bundle("executorch" if "sdk" in words else "tflite")
            names |= {"BUNDLE": bundle.path, "ARTIFACT": bundle.artifact}
            capfd.readouterr()
        before = sorted(tmp_path.rglob("*"))
        code, printed, err = mnv4(*(names.get(word, word) for word in words), out)
        lines = err.splitlines()
        assert (code, printed) == (2, ""), err
        assert lines[-1].startswith("error: "), err
        assert f"{out}:" in lines[-1] or f"{out.parent}:" in lines[-1], err
        assert len([line for line in lines if not line.startswith("note: ")]) == 1, err
        assert sorted(tmp_path.rglob("*")) == before

    return run


@pytest.mark.toolchain("executorch")
@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize("words", FOLDERS, ids=lambda words: " ".join(words[:2]))
def test_a_folder(fails, tmp_path, words):
    (tmp_path / "file").touch()
    for out in ("file", "file/x", "/dev/full", "/proc/x", "/proc/x/y"):
        fails(words, tmp_path / out)


@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize(
    ("words", "suffix"), FILES, ids=[f"{words[0]} {words[-1]} {suffix}" for words, suffix in FILES]
)
def test_a_file(fails, tmp_path, words, suffix):
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"full{suffix}").symlink_to("/dev/full")
    (tmp_path / "file").touch()
    for out in (f"folder{suffix}", f"full{suffix}", f"none/x{suffix}", f"/proc/x{suffix}"):
        fails(words, tmp_path / out)
