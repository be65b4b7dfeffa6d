"""The rules that targets share, on graphs written by hand."""

import pytest

from mnv4_mobile.lint import (
    Convolution,
    Graph,
    Operator,
    Rule,
    Value,
    apply,
    back_to_back,
    channels,
    float_island,
    float_layer,
    kinds,
    per_channel,
    transpose,
    transpose_pair,
)


def conv(outputs, *, weights="float32", groups=1, kernel=(3, 3), inputs=16, **ports):
    detail = Convolution(
        inputs=inputs, outputs=outputs, groups=groups, kernel=kernel, weights=weights
    )
    return Operator(kind="conv", convolution=detail, **ports)


def chain(*operators, constants=None, shape=(1, 4, 5, 6)):
    """Operators one after the other; `constants` by kind are taken as well."""
    constants = constants or {}
    values = {f"{i}": Value(dtype="float32", shape=shape) for i in range(len(operators) + 1)}
    values |= {
        f"c {k}": Value(dtype="float32", shape=s, constant=True) for k, s in constants.items()
    }
    linked = []
    for i, op in enumerate(operators):
        more = (f"c {op.kind}",) if op.kind in constants else ()
        linked.append(
            Operator(
                kind=op.kind,
                inputs=(f"{i}", *more),
                outputs=(f"{i + 1}",),
                permutation=op.permutation,
                convolution=op.convolution,
            )
        )
    return Graph(operators=linked, layers=[f"layer {i}" for i in range(len(linked))], values=values)


def found(check, graph):
    return [check(graph, operator) for operator in graph.operators]


def test_a_rule_for_the_whole_artifact_counts_after_others():
    rules = (*(Rule(name=n, check=kinds("a"), advice="", whole=n == "c") for n in "abc"),)
    graph = chain(Operator(kind="a"))
    assert [(f.rule, f.layer) for f in apply(rules, graph)] == [("c", ""), ("a", "layer 0")]


def test_findings_are_counted_and_the_first_rule_counts():
    a, b = Operator(kind="a"), Operator(kind="b")
    values = {"x": Value(dtype="float32", shape=(1,))}
    graph = Graph(operators=[a, a, b, a], layers=["one", "one", "two", "two"], values=values)
    rules = (
        Rule(name="all", check=kinds("a", "b"), advice="!", whole=True),
        Rule(name="first", check=kinds("a"), advice="do"),
        Rule(name="second", check=kinds("a", "b"), advice="think"),
    )
    assert [(f.rule, f.layer, f.what, f.advice) for f in apply(rules, graph)] == [
        ("all", "", "3 x a", "!"),
        ("first", "one", "2 x a", "do"),
        ("all", "", "b", "!"),
        ("second", "two", "b", "think"),
        ("first", "two", "a", "do"),
    ]


@pytest.mark.parametrize(
    ("shape", "axes", "slow"),
    [
        ((1, 4, 5, 6), (0, 2, 3, 1), True),
        ((1, 4, 1, 1), (0, 2, 3, 1), False),  # moves nothing
        ((1, 4, 1, 6), (0, 2, 1, 3), False),
        ((1, 4, 1, 6), (0, 3, 1, 2), True),
        ((1, 4, 5, 6), (), True),  # unknown
    ],
)
def test_transposes_that_move_nothing_are_free(shape, axes, slow):
    graph = chain(Operator(kind="conv"), Operator(kind="transpose", permutation=axes), shape=shape)
    assert found(transpose("transpose"), graph) == ["", "transpose" if slow else ""]
    assert found(transpose("transpose", of_input=True), graph) == ["", ""]


def test_transposes_of_the_input_have_advice_of_their_own():
    graph = chain(Operator(kind="transpose", permutation=(0, 2, 3, 1)), Operator(kind="conv"))
    assert found(transpose("transpose", of_input=True), graph) == ["transpose", ""]
    assert found(transpose("transpose"), graph) == ["", ""]


def test_transposes_that_undo_each_other():
    there, back = (
        Operator(kind="transpose", permutation=axes) for axes in ((0, 2, 3, 1), (0, 3, 1, 2))
    )
    check = transpose_pair("transpose")
    assert all(found(check, chain(there, back)))
    assert not any(found(check, chain(there, there)))
    assert not any(found(check, chain(there, Operator(kind="add"), back)))


@pytest.mark.parametrize(
    ("kind", "shape", "left"),
    [
        ("mul", (6,), True),
        ("mul", (1, 4, 1, 1), True),
        ("add", (6,), True),
        ("mul", (), False),  # a number
        ("add", (1, 5, 6), False),  # a map
        ("sub", (6,), False),  # the mean of the pictures
    ],
)
def test_what_is_left_of_a_batch_norm(kind, shape, left):
    graph = chain(Operator(kind=kind), constants={kind: shape})
    assert bool(found(per_channel("mul", "add"), graph)[0]) == left


def test_a_depthwise_1_x_1_convolution_is_a_batch_norm():
    check = per_channel()
    (what,) = found(check, chain(conv(16, groups=16, kernel=(1, 1))))
    assert "depthwise" in what
    graph = chain(conv(16, groups=16), conv(16, kernel=(1, 1)), conv(1, inputs=1, kernel=(1, 1)))
    assert not any(found(check, graph))


def test_channels_but_not_classes():
    graph = chain(conv(16), conv(12), conv(1001))
    assert found(channels(8), graph) == ["", "12 channels", ""]


def test_float_layers_of_a_quantized_artifact():
    graph = chain(conv(8, weights="int8"), conv(8), Operator(kind="add"))
    assert found(float_layer, graph) == ["", "conv in float32, others in int8", ""]
    assert not any(found(float_layer, chain(conv(8), conv(8))))


def test_float_islands_and_pairs():
    to, back, add = (Operator(kind=kind) for kind in ("quantize", "dequantize", "add"))
    island = float_island(("dequantize",), ("quantize",))
    assert found(island, chain(back, add, to)) == ["", "add in float between integers", ""]
    assert not any(found(island, chain(back, add, add, to)))
    pair = back_to_back(("dequantize",), ("quantize",))
    assert found(pair, chain(back, to, back)) == ["", "quantize after dequantize", ""]
    assert not any(found(pair, chain(back, add, to)))
