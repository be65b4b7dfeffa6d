"""Matrices of builds: shared work, the cache, failures, killed processes, a Dask cluster."""

import os
import re
import shutil
import signal
import threading
import time
from contextlib import contextmanager

import pytest
import yaml

from mnv4_mobile import Options
from mnv4_mobile.builder.cache import Cache
from mnv4_mobile.builder.cell import Cell, key
from mnv4_mobile.builder.matrix import _kept, build_cells, cells
from mnv4_mobile.bundle.folder import open_bundle
from mnv4_mobile.errors import ConfigError, CrashError, LoweringError, ParityError
from mnv4_mobile.files import sha256
from mnv4_mobile.images import KnownPreprocess
from mnv4_mobile.model.grammar import read_model
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.progress import Progress
from mnv4_mobile.recipe import Gate, load_recipe
from mnv4_mobile.records import replace
from tests.model.checkpoints import save

pytestmark = [pytest.mark.toolchain("tflite"), pytest.mark.toolchain("coreml")]

PARAMS = {
    "stem_out_channel": 8,
    "stem_kernel_size": 3,
    "stem_stride": 2,
    "final_conv_out_channel": 24,
    "final_conv_kernel_size": 1,
    "final_conv_stride": 1,
    "norm_type": "batch_norm",
    "act_type": "relu",
    "return_stage_idx": [0],
    "layer_scale": None,
}
STAGES = [[["conv", 8, 3, 2]], [["uir", 16, 32, True, 3, True, 3, 2]]]
STRICT = "description: more than float32 has\nprecision: float32\ngate: {sqnr_db: 200}"


class Steps(Progress):
    """Remembers the steps and notes, and calls back at each step."""

    def __init__(self, at_step=None):
        self.steps, self.notes = [], []
        self.at_step = at_step

    def note(self, text):
        self.notes.append(text)

    def step(self, text, worker=""):
        self.steps.append(text)
        if self.at_step:
            self.at_step(text, worker)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.yaml"
    backbone = {"name": "mobilenetv4", "params": PARAMS, "stage_params": STAGES}
    path.write_text(yaml.safe_dump(backbone))
    return str(path)


EMBEDDING = Options(outputs=("embedding",))
SIZES = [replace(EMBEDDING, size=(n, n)) for n in (32, 64)]


def matrix(tiny, targets, recipes=("fp32",), options=(EMBEDDING,), weights="random:0"):
    return cells([tiny], weights, targets, recipes, options, progress=Progress())


def test_a_matrix_goes_on_after_failures_and_is_not_built_twice(tiny, tmp_path):
    strict = tmp_path / "strict.yaml"
    strict.write_text(STRICT)
    cache, out = Cache(tmp_path / "cache"), tmp_path / "out"
    todo = matrix(tiny, ["tflite", "coreml"], [str(strict), "fp32"])
    steps = Steps()
    built = build_cells(todo, out, cache=cache, jobs=2, progress=steps)
    assert [one.cell for one in built] == todo
    assert [type(one.error) for one in built] == [ParityError, type(None)] * 2
    whole = [one.path for one in built if one.path]
    assert sorted(p.name for p in out.iterdir()) == sorted(path.name for path in whole)
    # One export for each layout of attention, whatever the number of recipes.
    assert len([text for text in steps.steps if "export" in text]) == 2
    again = Steps()
    todo = matrix(tiny, ["tflite", "coreml"])
    built = build_cells(todo, tmp_path / "elsewhere", cache=cache, progress=again)
    assert [one.cached for one in built] == [True, True]
    assert [sha256(one.path) for one in built] == [sha256(path) for path in whole]
    assert again.steps == []
    # A damaged entry is noticed and built again, to the same bytes.
    (entry,) = [e for e in cache.entries() if e.id.endswith("tflite")]
    (next(entry.path.glob("*/*.tflite"))).write_bytes(b"TFL3")
    built = build_cells(todo, tmp_path / "third", cache=cache)
    assert [one.cached for one in built] == [False, True]
    assert [sha256(one.path) for one in built] == [sha256(path) for path in whole]


