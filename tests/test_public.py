"""The names that `mnv4_mobile` offers to Python programs."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import mnv4_mobile
from mnv4_mobile import errors


@pytest.mark.parametrize("name", mnv4_mobile.__all__)
def test_every_name_imports_and_is_documented(name):
    found = getattr(mnv4_mobile, name)
    assert found.__name__ == name
    assert found.__module__.startswith("mnv4_mobile.")
    # Its own docstring, not the one of a class that it inherits from, nor a dataclass's signature.
    text = found.__doc__
    assert text
    assert not text.startswith(f"{name}(")
    assert len(text.splitlines()[0]) > 10
    if inspect.isclass(found):
        assert "__doc__" in vars(found)
    assert name in dir(mnv4_mobile)


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(mnv4_mobile.__file__).read_text())
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in checked.body for alias in node.names}
    assert sorted(seen) == sorted(mnv4_mobile.__all__)
    assert all(getattr(mnv4_mobile, name).__module__ == home for name, home in seen.items())


def test_what_is_raised_can_be_caught():
    assert all(
        issubclass(getattr(mnv4_mobile, name), errors.MobileError)
        for name in mnv4_mobile.__all__
        if name.endswith("Error")
    )


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match="has no attribute 'Artifact'"):
        _ = mnv4_mobile.Artifact


def test_the_import_brings_nothing_along():
    code = (
        "import sys, mnv4_mobile\n"
        "print([name for name in ('numpy', 'torch', 'msgspec', 'PIL') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
