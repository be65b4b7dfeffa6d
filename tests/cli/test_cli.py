"""The command as a user meets it: exit codes, one-line errors, nothing half-written."""

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from records import replace_golden

from mnv4_mobile.patches import Patches
from mnv4_mobile.target import load_target, target_names

DEMO = Path(__file__).parents[2] / "mnv4_mobile" / "demo"
COMMAND = [sys.executable, "-m", "mnv4_mobile"]


def test_help_and_lists_import_no_torch():
    code = """
import sys
from mnv4_mobile.cli import main

for arguments in (
    ["--help"],
    ["models"],
    ["models", "hybrid-large"],
    ["models", "--published"],
    ["targets"],
    ["recipes"],
    ["recipes", "int8"],
    ["cache"],
    ["doctor"],
    ["devices"],
):
    sys.argv = ["mnv4", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
    heavy = {"torch", "timm", "executorch.exir", "coremltools", "litert_torch"} & set(sys.modules)
    assert not heavy, (arguments, heavy)
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_published_checkpoints_are_listed(mnv4):
    code, out, _ = mnv4("models", "--published")
    assert code == 0
    words = [line.split() for line in out.splitlines() if line.startswith("hf-hub:")]
    lines = {first: " ".join(rest) for first, *rest in words}
    assert len(lines) == 24
    assert lines["hf-hub:timm/mobilenetv4_conv_small.e3600_r256_in1k"] == (
        "conv-small 1,000 0.5, 0.5 apache-2.0 256 0.95 74.5 320 1.0 75.6"
    )
    _, out, _ = mnv4("models", "--published", "--json")
    document = json.loads(out)
    found = {one["source"]: one for one in document["checkpoints"]}
    assert found.keys() == lines.keys()
    large = found["hf-hub:timm/mobilenetv4_conv_aa_large.e230_r448_in12k_ft_in1k"]
    assert large["trained"] == {"size": 448, "crop": 0.95}
    assert large["model"] == "conv-aa-large"
    assert (large["mean"], large["top1"]["448"]) == ([0.485, 0.456, 0.406], 84.668)
    assert document["accuracy"].startswith("https://")


def test_models_lists_and_shows(mnv4):
    code, out, _ = mnv4("models", "--json")
    assert code == 0
    listed = {row["model"]: row for row in json.loads(out)["models"]}
    assert listed["conv-medium"]["params"] == 9_715_512
    assert listed["conv-medium"]["input"] == [256, 256]
    code, out, _ = mnv4("models", "hybrid-medium")
    assert code == 0
    assert "stages.2.4 MQA 160 x 16 x 16" in " ".join(out.split())
    assert "11,074,648" in out


def test_recipes_lists_and_explains(mnv4):
    code, out, _ = mnv4("recipes", "--json")
    assert code == 0
    listed = {row["name"]: row["targets"] for row in json.loads(out)["recipes"]}
    assert listed["fp32"] == ["coreai", "coreml", "executorch", "tflite"]
    assert "snapdragon" in listed["fp16"]
    code, out, _ = mnv4("recipes", "int8")
    assert code == 0
    assert "ranges from calibration images: image-percentile 95" in " ".join(out.split())


def test_targets_and_doctor(mnv4):
    code, out, _ = mnv4("targets", "--json")
    assert code == 0
    found = json.loads(out)["targets"]
    assert {row["target"] for row in found} == {*target_names()}
    code, out, _ = mnv4("doctor", "--json")
    assert code == 0
    rows = {row["what"]: row for row in json.loads(out)["checks"]}
    assert {"python", "torch", "coremltools", "executorch"} <= set(rows)


@pytest.mark.parametrize(
    ("modules", "tested", "found", "note"),
    [
        (("typer",), "==1.*", "stock", r"slower: not tested: torch 2\.[^ ]+ \(tested: ==1\.\*\)"),
        (("typer",), ">=2", "speedups", r"^tested with torch 2\."),
        (("gone", "gone.too"), ">=2", "missing", r"^not installed: gone, gone\.too$"),
    ],
)
def test_doctor_says_which_path_a_target_takes(mnv4, monkeypatch, modules, tested, found, note):
    target = load_target("tflite")
    monkeypatch.setattr(target, "modules", modules, raising=False)
    monkeypatch.setattr(target, "patches", Patches(tested={"torch": tested}), raising=False)
    _, out, _ = mnv4("doctor", "--json")
    (row,) = (row for row in json.loads(out)["checks"] if row["what"] == "target tflite")
    assert row["found"] == found
    assert re.search(note, row["note"])


BASE = ("build", "conv-small-035", "--weights", "demo", "-t", "tflite")
SENSITIVITY = ("sensitivity", "demo", "--calibrate")
TUNE = ("tune", "demo", "-t", "tflite", "--calibrate")
BAD = [
    (
        ("build", "conv-small-035", "-t", "tflite"),
        r"--weights: missing for the model conv-small-035; allowed: ",
    ),
    (
        ("build", "conv-small-035", "--weights", "demo"),
        "--target: missing; allowed: coreai, coreml, ",
    ),
    (
        ("build", "conv-tiny", *BASE[2:]),
        "model: found 'conv-tiny', allowed: conv-aa-large",
    ),
    (
        (*BASE, "-t", "onnx"),
        "target: found 'onnx', allowed: coreai, coreml, executorch, snapdragon, ",
    ),
    ((*BASE, "-t", "litert"), "target: found 'litert', did you mean tflite? allowed: coreai, "),
    ((*BASE, "-r", "int1"), "recipe: found 'int1', did you mean int8? allowed: fp16, fp32, "),
    ((*BASE, "--input-size", "100"), "input size: found 100x100, both must be multiples of 32"),
    ((*BASE, "--input-size", "16"), "input size: found 16x16"),
    ((*BASE, "--input-size", "big"), "--input-size: found 'big', must be H or HxW"),
    ((*BASE, "--batch", "0"), "batch: found 0, must be 1 or more"),
    ((*BASE, "--outputs", "boxes"), "output: found 'boxes', allowed: logits, probabilities"),
    ((*BASE, "--mean", "0.5"), "--mean: found '0.5', must be three numbers"),
    ((*BASE, "--std", "0,1,1"), "std[0]: found 0.0, must be a number, more than 0"),
    ((*BASE, "--crop", "1.5"), "crop: found 1.5"),
    ((*BASE, "--labels", "imagenet-1k"), "labels: found 1000, the model has 10 classes"),
    ((*BASE, "--labels", "nowhere.txt"), "nowhere.txt: cannot read the labels"),
    ((*BASE, "--images", "nowhere"), "nowhere"),
    (
        (*BASE, "-t", "coreml", "--set", "coreml.min_ios=12"),
        "option coreml.min_ios: found '12', allowed: 16, 17, 18",
    ),
    ((*BASE, "--unit", "tpu"), "unit: found 'tpu', allowed: cpu, gpu, npu"),
    ((*BASE, "--input", "bytes"), "--input: found 'bytes', allowed: float, pixels"),
    ((*BASE[:3], "nowhere.pth", *BASE[4:]), "nowhere.pth"),
    ((*BASE[:3], "random:x", *BASE[4:]), "random: found 'x', must be a seed"),
    ((*BASE, "--io", "float16"), "tflite: io: found 'float16'"),
    (("build", "conv-medium", *BASE[2:]), "conv-small-035"),
    ((*BASE, "-r", "int8"), "--calibrate: missing; recipe int8 needs a folder of images"),
    ((*BASE, "-r", "int8", "--calibrate", "nowhere"), "nowhere: No such file"),
    ((*BASE, "--io", "uint8"), "tflite: io: found 'uint8', supported with recipe fp32: float32"),
    ((*SENSITIVITY, "nowhere"), "nowhere: No such file"),
    ((*SENSITIVITY, "random", "-r", "int8-dynamic"), "found 'int8-dynamic', must have static"),
    ((*SENSITIVITY, "random", "-o", "x.gif"), "--out: found 'x.gif', allowed: .png, .svg"),
    ((*TUNE, "nowhere"), "nowhere: No such file"),
    ((*TUNE, "random"), "--calibrate: found 'random'; generated images cannot judge accuracy"),
    ((*TUNE, "random", "-o", "/dev/null"), "/dev/null: is a file, must be a folder"),
    ((*TUNE, "random", "--max-drop", "-1"), "--max-drop: "),
    ((*TUNE, "random", "--minutes", "-1"), "--minutes: "),
    ((*TUNE, "random", "--min-p10", "nan"), "--min-p10: found nan, must be a finite number"),
    ((*TUNE, "random", "--max-latency", "inf"), "--max-latency: found inf, must be a finite"),
    ((*BASE, "--jobs", "0"), "--jobs: "),
    pytest.param(
        (*BASE, "--scheduler", "somewhere", "--no-cache"),
        "--scheduler: somewhere: no Dask scheduler found",
        marks=[pytest.mark.toolchain("tflite"), pytest.mark.package("distributed")],
    ),
    (("predict", "nowhere", "x.jpg"), "nowhere: not a bundle"),
    (("verify", "nowhere"), "nowhere: not a bundle"),
    (("inspect", "nowhere"), "nowhere: not a bundle"),
    (("models", "nowhere.yaml"), "nowhere.yaml: no such file"),
    (
        ("models", "conv-small", "--published"),
        "--published: lists all checkpoints; leave out conv-small",
    ),
    (("measure", "nowhere"), "nowhere: no such bundle or artifact"),
    (("measure", "."), ".: not a bundle: manifest.json cannot be read"),
    (
        ("measure", "x", "-d", "toaster"),
        "--device: found 'toaster', allowed: adb, browser, coremltools, host",
    ),
    (("measure", "x", "--runs", "0"), "plan: runs: found 0, must be a whole number, 1 or more"),
    (("measure", "x", "--threads", "1,two"), "--threads: found '1, two', must be whole numbers"),
    (("measure", "x", "--affinity", "big"), "plan: affinity: found 'big', must be none, fastest"),
    (("measure", "x", "--unit", "all"), "unit: found 'all', allowed: cpu, gpu, npu"),
    (("measure", "x", "--max-thermal", "hot"), "plan: max_thermal: found 'hot', allowed: nominal"),
    (("sweep", "nowhere"), "sweep: found 'nowhere', allowed: paper, quick; or a .yaml file"),
    (("explode",), "mnv4: found 'explode', allowed: build, "),
    (("bild",), "mnv4: found 'bild', did you mean build? allowed: build, "),
    (("build", "--tarjet", "x"), "mnv4 build: found '--tarjet', did you mean --target? allowed: "),
    (("build", "x", "-t"), "Option '-t' requires an argument"),
    (("verify",), "mnv4 verify: Missing argument 'BUNDLE...'. See mnv4 verify --help."),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_is_one_error_and_exit_code_2(mnv4, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = mnv4(*arguments)
    assert code == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_with_code_in_it_is_not_run(mnv4, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"conv_stem.weight": Bomb()}))
    code, _, err = mnv4(*BASE[:3], tmp_path / "evil.pth", *BASE[4:], "-o", tmp_path / "out")
    assert code == 2
    assert "evil.pth" in err
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pth"]


@pytest.mark.toolchain("tflite")
def test_what_the_user_had_is_not_overwritten(mnv4, tmp_path):
    mine = tmp_path / "conv-small-035-96x96-fp32-tflite"
    mine.mkdir()
    (mine / "thesis.txt").write_text("precious")
    code, _, err = mnv4(*BASE, "-o", tmp_path)
    assert code == 2
    assert "holds no manifest.json, so it is not overwritten" in err
    assert (mine / "thesis.txt").read_text() == "precious"
    assert list(tmp_path.iterdir()) == [mine]


@pytest.mark.toolchain("tflite")
def test_predict_inspect_and_verify(mnv4, demo_bundle):
    bundle = demo_bundle("tflite").path
    pictures = sorted((DEMO / "pictures").glob("*.jpg"))
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    code, out, _ = mnv4("predict", bundle, *pictures, "--top", "2", "--json")
    assert code == 0
    found = json.loads(out)["images"]
    assert len(found) == len(pictures)
    for entry in found:
        first, second = entry["predictions"]
        assert names[int(first["label"])] == Path(entry["image"]).stem.split("-")[0].split("_")[0]
        assert first["probability"] > second["probability"]
    code, out, _ = mnv4("inspect", bundle)
    assert code == 0
    assert "1 x 96 x 96 x 3 float32 nhwc" in " ".join(out.split())
    code, out, _ = mnv4("verify", bundle, "--json")
    assert code == 0
    (found,) = json.loads(out)["bundles"]
    assert found["path"] == str(bundle)
    assert found["parity"]["cpu"]["logits"]["sqnr_db"] > 80
    code, out, _ = mnv4("verify", bundle, "--weights", "demo", "--json")
    assert code == 0
    (found,) = json.loads(out)["bundles"]
    assert found["parity"]["cpu"]["logits"]["top1_agreement"] == 1.0


@pytest.mark.toolchain("tflite")
def test_verify_fails_with_other_weights(mnv4, demo_bundle):
    bundle = demo_bundle("tflite").path
    code, _, err = mnv4("verify", bundle, "--weights", "random:0")
    assert code == 3
    assert "does not compute what the model computes: logits at" in err


@pytest.mark.toolchain("tflite")
def test_predict_names_an_unreadable_picture(mnv4, demo_bundle, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    code, _, err = mnv4("predict", demo_bundle("tflite").path, broken)
    assert code == 2
    assert "broken.jpg: not an image in a format that is read" in err


@pytest.mark.toolchain("tflite")
def test_predict_imports_no_torch(demo_bundle):
    picture = next((DEMO / "pictures").glob("*.jpg"))
    code = (
        "import sys\nfrom mnv4_mobile import load\n"
        f"with load({str(demo_bundle('tflite').path)!r}) as model:\n"
        f"    assert model.classify([{str(picture)!r}])[0][0].probability > 0.5\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def folder_names(folder):
    return [path.name for path in folder.iterdir()] if folder.exists() else []


@pytest.mark.parametrize("moment", ["mnv4_mobile.cli", "typer", "mnv4_mobile.cli.verify"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_command_imports_ends_it(moment, number):
    """Importing takes the first 0.3 s."""
    code = (
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {moment!r}: os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from mnv4_mobile.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "models"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_leaves_nothing(tmp_path, number):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*COMMAND, *BASE, "-o", str(out), "--no-cache"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not folder_names(out):  # the scratch folder: lowering has begun
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1] == (
        "error: interrupted; finished bundles are kept; run the same command again to build the "
        "rest"
    )
    assert folder_names(out) == []


@pytest.fixture
def on_a_full_disk():
    """Runs the command where no file may be larger than that; returns what it says on stderr."""

    def run(size, *arguments):
        code = (
            f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
            "from mnv4_mobile.cli import main\nmain()\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            # Bytecode that is cut off would break every later process.
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 2, done.stderr
        assert "File too large" in done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    return run


@pytest.mark.toolchain("tflite")
def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path, on_a_full_disk):
    out = tmp_path / "out"
    on_a_full_disk(1_000_000, *BASE, "-o", out, "--no-cache")
    assert folder_names(out) == []


@pytest.mark.toolchain("executorch")
@pytest.mark.parametrize("platform", ["android", "ios"])
@pytest.mark.parametrize("size", [100, 1_000_000])
def test_a_library_on_a_full_disk_is_an_error_too(
    demo_bundle, tmp_path, on_a_full_disk, platform, size
):
    """The disk is full while the library is copied, and while the bundle is."""
    bundle = demo_bundle("executorch")
    assert bundle.artifact.stat().st_size > 1_000_000
    err = on_a_full_disk(size, "sdk", platform, bundle.path, "-o", tmp_path / "mnv4")
    assert err.startswith("error: ")
    assert folder_names(tmp_path) == []


@pytest.mark.toolchain("tflite")
def test_measure_shows_a_row_a_cell_and_resumes(mnv4, demo_bundle, tmp_path):
    bundle, store = demo_bundle("tflite").path, tmp_path / "s.sqlite"
    arguments = ("measure", bundle, "--run", "mine", "--store", store, "--seconds", "0")
    arguments += ("--repeats", "1")
    code, out, err = mnv4(*arguments, "--runs", "5", "--threads", "1,2")
    assert code == 0, err
    rows = [line.split() for line in out.splitlines() if line.startswith(bundle.name)]
    assert [row[2] for row in rows] == ["1", "2"]
    assert "fewer than 20 runs" in out
    code, out, err = mnv4(*arguments, "--runs", "5", "--threads", "2,1", "--json")
    assert code == 0
    assert "2 of 2 sessions already recorded" in " ".join(err.split())
    assert len(json.loads(out)["measurements"]) == 2


@pytest.mark.toolchain("tflite")
def test_measure_ends_with_3_on_a_wrong_output_and_names_it(mnv4, demo_bundle, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(demo_bundle("tflite").path, copy)
    zeros = bytes((copy / "golden" / "eager.logits.bin").stat().st_size)
    replace_golden(copy, "golden/eager.logits.bin", zeros)
    code, out, err = mnv4(
        "measure", copy, "--run", "mine", "--store", tmp_path / "s.sqlite", "--repeats", "1"
    )
    assert code == 3
    assert "wrong 1/1" in out
    assert "1 thread: " in err
    assert "output logits: wrong on the device" in err
    assert "not all was measured; measure the rest with: mnv4 measure" in err


def test_devices_has_this_computer_and_survives_a_broken_kind(mnv4, monkeypatch):
    from mnv4_mobile.measuring import device

    class Hanging:
        name = "hanging"

        def connect(self, address, tool, progress):
            raise NotImplementedError

        def attached(self):
            time.sleep(60)

    load = device.load_kind
    monkeypatch.setattr(device, "kind_names", lambda: ["broken", "hanging", "host"])
    monkeypatch.setattr(device, "ATTACHED_LIMIT_S", 2.0)
    monkeypatch.setattr(
        device, "load_kind", lambda name: Hanging() if name == "hanging" else load(name)
    )
    code, out, _ = mnv4("devices", "--json")
    assert code == 0
    broken, hanging, host = json.loads(out)["devices"]
    assert broken["missing"].startswith("--device: found 'broken', allowed:")
    assert hanging["missing"] == "did not answer in 2 s"
    assert host["address"].startswith("host:")
    assert host["info"]["model"]
