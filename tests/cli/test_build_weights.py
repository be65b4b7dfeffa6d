"""`mnv4 build WEIGHTS`: what is found, what is assumed, and what is refused."""

import json

import pytest
from safetensors.torch import load_file, save_file

from mnv4_mobile import Options, build
from mnv4_mobile.builder.matrix import cells
from mnv4_mobile.model.checkpoint_source import DEMO
from tests.notes import Notes

ASSUMED = (
    "assumed ImageNet mean and std, crop 0.875, bicubic; override with --mean, --std, --crop, "
    "--interpolation"
)


@pytest.fixture
def bare(tmp_path):
    """The demo's tensors without the metadata, under a trainer's prefix."""
    path = tmp_path / "my.safetensors"
    save_file({f"net.{name}": tensor for name, tensor in load_file(DEMO).items()}, path)
    return path


@pytest.mark.toolchain("tflite")
def test_a_file_alone_is_built_and_what_is_assumed_is_said(mnv4, bare, tmp_path):
    command = ("build", bare, "-t", "tflite", "--input-size", 96, "-o", tmp_path / "out")
    code, out, err = mnv4(*command, "--crop", 1, "--json")
    assert code == 0, err
    (built,) = json.loads(out)["bundles"]
    manifest = built["manifest"]
    assert manifest["model"]["name"] == "conv-small-035"
    assert manifest["model"]["weights"] == "my.safetensors"
    assert manifest["preprocess"]["assumed"] == ["mean", "std", "interpolation"]
    said = "assumed ImageNet mean and std, bicubic; override with --mean, --std, --interpolation"
    assert err.count(said) == 1
    # The same file by name is the same bundle.
    named = ("build", "mobilenetv4_conv_small_035", "--weights", bare, *command[2:])
    code, out, err = mnv4(*named, "--crop", 1, "--json")
    assert code == 0, err
    (again,) = json.loads(out)["bundles"]
    assert (again["cached"], again["manifest"]) == (True, manifest)


@pytest.mark.toolchain("tflite")
def test_python_takes_weights_alone(demo_bundle, tmp_path):
    (bundle,) = build(
        "demo", out=tmp_path, targets=["tflite"], options=Options(images=DEMO.parent / "pictures")
    )
    assert bundle.manifest == demo_bundle("tflite").manifest
    assert bundle.manifest.preprocess.assumed == ()


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({}, ASSUMED),
        ({"mean": (0.5,) * 3}, "assumed ImageNet std, crop 0.875, bicubic; override with --std"),
        ({"std": (0.5,) * 3}, "assumed ImageNet mean, crop 0.875, bicubic; override with --mean"),
        ({"mean": (0.5,) * 3, "std": (0.5,) * 3, "crop": 1.0, "interpolation": "bilinear"}, None),
    ],
)
def test_what_is_assumed_is_said_once(bare, options, note):
    progress = Notes()
    sizes = [Options(size=(side, side), **options) for side in (64, 96)]
    cells([str(bare)], None, ["tflite", "coreml"], ["fp32", "fp16"], sizes, progress=progress)
    found = [text for text in progress.notes if "assumed" in text]
    assert len(found) == (note is not None)
    assert all(text.startswith(note) for text in found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("demo", "--weights", "demo"),
            "--weights: found 'demo', but demo is weights already; leave one of them out, or name "
            "a model before --weights",
        ),
        (
            ("random:0",),
            "random:0: random weights fit any model, so name one: conv-small --weights random:0",
        ),
        (
            ("conv-small",),
            "--weights: missing for the model conv-small; allowed: the file or folder of a "
            "checkpoint, hf-hub:OWNER/NAME, demo, random:SEED",
        ),
        (("my.ckpt",), "my.ckpt: no such file"),
        (
            ("conv-medium", "--weights", "demo"),
            f"{DEMO}: these are the weights of conv-small-035, but conv-medium was asked for; "
            "leave the model out to build conv-small-035, or give other weights",
        ),
        (
            ("demo", "--mean", "123.675,116.28,103.53"),
            "--mean: found 123.675,116.28,103.53, must be at most 1, as samples are scaled to "
            "0..1; divide by 255: 0.485,0.456,0.406",
        ),
        (
            ("demo", "--std", "58.395,57.12,57.375"),
            "--std: found 58.395,57.12,57.375, must be at most 1, as samples are scaled to 0..1; "
            "divide by 255: 0.229,0.224,0.225",
        ),
    ],
)
def test_refuses(mnv4, tmp_path, arguments, message):
    out = tmp_path / "out"
    code, _, err = mnv4("build", *arguments, "-t", "tflite", "-o", out)
    assert (code, err) == (2, f"error: {message}\n")
    assert not out.exists()
