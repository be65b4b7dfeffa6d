"""Inputs of every kind keep the promise, with fixed seeds; `make attack` tries many more."""

import re
import sys

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.hostile import breaches
from tests.hostile.kinds import KINDS
from tests.hostile.kinds.kind import BUNDLES
from tests.hostile.promise import Guard

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
_EXAMPLES = {"http": 3, "aimodel": 2, "bundle": 6, "bundle-ios": 6, "cache": 6, "library": 6}
"""Numbers of inputs of the kinds that take long."""


def _kind(name):
    target = KINDS[name].target
    return pytest.param(name, marks=[pytest.mark.toolchain(target)] if target else [])


@pytest.fixture(scope="module")
def _shared(shared):
    """A process that all kinds share; it finds the demo bundles where `demo_bundle` makes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(BUNDLES, str(shared / "demo"))
        with Guard() as guard:
            yield guard


@pytest.fixture
def guard(_shared, kind, demo_bundle):
    """The process, with the demo bundle that a kind needs."""
    if target := KINDS[kind].target:
        demo_bundle(target)
    return _shared


@pytest.mark.slow
@pytest.mark.parametrize("kind", map(_kind, KINDS))
def test_hostile_input_keeps_the_promise(kind, guard):
    @settings(
        max_examples=_EXAMPLES.get(kind, 12),
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        # A server takes seconds for what it does not like: too long to look for less of it.
        phases=[Phase.generate] if kind == "http" else [Phase.generate, Phase.shrink],
    )
    @given(st.randoms(use_true_random=False))
    def promise(random):
        outcome = guard.attempt(kind, KINDS[kind].make(random))
        assert outcome.kept, outcome.what

    promise()


@pytest.mark.slow
def test_each_breach_is_seen():
    """The calls run in forks of a process that has made none of them."""
    with Guard("tests.hostile.breaches") as guard:
        for what in breaches.KINDS:
            outcome = guard.attempt(what, {"hostile": b""})
            assert re.search(what, outcome.what), outcome.what
            assert outcome.kept == (what in ("accepted", "refused")), what
