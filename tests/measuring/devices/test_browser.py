"""The whole round trip in Chromium: pages that measure, are closed, hidden, wrong, and many."""

import re
import shutil
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from records import replace_golden

from mnv4_mobile.bundle.folder import open_bundle, write_manifest
from mnv4_mobile.errors import DeviceError, ParityError
from mnv4_mobile.measuring.device import DeviceGoneError
from mnv4_mobile.measuring.devices.browser import BrowserKind
from mnv4_mobile.measuring.devices.browser.phone import Patience
from mnv4_mobile.measuring.measurement import Measurement
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.session import PlannedSession, measured
from mnv4_mobile.measuring.subject import open_subject
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.predict import Model
from mnv4_mobile.records import decode, encode, replace
from tests.notes import Notes
from tools import peers

pytestmark = [pytest.mark.peer("chromium"), pytest.mark.toolchain("tflite")]
PLAN = Plan(warmup=2, runs=10, seconds=0.0)
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --use-fake-device-for-media-stream "
    "--use-fake-ui-for-media-stream"
)
SLOW_MS = 60_000
PICTURES = "mnv4_mobile/demo/pictures"


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=peers.find("chromium"), args=FLAGS.split()
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def subject(demo_bundle):
    return open_subject(demo_bundle("tflite").path)


@pytest.fixture
def visit(chromium):
    """A function that serves and opens pages, and gives them with their devices."""
    devices, contexts = [], []

    def run(address="", pages=1):
        heard = Notes()
        patience = Patience(join=60, poll=2, silence=20, reload=3)
        kind = BrowserKind(patience=patience)
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(kind.connect, address, None, heard)
            while not heard.notes:
                time.sleep(0.01)
            url = re.search(r"https?://\S+", heard.notes[0])[0]
            opened = []
            for _ in range(pages):
                context = chromium.new_context(
                    viewport={"width": 390, "height": 844},
                    ignore_https_errors=True,
                    permissions=["camera"],
                )
                contexts.append(context)
                context.set_default_timeout(SLOW_MS)
                opened.append(context.new_page())
                opened[-1].goto(url)
            found = waiting.result(SLOW_MS / 1e3)
        devices.extend(found)
        return SimpleNamespace(
            url=url, said=heard.notes, pages=opened, page=opened[0], devices=found
        )

    yield run
    for context in contexts:
        context.close()
    for device in devices:
        device.close()


def state(page, title):
    page.wait_for_function("t => document.getElementById('state').textContent === t", arg=title)


def shown(page):
    """The classes on the page, as [label, percent]."""
    rows = page.locator("#classes li").all()
    return [[row.locator("span").nth(i).text_content() for i in (0, 1)] for row in rows]


def classify(page, path):
    page.evaluate("document.getElementById('classes').replaceChildren()")
    page.set_input_files("#file", path)
    page.wait_for_selector("#classes li")
    return shown(page)


def test_measures_and_classifies(visit, subject, tmp_path):
    run = visit()
    planned = PlannedSession(subject=subject, plan=PLAN, session=0)
    (record,) = measured(run.devices[0], [planned], "test", Progress())
    assert record.error is None
    samples = record.samples
    assert samples.golden_sqnr_db > 100
    assert len(samples.latencies_ms) == len(samples.t_ms) == PLAN.runs
    assert samples.t_ms[0] == 0 < samples.t_ms[1] < samples.t_ms[-1]
    assert min(samples.latencies_ms) > 0
    assert min(samples.load_cold_ms, samples.load_warm_ms, samples.first_ms) > 0
    assert len(samples.preprocess_ms) == 20
    assert samples.versions["runtime"].startswith("litert.js ")
    assert samples.ran_on == ("cpu",)
    assert samples.conditions["wasm"] == "threaded"
    assert 0 < samples.conditions["timer_resolution_ms"] < 1
    assert record.device.id.startswith("browser:")
    assert "Chrom" in record.device.os_build
    assert decode(encode(record), Measurement, "it") == record

    state(run.page, "Measured")
    median = float(run.page.text_content("#p50"))
    assert median == pytest.approx(np.median(samples.latencies_ms), abs=0.5)
    assert "passed" in run.page.text_content("#figures")
    run.devices[0].close()
    state(run.page, "Finished")

    # The server is gone, and it still classifies; as `mnv4 predict`, whatever the decoder's taste.
    pictures = [*sorted(p for p in _pictures(tmp_path))]
    with Model(open_bundle(subject.bundle.path)) as model:
        expected = model.classify(pictures)
    for picture, wanted in zip(pictures, expected, strict=True):
        found = classify(run.page, picture)
        assert [label for label, _ in found[:1]] == [wanted[0].label], picture
        by_label = {p.label: p.probability for p in wanted}
        for label, percent in found[:3]:
            assert float(percent.removesuffix(" %")) == pytest.approx(
                100 * by_label[label], abs=0.11
            ), picture


