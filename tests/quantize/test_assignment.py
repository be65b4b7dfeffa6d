"""What a recipe quantizes, the same for all targets."""

import pytest

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.program.export import export
from mnv4_mobile.program.operations import operations
from mnv4_mobile.quantize.assignment import OVERFLOWS, assignments, layers, wide
from mnv4_mobile.quantize.neural_engine import rounded_values
from mnv4_mobile.recipe import INT16, Keep, KeepOn, load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.testing import tiny_model

RECIPE = load_recipe("int8")


@pytest.fixture(scope="module")
def graph():
    model = tiny_model("gelu", pooled_queries=True)
    preprocess = Preprocess(
        size=(64, 64), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    spec = BuildSpec(model=model, preprocess=preprocess, outputs=("logits", "stage_0"))
    net = MobileNetV4(model, spec.outputs)
    net.load_state_dict(random_state(model, 0))
    return export(net.eval(), spec, "nhwc").graph


def schemes(graph, recipe):
    return {
        s.operation.name: s.scheme for s in assignments(graph, recipe, weights_alone="int8-weights")
    }


PER_UNIT = """
description: x
precision: float32
weights: {bits: 8}
activations: {mode: static}
keep: {after_pooling: true, modules: [stem], npu: {after_pooling: false}, gpu: {modules: []}}
calibration: {images: 8}
gate: {sqnr_db: 1}
"""


def test_what_is_kept_may_differ_between_units(graph, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(PER_UNIT)
    recipe = load_recipe(str(path))
    kept = {unit: recipe.on(unit).keep for unit in ("cpu", "gpu", "npu")}
    assert kept == {
        "cpu": Keep(after_pooling=True, modules=("stem",)),
        "gpu": Keep(after_pooling=True),
        "npu": Keep(modules=("stem",)),
    }
    found = {unit: schemes(graph, recipe.on(unit)) for unit in kept}
    classifier = {unit: found[unit]["head.classifier"] for unit in found}
    assert classifier == {"cpu": "int8-weights", "gpu": "int8-weights", "npu": "int8"}
    stem = {unit: found[unit]["stem.conv"] for unit in found}
    assert stem == {"cpu": None, "gpu": "int8", "npu": None}
    # More modules are kept where the unit has its own, and otherwise on all units.
    for unit in kept:
        more = recipe.keep.with_modules(["final"], unit)
        assert more.on(unit).modules == (*kept[unit].modules, "final")
    assert recipe.keep.with_modules(["final"], "gpu").on("cpu").modules == ("stem",)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("{npu: {after_poling: false}}", "keep.npu.after_poling: unknown key"),
        ("{tpu: {after_pooling: false}}", "keep.tpu: unknown key"),
        ("{npu: {after_pooling: 1}}", "keep.npu.after_pooling: found 1, must be true or false"),
        ("{npu: {cpu: {}}}", "keep.npu.cpu: unknown key"),
        ("{npu: true}", "keep.npu: found"),
    ],
)
def test_a_mistake_in_what_a_unit_keeps_is_named(tmp_path, keep, message):
    path = tmp_path / "mine.yaml"
    path.write_text(PER_UNIT.replace("keep: {", f"keep: {keep}\n# {{"))
    with pytest.raises(ConfigError, match=message):
        load_recipe(str(path))


