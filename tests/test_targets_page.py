"""docs/how-to/your-own-target.md: its target works, and the shipped ones keep to its list."""

import ast
import re
from pathlib import Path

import pytest

from mnv4_mobile import Options, build, load
from mnv4_mobile.testing import check_target

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-to" / "your-own-target.md").read_text()
EXAMPLE = re.search(r"<!-- example -->\n```python\n(.*?)```", PAGE, re.DOTALL)[1]


@pytest.fixture
def pt2(install_target):
    """Installs the page's target as a distribution."""
    return install_target("pt2", EXAMPLE)


@pytest.mark.slow
def test_the_example_keeps_the_contract(pt2, tmp_path):
    (tmp_path / "out").mkdir()
    check_target(pt2, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.usefixtures("pt2")
def test_the_example_builds_a_bundle_with_an_option_of_its_own(tmp_path):
    options = Options(options={"pt2": {"pickle_protocol": 4}}, verify=False)
    (bundle,) = build(
        "conv-small-035", weights="demo", out=tmp_path, targets=["pt2"], options=options
    )
    assert bundle.path.name == "conv-small-035-96x96-fp32-4-pt2"
    assert bundle.manifest.options == {"pickle_protocol": 4}
    with load(bundle.path) as model:
        pictures = ROOT / "mnv4_mobile" / "demo" / "pictures"
        ((best, *_),) = model.classify([pictures / "seven.jpg"])
    assert best.label == "7"


def test_the_example_is_short():
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 60


def test_the_shipped_targets_import_what_is_public():
    public = set(re.findall(r"`(mnv4_mobile[a-z_.]*)`", PAGE.partition("## What a target may")[2]))
    assert "mnv4_mobile.target" in public
    for path in (ROOT / "targets").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            if node.module == "mnv4_mobile":
                found = {f"mnv4_mobile.{name.name}" for name in node.names}
            elif node.module.startswith("mnv4_mobile."):
                found = {node.module}
            else:
                continue
            assert found <= public, (
                f"{path}: imports {found - public}, see docs/how-to/your-own-target.md"
            )