def test_a_killed_builder_fails_its_cell_only_and_a_second_run_completes(tiny, tmp_path):
    def kill(text, worker):
        if "64x64-fp32-embedding-coreml: lower" in text:
            os.kill(int(worker), signal.SIGKILL)

    todo = matrix(tiny, ["coreml"], options=SIZES)
    cache, out = Cache(tmp_path / "cache"), tmp_path / "out"
    built = build_cells(todo, out, cache=cache, jobs=2, progress=Steps(kill))
    assert built[0].error is None
    assert isinstance(built[1].error, CrashError)
    assert "signal 9 (SIGKILL" in str(built[1].error)
    assert [path.name for path in out.iterdir()] == [built[0].path.name]
    built = build_cells(todo, out, cache=cache, jobs=2)
    assert [(one.error, one.cached) for one in built] == [(None, True), (None, False)]
    # Bundles that the cache has lost are taken from where they are, if whole.
    other = Cache(tmp_path / "other")
    next(built[1].path.glob("*.mlpackage/Manifest.json")).write_text("{}")
    assert [one.cached for one in build_cells(todo, out, cache=other)] == [True, False]
    # What lies in the output folder may be anything: the cache only keeps what was just built.
    assert [entry.id for entry in other.entries()] == [built[1].path.name]


class Swaps(Progress):
    """Replaces a file as soon as its hash is in the key, before a builder reads it."""

    def __init__(self, new, old):
        self.new, self.old = new, old

    @contextmanager
    def count(self, total, unit):
        os.replace(self.new, self.old)
        yield


@pytest.fixture
def weights(tiny, tmp_path):
    """Two checkpoints of the tiny network."""
    spec = read_model(tiny).spec
    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for seed, path in enumerate(paths):
        save(random_state(spec, seed), path)
    return paths


def test_weights_that_change_after_they_were_hashed_are_an_error(tiny, weights, tmp_path):
    cache, out = Cache(tmp_path / "cache"), tmp_path / "out"
    todo = matrix(tiny, ["tflite"], weights=str(weights[0]))
    (built,) = build_cells(todo, out, cache=cache, progress=Swaps(*reversed(weights)))
    assert isinstance(built.error, ConfigError)
    assert re.match(r"weights \(.*a\.safetensors\) changed after the build began", str(built.error))
    assert cache.entries() == []
    assert not out.exists()


def test_a_bundle_of_another_process_stays_and_is_not_cached(tiny, tmp_path):
    """Another build into the same folder ends first."""
    mine, other = (matrix(tiny, ["coreml"], weights=f"random:{seed}") for seed in (0, 1))
    cache, out, elsewhere = Cache(tmp_path / "cache"), tmp_path / "out", tmp_path / "elsewhere"
    (theirs,) = build_cells(other, elsewhere, cache=None)
    placed = out / theirs.path.name

    def place(text, worker):
        if "verify" in text:
            shutil.copytree(theirs.path, placed)

    (built,) = build_cells(mine, out, cache=cache, progress=Steps(place))
    assert isinstance(built.error, ConfigError)
    assert "holds a bundle made of other ingredients: weights" in str(built.error)
    assert sha256(placed) == sha256(theirs.path)
    # What was built is in the cache under its own key.
    with pytest.raises(ConfigError, match="holds a bundle made of other ingredients"):
        build_cells(mine, out, cache=cache)
    (built,) = build_cells(mine, out, cache=cache, force=True)
    assert built.cached
    assert open_bundle(built.path).manifest.model.weights == "random:0"
    # A bundle that another process replaced before the end is not reported as one's own.
    shutil.rmtree(placed)
    shutil.copytree(theirs.path, placed)
    assert "another process replaced or removed" in str(_kept(built, mine[0].ingredients()).error)


def test_a_dask_cluster_loses_a_worker(tiny, tmp_path):
    from distributed import LocalCluster

    todo = matrix(tiny, ["coreml"], options=SIZES)
    out = tmp_path / "out"
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:

        def kill_one():
            while not list(out.glob(".mnv4-*/work/*")):  # a builder has begun to write
                time.sleep(0.05)
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        built = build_cells(todo, out, cache=None, scheduler=cluster.scheduler_address)
        killer.join()
    assert [one.error for one in built] == [None, None]
    assert sorted(path.name for path in out.iterdir()) == sorted(one.path.name for one in built)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1", "carrier-pigeon://roof"])
def test_nobody_answers(tiny, tmp_path, monkeypatch, address):
    monkeypatch.setattr("mnv4_mobile.builder.matrix._CONNECT_S", 1)
    with pytest.raises(ConfigError, match=r"--scheduler: .*: no Dask scheduler found"):
        build_cells(matrix(tiny, ["tflite"]), tmp_path / "out", cache=None, scheduler=address)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_done_is_refused_before_any_work(tiny, tmp_path):
    half = Options(outputs=("embedding",), io="float16")
    with pytest.raises(LoweringError, match="tflite: io: found 'float16'"):
        matrix(tiny, ["coreml", "tflite"], ["fp16"], [half])
    other = tmp_path / "fp32.yaml"
    other.write_text(STRICT)
    with pytest.raises(ConfigError, match="found two recipes named 'fp32'"):
        matrix(tiny, ["tflite"], ["fp32", str(other)])


