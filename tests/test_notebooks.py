"""The notebooks are committed without outputs; `make documents` runs them."""

from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = {path.name: path for path in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb")}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_has_no_outputs(name):
    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "clear the outputs"
