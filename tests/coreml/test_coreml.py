"""Lowering to Core ML packages, judged by the bytes on disk."""

import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import create_autospec

import numpy as np
import pytest
import torch

from mnv4_coreml import session, target
from mnv4_coreml.lower import PROBABILITIES
from mnv4_coreml.mil import Program
from mnv4_coreml.mil.saved import SavedModel
from mnv4_coreml.speedups import coremltools
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.reference import eager
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.errors import BundleError, ConfigError, LoweringError
from mnv4_mobile.files import sha256
from mnv4_mobile.files import size as size_of
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, random_images
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.program.export import export
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import Lowered, completed
from mnv4_mobile.tensors import feed
from mnv4_mobile.testing import check_target, tiny_model

pytestmark = pytest.mark.toolchain("coreml")

SIZE = (56, 72)  # attention sees an odd map, 7 x 9
PREPROCESS = Preprocess(
    size=SIZE, crop=0.95, interpolation="bicubic", mean=IMAGENET_MEAN, std=IMAGENET_STD
)
LABELS = tuple(f"class {i}" for i in range(10))


class Case:
    """A network, what it was exported as, and what it computes."""

    def __init__(self, **options) -> None:
        options.setdefault("model", tiny_model(pooled_queries=True))
        self.spec = BuildSpec(preprocess=PREPROCESS, **options)
        net = MobileNetV4(self.spec.model, outputs=self.spec.outputs).eval()
        net.load_state_dict(random_state(self.spec.model, seed=1))
        self.program = export(net, self.spec, "nchw")
        self.images = random_images(PREPROCESS, self.spec.batch, seed=5)
        self.reference = eager(net, self.images, self.spec)

    def lower(self, out: Path, name: str = "fp32", *, io=None, labels=None, **options) -> Lowered:
        recipe = load_recipe(name)
        shared = replace(self.spec, labels=labels or self.spec.labels)
        spec = completed(shared, target, recipe, io=io, options=options)
        target.check(spec, recipe)
        return target.lower(self.program, spec, recipe, None, out)

    def worst_db(self, lowered: Lowered) -> float:
        """The lowest SQNR of all outputs, which must be the ones that were described."""
        session = target.open(lowered.path, 1)
        found = session(feed(lowered.input, self.images, PREPROCESS))
        assert {t.name: (t.shape, t.dtype) for t in lowered.outputs} == {
            name: (value.shape, str(value.dtype)) for name, value in found.items()
        }
        return min(sqnr_db(self.reference[t.kind], found[t.name]).min() for t in lowered.outputs)


def specification(lowered: Lowered):
    return SavedModel(lowered.path).spec


@pytest.fixture(scope="session")
def plain() -> Case:
    return Case()


@pytest.fixture(scope="session")
def pixels() -> Case:
    outputs = ("logits", "probabilities", "embedding", "stage_0")
    return Case(input="pixels", outputs=outputs, labels=LABELS)


@pytest.fixture(scope="session")
def package(plain, tmp_path_factory) -> Lowered:
    return lower_package(plain, tmp_path_factory.mktemp("plain") / "plain.mlpackage")


def lower_package(case: Case, out: Path) -> Lowered:
    return case.lower(out, "fp16", labels=LABELS, compute_unit="cpu_and_ne")


def test_contract(tmp_path):
    check_target(target, tmp_path)


def test_layers_that_float16_cannot_hold_are_float32(unscalable, tmp_path):
    lowered, found = unscalable(target, tmp_path / "a.mlpackage", "fp16")
    assert found > 40
    float32 = {layer.name for layer in lowered.layers if layer.precision == "float32"}
    assert {"stem.conv", "stem.act", "stages.0.0.expand.conv", "stages.1.4.softmax"} < float32


