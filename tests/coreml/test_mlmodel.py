"""Core ML through coremltools, with stand-ins for coremltools' classes: no Mac, no iPhone.

They are made of the installed classes (`create_autospec`), so that a call that coremltools would
not take is an error here too.
"""

import random
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import AsyncMock, call, create_autospec

import numpy as np
import pytest
from PIL import Image

from mnv4_coreml import coremltools_device, profile, session, target
from mnv4_mobile.errors import ConfigError, DeviceError, ParityError
from mnv4_mobile.images import random_images
from mnv4_mobile.layers import is_convolution
from mnv4_mobile.measuring.device import DeviceGoneError, connect
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import open_subject
from mnv4_mobile.progress import Progress
from tests.measuring.devices.test_ios import UDID, listed, world  # noqa: F401 - a fixture

pytestmark = pytest.mark.toolchain("coreml")


@pytest.fixture
def benchmarkers(ct, monkeypatch):
    """Stands in for the class `MLModelBenchmarker`."""
    from coremltools.models.ml_program.experimental import perf_utils

    real = perf_utils.MLModelBenchmarker
    made = create_autospec(real)
    made.measurement = lambda samples: real.Measurement(statistics=None, samples=samples)
    made.operation = real.OperationExecutionInfo
    monkeypatch.setattr(perf_utils, "MLModelBenchmarker", made)
    return made


def test_a_model_is_loaded_on_a_unit_and_fed_what_it_takes(ct, small, tmp_path, monkeypatch):
    labels = tuple(f"class {i}" for i in range(small.spec.model.head.num_classes))
    path = small.lower(
        target,
        tmp_path / "model.mlpackage",
        input="pixels",
        outputs=("probabilities",),
        labels=labels,
    )
    made = create_autospec(ct.models.MLModel)
    monkeypatch.setattr(ct.models, "MLModel", made)
    description = session.SavedModel(path).spec.description
    (probabilities,) = [
        f.name for f in description.output if f.type.WhichOneof("Type") != "stringType"
    ]
    (label,) = [f.name for f in description.output if f.name != probabilities]
    shares = {label: i / 100 for i, label in enumerate(labels)}
    made.return_value.predict.return_value = {
        probabilities: dict(reversed(shares.items())),
        label: labels[-1],
    }

    run = session._core_ml(path, "cpu_only")
    (package,), options = made.call_args
    assert options == {"compute_units": ct.ComputeUnit.CPU_ONLY, "skip_model_load": False}
    assert not Path(package).exists()  # a copy, as coremltools writes into what it opens
    pixels = random_images(small.spec.preprocess, 1, seed=0)
    name = description.input[0].name
    found = run({name: pixels})
    ((fed,), _) = made.return_value.predict.call_args
    assert isinstance(fed[name], Image.Image)
    np.testing.assert_array_equal(np.asarray(fed[name]), pixels[0])
    # In the order of the labels, and without the name of the best one.
    assert list(found) == [probabilities]
    np.testing.assert_allclose(found[probabilities], [list(shares.values())])


def test_operators_have_a_time_a_layer_and_a_unit(small, tmp_path, benchmarkers, monkeypatch):
    from coremltools.models import compute_device
    from coremltools.models.compute_plan import MLComputePlanDeviceUsage

    path = small.lower(target, tmp_path / "model.mlpackage")
    program = session.SavedModel(path).block().operations
    engine = object.__new__(compute_device.MLNeuralEngineComputeDevice)
    usage = MLComputePlanDeviceUsage(preferred_compute_device=engine, supported_compute_devices=[])
    told = [
        benchmarkers.operation(
            spec=op,
            path=None,
            compute_device_usage=None if op.type == "const" else usage,
            measurement=benchmarkers.measurement([] if op.type == "const" else [i + 2.0, i + 1.0]),
        )
        for i, op in enumerate(program)
    ]
    expected = [(f"{op.type} (NeuralEngine)", i + 1.0) for i, op in enumerate(program)]
    expected = [one for one in expected if not one[0].startswith("const ")]
    random.Random(0).shuffle(told)
    ask = benchmarkers.return_value.benchmark_operation_execution
    ask.return_value = told
    monkeypatch.setattr(profile, "sys", SimpleNamespace(platform="darwin"))
    inputs = {"image": np.zeros((1, 3, 64, 64), np.float32)}
    found = target.profile(path, inputs, small.layers, threads=1, runs=2)
    ask.assert_awaited_once_with(inputs=inputs, iterations=2, warmup=True)
    (model, device), _ = benchmarkers.call_args
    assert (model.weights_dir is not None, device) == (True, None)
    assert [(one.kind, one.ms) for one in found] == expected
    convolutions = [one.layer for one in found if is_convolution(one.kind)]
    assert convolutions == small.layers[: len(convolutions)]


