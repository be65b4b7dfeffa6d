"""Gates and what the manifest says about calibration, on artifacts."""

import pytest
import yaml
from PIL import Image

from mnv4_mobile.builder.cell import Options
from mnv4_mobile.builder.matrix import build_cells, cells
from mnv4_mobile.builder.range_rule import RULES
from mnv4_mobile.bundle.folder import open_bundle
from mnv4_mobile.configs import config_folder
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.progress import Progress
from mnv4_mobile.recipe import HELD_OUT, Gate, load_recipe
from mnv4_mobile.records import replace

pytestmark = pytest.mark.toolchain("tflite")


def recipe(path, **changes):
    """The shipped int8, changed: gate and range."""
    values = yaml.safe_load((config_folder("recipes") / "int8.yaml").read_text())
    values["gate"] = {"sqnr_db": -50} | changes.get("gate", {})
    values["activations"] = {"mode": "static", "range": changes.get("range", "minmax")}
    path.write_text(yaml.safe_dump(values))
    return path


def cell(folder, file, **options):
    (found,) = cells(
        ["conv-small-035"],
        "demo",
        ["tflite"],
        [str(file)],
        [Options(calibrate=str(folder), **options)],
        progress=Progress(),
    )
    return found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, heldout):
    """50 pictures of the demo's, one broken file beside them."""
    folder = tmp_path_factory.mktemp("pictures")
    for index, picture in enumerate(heldout[0][:50]):
        Image.fromarray(picture).save(folder / f"{index}.png")
    (folder / "broken.jpg").write_bytes(b"")
    return folder


def test_rules_that_are_open_and_agreement_on_pictures_held_out(pictures, tmp_path):
    file = recipe(tmp_path / "mine.yaml", range="auto", gate={"top1_agreement": 0.5})
    passing = cell(pictures, file)
    # More than all of them, which no artifact has.
    missed = replace(
        passing,
        recipe=replace(passing.recipe, name="strict", gate=Gate(sqnr_db=0, top1_agreement=1.01)),
    )
    kept, failed = build_cells([passing, missed], tmp_path / "out", cache=None)
    manifest = open_bundle(kept.path).manifest
    found = manifest.calibration
    assert (found.images, found.held_out, found.skipped) == (40, 10, 1)
    assert found.range in RULES
    assert found.agreement.n == 10
    assert found.agreement.top1 >= 0.5
    assert len(found.dataset_sha256) == 64
    assert failed.error.exit_code == 3
    assert "of the images held out of calibration" in str(failed.error)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [kept.path.name]


def test_agreement_needs_classes_and_calibration(pictures, tmp_path):
    file = recipe(tmp_path / "mine.yaml", gate={"top1_agreement": 0.99})
    assert load_recipe(str(file)).held_out == HELD_OUT
    with pytest.raises(ConfigError, match=r"top1_agreement, which needs one of logits"):
        cell(pictures, file, outputs=("embedding",))
    weights_only = tmp_path / "weights.yaml"
    values = yaml.safe_load((config_folder("recipes") / "int8-dynamic.yaml").read_text())
    values["gate"]["top1_agreement"] = 0.99
    weights_only.write_text(yaml.safe_dump(values))
    with pytest.raises(
        ConfigError, match=r"gate.top1_agreement: is judged on held-out calibration"
    ):
        load_recipe(str(weights_only))


@pytest.mark.parametrize("found", [0, 1.5, -1])
def test_agreement_is_a_share(tmp_path, found):
    file = recipe(tmp_path / "mine.yaml", gate={"top1_agreement": found})
    with pytest.raises(ConfigError, match="more than 0, at most 1"):
        load_recipe(str(file))


def test_a_pattern_that_matches_nothing_fails_before_the_work(pictures, tmp_path):
    file = recipe(tmp_path / "mine.yaml")
    values = yaml.safe_load(file.read_text())
    values["keep"]["modules"] = ["stage.1.*"]
    file.write_text(yaml.safe_dump(values))
    steps = []

    class Steps(Progress):
        def step(self, text, worker=""):
            steps.append(text)

    (built,) = build_cells([cell(pictures, file)], tmp_path / "out", cache=None, progress=Steps())
    assert "keep.modules: 'stage.1.*' matches no module" in str(built.error)
    assert not any("calibration" in step or "export" in step for step in steps)