def test_importing_it_imports_no_toolchain():
    code = "import sys, mnv4_coreml.session; print({'torch', 'coremltools'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("recipe", "ios", "io", "casts"),
    [
        ("fp32", 16, "float32", 0),
        ("fp32", 18, "float32", 0),
        ("fp16", 16, "float32", 2),
        ("fp16", 17, "float16", 0),
    ],
)
def test_program_has_no_superfluous_operator(plain, tmp_path, recipe, ios, io, casts):
    lowered = plain.lower(tmp_path / "a.mlpackage", recipe, min_ios=ios, io=io)
    operators = target.operators(lowered.path)
    assert not {"transpose", "batch_norm", "sub", "clip", "identity"} & operators.keys()
    assert operators.get("cast", 0) == casts
    assert (operators["softmax"], operators["upsample_bilinear"]) == (1, 1)
    assert specification(lowered).specificationVersion == {16: 7, 17: 8, 18: 9}[ios]
    assert lowered.requires == {"min_ios": f"{ios}", "compute_unit": "cpu_and_ne"}
    assert (lowered.input.dtype, lowered.outputs[0].dtype) == (io, io)
    assert plain.worst_db(lowered) >= {"fp32": 95, "fp16": 35}[recipe]


@pytest.mark.parametrize("batch", [1, 2])
def test_attention_is_two_products_of_all_heads(batch, tmp_path):
    lowered = Case(batch=batch).lower(tmp_path / "a.mlpackage", "fp16")
    model = SavedModel(lowered.path)
    types, makers, found = {}, {}, []
    for operation in model.block().operations:
        for output in operation.outputs:
            types[output.name] = model.tensor_type(output.type)[1]
            makers[output.name] = operation.type
        if operation.type == "matmul":
            found.append([argument.arguments[0].name for argument in operation.inputs.values()])
    operands = [name for names in found for name in names if len(types[name]) == 4]
    assert [len(found), len(operands)] == [2, 4]
    assert {types[name][:2] for name in operands} == {(batch, 1)}
    assert {makers[name] for name in operands} == {"reshape", "softmax", "add"}  # their offsets
    used = target.operators(lowered.path)
    assert not {"transpose", "tile", "slice_by_index", "split", "concat"} & used.keys()
    assert used["reshape"] == 5  # queries, keys, values and their sum; the logits


@pytest.mark.parametrize(
    ("body", "head", "operators"),
    [
        ("gelu", "relu6", {"gelu": 9, "clip": 1}),
        ("silu", "hard_swish", {"silu": 9, "sigmoid_hard": 1}),
        ("swish", "leaky_relu", {"silu": 9, "leaky_relu": 1}),
    ],
)
def test_activations(body, head, operators, tmp_path):
    model = tiny_model(body)
    case = Case(model=replace(model, head=replace(model.head, act=head)))
    lowered = case.lower(tmp_path / "a.mlpackage")
    assert target.operators(lowered.path).items() >= operators.items()
    assert case.worst_db(lowered) >= 95


def test_batch_has_its_probabilities_as_a_tensor(tmp_path):
    case = Case(batch=2, outputs=("probabilities", "stage_1"), labels=LABELS)
    lowered = case.lower(tmp_path / "a.mlpackage")
    assert [t.name for t in lowered.outputs] == ["probabilities", "stage_1"]
    assert lowered.input.shape == (2, 3, *SIZE)
    assert case.worst_db(lowered) >= 95


@pytest.mark.parametrize(
    ("recipe", "io", "casts", "least"), [("fp32", "float32", 0, 95), ("fp16", "float16", 2, 30)]
)
def test_classifier_with_image_input(pixels, tmp_path, recipe, io, casts, least):
    before = str(pixels.program)
    lowered = pixels.lower(tmp_path / "a.mlpackage", recipe, io=io)
    assert str(pixels.program) == before  # it is shared with other targets
    assert lowered.input.dtype == "uint8"
    assert lowered.input.shape == (1, *SIZE, 3)
    assert {t.name: t.kind for t in lowered.outputs}["classLabel_probs"] == "probabilities"
    operators = target.operators(lowered.path)
    assert (operators.get("cast", 0), operators["sub"], operators["classify"]) == (casts, 1, 1)
    assert pixels.worst_db(lowered) >= least

    description = specification(lowered).description
    (image,) = description.input
    assert image.name == "image"
    assert (image.type.imageType.height, image.type.imageType.width) == SIZE
    assert description.predictedFeatureName == "classLabel"
    assert description.predictedProbabilitiesName == "classLabel_probs"
    program = Program(lowered.path)
    assert program.class_labels == LABELS
    label = program({"image": pixels.images})["classLabel"].item()
    assert label == LABELS[pixels.reference["logits"].argmax()]


