"""Reading sweeps."""

import pytest

from mnv4_mobile.configs import shipped
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measuring.plan import PRESETS, Plan
from mnv4_mobile.measuring.sweep import Sweep, SweepDevice, load_sweep


@pytest.mark.parametrize("name", shipped("sweeps"))
def test_shipped_sweeps_are_read(name):
    sweep = load_sweep(name)
    assert sweep.name == name
    assert sweep.build
    assert sweep.plan == PRESETS[name]


FULL = """\
description: all keys
bundles: [out/*.tflite, mine.pte]
build:
  models: [conv-small]
  weights: random:0
  recipes: [int8]
  targets: [tflite, coreml]
  sizes: [224, [256, 320]]
  calibrate: random
  options: {coreml: {min_ios: 17}}
devices: [host, {device: "adb:1", tool: ./benchmark_model}]
threads: [1, 2, 1]
units: [cpu, npu]
plan: {preset: paper, runs: 7, cooldown_s: 2}
"""


def read(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_sweep(str(path))


def test_every_key_is_read(tmp_path):
    sweep = read(tmp_path, FULL)
    assert sweep.bundles == ("out/*.tflite", "mine.pte")
    assert sweep.build.input_sizes == [(224, 224), (256, 320)]
    assert sweep.devices == (
        SweepDevice(device="host"),
        SweepDevice(device="adb:1", tool="./benchmark_model"),
    )
    assert sweep.plan == PRESETS["paper"].with_values({"runs": 7, "cooldown_s": 2})
    assert [(p.threads, p.unit) for p in sweep.plans()] == [
        *((1, "cpu"), (1, "npu")),
        *((2, "cpu"), (2, "npu")),
    ]
    assert sweep.build.options == {"coreml": {"min_ios": 17}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "bundle: [x]",
            r"mine\.yaml: bundle: unknown key, did you mean bundles\? allowed: name",
        ),
        (
            "bundles: []\nbundle: [x]",
            r"mine\.yaml: bundle: unknown key, did you mean bundles\? allowed: name",
        ),
        ("devices: host", r"mine\.yaml: devices: found 'host', must be a list"),
        ("devices: []", r"mine\.yaml: devices: found \[\], must be a list, of length 1"),
        ("devices: [1]", r"mine\.yaml: devices\[0\]: found 1, must be an object"),
        (
            "devices: [{devise: x}]",
            r"mine\.yaml: devices\[0\]\.devise: unknown key, did you mean device\? allowed: dev",
        ),
        ("threads: 2", r"mine\.yaml: threads: found 2, must be a list"),
        ("threads: []", r"mine\.yaml: threads: found \[\], must be a list, of length 1"),
        ("threads: [0]", r"mine\.yaml: threads\[0\]: found 0, must be a whole number, 1 or more"),
        ("units: [tpu]", r"mine\.yaml: units\[0\]: found 'tpu', allowed: cpu"),
        ("units: []", r"mine\.yaml: units: found \[\], must be a list, of length 1"),
        (
            "plan: {preset: slow}",
            r"mine\.yaml: plan\.preset: found 'slow', allowed: quick, paper, mlperf",
        ),
        ("plan: {runs: many}", r"mine\.yaml: plan\.runs: found 'many', must be a whole number"),
        ("plan: {threads: 2}", r"mine\.yaml: plan\.threads: unknown key, allowed: preset, wa"),
        ("build: {models: [a], weights: demo}", r"mine\.yaml: build\.targets: missing"),
        (
            "build: {models: [a], weights: demo, targets: [tflite], sizes: 224}",
            r"mine\.yaml: build\.sizes: found 224, must be a list",
        ),
        (
            "build: {models: [a], weights: x, targets: [coreml], options: {coreml: {min_io: 17}}}",
            r"mine\.yaml: build: option coreml: found 'min_io', did you mean min_ios\?",
        ),
        (
            "build: {models: [a], weights: x, targets: [tflite], options: {coreml: {min_ios: 17}}}",
            r"mine\.yaml: build: option coreml\.min_ios: coreml is not built for",
        ),
        (
            "build: {models: [a], weights: x, targets: [litert]}",
            r"mine\.yaml: build: .*found 'litert'",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, line, message):
    key = line.partition(":")[0]
    rest = "description: x\nbundles: [a]\ndevices: [host]\n".splitlines()
    kept = [other for other in rest if not other.startswith(f"{key}:")]
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, "\n".join([*kept, line]))


def test_a_sweep_of_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="found neither bundles nor build"):
        read(tmp_path, "description: x\ndevices: [host]\n")


def test_without_units_an_artifact_runs_on_what_it_asks_for():
    sweep = Sweep(name="x", devices=(SweepDevice(device="host"),), plan=Plan(), threads=(1, 2))
    assert [(plan.threads, plan.unit) for plan in sweep.plans()] == [(1, None), (2, None)]
