"""What the process of a builder tells the one that started it."""

import pytest
import yaml

from mnv4_mobile.builder.cell import Options
from mnv4_mobile.builder.matrix import cells
from mnv4_mobile.builder.pipeline import Task
from mnv4_mobile.builder.process import build_apart
from mnv4_mobile.configs import config_folder
from mnv4_mobile.progress import Progress


class Recorded(Progress):
    """Keeps all that it is told."""

    def __init__(self):
        self.told = []

    def step(self, text, worker=""):
        self.told.append(("step", text, worker))

    def update(self, text, worker=""):
        self.told.append(("update", text, worker))

    def note(self, text):
        self.told.append(("note", text, ""))

    def end(self, worker=""):
        self.told.append(("end", "", worker))


@pytest.mark.toolchain("tflite")
def test_steps_updates_and_notes_come_out_of_the_process(tmp_path):
    recipe = tmp_path / "short.yaml"
    values = yaml.safe_load((config_folder("recipes") / "int8-distilled.yaml").read_text())
    values |= {"distill": {"steps": 1}, "calibration": {"images": 64}}
    recipe.write_text(yaml.safe_dump(values))
    options = Options(size=(32, 32), calibrate="random", verify=False)
    found = cells(
        ["conv-small-035"], "random:0", ["tflite"], [str(recipe)], [options], progress=Progress()
    )
    progress = Recorded()
    (built,) = build_apart(Task(cells=tuple(found), out=tmp_path, scratch=tmp_path), progress)
    assert built.error is None
    told = [(kind, text) for kind, text, _ in progress.told]
    assert ("step", "conv-small-035: prepare for quantization") in told
    (update,) = [text for kind, text in told if kind == "update"]
    assert update.startswith("distill: 1/1, ")
    assert ("note", "calibration images are made up: good for structure and speed only") in told
    # All but notes name the process, so that the display of several keeps them apart.
    workers = {worker for kind, _, worker in progress.told if kind != "note"}
    assert len(workers) == 1
    assert workers.pop().isdigit()
    assert told[-1] == ("end", "")
