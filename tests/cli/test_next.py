"""The command that every command names at its end: it runs as it stands."""

import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from mnv4_mobile.cli import app
from mnv4_mobile.model.checkpoint_source import DEMO

PHOTOS = str(DEMO.parent / "pictures")
PHOTO = f"{PHOTOS}/three.jpg"
FAST = ("--runs", "1", "--seconds", "0", "--repeats", "1", "--warmup", "0")

COMMANDS = [
    (("models",), "mnv4 build demo -t "),
    (("models", "--published"), "mnv4 build hf-hub:timm/mobilenetv4_"),
    (("models", "conv-small"), "mnv4 build conv-small --weights random:0 -t "),
    (("recipes",), "mnv4 recipes int8"),
    (("recipes", "int8"), "mnv4 build demo -t "),
    (("recipes", "palette.yaml"), "mnv4 build demo -t coreai -r palette.yaml"),
    (("targets",), "mnv4 targets "),
    (("targets", "tflite"), "mnv4 build demo -t tflite"),
    (("doctor",), "mnv4 build demo -t "),
    (("devices",), "mnv4 sweep quick -d host"),
    (("cache",), "mnv4 cache prune --older-than 30"),
    (("cache", "prune"), "mnv4 cache"),
    (("build", "demo", "-t", "tflite"), "mnv4 predict out/conv-small-035-96x96-fp32-tflite "),
    (("predict", "BUNDLE", PHOTO), "mnv4 measure 'my bundle'"),
    (("inspect", "BUNDLE"), "mnv4 lint 'my bundle'"),
    (("lint", "BUNDLE"), "mnv4 measure 'my bundle'"),
    (("verify", "BUNDLE"), "mnv4 measure 'my bundle'"),
    (("evaluate", "BUNDLE", PHOTOS), "mnv4 measure 'my bundle'"),
    (("sdk", "android", "BUNDLE", "-o", "module"), "mnv4 measure 'my bundle' -d adb"),
    (
        ("profile", "BUNDLE", "--runs", "1", "--store", "a b.sqlite"),
        "mnv4 measure 'my bundle' --store 'a b.sqlite'",
    ),
    (
        ("measure", "BUNDLE", *FAST, "--run", "one two", "--store", "x.sqlite"),
        "mnv4 report --run 'one two' --store x.sqlite",
    ),
    (
        ("sensitivity", "demo", "--calibrate", PHOTOS, "--images", "2", "--input-size", "32"),
        f"mnv4 tune demo --calibrate {PHOTOS} -r int8 --input-size 32 -t ",
    ),
]


@pytest.fixture
def run(mnv4, demo_bundle, tmp_path, monkeypatch, capfd):
    """A function that runs a command in a folder with a bundle of an odd name."""
    monkeypatch.chdir(tmp_path)
    Path("my bundle").symlink_to(demo_bundle("tflite").path)
    Path("palette.yaml").write_text(
        "precision: float16\ngate: {sqnr_db: 10}\n"
        "weights: {form: palette, bits: 8, per: tensor, clustering: kmeans}\n"
    )
    capfd.readouterr()

    def run(*words):
        if words[0] == "cache":
            monkeypatch.setenv("MNV4_CACHE", str(tmp_path / "cache"))
        return mnv4(*("my bundle" if word == "BUNDLE" else word for word in words))

    return run


def parsed(line):
    """What a command line sets, by the command's own parser, which runs nothing."""
    program, *rest = shlex.split(line)
    assert program == "mnv4"
    command = get_command(app)
    while rest and rest[0] in getattr(command, "commands", ()):
        command = command.commands[rest.pop(0)]
    return command.make_context("mnv4", rest).params


@pytest.mark.toolchain("coreml")
@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize(
    ("words", "following"), COMMANDS, ids=[" ".join(words[:2]) for words, _ in COMMANDS]
)
def test_the_next_command(run, words, following):
    code, _, err = run(*words)
    assert code == 0, err
    *_, last = err.splitlines()
    assert last.startswith(f"Next: {following}"), err
    params = parsed(last.removeprefix("Next: "))
    for name, value in params.items():
        if name in {"bundle", "bundles", "images", "store", "calibrate"} and value:
            for path in value if isinstance(value, list | tuple) else [value]:
                assert path == "random" or Path(path).exists()


@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize("command", ["build", "predict", "verify", "profile", "measure", "models"])
def test_machines_and_quiet_users_get_results_only(run, command):
    words = next(words for words, _ in COMMANDS if words[0] == command)
    code, out, err = run(*words, "-q")
    assert (code, out == "", err) == (0, False, "")
    code, _, err = run(*words, "--json")
    assert (code, "Next: " in err) == (0, False)


@pytest.mark.toolchain("coreml")
def test_what_this_machine_emulates_goes_into_an_app(mnv4, demo_bundle, capfd):
    bundle = demo_bundle("coreml").path
    capfd.readouterr()
    _, _, err = mnv4("verify", bundle)
    assert err.endswith(f"Next: mnv4 sdk ios {bundle} -o mnv4\n")
