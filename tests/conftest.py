"""Shared fixtures: demo bundles built once a run, whatever the number of pytest workers."""

import gc
import os
import shutil
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from mnv4_mobile import Options, build
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.process import kept_warm
from mnv4_mobile.bundle.folder import open_bundle
from mnv4_mobile.cli import main
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from mnv4_mobile.progress import Progress
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import completed, load_target, missing
from mnv4_mobile.testing import tiny_model
from tests.lacking import lacking
from tools import peers
from tools.demo import choices
from tools.reference.sheet import read_sheet

GARBAGE = (50_000, 20, 100)
"""When to look for garbage: by default, looking among the many objects of toolchains takes a sixth
of the time."""

FIRST = {"coreai": 0, "coreml": 0, "executorch": 1, "snapdragon": 2, "tflite": 2}
"""The worker that begins with the tests of a folder."""


def pytest_configure():
    """Sets what holds for all tests, before any of them is imported."""
    settings.register_profile("suite", deadline=None)  # other work may share the machine
    settings.load_profile("suite")
    # Without the toolchains' bytecode, each process takes 3 to 10 s longer.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    gc.set_threshold(*GARBAGE)


def pytest_collection_modifyitems(items):
    """Puts the tests of each toolchain in front of another worker's share, so that few import it.

    Every worker gets an equal number of tests in this order, and one that has run its own takes
    the last half of another's. What takes longest is run first.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    heads, rest = [[] for _ in range(workers)], []
    for item in items:
        first = FIRST.get(item.path.parent.name)
        (rest if first is None else heads[first % workers]).append(item)
    share = len(items) // workers
    items.clear()
    for head in heads:
        more = max(0, share - len(head))
        items += head + rest[:more]
        del rest[:more]
    items += rest


def pytest_collection_finish():
    """What was imported by now stays until the end, so that no search for garbage goes there."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish():
    """The same holds for what is left at the end, through which pytest looks five times."""
    gc.freeze()


def pytest_runtest_setup(item):
    """A missing toolchain skips its tests, and fails them where nothing may be missing."""
    for marker in item.iter_markers("toolchain"):
        target = load_target(marker.args[0])
        absent = missing(target)
        if not absent:
            continue
        reason = f"{target.name}: not installed: {', '.join(absent)}; extra: {target.extra}"
        lacking(reason)
    for marker in item.iter_markers("package"):
        if find_spec(marker.args[0]) is None:
            lacking(f"{marker.args[0]}: not installed")
    for marker in item.iter_markers("peer"):
        if peers.PEERS[marker.args[0]].missing:
            lacking(f"{marker.args[0]}: not installed; python -m tools.peers install")