def test_every_ingredient_changes_the_key(tiny, tmp_path, demo_pictures):
    base = Cell(
        model=read_model(tiny).spec,
        weights="random:0",
        target="tflite",
        recipe=load_recipe("fp32"),
        options=Options(),
    )
    weights = tmp_path / "a.safetensors"
    weights.write_bytes(b"1")
    others = [
        replace(base, model=replace(base.model, act="relu6")),
        replace(base, weights="random:1"),
        replace(base, weights=str(weights)),
        replace(base, target="coreml"),
        replace(base, recipe=load_recipe("fp16")),
        replace(base, recipe=replace(base.recipe, gate=Gate(sqnr_db=81))),
        replace(base, options=Options(crop=0.9)),
        replace(base, preprocess=KnownPreprocess(crop=0.9)),
        replace(base, options=Options(labels=tuple(map(str, range(1000))))),
        replace(base, options=Options(images=demo_pictures)),
        replace(base, recipe=load_recipe("int8"), options=Options(calibrate="random")),
        replace(base, recipe=load_recipe("int8"), options=Options(calibrate=str(demo_pictures))),
    ]
    made_of = [cell.ingredients() for cell in [base, *others]]
    keys = [key(one) for one in made_of]
    assert len(set(keys)) == len(keys)
    assert [cell.ingredients() for cell in [base, *others]] == made_of
    differing = [[part for part in made_of[0] if one[part] != made_of[0][part]] for one in made_of]
    assert differing[2:] == [
        ["weights"],
        ["weights"],
        ["target", "options", "code", "versions"],
        ["recipe"],
        ["recipe"],
        ["options"],
        ["weights"],
        ["options"],
        ["images"],
        ["recipe", "calibration"],
        ["recipe", "calibration"],
    ]
    weights.write_bytes(b"2")
    assert others[2].ingredients() != made_of[3]
    picture = demo_pictures / "9.png"
    picture.write_bytes(picture.read_bytes() + b" ")
    assert others[-1].ingredients() != made_of[-1]
    # What a recipe does not use does not count.
    assert replace(base, options=Options(calibrate=str(demo_pictures))).ingredients() == made_of[0]


@pytest.fixture
def demo_pictures(tmp_path):
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(10):
        Image.new("RGB", (40, 40), (i, 2 * i, 3 * i)).save(folder / f"{i}.png")
    return folder


def test_weights_alone_do_without_images_and_say_what_is_left_out():
    options, progress = [Options()], Steps()
    (cell,) = cells(
        ["conv-small"], "random:0", ["tflite"], ["int8-weights"], options, progress=progress
    )
    assert cell.recipe.calibration.images == 128
    assert "recipe int8-weights: without --calibrate: equalize, gptq left out" in progress.notes
    with pytest.raises(ConfigError, match="--calibrate: missing; recipe int8 needs"):
        cells(["conv-small"], "random:0", ["tflite"], ["int8"], options, progress=progress)


def test_an_unchecked_range_of_float16_is_said_once():
    progress, two = Steps(), ["palettize-8", "fp16"]
    cells(["conv-small"], "random:0", ["coreml"], two, [Options()], progress=progress)
    assert [note for note in progress.notes if "prepare" in note or "guard" in note] == []
    (note,) = [note for note in progress.notes if "float16" in note]
    assert note.startswith("range of float16 not checked: give --calibrate DIR")


def test_what_is_no_file_among_the_images_is_not_hashed(tmp_path, demo_pictures):
    for index, path in enumerate(sorted(demo_pictures.glob("*.jpg"))[:4]):
        (tmp_path / f"{index}.jpg").symlink_to(path)
    plain = Options(calibrate=str(tmp_path), images=tmp_path)
    (cell,) = cells(["demo"], None, ["tflite"], ["int8"], [plain], progress=Progress())
    before = cell.ingredients()
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert cell.ingredients() != before


def test_choices_that_would_take_gigabytes_are_refused():
    for options, message in (
        (Options(batch=10**9), "batch: found an input of 1000000000 x 3 x 96 x 96"),
        (Options(num_classes=10**9), r"found \d+ parameters, at most 500000000 are allowed"),
        (Options(size=(16384, 16384)), r"stem: found a map of \d+ x 8192 x 8192"),
    ):
        with pytest.raises(ConfigError, match=message):
            cells(["demo"], None, ["tflite"], ["fp32"], [options], progress=Progress())
