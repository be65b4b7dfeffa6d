"""Profiles of real artifacts by the real runtimes."""

import json
import sys
from collections import Counter

import pytest
from torch import nn

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.cli import main
from mnv4_mobile.errors import BundleError, DeviceError
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, random_images
from mnv4_mobile.layers import is_convolution, operator_times
from mnv4_mobile.measuring.profile import profile_bundle
from mnv4_mobile.measuring.results.store import Store
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.program.export import export
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.records import encode, replace
from mnv4_mobile.target import load_target
from mnv4_mobile.tensors import feed
from mnv4_mobile.testing import tiny_model

RUNTIMES = [
    pytest.param(name, marks=pytest.mark.toolchain(name)) for name in ("executorch", "tflite")
]


@pytest.fixture(scope="module", params=RUNTIMES)
def target(request):
    return request.param


@pytest.fixture(scope="module")
def profile(target, demo_bundle):
    return profile_bundle(demo_bundle(target), runs=100)  # of a millisecond, on a busy machine


def test_every_convolution_of_every_kind_of_block_is_timed_at_its_layer(target, tmp_path):
    model = tiny_model()
    spec = BuildSpec(
        model=model,
        preprocess=Preprocess(
            size=(64, 64), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
        ),
    )
    net = MobileNetV4(model, spec.outputs).eval()
    net.load_state_dict(random_state(model, 0))
    convolutions = {n: m for n, m in net.named_modules() if isinstance(m, nn.Conv2d)}
    path = tmp_path / f"model{load_target(target).suffix}"
    program = export(net, spec, "nhwc")
    lowered = load_target(target).lower(program, spec, load_recipe("fp32"), None, path)
    inputs = feed(lowered.input, random_images(spec.preprocess, 1, 0), spec.preprocess)
    with Worker(target, path) as worker:
        operators = worker.profile(inputs, list(convolutions), runs=2)
        assert len(worker.time(inputs, runs=2).latencies_ms) == 2
    timed = [operator for operator in operators if is_convolution(operator.kind)]
    assert [operator.layer for operator in timed] == list(convolutions)
    # Depthwise convolutions have kernels of their own: the order is the network's.
    assert ["DWConv" in operator.kind for operator in timed] == [
        convolution.groups > 1 for convolution in convolutions.values()
    ]
    attention = [o.kind for o in operators if o.layer.startswith("stages.1.4.")]
    assert Counter(kind.partition(" (")[0] for kind in attention)["Batch Matrix Multiply"] == 2


def test_blocks_and_stages_are_those_of_the_configuration(profile, demo_bundle, target):
    bundle = demo_bundle(target)
    blocks = list(dict.fromkeys(layer.block for layer in bundle.manifest.layers))
    assert [block.name for block in profile.blocks] == blocks
    assert blocks[:2] == ["stem", "stages.0.0"]
    assert blocks[-2:] == ["final", "head"]
    assert {block.role for block in profile.blocks} >= {"Conv", "ExtraDW", "IB", "Head"}
    stages = [stage.name for stage in profile.stages]
    assert stages == ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "final", "head"]
    table = load_model("conv-small-035").with_head(10).table((96, 96))
    assert [block.macs for block in profile.blocks] == [row.cost.macs for row in table]
    assert sum(stage.ms for stage in profile.stages) == pytest.approx(profile.total.ms)


def test_times_add_up_to_a_run(profile):
    assert 0.3 * profile.fastest_ms < profile.total.ms < 1.3 * profile.latency_ms
    # Both sums are of the same numbers on LiteRT, in another order: they may round differently.
    assert 0.6 < profile.convolutions_ms / profile.total.ms < 1 + 1e-9
    assert sum(kind.count for kind in profile.kinds) == len(profile.operators)
    assert profile.kinds[0].ms == max(kind.ms for kind in profile.kinds)
    assert 1 < profile.total.gflops < 10_000


@pytest.mark.toolchain("tflite")
def test_an_own_configuration_has_no_roles_and_no_operations(demo_bundle):
    bundle = demo_bundle("tflite")
    model = replace(bundle.manifest.model, config_sha256="0" * 64)
    own = replace(bundle, manifest=replace(bundle.manifest, model=model))
    found = profile_bundle(own, runs=1)
    assert {(block.role, block.macs, block.gflops) for block in found.blocks} == {
        (None, None, None)
    }
    assert found.total.gflops is None


@pytest.mark.toolchain("tflite")
def test_the_command(demo_bundle, monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("MNV4_STORE", str(tmp_path / "s.sqlite"))
    bundle = demo_bundle("tflite")
    path = str(bundle.path)
    for options in ([], ["--operators"], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["mnv4", "profile", path, "--runs", "2", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        out = capfd.readouterr().out
        if options == ["--json"]:
            found = json.loads(out)["profile"]
            assert found["runs"] == 2
            assert len(found["operators"]) == sum(kind["count"] for kind in found["kinds"])
            with Store(tmp_path / "s.sqlite") as store:
                kept = store.profiles()[-1]
            assert json.loads(encode(kept.profile)) == found
            assert kept.artifact_sha256 == bundle.manifest.artifact.sha256
            assert kept.device_id.startswith("host:")
        else:
            assert "stages.2.0" in out
            assert "a run without the profiler: " in out
            assert ("head.classifier" in out) == bool(options)


@pytest.mark.toolchain("coreml")
@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML is there")
def test_core_ml_has_no_profiler_beside_macos(demo_bundle):
    with pytest.raises(DeviceError, match="needs macOS"):
        profile_bundle(demo_bundle("coreml"), runs=1)


@pytest.mark.toolchain("tflite")
def test_a_damaged_model_is_named(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"\0\0\0\0TFL3 not really")
    with pytest.raises(BundleError, match=r"broken\.tflite"):
        load_target("tflite").profile(path, {}, ["a"], threads=1, runs=1)


def test_the_shortest_time_of_every_operator_counts():
    runs = [
        [("Transpose", 3.0), ("Convolution IGEMM", 1.0), ("Add", 9.0)],
        [("Transpose", 1.0), ("Convolution IGEMM", 2.0), ("Add", 8.0)],
    ]
    found = operator_times(runs, ["stem", "head"])
    assert [(operator.layer, operator.ms) for operator in found] == [
        ("stem", 1.0),
        ("stem", 1.0),
        ("stem", 8.0),
    ]


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([[("Convolution", 1.0)], [("Add", 1.0)]], "not all runs have the same"),
        ([[("Convolution", 1.0), ("CONV_2D", 1.0)]], "ran 2 convolutions, the network has 1"),
        ([[("Add", 1.0)]], "ran 0 convolutions"),
    ],
)
def test_what_is_not_the_network_is_refused(runs, message):
    with pytest.raises(DeviceError, match=message):
        operator_times(runs, ["stem"])
