"""The GPU unit: LiteRT's accelerator on SwiftShader, in processes of their own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.errors import ConfigError, DeviceError, ParityError
from mnv4_mobile.images import random_images
from mnv4_mobile.measuring.devices.host import kind
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import open_subject
from mnv4_mobile.progress import Progress
from mnv4_mobile.tensors import feed
from mnv4_tflite import gpu, target

pytestmark = [pytest.mark.toolchain("tflite"), pytest.mark.peer("chromium")]


def test_cpu_and_gpu_agree_on_every_kind_of_block_and_output(maps):
    pixels = random_images(maps.spec.preprocess, maps.spec.batch, 0)
    inputs = feed(maps.lowered.input, pixels, maps.spec.preprocess)
    found = []
    for unit in ("cpu", "gpu"):
        with Worker("tflite", maps.lowered.path, unit=unit) as worker:
            found.append(worker.run(inputs))
    cpu, gpu_ = found
    assert list(gpu_) == list(maps.spec.outputs)
    assert cpu.keys() == gpu_.keys()
    assert min(float(sqnr_db(cpu[name], gpu_[name]).min()) for name in cpu) > 90


def test_a_bundle_is_verified_on_both_units(mnv4, demo_bundle):
    code, out, err = mnv4("verify", demo_bundle("tflite").path, "--unit", "cpu,gpu", "--json")
    assert code == 0, err
    (found,) = json.loads(out)["bundles"]
    assert list(found["parity"]) == ["cpu", "gpu"]
    cpu, gpu_ = (found["parity"][unit]["logits"]["sqnr_db"] for unit in ("cpu", "gpu"))
    assert min(cpu, gpu_) > 90
    assert cpu != gpu_  # they round in different orders


class Wide(torch.nn.Module):
    """Operators that the GPU does not take, between two that it takes."""

    def forward(self, image):
        x = torch.relu(image * 2)
        x = torch.softmax(x.reshape(1, 2, 4, 2, 4, 3).permute(0, 2, 1, 4, 3, 5), 1)
        return torch.relu(x.reshape(1, 8, 8, 3) + 1)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    import litert_torch

    path = tmp_path_factory.mktemp("wide") / "wide.tflite"
    sample = {"image": torch.zeros(1, 8, 8, 3)}
    litert_torch.signature("main", Wide().eval(), sample_kwargs=sample).convert().export(str(path))
    return path


def test_a_model_that_would_be_cut_is_refused_with_its_operators(wide):
    with (
        Worker("tflite", wide, unit="gpu") as worker,
        pytest.raises(ParityError, match=r"the GPU does not take all of it: .*TRANSPOSE: Tensor"),
    ):
        worker.run({"image": np.zeros((1, 8, 8, 3), np.float32)})
    outside = [found for found in target.lint(wide, ["layer"]) if found.rule == "outside-gpu"]
    assert any("TRANSPOSE of a tensor with 6 axes" in found.what for found in outside)


def test_a_machine_without_a_driver_is_told_what_to_install(mnv4, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "_RENDER_NODES", ())
    monkeypatch.setattr(gpu, "_BROWSERS", (tmp_path,))
    arguments = ("build", "demo", "-t", "tflite", "--unit", "gpu", "-o", tmp_path / "out")
    code, _, err = mnv4(*arguments)
    assert code == 2
    assert "unit: gpu: LiteRT's GPU accelerator on SwiftShader needs a GPU" in err
    assert "apt-get install chromium-common" in err
    assert not (tmp_path / "out").exists()
    _, out, _ = mnv4("targets", "tflite")
    assert "apt-get install chromium-common" in out
    _, out, _ = mnv4("doctor")
    assert "target tflite on gpu" in out


WITH_A_GPU = """
import ctypes, sys
from pathlib import Path
from mnv4_mobile.errors import DeviceError
from mnv4_tflite import gpu
ctypes.CDLL(str(gpu._swiftshader().loader))
gpu._RENDER_NODES = ("/dev/null",)
try:
    gpu.open_on_gpu(Path(sys.argv[1]))
except DeviceError as error:
    print(error)
"""
"""Opens a model as on a machine with a GPU, whose driver is what the environment names."""


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        (lambda: "/nowhere.json", "LiteRT's GPU accelerator cannot load it: .*environment"),
        (
            lambda: gpu._swiftshader().driver,
            r"has a GPU, but LiteRT found only SwiftShader .*, which computes on the CPU; install",
        ),
    ],
)
def test_a_driver_that_finds_no_gpu_is_an_error_of_the_device(demo_bundle, driver, said):
    path = demo_bundle("tflite").artifact
    names = dict.fromkeys(("VK_DRIVER_FILES", "VK_ICD_FILENAMES"), str(driver()))
    done = subprocess.run(
        [sys.executable, "-c", WITH_A_GPU, path],
        env=os.environ | names,
        check=True,
        capture_output=True,
        text=True,
    )
    assert re.search(f"{re.escape(str(path))}: .*{said}", done.stdout, re.DOTALL)


def test_an_emulated_gpu_is_not_measured_and_would_be_named(demo_bundle):
    (host,) = kind.connect("", None)
    subject = open_subject(demo_bundle("tflite").path)
    plan = Plan(warmup=0, runs=2, seconds=0, unit="gpu")
    with pytest.raises(ConfigError, match=r"gpu is only emulated \(LiteRT's GPU .*SwiftShader\)"):
        host.check(subject, plan)
    samples = host.measure(subject, plan, Progress())  # as on a machine with a GPU
    assert samples.golden_sqnr_db > 90
    assert samples.ran_on == ("gpu",)
    assert samples.conditions["adapter"].startswith("SwiftShader")


def test_a_device_error_names_inputs_of_another_shape(demo_bundle):
    with (
        Worker("tflite", Path(demo_bundle("tflite").artifact), unit="gpu") as worker,
        pytest.raises(DeviceError, match=r"inputs: found .*, must be"),
    ):
        worker.run({"image": np.zeros((1, 3), np.float32)})
