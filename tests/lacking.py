"""Says what this machine lacks for a test."""

import os

import pytest


def lacking(reason):
    """Skips the running test, or fails it where nothing may be missing."""
    if os.environ.get("MNV4_REQUIRE_ALL"):
        pytest.fail(reason)
    pytest.skip(reason)
