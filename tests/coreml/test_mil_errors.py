"""What the interpreter refuses, and that it needs no toolchain."""

import contextlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnv4_coreml.mil import Program
from mnv4_mobile.errors import BundleError, ConfigError, LoweringError, MobileError
from tests.coreml.packages import MODEL, WEIGHTS, Layers, convert, write_mil

pytestmark = pytest.mark.toolchain("coreml")


def test_unknown_operators_are_all_named(ct, tmp_path):
    package = write_mil(
        ct,
        tmp_path,
        lambda mb, x: mb.reduce_argmax(x=mb.cumsum(x=mb.relu(x=x), axis=0), axis=0),
        "iOS16",
        (4,),
    )
    with pytest.raises(LoweringError, match="support: cumsum, reduce_argmax"):
        Program(package)


@pytest.fixture(scope="session")
def package(ct, tmp_path_factory):
    """A small sound package: two layers, (1, 16, 6, 6) to (1, 32)."""
    folder = tmp_path_factory.mktemp("package")
    return convert(ct, folder, Layers(), torch.randn(1, 16, 6, 6), "iOS16", "FLOAT16")[0]


@pytest.fixture
def copy(package, tmp_path):
    """A package that a test may damage."""
    return shutil.copytree(package, tmp_path / "copy.mlpackage")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "found none, must be image"),
        ({"picture": np.zeros((1, 16, 6, 6))}, "found picture, must be image"),
        ({"image": np.zeros((2, 16, 6, 6))}, r"\(2, 16, 6, 6\), must be float16 of shape"),
    ],
)
def test_inputs_that_do_not_fit(package, inputs, message):
    with pytest.raises(ConfigError, match=message):
        Program(package)(inputs)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-10])


def other_weights(file):
    data = bytearray(file.read_bytes())
    data[64:68] = bytes(4)
    file.write_bytes(data)


def no_root(file):
    file.write_text(json.dumps(json.loads(file.read_text()) | {"rootModelIdentifier": "x"}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (WEIGHTS, truncate),
        (WEIGHTS, other_weights),
        (WEIGHTS, lambda file: file.write_bytes(b"")),
        (WEIGHTS, lambda file: file.unlink()),
        (MODEL, truncate),
        (MODEL, lambda file: file.write_bytes(b"")),
        (MODEL, lambda file: file.write_bytes(b"not a protobuf")),
        (MODEL, lambda file: file.unlink()),
        ("Manifest.json", no_root),
        ("Manifest.json", truncate),
        ("Manifest.json", lambda file: file.unlink()),
    ],
)
def test_damage_names_the_file(copy, name, damage):
    damage(copy / name)
    with pytest.raises(BundleError, match=name):
        Program(copy)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_to_the_model_goes_through_as_another_error(package, copy, data):
    sound = (package / MODEL).read_bytes()
    at = data.draw(st.integers(0, len(sound) - 1))
    byte = data.draw(st.integers(0, 255))
    (copy / MODEL).write_bytes(sound[:at] + bytes([byte]) + sound[at + 1 :])
    with contextlib.suppress(MobileError):
        Program(copy)


def test_runs_without_a_toolchain(package):
    """coremltools and torch take seconds to import; predicting must not pay for them."""
    code = """
import sys
from pathlib import Path
import numpy as np
from mnv4_coreml.mil import Program
Program(Path(sys.argv[1]))({"image": np.zeros((1, 16, 6, 6), np.float32)})
print(sorted({"torch", "coremltools"} & sys.modules.keys()))
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(package)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
