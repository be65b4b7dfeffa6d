"""Compiled artifacts, judged by the bytes on disk, which Qualcomm's HTP library for x86 runs."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import mnv4_snapdragon.lower
from benchmarks.faults import Convolution, spoil
from mnv4_mobile import Options, build, files, verify
from mnv4_mobile.builder.reference import eager
from mnv4_mobile.bundle.folder import open_bundle, write_manifest
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.errors import BundleError, DeviceError, LoweringError, MobileError, ToolchainError
from mnv4_mobile.images import random_images
from mnv4_mobile.measuring.subject import open_subject
from mnv4_mobile.program.export import export
from mnv4_mobile.program.operations import operations
from mnv4_mobile.quality.predict import load
from mnv4_mobile.recipe import Keep, load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import completed
from mnv4_mobile.tensors import answer, feed
from mnv4_snapdragon import target
from mnv4_snapdragon.compiled import DISPATCH, SOURCE, program_of, read_compiled, source_of
from mnv4_snapdragon.session import open_session
from mnv4_snapdragon.socs import SOCS
from mnv4_snapdragon.speedups import installed_qairt
from mnv4_tflite.flatbuffer import pack
from mnv4_tflite.reader import Model

pytestmark = pytest.mark.toolchain("snapdragon")

PICTURES = Path(__file__).parents[2] / "mnv4_mobile" / "demo" / "pictures"


@pytest.fixture(scope="session")
def bundles(tmp_path_factory, demo_bundle):
    """The demo by recipe and SoC: fp16 for one SoC, int8 for two."""
    found = build(
        "demo",
        out=tmp_path_factory.mktemp("snapdragon"),
        targets=["snapdragon"],
        recipes=["int8"],
        options=Options(
            images=PICTURES,
            calibrate=PICTURES,
            options={"snapdragon": {"soc": ["SM8650", "SM8750"]}},
        ),
    )
    both = (demo_bundle("snapdragon"), *found)
    return {(one.manifest.recipe, one.manifest.options["soc"]): one for one in both}


@pytest.fixture(scope="module")
def program(small):
    """A small network's deploy form."""
    return export(small.net, small.spec, "nhwc")


@pytest.fixture(scope="module")
def quantized(small, program):
    """A function that lowers the small network in int8 to a path."""
    recipe = load_recipe("int8")
    images = random_images(small.spec.preprocess, 4, seed=0)

    def lower(out, recipe=recipe, io=None, **options):
        spec = completed(small.spec, target, recipe, io=io, options={"soc": "SM8750", **options})
        return target.lower(program, spec, recipe, images, out)

    return lower