def pytest_terminal_summary(terminalreporter):
    """What was skipped for want of a program, and the command that installs it."""
    absent = peers.missing()
    if absent:
        names = ", ".join(absent)
        terminalreporter.write_line(
            f"not tested, as missing here: {names}; install with: python -m tools.peers install",
            yellow=True,
        )


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder of this run's, the same for all of its workers."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session", autouse=True)
def _cache(shared):
    """A cache of bundles and a store of this run's own, for the command's processes too."""
    os.environ["MNV4_CACHE"] = str(shared / "cache")
    os.environ["MNV4_STORE"] = str(shared / "mnv4.sqlite")


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A folder of modules that every process finds which this worker starts."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(f"import gc\n\ngc.set_threshold(*{GARBAGE})\n")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _builders(site):
    """Builders wait for the next test's tasks: they take seconds to import their toolchains."""
    paths = (str(site), os.environ.get("PYTHONPATH"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with kept_warm():
        yield


@pytest.fixture
def mnv4(monkeypatch, capfd):
    """Runs the command in this process: (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["mnv4", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capfd.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture(scope="session")
def heldout():
    """The demo's held-out scenes, (400, 96, 96, 3) RGB, and their classes."""
    return read_sheet(Path(__file__).parent / "data" / "demo_heldout.npz")


@pytest.fixture(scope="session")
def demo_bundle(shared, _cache):
    """A function from a target's name to the demo bundle for it."""

    def bundle(target: str):
        folder = shared / "demo"
        with FileLock(shared / f"{target}.lock"):
            if not [*folder.glob(f"*-{target}")]:
                images = Path(__file__).parent.parent / "mnv4_mobile" / "demo" / "pictures"
                recipe, required = choices(target)
                build(
                    "conv-small-035",
                    weights="demo",
                    out=folder,
                    targets=[target],
                    recipes=[recipe],
                    options=Options(images=images, options={target: required}),
                )
        (path,) = folder.glob(f"*-{target}")
        return open_bundle(path)

    return bundle


@pytest.fixture(scope="session")
def executorch_runner(shared, _cache):
    """A function from an architecture to the compiled runner for `.pte`, libraries beside it."""
    from mnv4_executorch import runner

    def program(arch: str) -> Path:
        folder = shared / f"runner-{arch}"
        with FileLock(shared / f"runner-{arch}.lock"):
            if not folder.exists():
                runner.build(arch, folder, Progress())
        return folder / runner.PROGRAM

    return program


@pytest.fixture(scope="session")
def trained_hybrid():
    """The trained hybrid of `tools/reference`, and what is built of it."""
    from mnv4_mobile.builder.reference import load_net
    from mnv4_mobile.model.grammar import read_model
    from mnv4_mobile.model.weights import load_checkpoint

    data = Path(__file__).parent / "data"
    model = read_model(str(data / "hybrid-narrow.yaml")).spec
    checkpoint = load_checkpoint(model, str(data / "hybrid-narrow.safetensors"))
    spec = BuildSpec(
        model=checkpoint.spec, preprocess=checkpoint.preprocess.completed(model.input_size)
    )
    return load_net(checkpoint, spec), spec


@dataclass(frozen=True)
class Small:
    """A network of four blocks, attention included, to lower and lint."""

    net: object
    spec: BuildSpec

    @property
    def layers(self) -> list[str]:
        """Names of its convolutions, as the manifest would have them."""
        from torch import nn

        return [name for name, m in self.net.named_modules() if isinstance(m, nn.Conv2d)]

    def as_trained(self):
        """The network exported as it was trained, with nothing folded."""
        import torch

        return torch.export.export(self.net, (torch.zeros(1, 3, 64, 64),))

    def lower(self, target, out, recipe="fp32", *, folded=True, io=None, **options):
        """The deploy form's artifact, or that of the network as it was trained."""
        from mnv4_mobile.program.export import export

        loaded = load_recipe(recipe)
        spec = completed(replace(self.spec, **options), target, loaded, io=io)
        form = target.form(spec, loaded)
        program = export(self.net, spec, form) if folded else self.as_trained()
        target.lower(program, spec, loaded, None, out)
        return out


@pytest.fixture(scope="session")
def small() -> Small:
    """See `Small`."""
    from mnv4_mobile.model.net import MobileNetV4
    from mnv4_mobile.model.random_weights import random_state

    tiny = tiny_model()
    (first, (uir, *_, attention)) = tiny.stages
    model = replace(tiny, stages=(first, (uir, attention)))
    preprocess = Preprocess(
        size=(64, 64), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    net = MobileNetV4(model, ("logits",)).eval().requires_grad_(False)
    net.load_state_dict(random_state(model, 0))
    return Small(net=net, spec=BuildSpec(model=model, preprocess=preprocess))


@pytest.fixture(scope="session")
def unscalable():
    """A function that lowers a network whose stem and attention float16 cannot hold.

    GELU lets no factor through, and no factor makes the products of attention smaller. The function
    takes a target, a path and a recipe's name, and returns what was lowered and its SQNR in dB.
    """
    from mnv4_mobile.builder.reference import eager
    from mnv4_mobile.bundle.parity import sqnr_db
    from mnv4_mobile.images import random_images
    from mnv4_mobile.model.net import MobileNetV4
    from mnv4_mobile.model.random_weights import random_state
    from mnv4_mobile.program.export import export
    from mnv4_mobile.tensors import feed

    model = tiny_model("gelu")
    preprocess = Preprocess(
        size=(32, 32), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    net = MobileNetV4(model).eval().requires_grad_(False)
    net.load_state_dict(random_state(model, 0))
    for parameter in (net.stem.norm.weight, net.stem.norm.bias):
        parameter.mul_(1e6)
    net.stages[0][0].expand.conv.weight.mul_(1e-6)
    attention = net.stages[1][-1]
    for convolution in (attention.query, attention.key.project):
        convolution.weight.mul_(5e3)
    names = ("stem.conv", "stem.act", "stages.1.4.matmul")
    spec = BuildSpec(model=model, preprocess=preprocess, overflowing=names)
    program, images = export(net, spec, "nchw"), random_images(preprocess, 1, seed=3)
    expected = eager(net, images, spec)["logits"]

    def lower(target, out, recipe):
        recipe = load_recipe(recipe)
        lowered = target.lower(program, completed(spec, target, recipe), recipe, None, out)
        run = target.open(lowered.path, 1)
        found = run(feed(lowered.input, images, preprocess))["logits"]
        return lowered, float(sqnr_db(expected, found.astype("float32")).min())

    return lower


@pytest.fixture
def install_target(site, monkeypatch):
    """Installs the source of a target's module as a distribution, for other processes too."""
    modules = {}

    def install(name: str, source: str):
        module = f"mnv4_{name}"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[mnv4_mobile.targets]\n{name} = {module}:target\n")
        (site / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(site)
        modules[module] = info
        return load_target(name)

    yield install
    for module, info in modules.items():
        shutil.rmtree(info)
        (site / f"{module}.py").unlink()
        sys.modules.pop(module, None)


@pytest.fixture
def chip(install_target):
    """A target with options, units and requirements of its own: `tests/data/mnv4_chip.py`."""
    return install_target("chip", (Path(__file__).parent / "data" / "mnv4_chip.py").read_text())
