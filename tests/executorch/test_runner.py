"""The C++ runner against the Python runtime, here and on arm64 under qemu."""

import dataclasses
import os
import platform
import random
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from mnv4_executorch import runner, target
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.errors import ConfigError, CrashError, ToolchainError
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, random_images
from mnv4_mobile.measuring.devices.app import Result
from mnv4_mobile.measuring.plan import preset
from mnv4_mobile.measuring.subject import open_subject
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.program.export import export
from mnv4_mobile.progress import Progress
from mnv4_mobile.quantize.calibration import choose_images
from mnv4_mobile.recipe import Keep, load_recipe
from mnv4_mobile.records import decode, replace
from mnv4_mobile.tensors import feed
from mnv4_mobile.testing import tiny_model

pytestmark = [pytest.mark.toolchain("executorch"), pytest.mark.peer("c++")]

HERE = platform.machine()
PREPROCESS = Preprocess(
    size=(64, 64), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
)
KINDS = {
    "float32": ("fp32", {"outputs": ("logits", "stage_1")}),
    "float16": ("fp16", {"io": "float16"}),
    "uint8": ("int8", {"input": "pixels", "batch": 2}),
}
"""The recipe and the options of a program, by the input's type."""


@dataclasses.dataclass(frozen=True)
class Program:
    path: object
    inputs: list
    """Paths of raw inputs."""
    expected: list
    """What the Python runtime gives for each, arrays in the order of the outputs."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Programs of a tiny network by the type of their input."""
    tiny = tiny_model()
    # Without attention, whose softmax is float in int8 programs too: float differs by machine.
    model = replace(tiny, stages=(tiny.stages[0], tiny.stages[1][:2]))
    found = {}
    for kind, (recipe, options) in KINDS.items():
        folder = tmp_path_factory.mktemp(kind)
        spec = BuildSpec(model=model, preprocess=PREPROCESS, **options)
        net = MobileNetV4(model, spec.outputs).eval()
        net.load_state_dict(random_state(model, 0))
        calibration = choose_images("random", PREPROCESS, images=4, seed=0, progress=Progress())
        # All of it in integers, if it is int8.
        plain = replace(load_recipe(recipe), keep=Keep())
        program = export(net, spec, "nhwc")
        lowered = target.lower(program, spec, plain, calibration, folder / "model.pte")
        assert lowered.input.dtype == kind
        run = target.open(lowered.path, 1)
        inputs, expected = [], []
        for seed in (1, 2):
            tensors = feed(lowered.input, random_images(PREPROCESS, spec.batch, seed), PREPROCESS)
            (array,) = tensors.values()
            inputs.append(folder / f"{seed}.bin")
            inputs[-1].write_bytes(np.ascontiguousarray(array).tobytes())
            expected.append(list(run(tensors).values()))
        found[kind] = Program(path=lowered.path, inputs=inputs, expected=expected)
    return found


