"""Options that belong to targets: those shipped, and those of a target of somebody else's."""

import json

import pytest

from mnv4_mobile import Options
from mnv4_mobile.builder.cell import key
from mnv4_mobile.builder.matrix import cells
from mnv4_mobile.builder.naming import expected_id
from mnv4_mobile.errors import ConfigError, LoweringError
from mnv4_mobile.option import Option, parse_set
from mnv4_mobile.progress import SILENT
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import load_target


def matrix(given, targets=("coreml",), recipes=("fp32",), **others):
    options = [Options(options=given, calibrate="random", **others)]
    return cells(["conv-small-035"], "demo", targets, recipes, options, progress=SILENT)


def values(cell):
    target = load_target(cell.target)
    return dict(cell.spec(cell.shared, target).options)


def test_a_default_may_depend_on_the_recipe():
    found = matrix({}, recipes=["fp16", "int8", "int4-weights", "fp32"])
    assert [values(cell)["min_ios"] for cell in found] == [16, 17, 18, 16]
    assert {values(cell)["compute_unit"] for cell in found} == {"cpu_and_ne"}
    with pytest.raises(LoweringError, match=r"min_ios: found 16, .*\(--set coreml.min_ios=17\)"):
        matrix({"coreml": {"min_ios": 16}}, recipes=["fp16", "int8"])


def test_an_option_changes_the_key_and_what_is_said_without_need_does_not():
    default, newer, same, unit = (
        key(matrix(given)[0].ingredients())
        for given in (
            {},
            {"coreml": {"min_ios": "18"}},
            {"coreml": {"min_ios": 16}},
            {"coreml": {"compute_unit": "cpu_only"}},
        )
    )
    assert default == same
    assert len({default, newer, unit}) == 3
    # What is said of one target leaves the other's bundle as it is.
    tflite = key(matrix({}, ["tflite"])[0].ingredients())
    both = matrix({"coreml": {"min_ios": 18}}, ["tflite", "coreml"])
    assert [key(cell.ingredients()) for cell in both] == [tflite, newer]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"corml": {"min_ios": 17}},
            r"option: found 'corml', did you mean coreml\? allowed: coreai, coreml, ",
        ),
        ({"onnx": {}}, "option: found 'onnx', allowed: coreai, coreml, executorch, snapdragon, "),
        ({"tflite": {"x": 1}}, "option tflite.x: tflite is not built for; --target has coreml"),
        ({"coreml": {"min_iso": 17}}, r"coreml: found 'min_iso', did you mean min_ios\? "),
        ({"coreml": {"x": 1}}, "option coreml: found 'x', allowed: min_ios, compute_u"),
        (
            {"coreml": {"min_ios": "17.0"}},
            r"coreml.min_ios: found '17.0', allowed: 16, 17, 18",
        ),
        ({"coreml": {"min_ios": True}}, "coreml.min_ios: found True, allowed: 16, 17, 18"),
        ({"coreml": {"min_ios": [17]}}, r"coreml.min_ios: found \[17\], allowed: 16, 17, 18"),
        ({"coreml": {"compute_unit": "gpu"}}, "found 'gpu', allowed: all, cpu_and_ne, cpu_and_g"),
        ({"coreml": 17}, "option coreml: found 17, must be values by option"),
        (["coreml"], r"options: found \['coreml'\], must be values by target and option"),
    ],
)
def test_a_mistake_is_named_before_any_work(given, message):
    with pytest.raises(ConfigError, match=message):
        matrix(given)


@pytest.mark.usefixtures("chip")
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("soc", "a1,d4", "option chip.soc: found 'd4', allowed: a1, b2, c3, all"),
        ("soc", [], r"option chip.soc: found \[\], must be a list of a1, b2, c3, all"),
        ("soc", 3, "option chip.soc: found 3, must be a list of a1"),
        ("stock", "yes", "option chip.stock: found 'yes', allowed: true or false"),
        ("note", "../up", "option chip.note: found '../up', allowed: letters, digits"),
        ("note", "", "option chip.note: found '', allowed: letters, digits"),
    ],
)
def test_values_of_a_third_party_are_checked_by_the_core(option, value, message):
    with pytest.raises(ConfigError, match=message):
        matrix({"chip": {option: value}}, ["chip"])


