"""`mnv4 sdk ios`; what Swift makes of its package, tools/ios.py tests."""

import json
import shutil

import pytest

from mnv4_mobile.bundle.manifest import open_bundle, write_manifest
from mnv4_mobile.records import replace

KIT = "Sources/MobileNetV4Kit"


@pytest.fixture
def copied(demo_bundle, tmp_path):
    """Copies the demo bundle for a target, with the name of another recipe if one is given."""

    def copy(target, recipe="fp32", **requires):
        source = demo_bundle(target)
        folder = tmp_path / "bundles" / source.manifest.id.replace("fp32", recipe)
        shutil.copytree(source.path, folder)
        requires = source.manifest.requires | {f"{target}.{k}": v for k, v in requires.items()}
        manifest = replace(source.manifest, id=folder.name, recipe=recipe, requires=requires)
        write_manifest(folder, manifest)
        return folder

    return copy


@pytest.mark.toolchain("coreml")
def test_two_bundles_for_core_ml(mnv4, copied, tmp_path):
    out = tmp_path / "Kit"
    bundles = [copied("coreml"), copied("coreml", "fp16")]
    code, printed, _ = mnv4("sdk", "ios", *bundles, "-o", out, "--json")
    assert code == 0
    assert json.loads(printed)["models"] == [
        "convSmall035_96x96Fp32Coreml",
        "convSmall035_96x96Fp16Coreml",
    ]
    code = (out / KIT / "MNV4Models.swift").read_text()
    value = 'MobileNetV4.Model(id: "conv-small-035-96x96-fp16-coreml", in: .module)'
    assert f"convSmall035_96x96Fp16Coreml = {value}" in code
    models = "[convSmall035_96x96Fp32Coreml, convSmall035_96x96Fp16Coreml]"
    assert f"all: [MobileNetV4.Model] = {models}" in code
    for bundle in bundles:  # as they were: their hashes are checked
        assert open_bundle(out / KIT / "Resources/mnv4" / bundle.name)
    assert not (out / "MobileNetV4ExecuTorch").exists()
    assert "MobileNetV4CoreTests" not in (out / "Package.swift").read_text()
    assert not (out / "Tests/MobileNetV4CoreTests").exists()
    readme = (out / "README.md").read_text()
    assert "MobileNetV4(.convSmall035_96x96Fp32Coreml)" in readme
    assert "| `convSmall035_96x96Fp16Coreml` | conv-small-035, 96 x 96, fp16: logits |" in readme


@pytest.mark.toolchain("coreml")
@pytest.mark.toolchain("executorch")
def test_bundles_for_executorch_go_into_a_package_of_their_own(mnv4, copied, tmp_path):
    out = tmp_path / "Kit"
    pte = copied("executorch")
    code, printed, _ = mnv4("sdk", "ios", copied("coreml"), pte, "-o", out, "--json")
    assert code == 0
    assert json.loads(printed)["models"] == [
        "convSmall035_96x96Fp32Coreml",
        "convSmall035_96x96Fp32Executorch",
    ]
    second = out / "MobileNetV4ExecuTorch/Sources/MobileNetV4ExecuTorch"
    assert open_bundle(second / "Resources/mnv4" / pte.name)
    code = (second / "MNV4Models.swift").read_text()
    assert "@_exported import MobileNetV4Kit" in code
    assert "allExecuTorch: [MobileNetV4.Model] = [convSmall035_96x96Fp32Executorch]" in code
    assert "ExecuTorch" not in (out / KIT / "MNV4Models.swift").read_text()

    # Written again without bundles for Core ML, whole; SwiftPM still finds a folder to copy.
    code, printed, _ = mnv4("sdk", "ios", pte, "-o", out)
    assert code == 0
    assert "convSmall035_96x96Fp32Coreml" in printed
    assert [path.name for path in (out / KIT / "Resources/mnv4").iterdir()] == ["README"]
    assert "all: [MobileNetV4.Model] = []" in (out / KIT / "MNV4Models.swift").read_text()
    example = "import MobileNetV4ExecuTorch\n\nlet model = try await MobileNetV4(executorch: ."
    assert example in (out / "README.md").read_text()


@pytest.mark.toolchain("coreml")
@pytest.mark.toolchain("executorch")
def test_the_package_needs_what_its_bundles_need(mnv4, copied, tmp_path):
    ios17, ios18 = copied("coreml", "int8", min_ios="17"), copied("coreml", "int4", min_ios="18")
    out, pte = tmp_path / "Kit", copied("executorch")
    for bundles, first, second in (
        # The library refuses iOS 18's bundle on a phone that runs the other.
        ([ios17, ios18], '.iOS("17.0"), .macOS("14.0")', None),
        ([ios18, pte], '.iOS("18.0"), .macOS("15.0")', '.iOS("18.0"), .macOS("15.0")'),
        ([pte], '.iOS("16.0"), .macOS("13.0")', '.iOS("17.0"), .macOS("14.0")'),
    ):
        assert mnv4("sdk", "ios", *bundles, "-o", out)[0] == 0
        assert f"platforms: [{first}]," in (out / "Package.swift").read_text()
        if second:
            package = out / "MobileNetV4ExecuTorch" / "Package.swift"
            assert f"platforms: [{second}]," in package.read_text()
        readme = (out / "README.md").read_text()
        assert ("| iOS 18 or macOS 15 |" in readme) == (ios18 in bundles)
    assert "The package needs iOS 16 or macOS 13, and Xcode 16" in readme
    assert "needs iOS 17 or macOS 14, and downloads" in readme
    strange = copied("coreml", "fp16", min_ios="seventeen")
    code, _, error = mnv4("sdk", "ios", strange, "-o", out)
    assert code == 2
    assert "requires.coreml.min_ios: found 'seventeen', must be a" in " ".join(error.split())


@pytest.mark.toolchain("coreml")
def test_what_is_refused_leaves_nothing(mnv4, copied, tmp_path):
    out, good = tmp_path / "out" / "Kit", copied("coreml")
    damaged = copied("coreml", "fp16")
    (package,) = damaged.glob("*.mlpackage")
    (package / "Manifest.json").write_bytes(bytes((package / "Manifest.json").stat().st_size))
    newer = copied("coreml", "int8")
    text = (newer / "manifest.json").read_text()
    (newer / "manifest.json").write_text(text.replace('"schema": 1', '"schema": 2'))
    other = copied("coreml", "int4")
    manifest = json.loads((other / "manifest.json").read_text()) | {"target": "tflite"}
    (other / "manifest.json").write_text(json.dumps(manifest))
    for bundle, message in (
        (damaged, "damaged"),
        (newer, "newer version"),
        (other, "is for tflite, allowed: coreml, executorch"),
        (good, "has the same id as"),
        (tmp_path / "nothing", "not a bundle"),
    ):
        code, _, error = mnv4("sdk", "ios", good, bundle, "-o", out)
        assert code == 2
        assert message in error.replace("\n", "")
        assert "Traceback" not in error
        assert not out.exists()
    out.mkdir(parents=True)
    (out / "mine").touch()
    code, _, error = mnv4("sdk", "ios", good, "-o", out)
    assert code == 2
    assert "is not overwritten" in error.replace("\n", " ")
    assert [path.name for path in out.iterdir()] == ["mine"]