def _pictures(folder):
    """Photographs, one turned by EXIF only, large, tiny, grey and with a palette."""
    names = ("three", "seven")
    yield from (shutil.copy(f"{PICTURES}/{name}.jpg", folder) for name in names)
    four = Image.open(f"{PICTURES}/four.jpg").convert("RGB")
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, picture, options in (
        ("turned.png", four, {"exif": turned}),
        ("large.png", four.resize((1201, 803)), {}),
        ("tiny.png", four.resize((31, 17)), {}),
        ("grey.png", four.convert("L"), {}),
        ("palette.png", four.quantize(64), {}),
    ):
        picture.save(folder / name, **options)
        yield str(folder / name)


@pytest.fixture
def renamed(subject, tmp_path):
    """A function that copies the demo bundle under another id."""

    def copy(id):
        folder = tmp_path / id
        shutil.copytree(subject.bundle.path, folder)
        write_manifest(folder, replace(subject.bundle.manifest, id=id))
        return open_subject(folder)

    return copy


def test_sessions_are_counted_grouped_and_any_of_the_models_classifies(visit, renamed):
    run = visit()
    models = [renamed("one"), renamed("two")]
    planned = [
        PlannedSession(subject=one, plan=replace(PLAN, threads=threads), session=session)
        for session in range(2)
        for one in models
        for threads in (1, 2)
    ]
    records, places = [], []
    for record in measured(run.devices[0], planned, "test", Progress()):
        assert record.error is None
        records.append(record)
        count = f"Session {len(records)} of 8"
        run.page.wait_for_function(
            "t => document.getElementById('place').textContent === t", arg=count
        )
        assert len(records) == 8 or run.page.is_hidden("#classify")
        order = run.devices[0]._phone.place
        places.append((order.session, order.seconds_left is not None))
    assert places == [(i + 1, i > 0) for i in range(8)]

    rows = [row.inner_text().split() for row in run.page.locator("#groups tr").all()]
    assert [row[:4] for row in rows] == [
        *(["one", "1", "thread", "2"], ["one", "2", "threads", "2"]),
        *(["two", "1", "thread", "2"], ["two", "2", "threads", "2"]),
    ]
    for row, first, second in zip(rows, records[:4], records[4:], strict=True):
        medians = sorted(np.median(r.samples.latencies_ms) for r in (first, second))
        assert float(row[4]) == pytest.approx(np.median(medians), rel=0.02)
        assert [float(row[i]) for i in (6, 8)] == pytest.approx(medians, rel=0.02)

    run.devices[0].close()
    state(run.page, "Finished")
    assert run.page.locator("#model option").all_inner_texts() == ["one", "two"]
    assert run.page.input_value("#model") == "two"
    by_two = classify(run.page, f"{PICTURES}/three.jpg")
    run.page.evaluate("document.getElementById('classes').replaceChildren()")
    run.page.select_option("#model", "one")  # classifies the image again
    run.page.wait_for_selector("#classes li")
    assert shown(run.page) == by_two


def test_a_failed_session_is_in_its_group(visit, subject, tmp_path):
    run = visit()
    run.devices[0].measure(subject, PLAN, Progress())
    state(run.page, "Measured")
    assert run.page.text_content("#which") == f"Classified by {subject.bundle.manifest.id}"
    assert run.page.is_hidden("#model")
    bundle = tmp_path / "damaged"
    shutil.copytree(subject.bundle.path, bundle)
    damaged = open_subject(bundle)
    damaged.path.write_bytes(damaged.path.read_bytes()[:-1])
    run.page.reload()  # which forgets the model that it has
    with pytest.raises(DeviceError, match="arrived damaged"):
        run.devices[0].measure(damaged, PLAN, Progress())
    state(run.page, "Not measured")
    assert run.page.locator("#groups td").all_inner_texts() == [
        subject.bundle.manifest.id,
        "0",
        "failed",
    ]
    assert run.page.is_hidden("#classify")


def test_a_file_that_is_no_picture_and_the_camera(visit, subject, tmp_path):
    run = visit()
    run.devices[0].measure(subject, PLAN, Progress())
    state(run.page, "Measured")
    (tmp_path / "no.jpg").write_bytes(b"no")
    run.page.set_input_files("#file", tmp_path / "no.jpg")
    run.page.wait_for_function(
        "() => document.getElementById('classify-text').textContent.startsWith('no.jpg: this')"
    )
    run.page.click("#camera")
    run.page.wait_for_selector("#classes li")
    assert len(shown(run.page)) == 5
    run.page.click("#camera")
    run.page.wait_for_selector("#video", state="hidden")


def test_wrong_results_are_not_timed(visit, subject, tmp_path):
    bundle = tmp_path / "wrong"
    shutil.copytree(subject.bundle.path, bundle)
    logits = open_bundle(bundle).golden("eager")["logits"]
    replace_golden(bundle, "golden/eager.logits.bin", np.flip(logits).tobytes())
    run = visit()
    with pytest.raises(
        ParityError, match=r"output logits: wrong on the device: -?\d.* dB, must be"
    ):
        run.devices[0].measure(open_subject(bundle), PLAN, Progress())
    state(run.page, "Wrong results on this device")
    assert run.devices[0].measure(subject, PLAN, Progress()).golden_sqnr_db > 100  # goes on