@pytest.mark.usefixtures("chip")
def test_a_list_makes_a_cell_for_each_value():
    found = matrix({"chip": {"soc": "c3,a1,c3", "stock": "true"}}, ["tflite", "chip"])
    assert [(cell.target, values(cell).get("soc")) for cell in found] == [
        ("tflite", None),
        ("chip", "c3"),
        ("chip", "a1"),
    ]
    assert [values(cell)["stock"] for cell in found[1:]] == [True, True]
    assert [values(cell)["soc"] for cell in matrix({"chip": {"soc": "all"}}, ["chip"])] == [
        *("a1", "b2", "c3")
    ]
    assert [values(cell)["soc"] for cell in matrix({}, ["chip"])] == ["a1"]


def test_a_required_option_is_asked_for_and_part_of_the_name(mnv4):
    _, out, _ = mnv4("targets", "snapdragon")
    (line,) = [line for line in out.splitlines() if line.startswith("snapdragon.soc ")]
    assert "must be given" in line
    with pytest.raises(
        ConfigError, match=r"option snapdragon\.soc: missing; --set snapdragon\.soc="
    ):
        matrix({}, ["snapdragon"], recipes=["fp16"])
    with pytest.raises(
        ConfigError,
        match=r"snapdragon\.soc: found 'MT6991', allowed: SM8350, .*.*; .* MediaTek, .*-t tflite",
    ):
        matrix({"snapdragon": {"soc": "MT6991"}}, ["snapdragon"], recipes=["fp16"])
    found = matrix({"snapdragon": {"soc": "SM8750,SM8650"}}, ["snapdragon"], recipes=["fp16"])
    assert [expected_id(cell) for cell in found] == [
        f"conv-small-035-96x96-fp16-{soc}-snapdragon" for soc in ("SM8750", "SM8650")
    ]


def test_what_set_takes():
    assert parse_set(["a.b=1", "a.c = x,y", "d.e=f=g"]) == {
        "a": {"b": "1", "c": " x,y"},
        "d": {"e": "f=g"},
    }
    for text in ("a", "a.b", "a=1", ".b=1", "a.=1"):
        with pytest.raises(ConfigError, match=f"--set: found '{text}', must be TARGET.OPTION=VAL"):
            parse_set([text])
    with pytest.raises(ConfigError, match=r"--set: a\.b: found twice"):
        parse_set(["a.b=1", "a.b=2"])


def test_the_default_of_a_function_is_asked_for_each_recipe():
    named = Option(
        name="x", type=str, default=lambda recipe, sizes: f"{recipe.name}-{sizes}", help="x"
    )
    assert named.default_for(load_recipe("fp16")) == "fp16-1"
    assert named.default_for(load_recipe("fp16"), 3) == "fp16-3"


@pytest.mark.usefixtures("chip")
def test_a_target_is_explained(mnv4):
    code, out, _ = mnv4("targets", "chip", "--json")
    assert code == 0
    found = json.loads(out)
    options = {option["name"]: option for option in found["options"]}
    assert list(options) == ["min_ios", "compute_unit", "stock", "soc", "note"]
    assert options["soc"]["values"] == ["a1", "b2", "c3"]
    assert options["min_ios"]["default"].startswith("16 with fp16, fp32")
    assert found["units"] == {
        "npu": {"runs": "simulator", "emulated": True, "missing": ""},
        "cpu": {"runs": "reference", "emulated": False, "missing": ""},
    }
    assert found["io"]["fp16"] == "float16"
    assert list(found["requires"]) == ["chip.soc"]
    assert found["versions"]["chip"] == "1.0"
    code, out, _ = mnv4("targets", "coreml")
    assert code == 0
    assert "coreml.min_ios" in out
    assert "16 with" in out
    code, _, err = mnv4("targets", "chips")
    assert (code, "target: found 'chips', did you mean chip? allowed:" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-t", "tflite", "--set", "min_ios=17"), "--set: found 'min_ios=17', must be TARGET."),
        (("-t", "tflite", "--set", "coreml.min_ios=17"), "coreml is not built for; --target has"),
        (("-t", "tflite", "--unit", "npu"), "unit: found 'npu', which tflite does not have on"),
        (("-t", "tflite", "--unit", "cpu", "--no-verify"), "--unit: found with --no-verify"),
    ],
)
def test_the_command_refuses(mnv4, arguments, message):
    code, out, err = mnv4("build", "conv-small-035", "--weights", "demo", *arguments)
    assert (code, out) == (2, "")
    assert message in err
