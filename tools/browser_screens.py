"""Makes docs/images/browser-*.png: images of a phone-sized Chromium measuring the demo model.

    python -m tools.browser_screens

Look at the images before you keep them.
"""

from __future__ import annotations

import re
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mnv4_mobile import build
from mnv4_mobile.measuring.perform import perform
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.sweep import Sweep, SweepDevice
from mnv4_mobile.progress import Progress
from tools import peers

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
PHOTO = ROOT / "mnv4_mobile" / "demo" / "pictures" / "three.jpg"
PHONE = {"width": 390, "height": 1044}
RECIPES = ("fp32", "fp16")
FLAGS = ("--no-sandbox", "--disable-gpu")
OPEN_S = 60


class Address(Progress):
    """Waits for the address that the measuring process asks to open."""

    def __init__(self) -> None:
        self.url = ""
        self.found = threading.Event()

    def ask(self, text: str) -> None:
        if found := re.search(r"http\S+", text):
            self.url = found[0]
            self.found.set()


def shoot(chromium: Any, bundles: list[Path], folder: Path, scheme: str) -> None:
    """Measures the bundles on one page and makes one image of it.

    The light image shows the run, the dark one the classifier.
    """
    sweep = Sweep(
        name="screens",
        bundles=tuple(map(str, bundles)),
        devices=(SweepDevice(device="browser"),),
        threads=(1, 2),
        plan=Plan(repeats=3, seconds=1.0),
    )
    address = Address()
    page = chromium.new_page(viewport=PHONE, device_scale_factor=2, color_scheme=scheme)
    with ThreadPoolExecutor() as pool:
        store = folder / f"{scheme}.sqlite"
        running = pool.submit(
            perform, sweep, run="screens", store=store, out=folder, progress=address
        )
        if not address.found.wait(OPEN_S):
            running.result()
        page.goto(address.url)
        text = "document.getElementById('{}').textContent".format
        measuring = f"{text('place')}.startsWith('Session 10 ') && {text('state')} === 'Measuring'"
        page.wait_for_function(f"() => {measuring}")
        page.wait_for_timeout(500)
        if scheme == "light":
            page.screenshot(path=IMAGES / "browser-light.png")
        running.result()
    if scheme == "dark":
        page.set_input_files("#file", PHOTO)
        page.wait_for_selector("#classes li")
        page.locator("#classes").scroll_into_view_if_needed()
        page.screenshot(path=IMAGES / "browser-dark.png")
    page.close()


def main() -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        folder = Path(scratch)
        build("conv-small-035", weights="demo", out=folder, targets=["tflite"], recipes=RECIPES)
        chromium = playwright.chromium.launch(executable_path=peers.find("chromium"), args=FLAGS)
        for scheme in ("light", "dark"):
            shoot(chromium, sorted(folder.glob("*-tflite")), folder, scheme)
        chromium.close()


if __name__ == "__main__":
    main()
