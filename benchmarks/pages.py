"""Pages in Chromium (headless, no GPU), and pictures of them for the documentation."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, Playwright

from tools import peers

# Nothing that a browser does on its own, and nothing that a container lacks.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium."""
    return playwright.chromium.launch(executable_path=peers.find("chromium"), args=list(ARGUMENTS))


def draw_charts(page: Page, most: int | None = None) -> None:
    """Scrolls to the charts of a report, which are drawn when they come into view, and back."""
    for chart in page.locator(".chart:visible").all()[:most]:
        chart.scroll_into_view_if_needed()
        chart.locator("canvas").first.wait_for()
    page.evaluate("scrollTo(0, 0)")


def picture(page: Page, path: Path) -> None:
    """What is in view, as a PNG of a palette: a third of the bytes."""
    page.screenshot(path=path)
    with Image.open(path) as shot:
        small = shot.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
