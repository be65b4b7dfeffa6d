"""Ranges from images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mnv4_mobile.builder.range_rule import RULES
from mnv4_mobile.quantize.ranges import Ranges
from mnv4_mobile.recipe import Activations
from mnv4_mobile.records import replace

AUTO = Activations(mode="static", range="auto")
VALUES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 40)),
    elements=st.floats(-1000, 1000, width=32),
)


def ranges(values, rule, **options):
    found = Ranges(AUTO)
    for image in values:
        found.observe("x", image)
    return found.following(replace(AUTO, range=rule, **options)).of("x")


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25)
@given(values=VALUES)
def test_a_range_holds_zero_and_no_more_than_was_seen(rule, values):
    low, high = ranges(values, rule)
    assert low <= 0 <= high
    assert low < high
    assert low >= min(values.min(), 0) - 1e-3
    assert high <= max(values.max(), 0) + 1e-3


@pytest.mark.parametrize("rule", RULES)
def test_symmetric(rule):
    low, high = ranges(np.array([[-1.0, 3.0]], np.float32), rule, symmetric=True)
    assert low == -high


def test_outliers():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((50, 512)).astype(np.float32)
    values[7, 100] = 400  # of one image
    assert ranges(values, "minmax")[1] == 400
    assert ranges(values, "image-percentile")[1] < 5
    assert ranges(values, "mse")[1] < 400
    assert ranges(values, "histogram")[1] < 400
