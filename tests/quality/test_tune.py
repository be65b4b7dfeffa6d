"""Searching a recipe: the bounds, the search itself, its budget, its state and what it writes."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mnv4_mobile.builder.cell import Options
from mnv4_mobile.builder.matrix import cells
from mnv4_mobile.bundle.folder import open_bundle
from mnv4_mobile.bundle.manifest import TriedEntry
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.bounds import Bounds, Tried
from mnv4_mobile.quality.tune import Wish, _fewest, tune
from mnv4_mobile.recipe import Keep, KeepOn, load_recipe
from mnv4_mobile.records import replace
from tests.notes import Notes
from tools.reference.sheet import read_sheet

DATA = Path(__file__).parents[1] / "data"
INT8 = load_recipe("int8")


@given(st.integers(0, 40), st.integers(0, 60), st.integers(0, 50))
def test_the_fewest_that_keep_the_bounds(most, needed, guess):
    asked = []

    def keeps(count):
        asked.append(count)
        return count >= needed

    assert _fewest(keeps, most, guess) == (needed if needed <= most else None)
    assert len(asked) == len({*asked}) <= 14
    assert max(asked) <= most


def test_more_blocks_than_are_fast_enough_are_not_tried():
    asked = []

    def keeps(count):
        asked.append(count)
        return None if count > 2 else False

    assert _fewest(keeps, 9, 2) is None
    assert asked == [2, 3]


def tried(words, p10=23.0, drop=0.5, latency=1.0, size=1.0, passed=True):
    entry = TriedEntry(
        recipe=words, drop=drop, sqnr_db_p10=p10, latency=latency, bytes=int(size * 10**6)
    )
    return Tried(recipe=INT8, entry=entry, passed=passed, sqnr_db=p10 + 8, images=100, seconds=9)


def test_the_best_is_the_cheapest_that_keeps_all_bounds():
    begun = tried("begun", p10=20)
    small = tried("small", latency=1.08, size=1.002)
    fast = tried("fast", latency=1.02, size=1.5)
    slow = tried("slow", latency=1.12)
    every = [begun, small, fast, slow]
    assert Bounds().best(every) is small
    assert Bounds(objective="latency").best(every) is fast
    # The same size within 1 % and the same latency: the better tail.
    better = tried("better", p10=24, latency=1.08)
    assert Bounds().best([*every, better]) is better


def test_what_is_missed_is_named():
    bad = tried("bad", p10=math.nan, drop=1.004, latency=1.3, passed=False)
    assert Bounds().missed(bad) == [
        "--max-drop 1: 1.00 points",
        "--min-p10 22: nan dB",
        "the recipe's gate",
        "--max-latency 1.1: 1.30 times",
    ]
    assert Bounds().missed(tried("here", latency=None)) == []
    # If none keeps all, the best is the one that misses the fewest, by the least.
    near, far = tried("near", p10=21), tried("far", p10=20)
    assert Bounds().best([bad, far, near]) is near
    near, far = tried("near", drop=1.5, p10=30), tried("far", drop=2, p10=40)
    assert Bounds().best([far, near]) is near


def test_too_few_images_are_named():
    assert "128 images tell --max-drop 1 to ±0.9 points only" in Bounds().doubt(128)
    assert Bounds().doubt(1000) is None
    assert Bounds(max_drop=0).doubt(10) is None


@pytest.mark.parametrize("name", ["max_drop", "min_p10", "max_latency"])
def test_bounds_are_numbers(name):
    with pytest.raises(
        ConfigError, match=f"--{name.replace(chr(95), chr(45))}: found nan, must be a"
    ):
        Bounds(**{name: math.nan})


class Stopped(Notes):
    """Ctrl-C when the simulation begins."""

    def step(self, text, worker=""):
        if "observe" in text:
            raise KeyboardInterrupt


SMALL = """
input_size: 32
model:
  architecture:
    backbone:
      name: mobilenetv4
      params:
        stem_out_channel: 8
        stem_kernel_size: 3
        stem_stride: 2
        final_conv_out_channel: 32
        final_conv_kernel_size: 1
        final_conv_stride: 1
        norm_type: batch_norm
        act_type: relu
        return_stage_idx: ~
        layer_scale: ~
      stage_params:
        - - [fi, 8, 16, 3, 2]
        - - [uir, 16, 32, true, 3, true, 3, 2]
    head:
      name: fc_conv
      params:
        num_layers: 2
        intermediate_channels: 32
        act_type: relu
        norm_type: batch_norm
        dropout_prob: 0.
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index, picture in enumerate(read_sheet(DATA / "reference_calibration.npz")[0][:20]):
        Image.fromarray(picture).save(folder / f"{index}.png")
    return folder


