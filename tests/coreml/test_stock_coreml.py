from dataclasses import replace
from importlib.metadata import version

import pytest

from mnv4_coreml import lower, target
from mnv4_mobile.builder.cell import Options
from mnv4_mobile.builder.matrix import cells
from mnv4_mobile.builder.pipeline import Task, run
from mnv4_mobile.files import sha256
from mnv4_mobile.progress import SILENT
from tests.notes import Notes
from tests.stock import lowered_both_ways

pytestmark = pytest.mark.toolchain("coreml")


@pytest.mark.parametrize("recipe", ["fp32", "int8"])
def test_speedups_change_no_byte(small, tmp_path, recipe):
    fast, stock = lowered_both_ways(target, small, recipe, tmp_path)
    assert sha256(fast.path) == sha256(stock.path)


def test_an_invalid_program_is_refused(small, tmp_path, monkeypatch):
    """Validation is left out after each pass, but not at the end."""
    from coremltools.converters.mil.mil import Program

    calls = []

    def refuse(self, **_):
        calls.append(self)
        raise ValueError("not a valid program")

    monkeypatch.setattr(Program, "validate", refuse)
    with pytest.raises(ValueError, match="not a valid program"):
        small.lower(target, tmp_path / "a.mlpackage")
    assert len(calls) == 1
    assert not (tmp_path / "a.mlpackage").exists()


def test_the_user_hears_that_a_version_was_not_tested(tmp_path, monkeypatch):
    monkeypatch.setattr(lower, "PATCHES", replace(lower.PATCHES, tested={"coremltools": "==8.*"}))
    options, progress = Options(size=(32, 32), verify=False), Notes()
    (cell,) = cells(
        ["conv-small-035"], "random:0", ["coreml"], ["fp32"], [options], progress=SILENT
    )
    task = Task(cells=(cell,), ingredients={cell: cell.ingredients()}, scratch=tmp_path)
    (built,) = run(task, progress)
    assert built.error is None
    (note,) = (note for note in progress.notes if "speedups" in note)
    assert note == (
        "conv-small-035-32x32-fp32-coreml: builds are slower, without speedups: "
        f"not tested: coremltools {version('coremltools')} (tested: ==8.*)"
    )
