"""The constants of bundles: valid in their language, and never two the same."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.sdks.names import constant, constants

IDENTIFIER = {"kotlin": "[A-Z][A-Z0-9_]*", "swift": "[a-z][A-Za-z0-9_]*"}
# What The Swift Programming Language reserves, Kotlin's hard keywords, and our lists.
KEYWORDS = """
associatedtype class deinit enum extension fileprivate func import init inout internal let open
operator private precedencegroup protocol public rethrows static struct subscript typealias var
break case catch continue default defer do else fallthrough for guard if in repeat return throw
switch where while as await false is nil self super throws true try val object package fun
interface typeof when null INSTANCE ALL all allExecuTorch
"""
ids = st.one_of(
    st.from_regex("[A-Za-z0-9][A-Za-z0-9._-]*", fullmatch=True),
    st.from_regex("[ab1]([-.]?[aB12]){0,4}", fullmatch=True),  # which often collide
    st.sampled_from([*KEYWORDS.split(), "all-execu-torch"]),
)
languages = pytest.mark.parametrize("language", ["kotlin", "swift"])


@pytest.mark.parametrize(
    ("id", "kotlin", "swift"),
    [
        (
            "conv-small-224x224-int8-tflite",
            "CONV_SMALL_224X224_INT8_TFLITE",
            "convSmall224x224Int8Tflite",
        ),
        ("conv-small-035-96x96-fp16", "CONV_SMALL_035_96X96_FP16", "convSmall035_96x96Fp16"),
        ("3d-96x96-fp32-coreml", "MODEL_3D_96X96_FP32_COREML", "model3d96x96Fp32Coreml"),
        ("3-96x96", "MODEL_3_96X96", "model3_96x96"),
        ("class", "MODEL_CLASS", "modelClass"),
        ("all", "MODEL_ALL", "modelAll"),
        ("all-execu-torch", "MODEL_ALL_EXECU_TORCH", "modelAllExecuTorch"),
        ("My.Net_v2--", "MY_NET_V2", "myNetV2"),
    ],
)
def test_constants(id, kotlin, swift):
    assert (constant(id, "kotlin"), constant(id, "swift")) == (kotlin, swift)


@languages
@given(found=st.lists(ids, unique=True, max_size=5))
def test_every_id_has_a_valid_constant_of_its_own(language, found):
    names = [constant(id, language) for id in found]
    for name in names:
        assert re.fullmatch(IDENTIFIER[language], name)
        assert name not in KEYWORDS.split()
    if len(set(names)) == len(found):
        assert constants(found, language) == names
    else:
        with pytest.raises(ConfigError, match="both would be") as refused:
            constants(found, language)
        first, second = re.match(r"(\S+) and (\S+): both", str(refused.value)).groups()
        assert first != second
        assert constant(first, language) == constant(second, language)
