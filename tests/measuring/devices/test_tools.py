"""Tools on devices: their commands, and what is read of their answers."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv4_executorch import device_programs as executorch
from mnv4_mobile.errors import DeviceError
from mnv4_mobile.measuring.devices.tool import RESULT, Run, Runner, tool_for, tools_of
from mnv4_mobile.measuring.measurement import Samples, Summary
from mnv4_mobile.records import plain
from mnv4_mobile.target import load_target, target_names
from mnv4_mobile.tensors import TensorSpec
from mnv4_tflite import device_programs as tflite

RUN = Run(
    program=("/d/tool",), model="/d/m", out="/d/out", threads=2, cores=(4, 7), warmup=3, runs=20
)
TIMES = st.floats(min_value=0.01, max_value=1e7, allow_nan=False)
NEW = """INFO: STARTING!
INFO: Initialized session in {init_ms}ms.
INFO: Running benchmark for at least 5 iterations and at least 0.5 seconds but terminate if \
exceeding 150 seconds.
INFO: count=9 first=87112 curr=51629 min=51629 max=87112 avg=58147.4 std=11478

INFO: {timings}

INFO: Inference timings in us: Init: {init}, First inference: {first}, Warmup (avg): 58147.4, \
Inference (avg): {mean}
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE
INFO: Memory footprint delta from the start of the tool (MB): init=55.4961 overall=55.4961
"""


@pytest.mark.parametrize(
    ("name", "file", "tool"),
    [
        ("executorch", "mnv4-executorch-runner", "mnv4-executorch-runner"),
        ("executorch", "mnv4-executorch-runner-arm64", "mnv4-executorch-runner"),
        ("executorch", "executor_runner", "executor_runner"),
        ("executorch", "xnn_executor_runner", "executor_runner"),
        ("executorch", "benchmark_model", None),
        ("tflite", "android_aarch64_benchmark_model", "benchmark_model"),
        ("tflite", "benchmark_model_plus_flex", "benchmark_model"),
        ("tflite", "python3.12", "LiteRT in Python"),
        ("tflite", "libbenchmark.so", None),
        ("coreml", "benchmark_model", None),
        ("snapdragon", "benchmark_model", "benchmark_model"),
        ("snapdragon", "python3", None),
    ],
)
def test_a_tool_is_known_by_the_name_of_its_file(name, file, tool):
    found = tool_for(tools_of(name), file)
    assert (found and found.name) == tool


def test_no_file_is_a_tool_of_two_targets():
    names = ["mnv4-executorch-runner", "executor_runner", "benchmark_model", "python3"]
    for file in names:
        own = [t for t in target_names() if load_target(t).base is None]
        assert sum(tool_for(tools_of(t), file) is not None for t in own) == 1


def test_benchmark_model_is_asked_for_the_plan_and_pinned():
    tool = tool_for(tflite.TOOLS, "benchmark_model")
    argv = tool.argv(RUN)
    assert argv[:3] == ["taskset", "90", "/d/tool"]
    assert {"--graph=/d/m", "--num_threads=2", "--num_runs=20", "--warmup_runs=3"} <= set(argv)
    assert "--report_peak_memory_footprint=true" not in argv
    assert "--report_peak_memory_footprint=true" in tool.memory_argv(RUN)


def test_benchmark_model_is_asked_for_the_gpu():
    tool = tool_for(tflite.TOOLS, "benchmark_model")
    assert tool.units == ("cpu", "gpu")
    for argv in (tool.argv, tool.memory_argv):
        assert "--use_gpu=true" not in argv(RUN)
        assert "--use_gpu=true" in argv(dataclasses.replace(RUN, unit="gpu"))


def test_a_program_for_the_npu_finds_the_libraries_beside_the_tool():
    (tool,) = tools_of("snapdragon")
    assert tool.units == ("npu",)
    run = dataclasses.replace(RUN, program=("/d/t/benchmark_model",), unit="npu")
    for argv in (tool.argv(run), tool.memory_argv(run)):
        assert argv[:5] == ["env", "ADSP_LIBRARY_PATH=/d/t", "taskset", "90", run.program[0]]
        assert {"--use_npu=true", "--dispatch_library_path=/d/t"} <= {*argv}
        assert not any("xnnpack" in one for one in argv)
    printed = NEW.format(
        init_ms=1, timings="count=50 curr=2500(all same)", init=1, first=1, mean=2500
    )
    assert tool.read(printed, bytes).ran_on == ()


@pytest.mark.parametrize(
    ("logged", "ran_on"),
    [
        ("", ("cpu",)),
        ("WARN: GPU acceleration is unsupported on this platform.", ("cpu",)),
        (
            "INFO: Explicitly applied GPU delegate, and the model graph will be completely "
            "executed by the delegate.",
            ("gpu",),
        ),
        (
            "INFO: Explicitly applied GPU delegate, and the model graph will be partially executed "
            "by the delegate w/ 2 delegate kernels.",
            ("gpu", "cpu"),
        ),
        (
            "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed "
            "by the delegate.",
            ("cpu",),
        ),
        (
            "INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely "
            "executed by the delegate.",
            ("cpu",),
        ),
    ],
)
def test_benchmark_model_says_which_units_ran(logged, ran_on):
    printed = NEW.format(
        init_ms=1, timings="count=50 curr=2500(all same)", init=1, first=1, mean=2500
    )
    assert tflite.parse(f"{logged}\n{printed}").ran_on == ran_on


def test_executor_runner_is_asked_for_the_runs_and_has_no_memory():
    tool = tool_for(executorch.TOOLS, "executor_runner")
    assert tool.argv(RUN)[:3] == ["taskset", "90", "/d/tool"]
    assert "--num_executions=20" in tool.argv(RUN)
    assert tool.memory_argv(RUN) is None


@given(
    times=st.tuples(TIMES, TIMES, TIMES, TIMES),
    init=st.integers(1, 10**7),
    first=st.integers(1, 10**7),
    count=st.integers(2, 10**5),
    form=st.sampled_from(["{:.6g}", "{:.1f}", "{:.3e}"]),
)
def test_benchmark_models_new_form(times, init, first, count, form):
    low, mean, high, std = (form.format(value) for value in times)
    printed = NEW.format(
        init_ms=init / 1000,
        timings=f"count={count} first=7 curr=9 min={low} max={high} avg={mean} std={std} p5=1",
        init=init,
        first=first,
        mean=mean,
    )
    found = tflite.parse(printed)
    assert found.summary == Summary(
        mean=float(mean) / 1000,
        std=float(std) / 1000,
        min=float(low) / 1000,
        max=float(high) / 1000,
        count=count,
    )
    assert found.load_cold_ms == init / 1000
    assert found.first_ms == first / 1000
    assert found.golden_sqnr_db is None
    assert found.latencies_ms == ()


@pytest.mark.parametrize("key", ["Inference", "no stats"])
@given(mean=TIMES.map("{:.6g}".format), count=st.integers(2, 10**4))
def test_benchmark_models_old_forms(key, mean, count):
    printed = (
        f"Timings (microseconds): count={count} first=79449 curr=81350 min=77385 max=88213 "
        "avg=79732 std=1929\nMemory (bytes): count=0\n31 nodes observed\n\n\n"
        f"Average inference timings in us: Warmup: 83235, Init: 38467, {key}: {mean}\n"
    )
    found = tflite.parse(printed)
    assert found.summary == Summary(
        mean=float(mean) / 1000, std=1.929, min=77.385, max=88.213, count=count
    )
    assert (found.load_cold_ms, found.first_ms) == (38.467, None)


def test_benchmark_models_form_for_runs_that_do_not_differ():
    printed = NEW.format(
        init_ms=1, timings="count=50 curr=2500(all same)", init=1000, first=3000, mean=2500
    )
    assert tflite.parse(printed).summary == Summary(mean=2.5, std=0.0, min=2.5, max=2.5, count=50)


def test_benchmark_models_memory():
    printed = NEW.format(init_ms=1, timings="count=1 curr=2", init=1, first=1, mean=2)
    assert tflite.parse(printed).peak_rss_mb is None
    line = "INFO: Overall peak memory footprint (MB) via periodic monitoring: 93.2383\n"
    assert tflite.parse(printed + line).peak_rss_mb == 93.2383


@given(st.text())
def test_what_benchmark_model_does_not_print_is_refused(text):
    with pytest.raises(DeviceError, match="benchmark_model"):
        tflite.parse(text.replace("timings", ""))


@given(count=st.integers(1, 10**6), total=st.floats(0.001, 1e8).map("{:f}".format))
def test_executor_runners_form(count, total):
    printed = (
        "I 00:00:00.1 executorch:executor_runner.cpp:330] Running method forward\n"
        "I 00:00:01.2 executorch:executor_runner.cpp:415] Model executed successfully "
        f"{count} time(s) in {total} ms.\nI 00:00:01.3 executorch:executor_runner.cpp:420] 1"
    )
    found = executorch.parse(printed)
    assert found.summary == Summary(
        mean=float(total) / count, std=None, min=None, max=None, count=count
    )


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("Model executed successfully.", "has no time per run; its release may be too old"),
        (
            "Model executed successfully 10 time(s).",
            "has no time per run; its release may be too old",
        ),
        ("Model executed successfully 0 time(s) in 0.000000 ms.", "has no time per run"),
        ("E 00:00:00.1 Loading of method forward failed", "printed no line"),
    ],
)
def test_executor_runners_older_forms_are_refused(printed, message):
    with pytest.raises(DeviceError, match=message):
        executorch.parse(printed)


SAMPLES = Samples(
    golden_sqnr_db=None,
    load_cold_ms=10.0,
    load_warm_ms=5.0,
    first_ms=2.5,
    latencies_ms=(1.5, 1.25),
    t_ms=(0.0, 1.75),
    peak_rss_mb=30.5,
    versions={"runtime": "executorch 1.5.1"},
    conditions={"affinity": "4,5"},
)
RUNNER = Runner("runner", "runner")


def answer(samples):
    """A result of the runner's."""
    entries = {"schema": 1, "job": "", "status": "ok", "error": None, "samples": samples}
    return json.dumps(entries).encode()


