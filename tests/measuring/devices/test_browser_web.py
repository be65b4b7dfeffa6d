"""The page's own code, in Node, against the Python that is its norm; and the built page."""

import base64
import filecmp
import gzip
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mnv4_mobile.bundle.parity import median_db
from mnv4_mobile.images import Preprocess
from mnv4_mobile.measuring.devices import browser
from mnv4_mobile.measuring.devices.browser.server import DIST
from mnv4_mobile.tensors import Quantization, TensorSpec, answer, feed
from tools import peers

GOLDEN = Path(__file__).parents[2] / "golden"
WEB = Path(browser.__file__).parent / "web"


def node(code, given):
    """What a module's default export gives for JSON, as JSON."""
    modules = {
        "* as p": "preprocess.js",
        "* as s": "statistics.js",
        "{ parseJob as job }": "job.js",
        "{ parseManifest as manifest }": "manifest.js",
        "{ parsePlan as plan }": "plan.js",
    }
    imports = (
        f"import {names} from {json.dumps((WEB / file).as_uri())};\n"
        for names, file in modules.items()
    )
    program = "".join(imports) + (
        "import { readFileSync } from 'node:fs';\n"
        "const bytes = (text) => new Uint8Array(Buffer.from(text, 'base64'));\n"
        "const text = (array) => Buffer.from(array.buffer).toString('base64');\n"
        f"const run = {code};\n"
        "const given = JSON.parse(readFileSync(0));\n"
        "console.log(JSON.stringify(given.map(run)));\n"
    )
    command = [peers.find("node"), "--input-type=module", "-e", program]
    # NaN is no JSON: null stands for it.
    text = json.dumps(given)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def array(text, dtype=np.uint8):
    return np.frombuffer(base64.b64decode(text), dtype)


@pytest.mark.peer("node")
def test_the_page_resizes_and_crops_as_the_norm():
    cases = json.loads((GOLDEN / "preprocess.json").read_text())
    code = "(c) => text(p.pixels({ width: c.width, height: c.height, data: bytes(c.rgb) }, c))"
    for case, found in zip(cases, node(code, cases), strict=True):
        want, have = array(case["pixels"]).astype(int), array(found).astype(int)
        assert have.shape == want.shape
        assert np.abs(have - want).max() <= (case["interpolation"] == "lanczos"), case


@pytest.mark.peer("node")
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_the_page_feeds_as_the_norm(layout, dtype):
    cases = json.loads((GOLDEN / "normalise.json").read_text())
    batch = 3
    for case in cases:
        case["input"] = {"dtype": dtype, "layout": layout, "shape": [batch]}
        # Two pictures for three places: the first one again.
        first = array(case["pixels"])
        case["pixels"] = base64.b64encode(np.concatenate([first, first[::-1]])).decode()
    code = "(c) => text(p.feed(bytes(c.pixels), c.input, c))"
    for case, found in zip(cases, node(code, cases), strict=True):
        size = tuple(case["size"])
        preprocess = Preprocess(size=size, mean=tuple(case["mean"]), std=tuple(case["std"]))
        pixels = array(case["pixels"]).reshape(2, *size, 3)[[0, 1, 0]]
        image = TensorSpec(name="x", kind="image", shape=(batch,), dtype=dtype, layout=layout)
        wanted = feed(image, pixels, preprocess)["x"]
        np.testing.assert_array_equal(array(found, dtype), wanted.ravel())


@pytest.mark.peer("node")
def test_the_page_feeds_integers_as_the_golden_cases():
    cases = json.loads((GOLDEN / "quantise.json").read_text())
    assert any(case["quantization"] for case in cases)
    code = "(c) => text(p.feed(bytes(c.pixels), { ...c, shape: [1] }, c))"
    for case, found in zip(cases, node(code, cases), strict=True):
        np.testing.assert_array_equal(array(found), array(case["input"]))