def test_a_damaged_model_is_not_run(visit, subject, tmp_path):
    run = visit()
    bundle = tmp_path / "damaged"
    shutil.copytree(subject.bundle.path, bundle)
    damaged = open_subject(bundle)
    damaged.path.write_bytes(damaged.path.read_bytes()[:-1])
    with pytest.raises(DeviceError, match=r"tflite arrived damaged"):
        run.devices[0].measure(damaged, PLAN, Progress())


def test_an_artifact_without_a_bundle_is_measured_on_noise(visit, subject, tmp_path):
    run = visit()
    bare = open_subject(Path(shutil.copy(subject.path, tmp_path)))
    samples = run.devices[0].measure(bare, PLAN, Progress())
    assert len(samples.latencies_ms) == PLAN.runs
    assert (samples.golden_sqnr_db, samples.preprocess_ms) == (None, ())
    state(run.page, "Measured")
    assert run.page.text_content("#subject") == subject.path.name
    assert run.page.is_hidden("#classify")


def test_a_tab_that_is_closed_in_the_middle(visit, subject):
    run = visit()
    with ThreadPoolExecutor() as pool:
        long = replace(PLAN, seconds=120.0)
        found = pool.submit(run.devices[0].measure, subject, long, Progress())
        state(run.page, "Measuring")
        run.page.close()
        with pytest.raises(DeviceGoneError, match="the page was closed"):
            found.result(30)


def test_a_page_that_is_reloaded_or_hidden_begins_again(visit, subject):
    run = visit()
    with ThreadPoolExecutor() as pool:
        plan = replace(PLAN, seconds=3.0)
        found = pool.submit(run.devices[0].measure, subject, plan, Progress())
        state(run.page, "Measuring")
        run.page.reload()
        state(run.page, "Measuring")
        hide = (
            "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: "
            "true}); document.dispatchEvent(new Event('visibilitychange')); }"
        )
        run.page.evaluate(hide, True)
        state(run.page, "Paused")
        run.page.evaluate(hide, False)
        assert found.result(60).t_ms[-1] > 1000
    state(run.page, "Measured")


def test_two_pages_at_once_are_two_devices(visit, subject):
    run = visit("2", pages=2)
    assert len({device.describe().id for device in run.devices}) == 2
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda device: device.measure(subject, PLAN, Progress()), run.devices)
        assert [len(samples.latencies_ms) for samples in found] == [10, 10]
    for page in run.pages:
        state(page, "Measured")


def test_https_for_phones_with_two_threads(visit, subject, monkeypatch):
    monkeypatch.setattr("mnv4_mobile.measuring.devices.browser.addresses", lambda: ["127.0.0.1"])
    run = visit("lan")
    assert run.url.startswith("https://127.0.0.1:")
    address = ("127.0.0.1", int(run.url.split(":")[2].split("/")[0]))
    certificate = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(address))
    fingerprint = sha256(certificate).hexdigest().upper()
    assert fingerprint in run.said[0].replace(":", "")
    assert "The phone will warn" in run.said[0]
    assert run.page.evaluate("isSecureContext && crossOriginIsolated")
    run.devices[0].check(subject, replace(PLAN, threads=2))
    samples = run.devices[0].measure(subject, replace(PLAN, threads=2), Progress())
    assert samples.golden_sqnr_db > 100


def test_without_threads_the_other_runtime_is_taken(visit, subject):
    run = visit()
    # A browser without relaxed SIMD, as Safari is.
    source = "const n = WebAssembly.instantiate; WebAssembly.instantiate = (b, ...r) => "
    refuse = "b.length === 36 ? Promise.reject(new Error('no')) : n(b, ...r);"
    run.page.route(
        "**/worker.js",
        lambda route: route.fulfill(
            response=(answer := route.fetch()), body=source + refuse + answer.text()
        ),
    )
    with ThreadPoolExecutor() as pool:
        for plan in (replace(PLAN, threads=2), PLAN):
            found = pool.submit(run.devices[0].measure, subject, plan, Progress())
            while not found.done():
                run.page.wait_for_timeout(50)  # which serves the route
            if plan.threads == 2:
                with pytest.raises(DeviceError, match="threads: found 2, more than this browser"):
                    found.result()
            else:
                assert found.result().conditions["wasm"] == "compat"
                assert found.result().golden_sqnr_db > 100


def test_webgpu_is_asked_for_and_missed(visit, subject):
    run = visit("gpu")
    assert run.devices[0].describe().id.endswith(":gpu")
    with pytest.raises(DeviceError, match="this browser has no WebGPU"):
        run.devices[0].measure(subject, PLAN, Progress())


def test_an_address_that_is_not_valid_says_so(visit, chromium):
    run = visit()
    page = chromium.new_page()
    page.goto(re.sub(r"/[^/]+/$", "/wrong/", run.url))
    assert "This address is not valid, or not any more." in page.content()
    page.close()


def test_a_phone_too_many_is_told(visit, chromium):
    run = visit()
    page = chromium.new_page()
    page.goto(run.url)
    state(page, "Stopped")
    assert "has them all" in page.text_content("#text")
    page.close()
