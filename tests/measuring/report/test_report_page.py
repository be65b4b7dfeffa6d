"""The report's page in a browser, and that its script is what its sources build."""

import shutil
import subprocess
from pathlib import Path

import pytest
from records import ARTIFACT, DEVICE, PLAN, evaluation, measurement, profile

import mnv4_mobile
from mnv4_mobile.measuring.measurement import Samples, Summary
from mnv4_mobile.measuring.profile import PartTime
from mnv4_mobile.measuring.report.data import page_data
from mnv4_mobile.measuring.report.page import html
from mnv4_mobile.records import replace
from tools.screenshots import launch

HOSTILE = "<img src=x onerror=\"document.title='taken'\"></script><script>document.title='taken'"
CHARTS = 6
pytestmark = pytest.mark.peer("chromium")


def report():
    """Two devices, hostile names, threads, sizes, failures, and what has no accuracy."""
    hostile = replace(ARTIFACT, sha256="b" * 64, name=HOSTILE, model=None, recipe=None)
    medium = replace(ARTIFACT, sha256="c" * 64, model="conv-medium", bytes=9_000_000)
    larger = replace(medium, sha256="d" * 64, size=(256, 320))
    pixel, other = replace(DEVICE, model="Pixel 6", id="adb:6"), replace(DEVICE, model=HOSTILE)
    told = Samples(
        golden_sqnr_db=60.0, summary=Summary(mean=3.0, std=None, min=None, max=None, count=9)
    )
    measurements = [
        measurement(latencies=[4.0 + i / 100 for i in range(60)], device=pixel),
        measurement(device=pixel, session=1),
        measurement(device=pixel, plan=replace(PLAN, threads=4), latencies=(2.0,) * 50),
        measurement(device=pixel, artifact=medium, latencies=(12.0,) * 50),
        measurement(device=pixel, artifact=hostile, latencies=(30.0,) * 50),
        measurement(
            device=pixel, artifact=hostile, plan=replace(PLAN, threads=4), latencies=(900.0,) * 50
        ),
        measurement(device=other, samples=told),
        measurement(device=other, artifact=medium, status="failed"),
        measurement(device=other, artifact=larger, latencies=(40.0,) * 50),
    ]
    blocks = tuple(
        PartTime(name=name, role=HOSTILE, ms=1.0, macs=None, gflops=None)
        for name in ("stem", HOSTILE)
    )
    profiles = [profile(ARTIFACT.sha256, "adb:6", blocks=blocks)]
    judged = [evaluation(), evaluation(sha256="c" * 64, top1=0.8, dataset=HOSTILE)]
    return page_data(measurements, judged, profiles)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html(report()), "utf-8")
    return path


