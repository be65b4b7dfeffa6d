"""Sweeps over this computer, an adb device and a browser, and writes the report and its images.

    python -m benchmarks.devices -o out/devices

Needs the peers `adbd`, `c++` and `chromium` (tools/peers.py). The adb device is a real adbd
(tools/boards.py) and the browser is Chromium, but all of them run on this one computer: the figures
show that every kind of device returns results, and say nothing about a phone. The networks are the
trained ones of the repository, so that accuracies are real: the demo's at three sizes, and a narrow
hybrid.

A later call reuses the bundles and the sessions of the computer and of adb. Its browser is a new
one, and is therefore measured as another device.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from mnv4_mobile.measuring.devices.adb import adb_path
from tools.boards import Adb
from tools.reference.sheet import read_sheet
from tools.screenshots import launch, screenshots

ROOT = Path(__file__).parent.parent
DATA, DEMO = ROOT / "tests" / "data", ROOT / "mnv4_mobile" / "demo" / "pictures"
RUN, PORT = "devices", 5601
MNV4 = str(Path(sys.executable).parent / "mnv4")
RECIPES = ("-r", "fp32,int8", "-t", "executorch,tflite")
SWEEP = """\
description: the same bundles on a computer, through adb and in a browser
bundles: [{out}/bundles/*]
devices: [host, {{device: "adb:127.0.0.1:{port}", tool: {out}/runner}}, browser]
threads: [1, 2]
plan: {{repeats: 3, seconds: 0.5}}
"""


def mnv4(*arguments: str | Path) -> None:
    """Runs a command as a user would."""
    subprocess.run([MNV4, *arguments], check=True)


def pictures(sheet: str, folder: Path) -> Path:
    """Unpacks images of the tests into one folder per class, and returns `folder`."""
    images, labels = read_sheet(DATA / sheet)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / f"{label:02}" / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def prepare(out: Path) -> None:
    """Builds and evaluates all bundles, profiles those of 96 pixels, and builds the runner."""
    bundles = out / "bundles"
    demo = ("conv-small-035", "--weights", "demo", "--input-size", "64,96,128")
    mnv4("build", *demo, *RECIPES, "--calibrate", DEMO, "--force", "-o", bundles)
    calibration = pictures("reference_calibration.npz", out / "calibration")
    hybrid = (DATA / "hybrid-narrow.yaml", "--weights", DATA / "hybrid-narrow.safetensors")
    mnv4("build", *hybrid, *RECIPES, "--calibrate", calibration, "--force", "-o", bundles)
    digits = pictures("demo_heldout.npz", out / "digits")
    drawn = pictures("reference_evaluation.npz", out / "drawn")
    for bundle in sorted(bundles.iterdir()):
        mnv4("evaluate", bundle, digits if bundle.name.startswith("conv") else drawn)
        if "96x96" in bundle.name:
            mnv4("profile", bundle)
    subprocess.run(
        [sys.executable, "-m", "mnv4_executorch.runner", "-o", out / "runner"], check=True
    )


def sweep(out: Path, browser: Browser, environment: Mapping[str, str]) -> None:
    """Runs the sweep, and opens the page that it measures in."""
    file = out / "devices.yaml"
    file.write_text(SWEEP.format(out=out, port=PORT))
    command = [MNV4, "sweep", str(file), "--run", RUN]
    page = browser.new_page(viewport={"width": 390, "height": 844})
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )
    assert process.stderr is not None
    for line in process.stderr:
        print(line, end="", file=sys.stderr)
        if line.strip().startswith("http://127.0.0.1"):
            page.goto(line.strip())
    if process.wait():
        sys.exit(process.returncode)
    page.wait_for_function("document.getElementById('state').textContent === 'Finished'")


def main() -> None:
    """Prepares, measures and writes the report and its images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-o", "--out", type=Path, default=Path("out/devices"))
    out = parser.parse_args().out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    os.environ["MNV4_STORE"] = str(out / "devices.sqlite")
    if not (out / "runner").exists():  # `prepare` makes it last
        prepare(out)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="mnv4-boards-")))
        adb = stack.enter_context(closing(Adb(folder, adb_path())))
        adb.device(PORT)
        browser = launch(stack.enter_context(sync_playwright()))
        sweep(out, browser, adb.environment)
        browser.close()
    report = out / "report.html"
    mnv4("report", "--run", RUN, "-o", report)
    mnv4("report", "--run", RUN, "-o", report.with_suffix(".md"))
    screenshots(report, out)


if __name__ == "__main__":
    main()