@pytest.fixture
def phone(world, benchmarkers, monkeypatch):  # noqa: F811 - the fixture
    """An iPhone that coremltools reaches; `answers` is what its app computes."""
    from coremltools.models.ml_program.experimental import async_wrapper, remote_device

    device = create_autospec(remote_device.Device, instance=True, udid=UDID)
    devices = create_autospec(remote_device.Device.get_devices, return_value=[device])
    monkeypatch.setattr(remote_device.Device, "get_devices", devices)
    wrapper = create_autospec(async_wrapper.RemoteMLModelAsyncWrapper, instance=True)
    make = create_autospec(
        async_wrapper.MLModelAsyncWrapper.from_spec_or_path, return_value=wrapper
    )
    monkeypatch.setattr(async_wrapper.MLModelAsyncWrapper, "from_spec_or_path", make)
    benchmarker = benchmarkers.return_value
    benchmarker.benchmark_load.return_value = benchmarkers.measurement([120.0, 30.0])
    times = (benchmarkers.measurement([ms]) for ms in (9.0, 3.0, 2.5, 2.0, 1.5, 1.25))
    benchmarker.benchmark_predict.side_effect = lambda **_: next(times)
    return SimpleNamespace(
        device=device, wrapper=wrapper, make=make, benchmarker=benchmarker, world=world
    )


def test_a_session_on_an_iphone(phone, benchmarkers, demo_bundle):
    subject = open_subject(demo_bundle("coreml").path)
    run = target.open(subject.path, 1)
    phone.wrapper.predict = AsyncMock(side_effect=lambda inputs, state: run(inputs))
    (device,) = connect(f"coremltools:{UDID}", "ABCDE12345")
    plan = Plan(warmup=2, runs=3, seconds=0.0, unit="npu")
    device.check(subject, plan)
    samples = device.measure(subject, plan, Progress())
    assert device.describe().id == f"ios:{UDID}"
    assert samples.golden_sqnr_db > 80
    assert (samples.load_cold_ms, samples.load_warm_ms) == (120.0, 30.0)
    assert (samples.first_ms, samples.latencies_ms) == (9.0, (2.0, 1.5, 1.25))
    assert len(samples.t_ms) == 3
    assert samples.versions["tool"].startswith("coremltools ")

    (_, asked) = phone.device.prepare_for_model_debugging.call_args
    assert asked["credentials"].development_team == "ABCDE12345"
    prepared = phone.device.prepare_for_model_debugging.return_value
    (model, where), _ = benchmarkers.call_args
    assert where is prepared
    assert model.compute_unit.name == "CPU_AND_NE"
    assert phone.make.call_args.kwargs["device"] is prepared
    assert phone.benchmarker.benchmark_load.await_args == call(iterations=2)
    assert phone.benchmarker.benchmark_predict.await_args.kwargs["iterations"] == 1
    assert phone.benchmarker.benchmark_predict.await_count == 6
    work = asked["working_directory"]
    assert work.is_dir()
    device.close()
    assert not work.exists()


def test_what_goes_wrong_on_an_iphone(phone, demo_bundle):
    from coremltools.models.ml_program.experimental import remote_device

    subject = open_subject(demo_bundle("coreml").path)
    (device,) = connect("coremltools", "ABCDE12345")
    zeros = {"logits": np.zeros((1, 10), np.float32)}
    phone.wrapper.predict = AsyncMock(return_value=zeros)
    with pytest.raises(ParityError, match="output logits"):
        device.measure(subject, Plan(), Progress())
    phone.benchmarker.benchmark_predict.assert_not_awaited()
    assert open_subject(demo_bundle("coreml").path) == subject  # coremltools wrote into a copy
    private = remote_device._DeviceCtlError("Signing failed")
    phone.device.prepare_for_model_debugging.side_effect = private
    with pytest.raises(DeviceError, match=f"ios:{UDID}: coremltools: .*Signing failed"):
        device.measure(subject, Plan(), Progress())
    phone.world.set(devices=[listed(tunnel="unavailable")])
    with pytest.raises(DeviceGoneError, match=f"ios:{UDID}: not reachable"):
        device.measure(subject, Plan(), Progress())
    with pytest.raises(DeviceGoneError, match="not reachable"):
        connect("coremltools", "ABCDE12345")


def test_what_coremltools_cannot_measure(phone, small, demo_bundle, tmp_path):
    for tool in (None, "team"):
        with pytest.raises(ConfigError, match=r"--tool: found .*development team's id"):
            connect("coremltools", tool)
    assert coremltools_device.kind.attached() == []
    (device,) = connect("coremltools", "ABCDE12345")
    bare = open_subject(demo_bundle("coreml").artifact)
    device.check(bare, Plan())
    with pytest.raises(ConfigError, match="affinity: found '1', allowed on iOS: none"):
        device.check(bare, Plan(affinity="1"))
    pixels = small.lower(target, tmp_path / "model.mlpackage", input="pixels")
    with pytest.raises(ConfigError, match="found imageType, coremltools sends arrays"):
        device.check(open_subject(pixels), Plan())
    other = tmp_path / "a.tflite"
    other.write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"a\.tflite: coremltools runs \.mlpackage only"):
        device.check(open_subject(other), Plan())