def run(command, model, out, *flags, inputs=()):
    """Runs the runner; its samples and the outputs' bytes for every input."""
    given = [argument for path in inputs for argument in ("--input", path)]
    flags = flags or ("--runs", "0")
    if "--threads" not in flags:
        flags = (*flags, "--threads", "1")
    done = subprocess.run(
        [*command, "--model", model, "--out", out, *flags, *given], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    names = sorted(path.name for path in out.iterdir())
    assert [name for name in names if not name.endswith(".bin")] == ["result.json"]
    outputs = [
        [path.read_bytes() for path in sorted(out.glob(f"{i}.*.bin"))] for i in range(len(inputs))
    ]
    result = decode((out / "result.json").read_bytes(), Result, "result.json")
    assert (result.job, result.status) == ("", "ok")
    return result.samples, outputs


@pytest.mark.parametrize("threads", ["1", "2"])
def test_outputs_are_the_same_bytes_as_those_of_python(
    threads, programs, executorch_runner, tmp_path
):
    command = [executorch_runner(HERE)]
    for kind, program in programs.items():
        folder = tmp_path / kind
        folder.mkdir()
        given = ("--runs", "2", "--threads", threads)
        _, outputs = run(command, program.path, folder, *given, inputs=program.inputs)
        expected = [[array.tobytes() for array in arrays] for arrays in program.expected]
        assert outputs == expected, kind
        assert outputs[0] != outputs[1], kind


def test_a_bundle_passes_its_golden_check(demo_bundle, executorch_runner, tmp_path):
    subject = open_subject(demo_bundle("executorch").path)
    inputs = []
    for i, tensors in enumerate(subject.feeds()):
        (array,) = tensors.values()
        inputs.append(tmp_path / f"{i}.bin")
        inputs[-1].write_bytes(np.ascontiguousarray(array).tobytes())
    out = tmp_path / "out"
    _, outputs = run([executorch_runner(HERE)], subject.path, out, inputs=inputs)
    (logits,) = subject.bundle.outputs
    found = [np.frombuffer(o, logits.dtype).reshape(logits.shape) for (o,) in outputs]
    assert subject.check([{logits.name: array} for array in found]) > 100


def test_the_defaults_are_the_plan_quick():
    plan, root = preset("quick"), Path(__file__).parents[2]
    code = (root / "targets/mnv4_executorch/runner/options.h").read_text()
    text = (root / "docs/reference/runner.md").read_text()
    for name in ("warmup", "runs", "seconds"):
        (found,) = re.findall(rf"(?:int|double) {name} = ([0-9.]+);", code)
        (said,) = re.findall(rf"--{name} ([0-9.]+)\]", text)
        assert float(found) == float(said) == getattr(plan, name), name


def test_what_a_result_tells(programs, executorch_runner, tmp_path):
    command, model = [executorch_runner(HERE)], programs["float32"].path
    flags = ("--warmup", "1", "--seconds", "0")
    core = max(os.sched_getaffinity(0))
    samples, _ = run(command, model, tmp_path, *flags, "--runs", "7", "--cores", str(core))
    assert len(samples.latencies_ms) == len(samples.t_ms) == 7
    assert samples.t_ms[0] == 0
    ends = np.add(samples.t_ms, samples.latencies_ms)
    assert (np.array(samples.t_ms[1:]) >= ends[:-1] - 1e-5).all()
    assert min(samples.load_cold_ms, samples.load_warm_ms, samples.first_ms) > 0
    assert 1 < samples.peak_rss_mb < 100
    assert samples.ran_on == ("cpu",)
    assert samples.versions == {"runtime": f"executorch {version('executorch')}"}
    assert samples.conditions == {"affinity": str(core)}

    longer, _ = run(command, model, tmp_path, "--runs", "1", "--seconds", "0.3")
    assert longer.t_ms[-1] + longer.latencies_ms[-1] >= 300
    assert longer.conditions == {}
    none, outputs = run(command, model, tmp_path, "--runs", "0")
    assert none.latencies_ms == none.t_ms == ()
    assert outputs == []


def test_the_folder_runs_wherever_it_is_copied_to(programs, executorch_runner, tmp_path):
    folder = shutil.copytree(executorch_runner(HERE).parent, tmp_path / "board")
    command = ["env", "-i", folder / runner.PROGRAM]
    program = programs["uint8"]
    _, outputs = run(command, program.path, tmp_path / "out", inputs=program.inputs)
    assert outputs[0][0] == program.expected[0][0].tobytes()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "cut.pte"], r"cut\.pte: not a readable ExecuTorch program: .*too small"),
        (["--model", "noise.pte"], r"noise\.pte: not a readable ExecuTorch program"),
        (["--model", "scratched.pte"], r"scratched\.pte: not a readable ExecuTorch program"),
        (["--model", "absent.pte"], r"absent\.pte: cannot be read"),
        (["--input", "cut.pte"], r"cut\.pte: found 20000 bytes, the input has 49152"),
        (["--input", "absent.bin"], r"absent\.bin: cannot be read"),
        (["--fast", "1"], r"--fast: unknown flag, allowed: --model"),
        (["--threads", "0"], r"--threads: found '0', must be an integer of 1 or more"),
        (["--runs", "1.5"], r"--runs: found '1\.5', must be an integer of 0 or more"),
        (["--seconds", "nan"], r"--seconds: found 'nan', must be a number of 0 or more"),
        (["--cores", "0,1023"], r"--cores: not all of these cores can be used here"),
        (["--cores", "1;2"], r"--cores: found '1;2', must be an integer"),
        (["--warmup"], r"--warmup: (found ''|needs)"),
        (["--out", "cut.pte/out"], r"cut\.pte/out: cannot be created: Not a directory"),
    ],
)
def test_an_error_is_one_line(flags, message, programs, executorch_runner, tmp_path):
    data = bytearray(programs["float32"].path.read_bytes())
    (tmp_path / "cut.pte").write_bytes(data[:20000])
    (tmp_path / "noise.pte").write_bytes(random.Random(0).randbytes(5000))
    # The tables after the header, which the runtime itself would trust.
    data[64:1064] = random.Random(1).randbytes(1000)
    (tmp_path / "scratched.pte").write_bytes(data)
    defaults = {"--model": str(programs["float32"].path), "--threads": "1", "--out": "out"}
    for flag in flags[::2]:
        defaults.pop(flag, None)
    command = [executorch_runner(HERE), *(part for pair in defaults.items() for part in pair)]
    done = subprocess.run([*command, *flags], cwd=tmp_path, capture_output=True)
    assert done.returncode == 1
    assert re.fullmatch(rf"error: {message}.*\n", done.stderr.decode(errors="replace"))
    assert not (tmp_path / "out/result.json").exists()


