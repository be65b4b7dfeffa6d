"""Lint of assets: ours, and a network as it was trained."""

import pytest

from mnv4_coreai import lint as lint_module
from mnv4_coreai import target
from mnv4_coreai.asset import Call, Program, Tensor

pytestmark = pytest.mark.toolchain("coreai")


def lint(path, small):
    return {(f.rule, f.layer): f for f in target.lint(path, small.layers)}


def test_ours_transposes_the_keys_only(small, tmp_path):
    found = lint(small.lower(target, tmp_path / "a.aimodel", "fp16"), small)
    assert {rule for rule, _ in found} <= {"transpose", "channels"}
    assert [layer for rule, layer in found if rule == "transpose"] == ["stages.1.1.value.project"]


def test_a_network_as_it_was_trained(small, tmp_path):
    found = lint(small.lower(target, tmp_path / "a.aimodel", folded=False), small)
    assert {"float32", "transpose"} <= {rule for rule, _ in found}
    assert sum(rule == "transpose" for rule, _ in found) == 2  # ours has one


@pytest.mark.parametrize(
    ("kinds", "shape", "rule"),
    [
        (("broadcasting_batch_matmul",), (4, 4), "rank"),
        (("topk",), (1, 1, 4, 4), "neural-engine"),
        (("erf",), (1, 1, 4, 4), "decomposed"),
        (("get_shape",), (4,), "shapes"),
        (("dequantize", "quantize"), (1, 1, 4, 4), "conversion-pair"),
        (("transpose", "transpose"), (1, 1, 4, 4), "transpose-pair"),
        (("softmax",), (1, 1, 4, 4), None),
    ],
)
def test_operators_that_are_slow_or_reported_as_wrong(monkeypatch, kinds, shape, rule):
    values = [Tensor(shape=shape, dtype="float16") for _ in range(len(kinds) + 1)]
    axes = Tensor(shape=(4,), dtype="uint32", constant=True, sizes=(0, 1, 3, 2))
    program = Program(
        inputs=(("image", 0),),
        outputs=(("logits", len(kinds)),),
        values=(*values, axes),
        calls=tuple(
            Call(kind=kind, inputs=(at, len(values)), outputs=(at + 1,))
            for at, kind in enumerate(kinds)
        ),
    )
    monkeypatch.setattr(lint_module, "describe", lambda path: program)
    assert {f.rule for f in target.lint(None, ["a"])} == ({rule} if rule else set())


def test_a_cast(monkeypatch):
    values = tuple(Tensor(shape=(1, 8), dtype=dtype) for dtype in ("float32", "float16"))
    program = Program(
        inputs=(("image", 0),),
        outputs=(("logits", 1),),
        values=values,
        calls=(Call(kind="cast", inputs=(0,), outputs=(1,)),),
    )
    monkeypatch.setattr(lint_module, "describe", lambda path: program)
    (found,) = target.lint(None, ["a"])
    assert found.what == "cast from float32 to float16"


def test_integers_per_block(small, tmp_path):
    found = lint(small.lower(target, tmp_path / "a.aimodel", "int4-weights"), small)
    blocks = found["block-integers", ""]
    assert "a scale per block" in blocks.what
    assert "palette" in blocks.advice
