from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from mnv4_mobile.errors import ToolchainError
from mnv4_mobile.patches import Patch, Patches
from mnv4_mobile.target import load_target, patches_of, target_names

UPSTREAM = SimpleNamespace(slow=True, wrong=True, large=True)
KINDS = {"slow": "speedup", "wrong": "workaround", "large": "artifact"}


def fixed(name):
    @contextmanager
    def apply():
        with patch.object(UPSTREAM, name, False):
            yield

    return apply


def table(*names, tested="==99"):
    patches = [
        Patch(
            name=name,
            kind=KINDS.get(name, name),
            reason="",
            upstream="",
            saves="",
            apply=fixed(name),
        )
        for name in names
    ]
    return Patches(tested={"torch": tested, "no-such-distribution": "==1"}, table=tuple(patches))


def state():
    return {name for name in KINDS if getattr(UPSTREAM, name)}


@pytest.mark.parametrize(
    ("tested", "stock", "left", "note"),
    [
        (">=2", False, set(), False),
        (">=2", True, {"slow"}, False),
        ("==1.*", False, {"slow"}, True),
        ("==1.*", True, {"slow"}, False),
    ],
)
def test_speedups_apply_to_tested_versions_only(tested, stock, left, note):
    patches = table(*KINDS, tested=tested)
    with patches.applied(stock) as notes:
        assert state() == left
        assert len(notes) == note
        assert all("not tested: torch 2." in one and "(tested: ==1.*)" in one for one in notes)
    assert state() == set(KINDS)


@pytest.mark.parametrize("kind", ["speedup", "artifact"])
def test_a_patch_that_no_longer_fits_is_left_out_with_a_note(kind):
    with table(kind, "slow", "wrong", tested=">=2").applied() as notes:
        assert state() == {"large"}
    (note,) = notes
    assert f"left out: the {kind} '{kind}' does not fit torch 2." in note


def test_a_workaround_that_no_longer_fits_is_an_error():
    with (
        pytest.raises(ToolchainError, match="the workaround 'workaround' does not fit torch 2"),
        table("slow", "workaround", tested=">=2").applied(),
    ):
        pass
    assert state() == set(KINDS)


@pytest.mark.parametrize("name", target_names())
def test_the_shipped_targets_were_tested_with_what_is_installed(name):
    patches = patches_of(load_target(name))
    assert patches is not None
    assert patches.untested() is None
    for one in patches.table:
        assert one.name
        assert one.reason
        assert one.upstream
        assert one.saves


def test_a_target_without_patches():
    assert patches_of(SimpleNamespace()) is None