@pytest.fixture
def open_page(browser, file):
    """A function that opens the page, and afterwards sees that nothing was complained about."""
    contexts, complaints, requests = [], [], []

    def opened(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector(".chart canvas")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert {url for url in requests if not url.startswith("data:")} == {file.as_uri()}


def draw_all(page):
    """Scrolls through the page until all charts are drawn."""
    for chart in page.locator(".chart:visible").all():
        chart.scroll_into_view_if_needed()
        chart.locator("canvas").first.wait_for()


def test_all_charts_are_drawn_and_names_are_text(open_page):
    page = open_page()
    assert page.locator(".chart:visible").count() == CHARTS
    draw_all(page)
    assert page.title() == "MobileNetV4 on devices"
    assert page.locator("img").count() == 0
    assert HOSTILE in page.locator("#all tbody").inner_text()
    # A tooltip is made of names too.
    box = page.locator(".chart canvas").nth(4).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.locator("img").count() == 0


def test_charts_have_words_and_tables(open_page):
    page = open_page()
    for chart in page.locator(".chart").all():
        assert chart.get_attribute("role") == "img"
        assert len(chart.get_attribute("aria-label")) > 40
    for details in page.locator(".figure details:visible").all():
        details.locator("summary").first.press("Enter")
        details.locator("tbody tr").first.wait_for()
    text = page.locator(".figure").first.inner_text()
    assert f"Not evaluated on val, on the strip below: {HOSTILE}" in text
    assert "published, not measured here" in text
    beside = page.locator(".figure", has_text="Beside published figures").inner_text()
    assert "CPU, int8, Pixel 6 (this device)" in beside
    assert "arXiv 2404.10518, Table 6, 2024-04 (https://arxiv.org/abs/2404.10518)" in beside
    levels = [int(h.evaluate("e => e.tagName[1]")) for h in page.locator("h1, h2, h3").all()]
    assert levels[:3] == [1, 2, 3]
    assert levels.count(1) == 1
    unnamed = "els => els.filter(e => !e.labels?.length).length"
    assert page.locator("select, input").evaluate_all(unnamed) == 0


def column(page, number):
    rows = page.locator(f"#all tbody tr > :nth-child({number})").all_inner_texts()
    return [text.split("\n")[0] for text in rows]


def test_the_table_sorts_by_keyboard(open_page):
    page = open_page()
    head = page.locator("#all th", has_text="Latency, ms")
    arrow = "e => getComputedStyle(e.querySelector('i'), '::after').content"
    assert head.evaluate(arrow) == '"↕"'
    for order, expected in (
        ("ascending", ["2.00", "3.00", "4.65", "12.0", "30.0", "40.0", "900", "\u2013"]),
        ("descending", ["900", "40.0", "30.0", "12.0", "4.65", "3.00", "2.00", "\u2013"]),
    ):
        head.locator("button").press("Enter")
        assert head.get_attribute("aria-sort") == order
        assert column(page, 2) == expected
        assert head.evaluate(arrow) == ('"▲"' if order == "ascending" else '"▼"')
    other = page.locator("#all th", has_text="Threads")
    other.locator("button").press(" ")
    assert other.get_attribute("aria-sort") == "ascending"
    assert head.get_attribute("aria-sort") is None


def test_the_table_sorts_by_click(open_page):
    page = open_page()
    head = page.locator("#all th", has_text="Top-1, %")
    button = head.locator("button")
    assert button.evaluate("e => getComputedStyle(e).cursor") == "pointer"
    for order, first in (("ascending", "74.0"), ("descending", "80.0")):
        button.click()
        assert head.get_attribute("aria-sort") == order
        assert column(page, 3)[0] == first
        assert column(page, 3)[-1] == "\u2013"


def test_it_opens_with_a_verdict(open_page):
    page = open_page()
    first = page.locator("main > section").first
    assert first.get_attribute("aria-label") == "Verdict"
    assert first.locator("p").first.inner_text() == (
        "Pixel 6: ship conv-small-224x224-int8-tflite: 12.0 ms (p50, 1 thread), top-1 80.0% (95% "
        "interval 77.4 to 82.4, 1000 images), 9.00 MB; the most accurate of 2 that were compared, "
        "1 undecided."
    )
    assert first.locator("code").first.inner_text() == (
        "mnv4 sdk android conv-small-224x224-int8-tflite -o mnv4"
    )
    box = first.locator(".verdict").first.bounding_box()
    assert box["y"] + box["height"] < 300


def test_no_ratio_is_rounded_to_nothing(open_page):
    page = open_page()
    text = page.locator("#device").inner_text()
    assert "2.32 times as fast with 4 threads; lowest:" in text
    assert "30 times as slow with 4 threads" in text


def test_doubts_are_codes_that_the_table_explains(open_page):
    page = open_page()
    assert page.locator("#all .legend dt").all_text_contents() == [
        "failed",
        "drift",
        "spread",
        "summary",
    ]
    shown = " ".join(page.locator("#all .doubts").all_text_contents())
    assert "drift 1/2, spread 16%" in shown


def test_no_column_is_clipped_on_a_laptop(open_page):
    page = open_page(viewport={"width": 1440, "height": 900})
    page.locator("#all").scroll_into_view_if_needed()
    widths = page.locator("#all .scroll").evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert widths[0] == widths[1]
    right = page.locator("#all thead th").last.bounding_box()
    assert right["x"] + right["width"] <= 1440


def test_accuracy_is_in_view_on_a_phone(open_page):
    page = open_page(viewport={"width": 390, "height": 844})
    draw_all(page)  # else the table moves away while they are drawn
    cell = page.locator("#all tbody tr > :nth-child(3)").first
    cell.scroll_into_view_if_needed()
    assert "74.0" in cell.inner_text()
    box = cell.bounding_box()
    assert box["x"] > 0
    assert box["x"] + box["width"] <= 390


def test_the_table_filters_by_keyboard(open_page):
    page = open_page()
    page.get_by_label("Filter").focus()
    page.keyboard.type("PIXEL conv-medium")
    assert page.locator("#all [role=status]").inner_text() == "1 of 8 lines"
    # Networks are told apart by their size where there are several.
    assert column(page, 1) == ["conv-medium 224 px int8 tflite"]
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.press("Tab")
    page.keyboard.press(" ")
    assert page.get_by_label("Only what looks unsound").is_checked()
    assert "the device vanished" in page.locator("#all tbody").text_content()
    assert page.locator("#all [role=status]").inner_text() == "3 of 8 lines"
    assert "conv-medium 256x320 px int8 tflite" not in column(page, 1)


def test_a_device_is_chosen(open_page):
    page = open_page()
    assert page.locator("h2").first.inner_text() == "Pixel 6"
    page.get_by_label("Device", exact=True).select_option(index=1)
    assert page.locator("h2").first.inner_text() == HOSTILE
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    # One number of threads, no profile: said, not left out.
    assert "Measured with one number of threads only" in page.locator("#device").inner_text()
    assert "No profile of this device" in page.locator("#device").inner_text()


def ground(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_light_and_dark(open_page):
    light, dark = open_page(color_scheme="light"), open_page(color_scheme="dark")
    button = dark.get_by_role("button", name="Dark")
    assert ground(light) != ground(dark)
    assert button.get_attribute("aria-pressed") == "true"
    before = dark.locator(".chart").first.screenshot()
    button.press("Enter")
    assert ground(dark) == ground(light)
    assert button.get_attribute("aria-pressed") == "false"
    assert dark.locator(".chart").first.screenshot() != before


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_the_screen(open_page, width):
    page = open_page(viewport={"width": width, "height": 844})
    draw_all(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_print_draws_everything_on_white(open_page, tmp_path):
    page = open_page(color_scheme="dark")
    page.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".chart canvas").count() >= CHARTS
    assert ground(page) == "rgb(255, 255, 255)"
    assert page.get_by_role("button", name="Print").is_hidden()


@pytest.mark.peer("node")
def test_the_script_is_what_the_sources_build(tmp_path):
    """Installs the pinned packages with npm, and so needs its registry."""
    folder = Path(mnv4_mobile.__file__).parent / "measuring" / "report"
    sources = shutil.copytree(
        folder / "web", tmp_path / "web", ignore=shutil.ignore_patterns("node_modules")
    )
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    for command in (install, ["npm", "run", "check"], ["npm", "run", "build"]):
        subprocess.run(command, cwd=sources, check=True, capture_output=True)
    assert (tmp_path / "page.js").read_bytes() == (folder / "page.js").read_bytes()
