import contextlib
import os
import resource
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mnv4_mobile import load
from mnv4_mobile.bundle.worker import Worker, run_pixels
from mnv4_mobile.errors import BundleError, ConfigError, DeviceError, ParityError
from mnv4_mobile.records import replace
from mnv4_mobile.tensors import feed

pytestmark = pytest.mark.toolchain("tflite")


@pytest.fixture(scope="module")
def worker(demo_bundle):
    """A worker that no test may end."""
    with Worker("tflite", demo_bundle("tflite").artifact) as worker:
        yield worker


def test_a_worker_runs_and_counts_its_memory(demo_bundle, worker):
    bundle = demo_bundle("tflite")
    pixels = bundle.golden("input")["pixels"]
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
        # It has ended, as its late answer would be taken for the next request's.
        with pytest.raises(DeviceError, match="ended with code -9"):
            worker.run({})


def test_a_runtime_that_does_not_even_read_is_a_device_error(demo_bundle):
    """The inputs of ten images do not fit into the pipe."""
    bundle = demo_bundle("tflite")
    with Worker("tflite", bundle.artifact, timeout_s=0.01) as worker:
        os.kill(worker._process.pid, signal.SIGSTOP)
        with pytest.raises(DeviceError, match=r"no answer in 0\.01 s"):
            worker.run({"image": np.zeros((10, 96, 96, 3), np.float32)})


def test_an_interrupted_request_ends_the_process(demo_bundle, monkeypatch):
    bundle = demo_bundle("tflite")
    with Worker("tflite", bundle.artifact) as worker:
        with monkeypatch.context() as patch:
            patch.setattr(worker, "_in", Interrupted())
            with pytest.raises(KeyboardInterrupt):
                worker.peak_rss_mb()
        with pytest.raises(DeviceError, match="ended with code -9"):
            worker.peak_rss_mb()


class Interrupted:
    """A pipe whose reader pressed Ctrl-C."""

    def recv(self):
        raise KeyboardInterrupt


def test_threads_share_a_model(demo_bundle):
    bundle = demo_bundle("tflite")
    pixels, wanted = bundle.golden("input")["pixels"], bundle.golden("artifact")["logits"]
    with load(bundle) as model, ThreadPoolExecutor(8) as threads:
        chosen = [i % len(pixels) for i in range(64)]
        found = list(threads.map(lambda i: model.run([pixels[i]])["logits"][0], chosen))
    np.testing.assert_allclose(found, wanted[chosen], rtol=1e-4, atol=1e-4)


def test_a_closed_worker_is_said_to_be_closed(demo_bundle):
    bundle = demo_bundle("tflite")
    worker = Worker("tflite", bundle.artifact)
    worker.peak_rss_mb()
    worker.close()
    worker.close()
    with pytest.raises(ConfigError, match=r"fp32\.tflite\): is closed"):
        worker.peak_rss_mb()


def test_a_worker_closed_by_another_thread(demo_bundle):
    bundle = demo_bundle("tflite")
    with ThreadPoolExecutor(1) as thread:
        worker = Worker("tflite", bundle.artifact)
        worker.peak_rss_mb()
        os.kill(worker._process.pid, signal.SIGSTOP)
        answer = thread.submit(worker.peak_rss_mb)
        while not worker._turns.locked():
            pass
        worker.close()
        with pytest.raises(ConfigError, match="closed"):
            answer.result()


def test_a_forked_process_needs_a_worker_of_its_own(worker):
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(BaseException):
            try:
                worker.peak_rss_mb()
            except ConfigError as error:
                worker.close()
                code = 0 if "another process" in str(error) else 2
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert worker.peak_rss_mb() > 10


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")
def test_a_worker_cannot_take_more_memory_than_there_is(worker):
    worker.peak_rss_mb()  # it runs
    limit, _ = resource.prlimit(worker._process.pid, resource.RLIMIT_DATA)
    assert limit == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_other_outputs_than_the_manifest_says_are_named(demo_bundle, worker):
    bundle = demo_bundle("tflite")
    pixels = bundle.golden("input")["pixels"][:1]
    (logits,) = bundle.outputs
    for wrong, message in (
        (replace(logits, name="scores"), r"fp32\.tflite\): outputs: found logits, must have"),
        (replace(logits, shape=(1, 11)), r"float32 of shape \[1, 10\], must be .*\[1, 11\]"),
    ):
        with pytest.raises(ParityError, match=message):
            run_pixels(worker, bundle.input, (wrong,), pixels, bundle.preprocess)


def test_a_damaged_artifact_is_named(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"TFL3 not really")
    with (
        Worker("tflite", path) as worker,
        pytest.raises((BundleError, DeviceError), match=r"broken\.tflite"),
    ):
        worker.run({})


def test_a_wrong_input_is_reported_and_the_worker_lives(demo_bundle, worker):
    bundle = demo_bundle("tflite")
    inputs = feed(bundle.input, bundle.golden("input")["pixels"][:1], bundle.preprocess)
    with pytest.raises(DeviceError):
        worker.run({"image": np.zeros((1, 2, 3), np.float32)})
    assert worker.run(inputs)["logits"].shape == (1, 10)