def test_labels_and_preprocessing_are_in_the_metadata(package):
    description = specification(package).description
    metadata = description.metadata.userDefined
    assert json.loads(metadata["labels"]) == list(LABELS)
    assert json.loads(metadata["preprocess"]) == {
        "size": list(SIZE),
        "crop": 0.95,
        "interpolation": "bicubic",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "inside": False,
    }
    assert metadata["compute_unit"] == package.requires["compute_unit"] == "cpu_and_ne"
    assert description.predictedFeatureName == ""
    assert all(f.shortDescription for f in (*description.input, *description.output))


def test_another_process_gives_the_same_bytes(package, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from test_coreml import *; lower_package(Case(), Path(sys.argv[2]))"
    )
    out = tmp_path / "again.mlpackage"
    subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(out)],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
    )
    assert sha256(out) == sha256(package.path)


@pytest.mark.parametrize(
    ("options", "recipe", "message"),
    [
        ({"layout": "nhwc"}, "fp32", "layout: found 'nhwc', supported: nchw"),
        ({"input": "pixels", "batch": 2}, "fp32", "batch: found 2, supported: 1 .*--batch"),
        ({"io": "float16"}, "fp32", "io: found 'float16', supported: float32"),
        ({"io": "int8"}, "int8", "min_ios: found 17, supported: 26 or later .*, for --io int8"),
        ({"io": "uint8"}, "int8", "io: found 'uint8', supported: float32, float16 and int8"),
        (
            {"outputs": ("probabilities",), "labels": ("crane",) * 10},
            "fp32",
            "labels: found 'crane' more than once",
        ),
    ],
)
def test_refuses(options, recipe, message):
    spec = BuildSpec(model=tiny_model(), preprocess=PREPROCESS, **options)
    spec = completed(spec, target, load_recipe(recipe), io=spec.io)
    with pytest.raises(LoweringError, match=f"^coreml: {message}"):
        target.check(spec, load_recipe(recipe))


def test_coremltools_still_reads_bytes_without_a_scale():
    """If this fails, coremltools may do what `integer_io` does."""

    class Half(torch.nn.Module):
        def forward(self, x):
            return x * 0.5

    class Bytes(torch.nn.Module):
        def forward(self, x):
            return x.to(torch.float32) * 0.5

    ct = coremltools()

    def program(module, x):
        exported = torch.export.export(module, (x,)).run_decompositions({})
        model = ct.convert(
            exported,
            inputs=[ct.TensorType("x", shape=(3,), dtype=np.int8)],
            outputs=[ct.TensorType("y", dtype=np.int8)],
            minimum_deployment_target=ct.target.iOS26,
            skip_model_load=True,
        )
        return [op.op_type for op in model._mil_program.functions["main"].operations]

    operations = program(Half(), torch.rand(3))
    assert [name for name in operations if name != "const"] == ["cast", "mul", "cast"]
    with pytest.raises(KeyError, match="int8"):
        program(Bytes(), torch.zeros(3, dtype=torch.int8))


