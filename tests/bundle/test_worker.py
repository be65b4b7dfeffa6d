import os
import signal

import numpy as np
import pytest

from mnv4_mobile.bundle.worker import Worker, run_pixels
from mnv4_mobile.errors import BundleError, DeviceError
from mnv4_mobile.tensors import feed

pytestmark = pytest.mark.toolchain("tflite")


def test_a_worker_runs_and_counts_its_memory(demo_bundle):
    bundle = demo_bundle("tflite")
    pixels = bundle.golden("input")["pixels"]
    with Worker("tflite", bundle.artifact) as worker:
        found = run_pixels(worker, bundle.input, bundle.outputs, pixels[:3], bundle.preprocess)
        assert 10 < worker.peak_rss_mb() < 4000
    np.testing.assert_allclose(
        found["logits"], bundle.golden("artifact")["logits"][:3], rtol=1e-4, atol=1e-4
    )


def test_a_killed_runtime_is_a_device_error(demo_bundle):
    bundle = demo_bundle("tflite")
    inputs = feed(bundle.input, bundle.golden("input")["pixels"][:1], bundle.preprocess)
    with Worker("tflite", bundle.artifact) as worker:
        worker.run(inputs)
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(DeviceError, match=r"fp32\.tflite.*ended with code -9"):
            worker.run(inputs)


def test_a_runtime_that_does_not_answer_is_a_device_error(demo_bundle):
    bundle = demo_bundle("tflite")
    with Worker("tflite", bundle.artifact, timeout_s=0.01) as worker:
        os.kill(worker._process.pid, signal.SIGSTOP)
        with pytest.raises(DeviceError, match=r"no answer in 0\.01 s"):
            worker.run({})


def test_a_damaged_artifact_is_named(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"TFL3 not really")
    with (
        Worker("tflite", path) as worker,
        pytest.raises((BundleError, DeviceError), match=r"broken\.tflite"),
    ):
        worker.run({})


def test_a_wrong_input_is_reported_and_the_worker_lives(demo_bundle):
    bundle = demo_bundle("tflite")
    inputs = feed(bundle.input, bundle.golden("input")["pixels"][:1], bundle.preprocess)
    with Worker("tflite", bundle.artifact) as worker:
        with pytest.raises(DeviceError):
            worker.run({"image": np.zeros((1, 2, 3), np.float32)})
        assert worker.run(inputs)["logits"].shape == (1, 10)
