"""The notebooks run from top to bottom, and are committed without outputs."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = {path.name: path for path in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb")}


@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name):
    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "clear the outputs"
    where = {"metadata": {"path": str(NOTEBOOKS[name].parent)}}
    NotebookClient(notebook, timeout=120, resources=where).execute()
    streams = [o.text for cell in notebook.cells for o in cell.get("outputs", ()) if "text" in o]
    assert any("int8" in text for text in streams)
