"""The names that `mnv4_mobile` offers to Python programs."""

import ast
import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import mnv4_mobile
from mnv4_mobile import (
    Bounds,
    ConfigError,
    Plan,
    Store,
    StoreError,
    build,
    errors,
    evaluate,
    load,
    measure,
    report,
    sdk,
    verify,
)


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


def test_help_lists_the_functions_with_their_signatures():
    text = pydoc.plain(pydoc.render_doc(mnv4_mobile))
    for name in ("build", "evaluate", "measure", "report", "sdk", "verify"):
        function = getattr(mnv4_mobile, name)
        first = next(iter(inspect.signature(function).parameters))
        assert f"{name}({first}: " in text
        assert inspect.getdoc(function).splitlines()[0] in text


@pytest.mark.toolchain("tflite")
def test_the_whole_chain_in_python(tmp_path, heldout):
    images = tmp_path / "images"
    for index, (image, label) in enumerate(zip(*heldout, strict=True)):
        if index < 40:
            path = images / str(label) / f"{index:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    store = tmp_path / "store.sqlite"
    (bundle,) = build("demo", out=tmp_path / "out", targets=["tflite"])
    logits = verify(bundle)["cpu"]["logits"]
    assert logits.sqnr_db >= logits.gate_db
    with Store(store) as opened:
        opened.add(evaluate(bundle.path, str(images)))
    measured = measure([bundle], threads=[1, 2], plan=Plan(runs=5, seconds=0.0), store=str(store))
    assert measured.failures == []
    assert [one.plan.threads for one in measured.measurements] == [1, 2]
    page = tmp_path / "report.html"
    assert len(report(page, store=store, runs=[measured.run], bounds=Bounds(min_top1=0.5))) == 2
    assert bundle.manifest.id in page.read_text()
    written = sdk("android", [bundle], tmp_path / "mnv4")
    assert written.constants == ("CONV_SMALL_035_96X96_FP32_TFLITE",)
    with load(bundle) as model:
        assert len(model.classify([next(images.rglob("*.png"))], top=3)[0]) == 3


def test_bad_input_of_the_functions(tmp_path):
    with pytest.raises(ConfigError, match="--device: found 'toaster', allowed"):
        measure("x", device="toaster")
    with pytest.raises(
        ConfigError, match=r"plan: runs: found 0, must be a whole number, 1 or more"
    ):
        measure("x", plan=Plan(runs=0))
    with pytest.raises(ConfigError, match="plan: found 'slow', allowed: quick, paper, mlperf"):
        measure("x", plan="slow")
    with pytest.raises(ConfigError, match=r"\.txt', allowed: \.html, \.md"):
        report(tmp_path / "report.txt")
    with pytest.raises(StoreError, match="there is no store of measurements"):
        report(tmp_path / "report.html", store=tmp_path / "no.sqlite")
    with pytest.raises(ConfigError, match="platform: found 'androd', did you mean android"):
        sdk("androd", [], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_import_brings_nothing_along():
    code = (
        "import sys, mnv4_mobile\n"
        "print([name for name in ('numpy', 'torch', 'msgspec', 'PIL') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
