"""What the tests of Core ML share."""

import pytest


@pytest.fixture(scope="session")
def ct():
    return pytest.importorskip("coremltools")
