"""What the tests of Core ML share."""

import pytest

from mnv4_coreml.speedups import coremltools


@pytest.fixture(scope="session")
def ct():
    """The module coremltools."""
    return coremltools()