def wish_of(photos, minutes=60.0, recipe=INT8, **bounds):
    model = photos.parent / "small.yaml"
    model.write_text(SMALL)
    options = Options(calibrate=str(photos), num_classes=4)
    (cell,) = cells([str(model)], "random:0", ["tflite"], ["int8"], [options], progress=Progress())
    cell = replace(cell, recipe=recipe)
    return Wish(cell=cell, dataset=None, bounds=Bounds(**bounds), minutes=minutes)


@pytest.mark.toolchain("tflite")
def test_a_search_goes_on_and_answers_other_bounds(photos, tmp_path, monkeypatch):
    """One search, step by step: a budget too small, Ctrl-C, its end, and two other bounds."""
    monkeypatch.setattr("mnv4_mobile.quality.tune._SESSIONS", 1)  # each starts two runtimes
    out = tmp_path / "out"
    slow = {"max_latency": 0.5, "max_drop": 100, "min_p10": -99}  # nothing keeps it
    recipe = replace(
        INT8,
        activations=replace(INT8.activations, percentile=50),  # any other is better
        keep=Keep(modules=("head",), cpu=KeepOn(modules=("final",))),
        gate=replace(INT8.gate, sqnr_db=0),
    )
    with pytest.raises(
        ConfigError, match=r"--minutes: found 0\.001, must be [\d.]+ or more: .* of int8 and one"
    ):
        tune(wish_of(photos, 0.001, recipe, **slow), out, progress=Progress())
    assert [path.name for path in out.iterdir()] == ["search"]
    with pytest.raises(KeyboardInterrupt):
        tune(wish_of(photos, recipe=recipe, **slow), out, progress=Stopped())

    notes = Notes()
    found = tune(wish_of(photos, recipe=recipe, **slow), out, progress=notes)
    assert found.missed[0].startswith("--max-latency 0.5: ")
    assert not found.late
    assert [path.name for path in out.iterdir()] == ["search"]
    assert not any("as begun with" in note for note in notes.notes)  # it was built before
    proposed = next(one for one in found.tried if "as begun with" not in one.entry.recipe)
    assert proposed.images == 4

    before = {path: path.stat().st_mtime for path in (out / "search").rglob("*.tflite")}
    other = {**slow, "max_latency": 100}
    found = tune(wish_of(photos, 0, recipe, **other), out, progress=Progress())
    assert found.missed == ()
    assert {path: path.stat().st_mtime for path in before} == before
    bundle = open_bundle(found.bundle)
    assert bundle.path.name == "small-32x32-tuned-tflite"
    assert bundle.manifest.tuning.max_latency == 100
    assert bundle.manifest.tuning.tried == tuple(one.entry for one in found.tried)
    assert bundle.manifest.calibration.images == 16  # the others judge
    written = load_recipe(str(found.recipe))
    assert written == found.tried[0].recipe
    assert written.keep.on("cpu").modules[:1] == ("final",)
    assert "# int8, as begun with: " in found.recipe.read_text()

    with pytest.raises(ConfigError, match=r"holds another search, which differs in recipe"):
        tune(wish_of(photos, **other), out, progress=Progress())


@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "not the state of a search: remove"),
        ('{"made_of": {}, "ladder": 5}', "ladder: found 5, must be an object"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_file_that_is_no_state(photos, tmp_path, text, message):
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "state.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        tune(wish_of(photos), tmp_path, progress=Progress())
