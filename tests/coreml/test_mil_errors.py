"""What the interpreter refuses, and that it needs no toolchain."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnv4_coreml import target
from mnv4_coreml.mil import Program
from mnv4_coreml.mil.program import OPERATORS
from mnv4_coreml.mil.saved import SavedModel, unpack
from mnv4_coreml.mlmodel import copied
from mnv4_mobile.errors import BundleError, ConfigError, LoweringError, MobileError
from tests.coreml.packages import MODEL, WEIGHTS, Layers, convert, write_mil
from tests.damage import damages

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


def rewrite(package, change):
    """Changes the program of a package."""
    model = SavedModel(package)
    change(model.function.block_specializations[model.function.opset])
    model.path.write_bytes(model.spec.SerializeToString())


def blob(block):
    """The first reference to the weight file."""
    values = (value for op in block.operations for value in op.attributes.values())
    return next(value.blobFileValue for value in values if value.HasField("blobFileValue"))


def outside(package, name, base):
    """Moves a file out of a package; two paths to it, from the folder `base` of the package."""
    foreign = package.parent / Path(name).name
    (package / name).rename(foreign)
    return {"absolute": str(foreign), "up": os.path.relpath(foreign, package / base)}


@pytest.mark.parametrize("form", ["absolute", "up"])
def test_no_model_outside_the_package(copy, form):
    manifest = copy / "Manifest.json"
    entries = json.loads(manifest.read_text())
    path = outside(copy, MODEL, "Data")[form]
    entries["itemInfoEntries"][entries["rootModelIdentifier"]]["path"] = path
    manifest.write_text(json.dumps(entries))
    with pytest.raises(BundleError, match=r"Manifest\.json: found the path '.*must stay inside"):
        Program(copy)


@pytest.mark.parametrize("form", ["absolute", "up"])
def test_no_weights_outside_the_package(copy, form):
    path = outside(copy, WEIGHTS, Path(MODEL).parent)[form]

    def change(block):
        for op in block.operations:
            for value in op.attributes.values():
                if value.HasField("blobFileValue"):
                    value.blobFileValue.fileName = f"@model_path/{path}"

    rewrite(copy, change)
    for read in (Program, target.inputs, target.operators):  # Core ML would follow it, used or not
        with pytest.raises(BundleError, match=r"model\.mlmodel: found the path '.*must stay"):
            read(copy)


def test_a_path_that_no_file_can_have(copy):
    rewrite(copy, lambda block: setattr(blob(block), "fileName", "a\0b"))
    with pytest.raises(BundleError, match=r"model\.mlmodel: found the path 'a\\x00b'"):
        Program(copy)


def test_a_path_in_a_block_that_never_runs(copy):
    def change(block):
        inner = block.operations[0].blocks.add().operations.add().attributes["x"]
        inner.immediateValue.tuple.values.add().blobFileValue.fileName = "../../secret"

    rewrite(copy, change)
    with pytest.raises(BundleError, match=r"found the path '\.\./\.\./secret'"):
        Program(copy)


def test_no_links_and_no_pipes(copy):
    weights = copy / WEIGHTS
    weights.rename(copy.parent / "weight.bin")
    weights.symlink_to(copy.parent / "weight.bin")
    with pytest.raises(BundleError, match=r"weight\.bin: is a link"):
        Program(copy)
    with pytest.raises(BundleError, match=r"weight\.bin: is a link"), copied(copy):
        pass
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(BundleError, match=r"weight\.bin: is a device, a FIFO"):
        target.operators(copy)


def widen(block):
    for op in block.operations:
        for dimension in op.outputs[0].type.tensorType.dimensions:
            dimension.constant.size = 2**40


def many_axes(block):
    dimensions = block.operations[-1].outputs[0].type.tensorType.dimensions
    dimensions.extend([dimensions[0]] * 20)


def many_operations(block):
    for _ in range(70_000):
        block.operations.add()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (widen, "must have 536870912 elements at most"),
        (many_axes, "found a tensor of 22 axes, must be 16 or less"),
        (many_operations, "has more than 65_536 operations"),
        (lambda block: setattr(blob(block), "offset", 2**64 - 1), "the program points to 18446744"),
    ],
)
def test_absurd_sizes_are_refused_before_memory_is_taken(copy, change, message):
    rewrite(copy, change)
    with pytest.raises(BundleError, match=rf"(model\.mlmodel|weight\.bin): .*{message}"):
        Program(copy)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("tile", {"x": np.zeros(4), "reps": [2**30]}),
        ("pad", {"x": np.zeros(4), "pad": [0, 2**30]}),
        ("add", {"x": np.zeros((2**15, 1)), "y": np.zeros(2**15)}),
        ("matmul", {"x": np.zeros((2**15, 1)), "y": np.zeros((1, 2**15))}),
        ("concat", {"values": [np.zeros(2**20)] * 2**10, "axis": 0}),
        ("upsample_bilinear", {"x": np.zeros((1, 1, 2, 2)), "scale_factor_height": 2**30}),
        (
            "conv",
            {
                "x": np.zeros((1, 1, 2, 2)),
                "weight": np.zeros((1, 1, 1, 1)),
                "pad_type": "custom",
                "pad": [0, 2**15, 0, 2**15],
            },
        ),
    ],
)
def test_a_result_without_bounds_takes_no_memory(name, arguments):
    with pytest.raises(ValueError, match="has more than 536870912 elements"):
        OPERATORS[name](**arguments)


def test_packed_numbers_are_as_many_as_there_are_bytes():
    with pytest.raises(ValueError, match="1 bytes for 1099511627776 numbers of 4 bits"):
        unpack(np.zeros(1, np.uint8), 4, (2**40,))


def test_a_blob_longer_than_any_file(copy):
    file = copy / WEIGHTS
    data = bytearray(file.read_bytes())
    data[72:80] = b"\xff" * 8
    file.write_bytes(data)
    with pytest.raises(BundleError, match=r"weight\.bin: found .* ends at 1844674407"):
        Program(copy)


@pytest.mark.parametrize("name", [MODEL, "Manifest.json"])
def test_long_files_are_not_read(copy, name):
    with (copy / name).open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BundleError, match=rf"{name}: found 1099511627776 bytes, must be 8388608"):
        Program(copy)


def test_a_manifest_nested_without_end(copy):
    (copy / "Manifest.json").write_text('{"itemInfoEntries": ' + "[" * 200_000)
    with pytest.raises(BundleError, match=r"Manifest\.json: a damaged manifest"):
        Program(copy)


def test_any_damage_is_an_error_of_ours(package, copy):
    refused = 0
    for name in (MODEL, WEIGHTS, "Manifest.json"):
        sound = (copy / name).read_bytes()
        for data in damages(sound, 60):
            (copy / name).write_bytes(data)
            for read in (
                target.inputs,
                target.operators,
                lambda path: target.lint(path, ["conv"]),
                Program,
            ):
                try:
                    read(copy)
                except MobileError as error:
                    assert str(error).startswith(str(copy))  # noqa: PT017
                    refused += 1
        (copy / name).write_bytes(sound)
    assert refused > 200


def test_runs_without_a_toolchain(package):
    """coremltools and torch take seconds to import; predicting must not pay for them."""
    code = """
import sys
from pathlib import Path
import numpy as np
from mnv4_coreml.mil import Program
from mnv4_coreml.mil.program import OPERATORS
Program(Path(sys.argv[1]))({"image": np.zeros((1, 16, 6, 6), np.float32)})
print(sorted({"torch", "coremltools"} & sys.modules.keys()))
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(package)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"
