import ast
import re
from contextlib import contextmanager
from pathlib import Path
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


ROOT = Path(__file__).parents[1]
REACHING = {"speedups.py", "decompose_in_place.py"}
WINGS = ("targets", "mnv4_mobile/program", "mnv4_mobile/model", "mnv4_mobile/quantize")
OURS = ("self", "cls", "other")


def names_of_others(path):
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (one.name for one in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{one.name}" for one in names)
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if name not in OURS:
                yield f"{name}.{attr}"
            case ast.Attribute(value=ast.Attribute(), attr=attr):
                yield f"...{attr}"


def test_private_names_of_toolchains_stand_in_one_module_of_a_target():
    paths = [path for wing in WINGS for path in (ROOT / wing).rglob("*.py")]
    assert len(paths) > 50
    found = {
        (path.name, name)
        for path in paths
        for name in names_of_others(path)
        if re.search(r"\._(?!_)|^unittest\.mock", name) and not name.startswith("mnv4_")
    }
    # Operators, whose names are in exported programs.
    allowed = ("aten._assert_tensor_metadata", "aten._to_copy")
    assert {file for file, name in found if name not in allowed} == REACHING
