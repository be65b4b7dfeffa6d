"""Measures how large the report of many measurements is, and how soon it shows its first chart.

    python -m benchmarks.report -o out/report [--measurements 10000]

The measurements are synthetic. Chromium (headless, no GPU) opens the page from a file five times,
each time in a fresh context. Reports the time from the start of the navigation to the frame with
the first chart, and the CPU time of the page's main thread until the page is loaded, which other
work on the machine changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, sync_playwright

from benchmarks import synthetic
from mnv4_mobile.measuring.report.write import write_report
from mnv4_mobile.measuring.results.record import Stored, stored
from mnv4_mobile.measuring.results.store import Store
from tools.screenshots import launch

# Finds the first frame that has a chart; no event reports it.
_FIRST_CHART = """
const look = () => document.querySelector(".chart canvas")
  ? requestAnimationFrame(() => { window.firstChart = performance.now(); })
  : requestAnimationFrame(look);
look();
"""
OPENED = 5


def fill(path: Path, count: int, *, runs: int = 100) -> None:
    """Fills a store with `count` synthetic sessions, accuracies and profiles."""
    path.unlink(missing_ok=True)
    records: list[Stored] = [
        stored(measurement) for measurement in synthetic.measurements(count, runs=runs)
    ]
    records += [stored(evaluation) for evaluation in synthetic.evaluations()]
    with Store(path) as store:
        store.add_all(records)
        for artifact in list(synthetic.artifacts().values())[:8]:
            store.add(synthetic.profile(artifact, synthetic.PHONES[0].info.id, 4.2))


def write(folder: Path, count: int) -> tuple[Path, float]:
    """Writes a report of `count` sessions, and returns its path and the seconds that it took."""
    store, page = folder / "report.sqlite", folder / "report.html"
    fill(store, count)
    with Store(store) as opened:
        begin = time.perf_counter()
        write_report(opened, page, "html")
        return page, time.perf_counter() - begin


def first_chart(browser: Browser, page: Path) -> tuple[float, float]:
    """Returns the ms until the first chart, and the CPU time in ms until the end of the load."""
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


def main() -> None:
    """Measures, prints and writes `report.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-o", "--out", type=Path, default=Path("out/report"))
    parser.add_argument("--measurements", type=int, default=10_000)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    page, seconds = write(options.out, options.measurements)
    with sync_playwright() as playwright:
        browser = launch(playwright)
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
        browser.close()
    (options.out / "report.json").write_text(json.dumps(found, indent=1))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
