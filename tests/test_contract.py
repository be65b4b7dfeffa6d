"""What `check_target` finds wrong with what a target says of itself, before it lowers anything."""

import re

import pytest

from mnv4_mobile.option import Option
from mnv4_mobile.testing import check_target
from mnv4_mobile.units import Executor


def option(**fields):
    return (Option(**{"name": "x", "type": int, "default": 1, "help": "x", **fields}),)


@pytest.mark.toolchain("coreml")
@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("options", option() * 2, "options: found one twice: ['x', 'x']"),
        ("options", option(name="X-1"), "option X-1: must be lower case letters, digits and _"),
        ("options", option(help=""), "option x: has no help"),
        ("options", option(type=list, default="a"), "option x: a list must have values"),
        ("options", option(values=(2, 3)), "option x: found 1, allowed: 2, 3"),
        ("options", option(values=(1, "b")), "option x: found 'b', allowed: 1, b"),
        (
            "options",
            option(default=lambda recipe, sizes: recipe.name),
            "option x: found 'fp16'",
        ),
        ("options", option(type=str, default="a b"), "option x: found 'a b', allowed: letters"),
        ("units", {}, "units: has none on this machine"),
        ("units", {"tpu": Executor(name="x")}, "units: found 'tpu'"),
        ("units", {"cpu": Executor(name="")}, "units: cpu: does not say what runs it"),
        ("requires", {"os": ""}, "requires: os: has no meaning"),
        ("requires", {"O S": "x"}, "requires: O S: must be lower case letters, digits and _"),
        ("distributions", (1,), "distributions: not texts"),
        ("base", "onnx", "base: no target onnx"),
        ("base", "chip", "base: builds on itself"),
        ("io", lambda recipe: "int4", "io: found 'int4'"),
    ],
)
def test_a_bad_declaration_is_named(chip, tmp_path, monkeypatch, attribute, value, message):
    monkeypatch.setattr(chip, attribute, value)
    with pytest.raises(Exception, match=re.escape(message)):
        check_target(chip, tmp_path)