def test_the_runners_result():
    def file(name):
        assert name == RESULT
        return answer(plain(SAMPLES))

    assert RUNNER.read("", file) == SAMPLES


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(key=st.sampled_from([*plain(SAMPLES)]), value=JSON)
def test_a_damaged_result_is_an_error_of_the_device_or_has_only_numbers(key, value):
    data = answer(plain(SAMPLES) | {key: value})
    try:
        found = RUNNER.read("", lambda name: data)
    except DeviceError:
        return
    numbers = [found.load_cold_ms, found.load_warm_ms, found.first_ms, found.peak_rss_mb]
    for number in (*filter(None, numbers), *found.latencies_ms, *found.t_ms):
        assert isinstance(number, float)
        assert 0 <= number < float("inf")


@given(st.binary())
def test_no_result_is_an_error_of_the_device(data):
    with pytest.raises(DeviceError, match=r"result\.json"):
        RUNNER.read("", lambda name: data)


@pytest.mark.parametrize("named", [False, True])
def test_the_runners_outputs_by_number_or_by_name(named):
    tensors = [
        TensorSpec(name="logits", kind="logits", shape=(1, 2), dtype="float32", layout=None),
        TensorSpec(name="mask", kind="stage_0", shape=(1, 3), dtype="uint8", layout=None),
    ]
    logits, mask = ("0.logits.bin", "0.mask.bin") if named else ("0.0.bin", "0.1.bin")
    files = {logits: np.array([1, 2], "<f4").tobytes(), mask: bytes([7, 8, 9])}
    runner = Runner("runner", "runner", named=named)
    (found,) = runner.outputs(files.__getitem__, 1, tensors)
    assert found["logits"].tolist() == [[1.0, 2.0]]
    assert found["mask"].tolist() == [[7, 8, 9]]
    files[logits] = files[mask]
    with pytest.raises(DeviceError, match="output logits: found 3 bytes, must be 8"):
        runner.outputs(files.__getitem__, 1, tensors)