@pytest.mark.peer("node")
def test_the_page_reads_integers_as_floats():
    grid = {"scale": 0.0186, "zero_point": 114}
    tensor = TensorSpec(
        name="x",
        kind="logits",
        shape=(256,),
        dtype="uint8",
        layout=None,
        quantization=Quantization(**grid),
    )
    (found,) = node(
        "(c) => text(p.floats(Uint8Array.from({ length: 256 }, (_, i) => i), c))",
        [{"quantization": grid}],
    )
    wanted = answer([tensor], {"x": np.arange(256, dtype=np.uint8)}, "test")["x"]
    np.testing.assert_array_equal(array(found, np.float32), wanted)


@pytest.mark.peer("node")
@pytest.mark.parametrize("kind", ["manifest", "plan", "job"])
def test_the_page_accepts_and_refuses_what_every_language_does(kind):
    documents = json.loads((GOLDEN / f"documents/{kind}.json").read_text("utf-8"))
    code = f"""(text) => {{
        try {{ {kind}(text); }} catch (error) {{ return [error.name, error.message]; }}
        return null;
    }}"""
    for document in documents["accept"]:
        document["key"] = None
    both = documents["accept"] + documents["refuse"]
    for document, found in zip(both, node(code, [d["text"] for d in both]), strict=True):
        name, key = document["name"], document["key"]
        if key is None:
            assert found is None, name
        else:
            assert found is not None, name
            assert found[0] == "Error", (name, found)  # no mistake of the page's own
            assert key in found[1], (name, found)


@pytest.mark.peer("node")
def test_the_page_checks_the_golden_pair_as_the_norm():
    rng = np.random.default_rng(0)
    wanted = rng.standard_normal((5, 7)).astype(np.float32)
    near = wanted + rng.standard_normal(wanted.shape).astype(np.float32) * 0.01
    broken = near.copy()
    broken[1, 2] = np.nan
    broken[2, 3] = np.inf
    zero = np.zeros_like(wanted)
    pairs = [(wanted, near), (wanted, wanted), (wanted, broken), (zero, near), (wanted, zero)]
    pairs += [(broken, near), (broken, broken)]
    pairs += [(wanted[:2], near[:2]), (wanted[:2], np.stack([wanted[0], near[1]]))]
    given = [
        {"images": len(a), "a": base64.b64encode(a).decode(), "b": base64.b64encode(b).decode()}
        for a, b in pairs
    ]
    floats = "((t) => new Float32Array(bytes(t).buffer))"
    found = node(f"(c) => s.sqnr({floats}(c.a), {floats}(c.b), c.images)", given)
    assert found == pytest.approx([median_db(a, b) for a, b in pairs], abs=1e-9)


@pytest.mark.peer("node")
def test_the_page_shows_the_statistics_of_the_golden_cases():
    cases = json.loads((GOLDEN / "statistics.json").read_text())["cases"]
    found = node("(c) => [50, 90, 95].map((q) => s.percentile(c.latencies_ms, q))", cases)
    wanted = [[case["expected"][name] for name in ("p50", "p90", "p95")] for case in cases]
    for have, want in zip(found, wanted, strict=True):
        assert have == pytest.approx(want, rel=1e-9)


@pytest.mark.peer("node")
def test_a_histogram_counts_every_run():
    values = [[1, 1, 1.1, 1.5, 90], [2.0], [3, 3, 3], list(range(1, 500))]
    for given, found in zip(values, node("(v) => s.histogram(v, 30)", values), strict=True):
        assert sum(found["counts"]) == len(given)
        assert found["low"] == min(given)


@pytest.mark.peer("node")
def test_the_shipped_page_is_what_the_sources_build(tmp_path):
    web, out = tmp_path / "web", tmp_path / "dist"
    shutil.copytree(WEB, web, ignore=shutil.ignore_patterns("node_modules"))
    npm = [peers.find("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(npm, cwd=web, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    subprocess.run([peers.find("node"), "build.js", str(out)], cwd=web, check=True)
    names = sorted(path.name for path in out.iterdir())
    assert names == sorted(path.name for path in DIST.iterdir())
    for name in names:
        if name.endswith(".gz"):  # compressors differ by version
            same = gzip.decompress((out / name).read_bytes()) == gzip.decompress(
                (DIST / name).read_bytes()
            )
        else:
            same = filecmp.cmp(out / name, DIST / name, shallow=False)
        assert same, f"{name} differs: npm ci && npm run build in {WEB}"