def test_a_failed_run_leaves_no_earlier_result(programs, executorch_runner, tmp_path):
    command = [executorch_runner(HERE)]
    run(command, programs["float32"].path, tmp_path)
    (tmp_path / "bad.pte").write_bytes(b"bad")
    flags = ["--model", tmp_path / "bad.pte", "--threads", "1", "--out", tmp_path]
    assert subprocess.run([*command, *flags], stderr=subprocess.DEVNULL).returncode == 1
    assert not (tmp_path / "result.json").exists()


@pytest.mark.peer("arm64")
def test_arm64_gives_the_integers_of_x86_and_floats_close_to_them(
    programs, executorch_runner, tmp_path
):
    # Not qemu's default processor: version 7.2 computes int8 wrongly on that.
    qemu = ["qemu-aarch64", "-cpu", "cortex-a76", "-L", "/usr/aarch64-linux-gnu"]
    command = [*qemu, executorch_runner("aarch64")]
    for kind, program in programs.items():
        _, outputs = run(command, program.path, tmp_path / kind, inputs=program.inputs)
        for found, expected in zip(outputs, program.expected, strict=True):
            for data, wanted in zip(found, expected, strict=True):
                if kind == "uint8":
                    assert data == wanted.tobytes()
                else:
                    array = np.frombuffer(data, wanted.dtype).reshape(wanted.shape)
                    least = {"float32": 100, "float16": 40}[kind]
                    assert sqnr_db(wanted, array).min() > least


def test_a_missing_compiler_is_named_with_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    other = "aarch64" if HERE == "x86_64" else "x86_64"
    with pytest.raises(ToolchainError, match=r"g\+\+, cmake, make not found; .* g\+\+ cmake make"):
        runner.build(HERE, tmp_path / "out", Progress())
    done = subprocess.run(
        [sys.executable, "-m", "mnv4_executorch.runner", "--arch", other, "-o", tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert f"apt-get install g++-{other.replace('_', '-')}-linux-gnu cmake make" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_compiler_that_fails_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/g++").symlink_to(shutil.which("false"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with pytest.raises(CrashError, match="cmake: ended with code 1"):
        runner.build(HERE, tmp_path / "out", Progress())
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"holds no mnv4-executorch-runner"):
        runner.build(HERE, tmp_path, Progress())


@pytest.mark.peer("arm64")
def test_a_wheel_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("MNV4_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    other = "aarch64" if HERE == "x86_64" else "x86_64"
    with pytest.raises(ToolchainError, match=rf"executorch .* for {other}: cannot be downloaded"):
        runner.build(other, tmp_path / "out", Progress())
    assert not (tmp_path / "out").exists()
