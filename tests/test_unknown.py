import pytest

from mnv4_mobile.errors import unknown, unknown_key

TARGETS = ("coreml", "executorch", "tflite")


@pytest.mark.parametrize(
    ("found", "suggestion"),
    [
        ("tflit", "did you mean tflite? "),
        ("TFLite2", "did you mean tflite? "),
        ("litert", "did you mean tflite? "),
        ("litter", "did you mean tflite? "),  # close to another name of it
        ("onnx", ""),
        ("", ""),
        (3, ""),
        ("x" * 200, ""),
    ],
)
def test_an_unknown_value_says_what_was_meant_and_what_is_allowed(found, suggestion):
    text = unknown("--target", found, TARGETS, others={"litert": "tflite"})
    shown = repr(found) if len(str(found)) < 50 else "'" + "x" * 56 + "..."
    allowed = "allowed: coreml, executorch, tflite"
    assert text == f"--target: found {shown}, {suggestion}{allowed}"


def test_a_hint_ends_the_message():
    text = unknown("recipe", "int-8", ["fp16", "int8"], hint="or a .yaml file")
    assert text == (
        "recipe: found 'int-8', did you mean int8? allowed: fp16, int8; or a .yaml file"
    )


def test_values_that_are_no_texts_are_listed_and_suggested():
    assert unknown("min_ios", "166", [16, 17]) == (
        "min_ios: found '166', did you mean 16? allowed: 16, 17"
    )
    assert unknown("min_ios", "16", [16, 17]) == "min_ios: found '16', allowed: 16, 17"


def test_an_unknown_key_is_compared_without_its_place():
    text = unknown_key("plan.yaml: pause.secnds", "secnds", ["seconds", "runs"])
    assert text == (
        "plan.yaml: pause.secnds: unknown key, did you mean seconds? allowed: seconds, runs"
    )