def test_full_disk_is_an_os_error(plain, tmp_path):
    out = tmp_path / "a.mlpackage"
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, old[1]))
    try:
        with pytest.raises(OSError, match="cannot write"):
            plain.lower(out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not out.exists()


def test_opening_a_package_with_coremltools_does_not_damage_it(package, tmp_path):
    copy = Path(shutil.copytree(package.path, tmp_path / "copy.mlpackage"))
    written = (copy / "Manifest.json").stat().st_mtime_ns
    coremltools().models.MLModel(str(copy), skip_model_load=True)
    assert (copy / "Manifest.json").stat().st_mtime_ns != written  # it was written anew
    assert sha256(copy) == sha256(package.path)


@pytest.mark.parametrize("damage", ["Manifest.json", "model.mlmodel", "weight.bin"])
def test_damaged_package_is_refused_by_name(package, tmp_path, damage):
    copy = tmp_path / "copy.mlpackage"
    shutil.copytree(package.path, copy)
    (file,) = copy.rglob(damage)
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(BundleError, match=damage):
        target.open(copy, 1)


def _each_function_is_loaded_on_a_mac(package, sizes, monkeypatch):
    ct = coremltools()
    models = [create_autospec(ct.models.MLModel, instance=True) for _ in sizes]
    made = create_autospec(ct.models.MLModel, side_effect=models)
    monkeypatch.setattr(ct.models, "MLModel", made)
    run = session._core_ml(package, "cpu_only")
    named = [call.kwargs["function_name"] for call in made.call_args_list]
    assert named == ["main", "size_32x64"]
    for size, model in zip(sizes, models, strict=True):
        model.predict.return_value = {"stage_0": np.zeros(1)}
        assert list(run({"image": np.zeros((1, *size, 3), np.uint8)})) == ["stage_0"]
        model.predict.assert_called_once()


def test_a_package_has_a_function_for_each_size(small, tmp_path, monkeypatch):
    sizes = (64, 64), (32, 64)
    recipe = load_recipe("fp32")
    spec = replace(small.spec, more_sizes=sizes[1:], outputs=("probabilities", "stage_0"))
    spec = replace(spec, input="pixels", labels=tuple(f"class {i}" for i in range(10)))
    spec = completed(spec, target, recipe)
    assert spec.options["min_ios"] == 18
    target.check_sizes(spec)
    net = MobileNetV4(spec.model, spec.outputs).eval()
    net.load_state_dict(small.net.state_dict())
    parts = [
        target.lower(
            export(net, spec.at(size), "nchw"),
            spec.at(size),
            recipe,
            None,
            tmp_path / f"{size[0]}.mlpackage",
        )
        for size in sizes
    ]
    joined = target.join(parts, spec, tmp_path / "joined.mlpackage")
    assert joined == replace(parts[0], path=joined.path)
    assert target.inputs(joined.path) == target.inputs(parts[0].path)
    assert target.operators(joined.path) == target.operators(parts[0].path)
    assert SavedModel(joined.path).functions == ("main", "size_32x64")
    metadata = SavedModel(joined.path).spec.description.metadata.userDefined
    assert {"preprocess", "compute_unit", "labels"} <= metadata.keys()
    folder = "Data/com.apple.CoreML/weights"
    weights = [size_of(path / folder) for path in (joined.path, parts[0].path)]
    assert weights[0] < 1.5 * weights[1]
    run = target.open(joined.path, 1)
    for size, part in zip(sizes, parts, strict=True):
        one = spec.at(size)
        image = random_images(one.preprocess, 1, seed=0)
        found, alone = run({"image": image}), target.open(part.path, 1)({"image": image})
        reference = eager(net, image, one)
        assert found.keys() == alone.keys() == {PROBABILITIES, "stage_0"}
        assert all((found[name] == alone[name]).all() for name in found)
        assert sqnr_db(reference["stage_0"], found["stage_0"]).min() > 100
    _each_function_is_loaded_on_a_mac(joined.path, sizes, monkeypatch)
    with pytest.raises(ConfigError, match=r"must be uint8 of shape \(1, 64, 64, 3\)"):
        run({"image": np.zeros((1, 96, 64, 3), np.uint8)})


@pytest.mark.parametrize(
    ("options", "io", "message"),
    [
        (
            {"min_ios": 17},
            None,
            "min_ios: found 17, supported: 18 or later for input sizes 64x64_32",
        ),
        ({"min_ios": 26}, "int8", "io: found 'int8', supported: float32 and float16 for input siz"),
    ],
)
def test_sizes_that_no_package_can_have(small, options, io, message):
    spec = replace(small.spec, more_sizes=((32, 64),))
    spec = completed(spec, target, load_recipe("fp32"), io=io, options=options)
    with pytest.raises(LoweringError, match=message):
        target.check_sizes(spec)
