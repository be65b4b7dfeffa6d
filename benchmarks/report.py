"""How large the report of many measurements is, and how soon it shows its first chart.

    python -m benchmarks.report -o out/report [--measurements 10000] [--screenshots]

The measurements are synthetic. The page is opened in Chromium (headless, no GPU) from a file, five
times in a fresh context each; times are from the start of the navigation to the frame in which the
first chart is on the page, and the CPU time of the page's main thread until it is loaded, which
other work on the machine changes less. `--screenshots` adds the pictures of the
documentation, of a smaller report.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from benchmarks import synthetic
from mnv4_mobile.measure.record import Record, record
from mnv4_mobile.measure.report.write import write_report
from mnv4_mobile.measure.store import Store
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
# The first frame in which there is a chart; there is no event for that.
_FIRST_CHART = """
const look = () => document.querySelector(".chart canvas")
  ? requestAnimationFrame(() => { window.firstChart = performance.now(); })
  : requestAnimationFrame(look);
look();
"""
OPENED = 5
SHOTS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1180, "height": 1900}},
    "dark": {"viewport": {"width": 1180, "height": 1900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 1900}},
}


def fill(path: Path, count: int, *, runs: int = 100) -> None:
    """A store of so many synthetic sessions, with accuracies and profiles."""
    path.unlink(missing_ok=True)
    records: list[Record] = [
        record("measurement", measurement.to_json())
        for measurement in synthetic.measurements(count, runs=runs)
    ]
    records += [record("evaluation", evaluation) for evaluation in synthetic.evaluations()]
    with Store(path) as store:
        store.add_all(records)
        for artifact in list(synthetic.artifacts().values())[:8]:
            store.add_profile(
                artifact.sha256, synthetic.PHONES[0].info.id, synthetic.profile(artifact, 4.2)
            )


def write(folder: Path, count: int, name: str) -> tuple[Path, float]:
    """A report of so many sessions, and the seconds that writing it took."""
    store, page = folder / f"{name}.sqlite", folder / f"{name}.html"
    fill(store, count)
    with Store(store) as opened:
        begin = time.perf_counter()
        write_report(opened, page, "html")
        return page, time.perf_counter() - begin


def first_chart(browser: Browser, page: Path) -> tuple[float, float]:
    """Milliseconds to the first chart, and of CPU time to the end of the load."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    tab.add_init_script(_FIRST_CHART)
    tools = context.new_cdp_session(tab)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    tab.goto(page.as_uri())
    metrics = {m["name"]: m["value"] for m in tools.send("Performance.getMetrics")["metrics"]}
    tab.wait_for_function("window.firstChart")
    chart: float = tab.evaluate("window.firstChart")
    context.close()
    return chart, 1000 * metrics["TaskDuration"]


def screenshots(browser: Browser, page: Path, folder: Path) -> None:
    """The first screens on a desktop, light and dark, and on a phone."""
    for name, options in SHOTS.items():
        context = browser.new_context(**options)
        tab = context.new_page()
        tab.goto(page.as_uri())
        tab.wait_for_selector(".chart canvas")
        for chart in tab.locator(".chart").all()[:2]:
            chart.scroll_into_view_if_needed()
            chart.locator("canvas").wait_for()
        tab.evaluate("scrollTo(0, 0)")
        path = folder / f"report-{name}.png"
        tab.screenshot(path=path)
        with Image.open(path) as picture:  # a palette takes a third of the bytes
            small = picture.convert("RGB").quantize(
                256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
            )
        small.save(path, optimize=True)
        context.close()


def main() -> None:
    """Measures, prints and writes `report.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-o", "--out", type=Path, default=Path("out/report"))
    parser.add_argument("--measurements", type=int, default=10_000)
    parser.add_argument("--screenshots", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    page, seconds = write(options.out, options.measurements, "report")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=peers.find("chromium"), args=list(ARGUMENTS)
        )
        times = [first_chart(browser, page) for _ in range(OPENED)]
        found = {
            "measurements": options.measurements,
            "bytes": page.stat().st_size,
            "written_s": round(seconds, 1),
            "first_chart_ms": round(median(chart for chart, _ in times)),
            "first_chart_ms_of_each": [round(chart) for chart, _ in times],
            "main_thread_cpu_ms": round(median(cpu for _, cpu in times)),
            "chromium": browser.version,
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
            "machine": platform.machine(),
        }
        if options.screenshots:
            small, _ = write(options.out, 2400, "small")
            screenshots(browser, small, options.out)
        browser.close()
    (options.out / "report.json").write_text(json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