def test_contract(tmp_path):
    """Runs in a process of its own, as other targets' runtimes may be in this one."""
    code = (
        "import sys; from pathlib import Path; from mnv4_mobile.testing import check_target; "
        "import mnv4_snapdragon; check_target(mnv4_snapdragon.target, Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_a_bundle_for_each_soc(bundles):
    assert len(bundles) == 3
    for (recipe, soc), bundle in bundles.items():
        manifest = bundle.manifest
        assert manifest.id == f"conv-small-035-96x96-{recipe}-{soc}-snapdragon"
        assert manifest.requires == {
            "snapdragon.soc": soc,
            "snapdragon.htp": {"SM8650": "v75", "SM8750": "v79"}[soc],
            "snapdragon.qairt": installed_qairt(),
            "snapdragon.litert_qairt": "2.50.0",
        }
        assert target.operators(bundle.artifact) == {DISPATCH: 1}
        assert target.lint(bundle.artifact, ()) == []
        # The NPU computes fp16 where nothing is quantized.
        least = {"fp16": 50, "int8": 25}[recipe]
        assert manifest.parity["npu"]["logits"].sqnr_db > least
    whole = bundles["fp16", "SM8750"].artifact.stat().st_size
    assert bundles["int8", "SM8750"].artifact.stat().st_size < 0.6 * whole


def test_the_class_names_are_where_readers_of_metadata_look(bundles):
    bundle = bundles["int8", "SM8750"]
    with zipfile.ZipFile(bundle.artifact) as packed:
        assert packed.read("labels.txt").decode().split() == list(bundle.manifest.labels)
    metadata = Model(bundle.artifact).metadata["TFLITE_METADATA"]
    assert b"labels.txt" in bytes(metadata)


def test_the_head_has_activations_of_16_bits(bundles):
    layers = {one.name: one for one in bundles["int8", "SM8750"].manifest.layers}
    head = layers["head.classifier"]
    assert (head.precision, head.why) == ("int8-int16", "keep.after_pooling")
    assert layers["stem.conv"].precision == "int8"
    assert "float32" not in {one.precision for one in layers.values()}
    assert layers["mean"].precision == "float16"


def test_the_bytes_on_disk_are_what_runs(bundles):
    bundle = bundles["int8", "SM8750"]
    (parity,) = verify(bundle.path)["npu"].values()
    assert parity.sqnr_db == bundle.manifest.parity["npu"]["logits"].sqnr_db
    with load(bundle.path) as model:
        ((best, *_),) = model.classify([PICTURES / "seven.jpg"])
    assert best.label == "7"


def test_an_artifact_from_elsewhere_is_recognized_by_content(bundles, demo_bundle, tmp_path):
    plain = demo_bundle("tflite").artifact
    compiled = bundles["fp16", "SM8750"].artifact
    (tmp_path / "damaged.tflite").write_bytes(compiled.read_bytes()[:100])
    for path, name in ((plain, "tflite"), (compiled, "snapdragon")):
        assert open_subject(Path(shutil.copy(path, tmp_path))).artifact.target == name
    assert open_subject(tmp_path / "damaged.tflite").artifact.target == "tflite"
    with pytest.raises(BundleError, match="has no DISPATCH_OP: not compiled for an NPU"):
        target.lint(plain, ())


def test_what_the_npu_does_not_take_is_refused_unless_it_is_wanted(
    quantized, tmp_path, monkeypatch
):
    monkeypatch.setattr(mnv4_snapdragon.lower, "WEIGHTS_ALONE", "int8-dynamic")
    out = tmp_path / "a.tflite"
    with pytest.raises(LoweringError) as refused:
        quantized(out)
    assert str(refused.value) == (
        "snapdragon: soc SM8750: the NPU does not take CONV_2D head.conv.conv, CONV_2D "
        "head.classifier; --set snapdragon.partial=true leaves them to the CPU"
    )
    assert not out.exists()
    lowered = quantized(out, partial=True)
    assert "on the CPU, not the NPU: CONV_2D head.conv.conv, CONV_2D head.class" in lowered.notes[0]
    assert {(one.layer, one.what) for one in target.lint(out, ())} == {
        (f"head.{name}", "CONV_2D in float32, on the CPU") for name in ("conv.conv", "classifier")
    }
    # What is left to the CPU runs there, between and after the NPU's programs.
    assert target.operators(out)[DISPATCH] == 2
    monkeypatch.undo()
    whole = quantized(tmp_path / "b.tflite")
    image = np.random.default_rng(0).normal(size=whole.input.shape).astype(np.float32)
    found = []
    for path in (lowered.path, whole.path):
        with Worker("snapdragon", path) as worker:
            found.append(worker.run({"image": image})["logits"])
    assert sqnr_db(*found).min() > 25


def test_activations_of_16_bits(quantized, small, program, tmp_path):
    """All of them, or those of named modules next to integers of 8 bits inside and outside."""
    everything = quantized(tmp_path / "everything.tflite", load_recipe("w8a16"))
    recipe = load_recipe("int8")
    recipe = replace(recipe, keep=Keep(after_pooling=True, int16=("stem", "*.middle", "*.add")))
    some = quantized(tmp_path / "some.tflite", recipe, io="int8", watchable=True)
    assert target.operators(everything.path) == target.operators(some.path) == {DISPATCH: 1}
    layers = {one.name: (one.precision, one.why) for one in some.layers}
    assert layers["stem.conv"] == ("int8-int16", "keep.int16: stem")
    images = random_images(small.spec.preprocess, 1, seed=1)
    inputs = feed(some.input, images, small.spec.preprocess)
    convolutions = [one.name for one in operations(program.graph) if one.kind == "conv"]
    with Worker("snapdragon", some.path) as worker:
        given = worker.run(inputs)
        worker.load_watch(convolutions)
        values = worker.watch(inputs, {})
        again = worker.watch(inputs, values)
    found = answer(some.outputs, given, "")["logits"]
    assert sqnr_db(eager(small.net, images, small.spec)["logits"], found) > 10
    # Layers that compute from what they had computed from, in whatever integers, change nothing.
    assert {"stem.conv", "mean"} <= values.keys()
    for layer, value in values.items():
        np.testing.assert_array_equal(again[layer], value, layer)


def test_a_bias_of_more_than_32_bits_gets_a_coarser_scale():
    """Training may leave a channel without weights, but with a bias."""
    from ai_edge_litert.schema_py_generated import TensorType as kinds

    def tensor(kind, values, scale, buffer):
        quantization = SimpleNamespace(scale=np.array(scale), quantizedDimension=0, zeroPoint=0)
        buffers.append(SimpleNamespace(data=np.frombuffer(values.tobytes(), np.uint8)))
        return SimpleNamespace(
            type=kind, shape=values.shape, quantization=quantization, buffer=buffer
        )

    buffers = []
    weights = np.array([[[[100, -7]]], [[[100, -7]]]], np.int8)
    tensors = [
        tensor(kinds.INT16, np.zeros(2, np.int16), [0.5], 0),
        tensor(kinds.INT8, weights, [0.5, 1e-6], 1),
        tensor(kinds.INT64, np.array([3, -5 << 31], np.int64), [0.25, 5e-7], 2),
    ]
    operator = SimpleNamespace(inputs=[0, 1, 2])
    graph = SimpleNamespace(tensors=tensors, operators=[operator])
    model = SimpleNamespace(subgraphs=[graph], buffers=buffers)
    mnv4_snapdragon.lower._unsigned(model)
    image, weight, bias = tensors
    assert (image.type, image.quantization.zeroPoint) == (kinds.UINT16, 32768)
    assert bias.type == kinds.INT32
    read = [
        np.frombuffer(buffers[one.buffer].data, one_type)
        for one, one_type in ((weight, np.int8), (bias, np.int32))
    ]
    assert read[0].tolist() == [100, -7, 12, -1]
    assert read[1].tolist() == [3, -5 << 28]
    assert bias.quantization.scale == pytest.approx([0.25, 4e-6])
    assert weight.quantization.scale == pytest.approx([0.5, 8e-6])


def test_bytes_in_and_bytes_out(tmp_path):
    """Qualcomm's compiler computes something else for LiteRT's CAST of bytes."""
    options = Options(
        input="pixels",
        io="uint8",
        size=(64, 64),
        images=PICTURES,
        calibrate=PICTURES,
        options={"snapdragon": {"soc": "SM8750"}},
    )
    (bundle,) = build(
        "demo", out=tmp_path, targets=["snapdragon"], recipes=["int8"], options=options
    )
    assert bundle.manifest.parity["npu"]["logits"].sqnr_db > 25
    (image,), (logits,) = bundle.manifest.inputs, bundle.manifest.outputs
    assert (image.dtype, image.quantization) == ("uint8", None)
    assert logits.dtype == "uint8"


FAULTY = "stages.2.1.expand.conv"


@pytest.fixture
def watchable(demo_bundle, tmp_path):
    """The demo with a LiteRT model in its file, and the same with a fault in that model."""
    good, plain = demo_bundle("snapdragon"), demo_bundle("tflite").artifact.read_bytes()
    good.copy_to(tmp_path / "good")
    artifact = tmp_path / "good" / good.manifest.artifact.path
    artifact.write_bytes(pack(artifact.read_bytes(), SOURCE, plain))
    bundle = relisted(good.manifest, artifact)
    index = bundle.convolutions.index(FAULTY)
    none = np.zeros(0, np.float32)
    conv = Convolution(layer=FAULTY, weight=none, bias=none, stride=1, padding=0)
    return bundle, spoil("transposed", bundle, conv, index, tmp_path / "bad")


def test_diff_names_a_fault_in_the_program_before_the_last_compile(mnv4, demo_bundle, watchable):
    reference, bad = demo_bundle("tflite"), watchable[1]
    code, out, err = mnv4("diff", reference.path, bad.path, "--json", "--bound", 40)
    assert code == 0, err
    found = json.loads(out)
    assert found["executors"][bad.manifest.id] == "Qualcomm's HTP library for x86"
    (pair,) = found["pairs"]
    assert (pair["worst"]["layer"], pair["first_below"]["layer"]) == (FAULTY, FAULTY)
    assert not pair["missing"]
    assert min(one["own_db"] for one in pair["layers"] if one["layer"] != FAULTY) > 50


def test_a_file_whose_layers_cannot_be_known_is_refused(mnv4, demo_bundle, watchable):
    plain, (good, bad) = demo_bundle("snapdragon"), watchable
    # Before any work: these weights do not exist.
    code, out, err = mnv4("diff", plain.path, "--weights", "none.safetensors")
    assert (code, out) == (2, "")
    assert "build it again with --set snapdragon.watchable=true" in err
    data = plain.artifact.read_bytes()
    good.artifact.write_bytes(pack(data, SOURCE, source_of(bad.artifact)))
    inputs = feed(good.input, good.golden("input")["pixels"][:1], good.preprocess)
    message = "logits: the LiteRT model in it, compiled with more outputs, gives other values"
    with Worker("snapdragon", good.artifact) as worker:
        worker.load_watch(good.convolutions)
        with pytest.raises(BundleError, match=message):
            worker.watch(inputs, {})


def test_a_model_that_is_compressed_in_its_file_is_not_unpacked(demo_bundle, tmp_path):
    file = tmp_path / "x.tflite"
    file.write_bytes(demo_bundle("snapdragon").artifact.read_bytes())
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(SOURCE, bytes(1 << 20))
    with pytest.raises(BundleError, match=r"source\.tflite in it is compressed or encrypted"):
        source_of(file)


def relisted(manifest, artifact):
    """Opens a bundle whose artifact was changed."""
    entry = replace(manifest.artifact, bytes=files.size(artifact), sha256=files.sha256(artifact))
    write_manifest(artifact.parent, replace(manifest, artifact=entry))
    return open_bundle(artifact.parent)


def edited(path, out, *changes):
    """A copy of a file with bytes replaced by others of the same length."""
    data = path.read_bytes()
    for old, new in changes:
        assert old in data
        assert len(old) == len(new)
        data = data.replace(old, new)
    out.write_bytes(data)
    return out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"SM8750", b"SM9999"), "compiled for Qualcomm SM9999, must be for Qualcomm SM8350, "),
        ((b"Qualcomm", b"MediaTek"), "compiled for MediaTek SM8750, must be for Qualcomm"),
        ((b"DISPATCH_OP", b"DISPATCH_IT"), "has no DISPATCH_OP: not compiled for an NPU"),
        ((b"v2.50.", b"v9.50."), r"compiled with QAIRT 9.50.40, which the installed 2.50.40 refus"),
        ((b"bytecode_size", b"bytecode_sizz"), "a damaged LiteRT model: KeyError"),
    ],
)
def test_a_file_for_something_else_is_refused(bundles, tmp_path, change, message):
    path = edited(bundles["fp16", "SM8750"].artifact, tmp_path / "a.tflite", change)
    with pytest.raises(BundleError, match=message), Worker("snapdragon", path) as worker:
        worker.loads()


