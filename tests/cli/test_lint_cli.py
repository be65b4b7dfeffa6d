"""`mnv4 lint` as a user meets it."""

import json
import shutil
import subprocess
import sys

import pytest

TARGETS = [
    pytest.param(name, marks=pytest.mark.toolchain(name))
    for name in ("coreml", "executorch", "tflite")
]


@pytest.mark.parametrize("target", TARGETS)
def test_no_toolchain_is_imported(demo_bundle, target):
    code = (
        "import sys\nfrom mnv4_mobile.cli import main\n"
        f"sys.argv = ['mnv4', 'lint', {str(demo_bundle(target).path)!r}]\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'executorch.exir', 'coremltools', 'litert_torch'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.toolchain("tflite")
@pytest.mark.toolchain("executorch")
def test_clean_and_not_clean(mnv4, demo_bundle):
    clean, slow = demo_bundle("tflite").path, demo_bundle("executorch").path
    code, out, _ = mnv4("lint", clean, "--strict")
    assert code == 0
    assert out == f"{clean}: clean\n"
    code, out, _ = mnv4("lint", clean, slow)
    assert code == 0
    assert "transpose  stem.conv  StaticTranspose" in " ".join(out.split("   "))
    code, out, _ = mnv4("lint", clean, slow, "--strict", "--json")
    assert code == 3
    first, second = json.loads(out)["bundles"]
    assert first == {"path": str(clean), "findings": []}
    (finding,) = second["findings"]
    assert finding["rule"] == "transpose"
    assert finding.keys() == {"rule", "layer", "what", "advice"}


@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize(("margin", "code"), [(4.0, 0), (3.9, 3)])
def test_a_layer_that_may_overflow_is_named(mnv4, demo_bundle, tmp_path, margin, code):
    bundle = tmp_path / demo_bundle("tflite").path.name
    shutil.copytree(demo_bundle("tflite").path, bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["float16_range"] = {"images": 16, "margin": margin, "layer": "stem.conv"}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    found, out, _ = mnv4("lint", bundle, "--strict")
    assert found == code
    assert ("float16-range  stem.conv" in out) == (code == 3)
    assert f"margin {margin:g} at stem.conv, on 16 images" in mnv4("inspect", bundle)[1]
    del manifest["float16_range"]
    assert "range of float16" not in mnv4("inspect", demo_bundle("tflite").path)[1]
    manifest["layers"][0]["precision"] = "float16"
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert "range of float16 not checked" in " ".join(mnv4("inspect", bundle)[1].split())


def test_no_bundle(mnv4):
    code, _, err = mnv4("lint", "nowhere")
    assert code == 2
    assert "nowhere: not a bundle" in err
