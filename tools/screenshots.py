"""Makes the documents' images of the report: on a laptop, in dark colours and on a phone.

    python -m tools.screenshots out/devices/devices.sqlite --run devices -o docs/images

`python -m benchmarks.devices` makes such a store. Needs the peer `chromium` (tools/peers.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from mnv4_mobile.measuring.report.write import write_report
from mnv4_mobile.measuring.results.store import Store
from tools import peers

# Turn off background activity of the browser, and what a container lacks.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
VIEWS: Mapping[str, tuple[int, int, Literal["light", "dark"]]] = {
    "desktop": (1440, 1700, "light"),
    "dark": (1440, 1700, "dark"),
    "phone": (390, 1700, "light"),
}
"""Width, height and colour scheme of each image."""


def launch(playwright: Playwright) -> Browser:
    """Starts Debian's Chromium, headless."""
    return playwright.chromium.launch(executable_path=peers.find("chromium"), args=list(ARGUMENTS))


def draw_charts(page: Page, most: int | None = None) -> None:
    """Scrolls to a report's charts, which are drawn when they come into view, and back."""
    for chart in page.locator(".chart:visible").all()[:most]:
        chart.scroll_into_view_if_needed()
        chart.locator("canvas").first.wait_for()
    page.evaluate("scrollTo(0, 0)")


def screenshot(page: Page, path: Path) -> None:
    """Saves the visible part of a page as a PNG with a palette, which has a third of the bytes."""
    page.screenshot(path=path)
    with Image.open(path) as shot:
        small = shot.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def screenshots(report: Path, out: Path) -> None:
    """Saves an image of a report's page, `report-NAME.png`, for each of `VIEWS`."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for name, (width, height, scheme) in VIEWS.items():
            size = {"width": width, "height": height}
            page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(report.as_uri())
            draw_charts(page, 2)
            screenshot(page, out / f"report-{name}.png")
        browser.close()


def main() -> None:
    """Writes a store's report and saves its images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store", type=Path)
    parser.add_argument("--run", action="append", default=[], help="only this run; may be repeated")
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    with TemporaryDirectory(prefix="mnv4-") as folder:
        report = Path(folder) / "report.html"
        with Store(options.store, "read") as store:
            write_report(store, report, "html", runs=options.run)
        screenshots(report, options.out)


if __name__ == "__main__":
    main()
