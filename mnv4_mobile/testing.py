"""The contract that every target keeps, as a test that third parties can use too.

    from mnv4_mobile.testing import check_target

    def test_contract(tmp_path):
        check_target(my_package.target, tmp_path)

The target's toolchain must be installed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.bundle.parity import compare
from mnv4_mobile.configs import shipped
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, random_images
from mnv4_mobile.model.form import Form
from mnv4_mobile.model.spec import ConvSpec, FusedIBSpec, HeadSpec, MMQASpec, ModelSpec, UIRSpec
from mnv4_mobile.recipe import Recipe, load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Target, completed, target_names
from mnv4_mobile.tensors import Io, feed
from mnv4_mobile.units import UNITS

if TYPE_CHECKING:
    from torch.export import ExportedProgram


_NAME = re.compile(r"[a-z][a-z0-9_]*")


def tiny_model(act: str = "relu", *, pooled_queries: bool = False) -> ModelSpec:
    """Returns a network of a few thousand parameters with every kind of block."""
    return ModelSpec(
        name="tiny",
        stem=ConvSpec(out_channels=8, kernel_size=3, stride=2),
        stages=(
            (FusedIBSpec(out_channels=16, hidden_channels=32, kernel_size=3, stride=2),),
            (
                _uir(extra=3, middle=5, stride=2),
                _uir(extra=None, middle=3, stride=1),
                _uir(extra=3, middle=None, stride=1),
                _uir(extra=None, middle=None, stride=1),
                MMQASpec(
                    out_channels=24,
                    attention_channels=32,
                    num_heads=4,
                    query_pooling_stride=2 if pooled_queries else None,
                    kv_kernel_size=3,
                    kv_stride=2,
                ),
            ),
        ),
        final=ConvSpec(out_channels=40, kernel_size=1, stride=1),
        head=HeadSpec(hidden_channels=48, num_classes=10, act=act),
        act=act,
        layer_scale=0.5,
        features=(0, 1),
        input_size=(64, 64),
    )


def _uir(*, extra: int | None, middle: int | None, stride: int) -> UIRSpec:
    return UIRSpec(
        out_channels=24,
        hidden_channels=48,
        extra_kernel_size=extra,
        middle_kernel_size=middle,
        stride=stride,
    )


def check_target(target: Target, folder: Path) -> None:
    """Lowers a tiny network with every float recipe of a target, runs it and compares.

    Args:
        target: The target to test; its toolchain must be installed.
        folder: An empty folder to write to.

    Raises:
        AssertionError: The target breaks its contract.
    """
    from mnv4_mobile.builder.reference import eager
    from mnv4_mobile.model.net import MobileNetV4
    from mnv4_mobile.model.random_weights import random_state
    from mnv4_mobile.program.export import export

    assert isinstance(target, Target), "does not satisfy mnv4_mobile.target.Target"
    model = tiny_model()
    spec = BuildSpec(
        model=model,
        preprocess=Preprocess(
            size=model.input_size,
            crop=1.0,
            interpolation="bilinear",
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
        ),
        outputs=("logits", "embedding", "stage_0"),
    )
    net = MobileNetV4(model, spec.outputs)
    net.load_state_dict(random_state(model, 0))
    net.eval().requires_grad_(False)
    images = random_images(spec.preprocess, 1, seed=0)
    reference = eager(net, images, spec)
    _check_declarations(target)
    shared = spec
    programs: dict[Form, ExportedProgram] = {}
    for name in sorted(target.schemes & {"fp32", "fp16"}):
        recipe = load_recipe(name)
        spec = completed(shared, target, recipe)
        target.check(spec, recipe)
        assert target.made_for(spec) in UNITS, f"made for {target.made_for(spec)!r}"
        form = target.form(spec, recipe)
        if form not in programs:
            programs[form] = export(net, spec, form)
        program, before = programs[form], _fingerprint(programs[form])
        out = folder / f"{name}{target.suffix}"
        lowered = target.lower(program, spec, recipe, None, out)
        assert lowered.path == out, "lowers to another path than it was given"
        assert out.exists(), "did not write the artifact"
        assert [p.name for p in folder.iterdir() if p.name.startswith(name)] == [out.name], (
            "leaves other files beside the artifact"
        )
        assert _fingerprint(program) == before, "changes the program, which other targets share"
        assert [o.kind for o in lowered.outputs] == list(spec.outputs), "outputs out of order"
        assert target.operators(out), "finds no operator in its own artifact"
        said = replace(lowered.input, layout=None)
        assert target.inputs(out) == (said,), f"inputs: {target.inputs(out)}, must be {said}"
        assert target.runtime(), "does not say what runs its artifacts"
        undeclared = set(lowered.requires) - set(target.requires)
        assert not undeclared, f"requires has keys that the target does not declare: {undeclared}"
        for output in (lowered.input, *lowered.outputs):
            assert output.dtype == spec.io, f"{output.name}: {output.dtype}, io is {spec.io}"
        fed = feed(lowered.input, images, spec.preprocess)
        found = target.open(out, 1)(fed)
        for unit in (unit for unit, executor in target.units.items() if not executor.missing):
            assert target.open(out, 1, unit)(fed).keys() == found.keys(), f"{unit}: other outputs"
        for output in lowered.outputs:
            expected = reference[output.kind]
            if output.layout == "nhwc":
                expected = np.moveaxis(expected, 1, -1)
            value = found[output.name]
            assert value.shape == output.shape, f"{output.name}: shape {value.shape}"
            assert str(value.dtype) == output.dtype, f"{output.name}: {value.dtype}"
            parity = compare(expected, value, classes=False, gate_db=recipe.gate.sqnr_db)
            assert parity.sqnr_db >= recipe.gate.sqnr_db, f"{name} {output.name}: {parity}"


def _check_declarations(target: Target) -> None:
    """Checks what a target declares, without its toolchain."""
    names = [option.name for option in target.options]
    assert len(set(names)) == len(names), f"options: found one twice: {names}"
    recipes = [recipe for name in shipped("recipes") if _maps(target, recipe := load_recipe(name))]
    for option in target.options:
        place = f"option {option.name}"
        assert _NAME.fullmatch(option.name), f"{place}: must be lower case letters, digits and _"
        assert option.help, f"{place}: has no help"
        assert option.values or option.type is not list, f"{place}: a list must have values"
        for value in option.values:
            assert option.read(value, place) == (value,), f"{place}: does not take {value!r}"
        for recipe in recipes:
            default = option.default_for(recipe)
            assert option.read(default, place) == (default,), f"{place}: bad default {default!r}"
    assert target.units, "units: has none on this machine"
    for unit, executor in target.units.items():
        assert unit in UNITS, f"units: found {unit!r}"
        assert executor.name, f"units: {unit}: does not say what runs it"
    for key, meaning in target.requires.items():
        assert _NAME.fullmatch(key), f"requires: {key}: must be lower case letters, digits and _"
        assert meaning, f"requires: {key}: has no meaning"
    assert all(isinstance(name, str) for name in target.distributions), "distributions: not texts"
    assert target.base is None or target.base in target_names(), f"base: no target {target.base}"
    assert target.base != target.name, "base: builds on itself"
    for recipe in recipes:
        assert target.io(recipe) in get_args(Io), f"io: found {target.io(recipe)!r}"


def _maps(target: Target, recipe: Recipe) -> bool:
    return recipe.scheme in target.schemes


def _fingerprint(program: ExportedProgram) -> tuple[str, list[tuple[str, str, float]]]:
    weights = [(n, str(t.dtype), float(t.double().sum())) for n, t in program.state_dict.items()]
    return str(program.graph), weights
