"""One bundle that takes several input sizes."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import yaml

from mnv4_mobile import Options, build, load, verify
from mnv4_mobile.bundle.folder import open_bundle
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.errors import BundleError, ConfigError, DeviceError, ParityError
from mnv4_mobile.sdks.shipping import ship
from tests.builder.test_matrix import PARAMS, STAGES

SIZES = (48, 48), (32, 64), (64, 64)
COMMAND = ("build", "demo", "--input-size")
DELEGATES = """
import sys
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1], num_threads=1)
(entry,) = interpreter.get_input_details()
for size in ((48, 48), (32, 64), (64, 64)):
    interpreter.resize_tensor_input(entry["index"], (1, *size, 3))
    interpreter.allocate_tensors()
    planned = [one["op_name"] for one in interpreter._get_ops_details()]
    print(planned.count("DELEGATE"), planned[-1])
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A network of three convolutions and one block."""
    file = tmp_path_factory.mktemp("sizes") / "tiny.yaml"
    file.write_text(
        yaml.safe_dump({"name": "mobilenetv4", "params": PARAMS, "stage_params": STAGES})
    )
    return file


@pytest.fixture(scope="module")
def bundle(tiny, _cache):
    """A LiteRT bundle that takes pixels and returns the embedding and a feature map."""
    (built,) = build(
        str(tiny),
        weights="random:0",
        out=tiny.parent / "out",
        targets=["tflite"],
        options=Options(
            size=SIZES[0],
            more_sizes=SIZES[1:],
            input="pixels",
            outputs=("embedding", "stage_0"),
        ),
    )
    return built


@pytest.mark.toolchain("tflite")
def test_a_bundle_says_and_keeps_its_sizes(bundle, mnv4):
    manifest = bundle.manifest
    assert manifest.id == "tiny-48x48_32x64_64x64-fp32-pixels-embedding-stage_0-tflite"
    assert manifest.sizes == SIZES
    at = manifest.at((32, 64))
    assert at.inputs[0].shape == (1, 32, 64, 3)
    assert [output.shape for output in at.outputs] == [(1, 24), (1, 8, 16, 8)]
    assert at.sizes == ((32, 64), (48, 48), (64, 64))
    assert at.at((48, 48)) == manifest
    assert "golden/32x64/eager.stage_0.bin" in bundle.files
    assert "golden/eager.stage_0.bin" in bundle.at((64, 64)).files
    with pytest.raises(ConfigError, match=r"found 32x32, tiny-.* takes: 48x48, 32x64, 64x64"):
        bundle.at((32, 32))
    _, shown, _ = mnv4("inspect", bundle.path)
    assert "at 32x64" in shown
    assert "stage_0 1 x 8 x 16 x 8; SQNR in dB: embedding 1" in shown


@pytest.mark.toolchain("tflite")
def test_every_size_is_verified_from_the_bytes(bundle, tmp_path, mnv4):
    (parity,) = verify(bundle).values()
    sizes = ("", " at 32x64", " at 64x64")
    names = {f"{output}{size}" for size in sizes for output in ("embedding", "stage_0")}
    assert parity.keys() == names
    assert min(one.sqnr_db for one in parity.values()) > 100
    bundle.copy_to(tmp_path / "copy")
    wrong = tmp_path / "copy" / "golden/64x64/eager.embedding.bin"
    wrong.write_bytes(bytes(len(wrong.read_bytes()) - 4) + np.float32(1).tobytes())
    with pytest.raises(BundleError, match=r"64x64/eager\.embedding\.bin: damaged"):
        verify(tmp_path / "copy")
    file = tmp_path / "copy" / "manifest.json"
    document = json.loads(file.read_text())
    for entry in document["more_sizes"][1]["golden"]:
        if entry["path"] == "golden/64x64/eager.embedding.bin":
            entry["sha256"] = hashlib.sha256(wrong.read_bytes()).hexdigest()
    file.write_text(json.dumps(document))
    code, _, said = mnv4("verify", tmp_path / "copy")
    assert code == ParityError.exit_code
    assert "embedding at 64x64 at " in said
    wrong.unlink()
    with pytest.raises(BundleError, match=r"64x64/eager\.embedding\.bin: missing"):
        open_bundle(tmp_path / "copy")


@pytest.mark.toolchain("tflite")
def test_a_session_takes_these_sizes_alone_in_one_delegate(bundle):
    with load(bundle.at((64, 64))) as model:
        found = model.run([np.zeros((100, 90, 3), np.uint8)])
    assert found["stage_0"].shape == (1, 16, 16, 8)
    with (
        Worker("tflite", bundle.artifact) as worker,
        pytest.raises(DeviceError, match=r"found .*\(1, 40, 40, 3\).* or .*\(1, 32, 64, 3\)"),
    ):
        worker.run({"image": np.zeros((1, 40, 40, 3), np.uint8)})
    command = [sys.executable, "-c", DELEGATES, bundle.artifact]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.splitlines()[-3:] == ["1 DELEGATE"] * 3


@pytest.mark.toolchain("tflite")
@pytest.mark.peer("chromium")
def test_the_gpu_takes_every_size(bundle):
    (parity,) = verify(bundle, units=["gpu"]).values()
    assert len(parity) == 6
    assert min(one.sqnr_db for one in parity.values()) > 60


@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize("said", [b"48x48_32x64_64xno", b"48x40_32x64_64x64", b"48x48_32x64_64_64"])
def test_damaged_sizes_are_refused(bundle, tmp_path, said):
    from mnv4_tflite.reader import input_sizes

    assert input_sizes(bundle.artifact) == [(1, 32, 64, 3), (1, 64, 64, 3)]
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(bundle.artifact.read_bytes().replace(b"48x48_32x64_64x64", said))
    with pytest.raises(BundleError, match=r"damaged\.tflite: "):
        input_sizes(damaged)


@pytest.mark.toolchain("coreml")
def test_sizes_that_are_joined_share_rounded_weights(tiny, tmp_path):
    from mnv4_coreml.mil.saved import SavedModel

    recipe = tmp_path / "rounded.yaml"
    recipe.write_text(
        "description: all int8, rounded on a few images\nprecision: float32\n"
        "weights: {bits: 8, per: channel}\nactivations: {mode: static, range: minmax}\n"
        "calibration: {images: 4}\nprepare: [equalize, gptq]\ngate: {sqnr_db: 15}"
    )
    (built,) = build(
        str(tiny),
        weights="random:0",
        out=tmp_path / "out",
        targets=["coreml"],
        recipes=[str(recipe)],
        options=Options(
            size=(32, 32),
            more_sizes=((32, 48),),
            outputs=("embedding",),
            calibrate="random",
        ),
    )
    assert built.path.name == "tiny-32x32_32x48-rounded-embedding-coreml"
    assert built.manifest.requires["coreml.min_ios"] == "18"
    assert [entry.parity.keys() for entry in built.manifest.more_sizes] == [{"cpu"}]

    def blobs(name: str) -> set[int]:
        """The places of weights in the weight file that a function reads."""
        operations = SavedModel(built.artifact, name).block().operations
        values = [op.attributes["val"] for op in operations if op.type == "const"]
        return {one.blobFileValue.offset for one in values if one.HasField("blobFileValue")}

    assert blobs("main") == blobs("size_32x48")
    assert blobs("main")


@pytest.mark.toolchain("tflite")
def test_apps_get_a_pair_of_each_size(bundle, tmp_path):
    ship("shop", {"tiny": bundle}, tmp_path)
    shipped = open_bundle(next(tmp_path.iterdir()))
    for size in SIZES:
        golden = shipped.at(size).golden("input")["pixels"]
        assert golden.shape == (1, *size, 3)
        assert (golden[0] == bundle.at(size).golden("input")["pixels"]).all((1, 2, 3)).any()


@pytest.mark.toolchain("tflite")
def test_prediction_at_a_size(demo_bundle, mnv4):
    picture = "mnv4_mobile/demo/pictures/three.jpg"
    found = demo_bundle("tflite").path
    code, _, said = mnv4("predict", found, picture, "--input-size", "64")
    assert code == 2
    assert "input size: found 64x64, conv-small-035-96x96-" in said
    assert "takes: 96x96" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("96+96", "-t", "tflite"), "input size: found 96x96 twice, must be once"),
        (("96+100", "-t", "tflite"), "input size: found 100x100, both must be multiples of 32"),
        (
            ("96+64", "-t", "coreai"),
            "coreai: input size: found 96x96_64x64, supported: one size in an artifact",
        ),
        (("96+", "-t", "tflite"), "--input-size: found '', must be H or HxW"),
        (
            ("128+96", "-t", "snapdragon", "-r", "fp16", "--set", "snapdragon.soc=SM8750"),
            "snapdragon: input size: found 128x128_96x96, supported: one size in an artifact; "
            "separate them by commas",
        ),
        (
            ("96+128", "-t", "executorch"),
            "executorch: input size: found 96x96_128x128, supported: the largest height and the "
            "largest width first",
        ),
        (
            ("96+32", "-t", "executorch"),
            "executorch: input size: found 96x96_32x32, supported: sides of 64 or more",
        ),
    ],
)
def test_sizes_that_a_bundle_cannot_have(mnv4, tmp_path, arguments, message):
    code, _, said = mnv4(*COMMAND, *arguments, "-o", tmp_path / "out")
    assert code == 2
    assert message in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["tflite", "executorch"])
def test_attention_has_one_size_where_one_program_has_all(mnv4, tmp_path, target):
    network = ("hybrid-medium-075", "--weights", "random:0")
    code, _, said = mnv4(
        "build", *network, "--input-size", "96+64", "-t", target, "-o", tmp_path / "out"
    )
    assert code == 2
    assert f"{target}: input size: found 96x96_64x64, supported with attention (stages.2." in said
    assert not (tmp_path / "out").exists()


def test_a_head_of_ones_own_has_one_size(tmp_path):
    options = Options(size=(96, 96), more_sizes=((64, 64),), outputs=("stage_2",))
    with pytest.raises(ConfigError, match="head: found with the input sizes 96x96_64x64"):
        build("demo", out=tmp_path, targets=["tflite"], options=options, head=object())  # type: ignore[arg-type]