def test_a_pattern_of_any_unit_must_match(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(PER_UNIT.replace("gpu: {modules: []}", "gpu: {modules: [steam]}"))
    with pytest.raises(ConfigError, match="'steam' matches no module"):
        load_recipe(str(path)).check_keep(["stem.conv"])


def test_operations_have_the_names_of_layers(graph):
    found = [(operation.name, operation.kind) for operation in operations(graph)]
    assert len([name for name, kind in found if kind == "conv"]) == 24
    assert [name for name, kind in found if kind == "addition"] == [
        "stages.1.1.add",
        "stages.1.2.add",
        "stages.1.3.add",
        "stages.1.4.add",
    ]
    assert {name for name, kind in found if kind == "other"} == {
        "mean",
        *(f"stages.1.4.{part}" for part in ("avg_pool", "offset", "bmm", "softmax", "resize")),
    }
    assert ("stages.1.0.expand.act", "activation") in found


def test_the_shipped_recipe(graph):
    found = schemes(graph, RECIPE)
    assert found["stem.conv"] == found["stages.1.4.key.project"] == "int8"
    assert found["head.classifier"] == "int8-weights"
    assert found["stages.1.1.add"] is found["stages.1.4.softmax"] is found["mean"] is None
    listed = {
        layer.name: layer for layer in layers(assignments(graph, RECIPE, weights_alone="x"), RECIPE)
    }
    assert "stem.conv" not in listed
    assert listed["stages.1.1.add"].why == "keep.residual_additions"
    assert listed["stages.1.4.bmm"].precision == "float32"
    assert listed["head.conv.conv"].precision == "x"
    assert all(layer.why for layer in listed.values())


def test_nothing_is_kept_that_is_not_named(graph):
    recipe = replace(RECIPE, keep=Keep())
    found = schemes(graph, recipe)
    assert found["stages.1.1.add"] == found["head.classifier"] == "int8"
    listed = layers(assignments(graph, recipe, weights_alone="x"), recipe)
    (addition,) = (layer for layer in listed if layer.name == "stages.1.1.add")
    assert (addition.precision, addition.why) == ("int8", None)


def test_depthwise_convolutions_are_kept(graph):
    recipe = replace(RECIPE, keep=Keep(depthwise=True))
    listed = layers(assignments(graph, recipe, weights_alone="x"), recipe)
    kept = {layer.name for layer in listed if layer.why == "keep.depthwise"}
    assert {"stages.1.1.middle.conv", "stages.1.4.key.down.conv"} <= kept
    assert not {name for name in kept if "project" in name or "expand" in name or "stem" in name}


def test_modules_are_kept_with_all_that_is_in_them(graph):
    keep = Keep(modules=("stages.1.4", "*.middle", "stem.conv"))
    recipe = replace(RECIPE, keep=keep)
    assigned = assignments(graph, recipe, weights_alone="x")
    why = {one.operation.name: one.why for one in assigned if one.scheme is None}
    assert why["stages.1.4.key.down.conv"] == why["stages.1.4.add"] == "keep.modules: stages.1.4"
    assert why["stages.1.0.middle.conv"] == "keep.modules: *.middle"
    assert why["stem.conv"] == "keep.modules: stem.conv"
    assert "stages.1.0.expand.conv" not in why


def test_modules_with_activations_of_16_bits(graph):
    keep = Keep(after_pooling=True, modules=("stages.1.3",), int16=("stages.1.3", "*.add", "stem"))
    recipe = replace(RECIPE, keep=keep)
    assigned = assignments(graph, recipe, weights_alone="int8-dynamic")
    found = {one.operation.name: (one.scheme, one.why) for one in assigned}
    assert found["stem.conv"] == (INT16, "keep.int16: stem")
    assert found["stages.1.1.add"] == (INT16, "keep.int16: *.add")
    assert found["stages.1.3.add"] == (None, "keep.modules: stages.1.3")
    assert found["head.classifier"] == ("int8-dynamic", "keep.after_pooling")
    assert found["stages.1.1.middle.conv"] == ("int8", None)
    everything = load_recipe("w8a16")
    assert everything.scheme == INT16
    assert {*schemes(graph, everything).values()} == {INT16, None}
    with pytest.raises(ConfigError, match=r"keep\.int16: 'steam' matches no module"):
        replace(recipe, keep=Keep(npu=KeepOn(int16=("steam",)))).check_keep(["stem.conv"])


def test_a_pattern_that_matches_nothing_is_refused(graph):
    recipe = replace(RECIPE, keep=Keep(modules=("stem", "stages.9.*")))
    with pytest.raises(ConfigError, match=r"'stages\.9\.\*' matches no module; .*final"):
        assignments(graph, recipe, weights_alone="x")


@pytest.mark.parametrize("name", ["int8-weights", "int8-dynamic"])
def test_without_ranges_only_convolutions_are_quantized(graph, name):
    recipe = load_recipe(name)
    assert recipe.scheme == name
    found = schemes(graph, recipe)
    assert {scheme for layer, scheme in found.items() if layer.endswith("conv")} == {name}
    assert found["stages.1.1.add"] is None
    assert layers(assignments(graph, recipe, weights_alone="x"), recipe) == ()


def test_values_are_rounded_where_the_neural_engine_fuses(graph):
    convolutions = [one.node for one in operations(graph) if one.kind == "conv"]
    found = rounded_values(convolutions, inputs=())
    assert all(node in found for node in convolutions if "output" not in map(str, node.users))
    gelu = [node for node in found if "gelu" in str(node.target)]
    assert gelu  # a convolution reads it
    assert all(node.args[0] in found for node in gelu)


def test_what_may_overflow_and_what_reads_it_is_computed_in_float32(graph):
    found = wide(graph, ("stem.act", "stages.1.4.key.project", "stages.1.4.query"))
    reads = "guard: reads stages.1.4."
    assert {layer.name: layer.why for layer in found.layers} == {
        "stem.act": OVERFLOWS,
        "stages.0.0.expand.conv": "guard: reads stem.act",
        "stages.1.4.query": OVERFLOWS,
        "stages.1.4.key.project": OVERFLOWS,
        "stages.1.4.offset": f"{reads}key.project",
        "stages.1.4.bmm": f"{reads}query",
    }
    named = {operation.node for operation in operations(graph)}
    between = [node.target.__name__ for node in found.nodes if node not in named]
    assert {name.split(".")[0] for name in between} <= {"permute", "reshape", "flatten", "view"}
    assert between
    assert not wide(graph, ()).nodes