@pytest.mark.parametrize("part", ["start", "cut"])
def test_a_damaged_program_is_an_error(bundles, tmp_path, part):
    """The library refuses it, or dies of it in the worker's process."""
    whole = bundles["fp16", "SM8750"].artifact
    data, path = bytearray(whole.read_bytes()), tmp_path / "a.tflite"
    at = data.index(program_of(whole, read_compiled(whole).steps[0]).context[:64])
    match part:
        case "start":
            data[at : at + 64] = bytes(64)
        case "cut":
            del data[len(data) // 2 :]
    path.write_bytes(data)
    with pytest.raises(MobileError) as failed, Worker("snapdragon", path) as worker:
        worker.loads()
    print(part, failed.value)


def test_a_missing_library_is_named(bundles, monkeypatch, tmp_path):
    import onnxruntime_qnn

    monkeypatch.setattr(onnxruntime_qnn, "get_qnn_htp_path", lambda: str(tmp_path / "libQnnHtp.so"))
    with pytest.raises(ToolchainError, match=r"libQnnHtp.so: missing; pip install --force-reins"):
        open_session(bundles["fp16", "SM8750"].artifact, 1)


@pytest.mark.parametrize(
    ("what", "message"),
    [("os.abort()", "ended with code -6"), ("time.sleep(60)", "no answer in 3 s")],
)
def test_a_library_that_dies_or_hangs_ends_its_worker_only(
    bundles, monkeypatch, tmp_path, what, message
):
    """A package in front of Qualcomm's stands for a library that does so."""
    package = tmp_path / "onnxruntime_qnn"
    package.mkdir()
    (package / "__init__.py").write_text(f"import os, time\ndef get_qnn_htp_path():\n    {what}\n")
    (package / "build_and_package_info.py").write_text("qnn_version = '2.50.40'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = bundles["fp16", "SM8750"].artifact
    limit = 3 if "sleep" in what else 600
    with (
        pytest.raises(DeviceError, match=message) as failed,
        Worker("snapdragon", path, timeout_s=limit) as worker,
    ):
        worker.loads()
    assert failed.value.exit_code == 5


def test_the_socs_are_those_of_the_compiler():
    from ai_edge_litert.aot.vendors.qualcomm.target import SocModel

    assert {name for name in SocModel if name.startswith("SM")} == {*SOCS}
