"""`mnv4 sdk ios`; what Swift makes of its packages, tools/ios.py tests."""

import json
import os
import plistlib
import re
import shutil
from pathlib import Path

import pytest

from mnv4_mobile.bundle.folder import open_bundle, write_manifest
from mnv4_mobile.errors import BundleError, ConfigError
from mnv4_mobile.files import sha256
from mnv4_mobile.records import replace
from mnv4_mobile.sdks.android import write_android
from mnv4_mobile.sdks.ios import PACKAGES, library, write_ios
from mnv4_mobile.sdks.write import sdk

IOS = Path(__file__).parents[2] / "ios_demo"
MAIN = Path("models-main/Sources/MobileNetV4ModelsMain")
SHOP = Path("models-my-shop/Sources/MobileNetV4ModelsMyShop")
RESOURCES = Path("Resources/mnv4")


@pytest.fixture
def copied(demo_bundle, tmp_path):
    """Copies the demo bundle for a target, with the name of another recipe if one is given."""

    def copy(target, recipe="fp32", folder="", edit=None, **requires):
        source = demo_bundle(target)
        copy = tmp_path / "bundles" / folder / source.manifest.id.replace("fp32", recipe)
        shutil.copytree(source.path, copy)
        requires = source.manifest.requires | {f"{target}.{k}": v for k, v in requires.items()}
        manifest = replace(source.manifest, id=copy.name, recipe=recipe, requires=requires)
        write_manifest(copy, manifest)
        if edit:
            edited = json.loads((copy / "manifest.json").read_text())
            edit(edited)
            (copy / "manifest.json").write_text(json.dumps(edited))
        return copy

    return copy


def tree(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }


def code(sources):
    (file,) = sources.glob("*.swift")
    return file.read_text()


def constants(sources):
    return re.findall(r"public static let (\w+) = MobileNetV4\.Model\(", code(sources))


def needs(package):
    """Returns the packages that a package depends on."""
    return re.findall(r'\.package\((?:path|url): "(.+?)"', (package / "Package.swift").read_text())


@pytest.mark.toolchain("coreml")
def test_a_folder_has_the_library_and_a_package_with_the_bundles(mnv4, copied, tmp_path):
    out = tmp_path / "app" / "mnv4"
    bundles = [copied("coreml"), copied("coreml", "fp16")]
    done, printed, _ = mnv4("sdk", "ios", *bundles, "-o", out, "--json")
    names = ["convSmall035_96x96Fp32Coreml", "convSmall035_96x96Fp16Coreml"]
    assert done == 0
    wanted = {"schema": 1, "path": str(out), "models": names, "removed": [], "added": []}
    assert json.loads(printed) == wanted
    assert sorted(path.name for path in out.iterdir()) == [
        *("MobileNetV4Kit", "README.md", "mnv4-sdk.json", "models-main")
    ]
    assert constants(out / MAIN) == names
    assert code(out / MAIN).startswith(
        "// One import for apps.\n@_exported import MobileNetV4Kit\n"
    )
    assert "public enum MainModels {" in code(out / MAIN)
    assert f"all: [MobileNetV4.Model] = [{', '.join(names)}]" in code(out / MAIN)
    for bundle in bundles:
        shipped = open_bundle(out / MAIN / RESOURCES / f"main.{bundle.name}")
        assert sha256(shipped.artifact) == sha256(open_bundle(bundle).artifact)
        assert len(shipped.golden("input")["pixels"]) == 1
        assert shipped.golden("artifact") == {}
        assert f'MobileNetV4.Model(id: "main.{bundle.name}", in: .module)' in code(out / MAIN)
    # Nothing of this needs a network.
    assert needs(out / "models-main") == ["../MobileNetV4Kit"]
    assert needs(out / "MobileNetV4Kit") == []
    assert [path.name for path in (out / "models-main/Tests").iterdir()] == ["SystemTests.swift"]
    readme = (out / "README.md").read_text()
    assert (
        f"import MobileNetV4ModelsMain\n\nlet model = try await MobileNetV4(MainModels.{names[0]})"
        in readme
    )
    assert f"| `{names[1]}` | conv-small-035, 96 x 96, fp16: logits | 2.6 MB | 28 kB |" in readme
    assert "choose the folder `mnv4/models-main`" in readme
    assert "<!--" not in readme


@pytest.mark.toolchain("coreml")
def test_the_library_is_shipped_without_its_tests(copied, tmp_path):
    write_ios([copied("coreml")], tmp_path / "mnv4")
    kit = tmp_path / "mnv4/MobileNetV4Kit"
    sources = {
        path.relative_to(library()): path.read_bytes()
        for path in (library() / "MobileNetV4Kit/Sources").rglob("*")
        if path.is_file()
    }
    assert {
        path.relative_to(kit.parent): path.read_bytes()
        for path in kit.rglob("*/*")
        if path.is_file()
    } == sources
    package, original = ((folder / "Package.swift").read_text() for folder in (kit, IOS / kit.name))
    assert "Test" not in package
    assert [
        line for line in original.splitlines() if ".testTarget(" not in line
    ] == package.splitlines()


@pytest.mark.toolchain("coreml")
@pytest.mark.toolchain("executorch")
def test_only_a_package_with_bundles_for_executorch_needs_it(mnv4, copied, tmp_path):
    out = tmp_path / "mnv4"
    coreml, pte = copied("coreml"), copied("executorch")
    mnv4("sdk", "ios", coreml, "-o", out)
    done, printed, _ = mnv4("sdk", "ios", coreml, pte, "-o", out, "--name", "my-shop", "--json")
    assert done == 0
    names = ["convSmall035_96x96Fp32Coreml", "convSmall035_96x96Fp32Executorch"]
    assert json.loads(printed)["models"] == constants(out / SHOP) == names
    assert needs(out / "models-main") == ["../MobileNetV4Kit"]
    assert needs(out / "models-my-shop") == ["../MobileNetV4ExecuTorch"]
    second = out / "MobileNetV4ExecuTorch"
    assert needs(second) == ["../MobileNetV4Kit", "https://github.com/pytorch/executorch.git"]
    assert "@_exported import MobileNetV4ExecuTorch\n" in code(out / SHOP)
    assert "-Wl," not in (second / "Package.swift").read_text()  # swiftc does not know it
    exports = second / "Sources/MobileNetV4ExecuTorch/Exports.swift"
    assert "@_exported import MobileNetV4Kit\n" in exports.read_text()
    for test in ("SystemTests", "ExecuTorchTests"):
        text = (out / f"models-my-shop/Tests/{test}.swift").read_text()
        assert "import MobileNetV4ModelsMyShop\n" in text
        assert "in MyShopModels.all" in text
    assert "`MobileNetV4ExecuTorch/`" in (out / "README.md").read_text()
    # Without bundles that need it, it goes; with them alone, the example opens one.
    mnv4("sdk", "ios", coreml, "-o", out, "--name", "my-shop")
    assert not second.exists()
    mnv4("sdk", "ios", pte, "-o", out)
    sample = "MobileNetV4(executorch: MainModels.convSmall035_96x96Fp32Executorch)"
    assert sample in (out / "README.md").read_text()
    assert [path.name for path in (out / "models-main/Tests").iterdir()] == [
        "ExecuTorchTests.swift"
    ]


@pytest.mark.toolchain("coreml")
def test_a_models_package_is_added_or_replaced_alone(mnv4, copied, tmp_path):
    out = tmp_path / "mnv4"
    edit = lambda manifest: manifest.update(labels=[f"thing {i}" for i in range(10)])  # noqa: E731
    digits, things = copied("coreml"), copied("coreml", folder="things", edit=edit)
    mnv4("sdk", "ios", digits, "-o", out)
    before = tree(out)
    (out / "models-main/Notes.txt").write_text("mine")
    _, printed, _ = mnv4("sdk", "ios", things, "-o", out, "--name", "my-shop")
    assert "Swift packages, models-my-shop with convSmall035_96x96Fp32Coreml;" in printed
    assert "removed" not in printed
    after = tree(out)
    assert after.pop("models-main/Notes.txt") == b"mine"
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"README.md", "mnv4-sdk.json"}
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {"models-my-shop"}
    # Both go into one app: the bundles' ids are equal, their ids in the app are not.
    assert constants(out / SHOP) == constants(out / MAIN)
    assert "public enum MyShopModels {" in code(out / SHOP)
    package = (out / "models-my-shop/Package.swift").read_text()
    assert 'name: "MobileNetV4ModelsMyShop"' in package
    assert 'name: "MobileNetV4ModelsMyShopTests"' in package
    assert "Main" not in package
    folders = [path.name for path in out.glob(f"models-*/Sources/*/{RESOURCES}/*")]
    assert sorted(folders) == [f"{name}.{digits.name}" for name in ("main", "my-shop")]
    shipped = open_bundle(out / SHOP / RESOURCES / f"my-shop.{digits.name}")
    assert shipped.manifest.labels[0] == "thing 0"
    readme = (out / "README.md").read_text()
    assert "### models-main" in readme
    assert "### models-my-shop" in readme
    assert "`import MobileNetV4ModelsMyShop`, `MyShopModels`." in readme
    _, printed, _ = mnv4("sdk", "ios", copied("coreml", "fp16"), "-o", out, "--name", "my-shop")
    changes = "removed: convSmall035_96x96Fp32Coreml; added: convSmall035_96x96Fp16Coreml"
    assert printed.splitlines()[1] == changes
    assert len([*(out / SHOP / RESOURCES).iterdir()]) == 1
    shutil.rmtree(out / "models-my-shop")  # how a user removes it
    write_ios([digits], out)
    (out / "models-main/Notes.txt").unlink()
    assert tree(out) == before


@pytest.mark.toolchain("coreml")
def test_a_damaged_package_is_written_again_or_deleted(copied, tmp_path):
    out, bundle = tmp_path / "mnv4", copied("coreml")
    write_ios([bundle], out, name="first")
    write_ios([bundle], out, name="second")
    next(out.glob("models-first/**/model.mlmodel")).unlink()
    before = tree(out)
    with pytest.raises(BundleError, match="write models-first again with --name first, or delete"):
        write_ios([bundle], out, name="second")
    assert tree(out) == before


@pytest.mark.toolchain("coreml")
@pytest.mark.toolchain("executorch")
def test_a_package_needs_what_its_bundles_need(mnv4, copied, tmp_path):
    ios17, ios18 = copied("coreml", "int8", min_ios="17"), copied("coreml", "int4", min_ios="18")
    out, fp32, pte = tmp_path / "mnv4", copied("coreml"), copied("executorch")
    for bundles, version in (
        # The library refuses iOS 18's bundle on a phone that runs the other.
        ([ios17, ios18], ("17", "14")),
        ([ios18, pte], ("17", "14")),
        ([fp32, pte], ("17", "14")),  # as ExecuTorch does
        ([ios18], ("18", "15")),
        ([copied("coreml", "int4x", min_ios="26")], ("26", "26")),
        ([fp32, ios17], ("16", "13")),
    ):
        assert mnv4("sdk", "ios", *bundles, "-o", out)[0] == 0
        ios = version[0]
        others = f'.tvOS("{ios}.0"), .visionOS("{ {16: 1, 17: 1, 18: 2, 26: 26}[int(ios)] }.0")'
        platforms = 'platforms: [.iOS("{}.0"), .macOS("{}.0"), {}],'.format(*version, others)
        assert platforms in (out / "models-main/Package.swift").read_text()
        readme = (out / "README.md").read_text()
        assert ("| iOS 18 or macOS 15 |" in readme) == (ios18 in bundles)
        assert "`MainModels`. Needs iOS {} or macOS {}.".format(*version) in readme
        # The library's own do not change.
        for package in ("MobileNetV4Kit", "MobileNetV4ExecuTorch"):
            if (out / package).exists():
                line = re.search("platforms: .*", (IOS / package / "Package.swift").read_text())
                assert line[0] in (out / package / "Package.swift").read_text()
    strange = copied("coreml", "fp16", min_ios="seventeen")
    done, _, error = mnv4("sdk", "ios", strange, "-o", out)
    assert done == 2
    assert "requires.coreml.min_ios: found 'seventeen', must be a" in " ".join(error.split())


@pytest.mark.toolchain("coreml")
@pytest.mark.toolchain("coreai")
def test_one_package_has_a_network_for_core_ml_and_core_ai(mnv4, copied, tmp_path):
    out, mlpackage, aimodel = tmp_path / "mnv4", copied("coreml"), copied("coreai")
    names = ["convSmall035_96x96Fp32Coreml", "convSmall035_96x96Fp32Coreai"]
    done, printed, _ = mnv4("sdk", "ios", mlpackage, aimodel, "-o", out, "--json")
    assert done == 0
    assert json.loads(printed)["models"] == constants(out / MAIN) == names
    # The library itself runs both, and an older system runs the one for Core ML.
    assert needs(out / "models-main") == ["../MobileNetV4Kit"]
    assert '.iOS("16.0"), .macOS("13.0")' in (out / "models-main/Package.swift").read_text()
    assert [path.name for path in (out / "models-main/Tests").iterdir()] == ["SystemTests.swift"]
    readme = (out / "README.md").read_text()
    assert "| iOS 16 or macOS 13 |" in readme
    assert "| iOS 27 or macOS 27 |" in readme
    assert "`MainModels`. Needs iOS 16 or macOS 13." in readme
    assert "MobileNetV4(anyOf: [" in readme
    shipped = open_bundle(out / MAIN / RESOURCES / f"main.{aimodel.name}")
    assert sha256(shipped.artifact) == sha256(open_bundle(aimodel).artifact)
    assert sorted(path.name for path in shipped.artifact.iterdir()) == [
        *("main.hash", "main.mlirb", "metadata.json")
    ]
    # Alone, it needs the system that has Core AI.
    assert mnv4("sdk", "ios", aimodel, "-o", out)[0] == 0
    platforms = '.iOS("27.0"), .macOS("27.0"), .tvOS("27.0"), .visionOS("27.0")'
    assert platforms in (out / "models-main/Package.swift").read_text()
    assert f"MobileNetV4(MainModels.{names[1]})" in (out / "README.md").read_text()
    assert mnv4("sdk", "ios", copied("coreai", "fp16", edit=_half), "-o", out)[0] == 0
    done, _, said = mnv4("sdk", "ios", copied("coreai", "int8", edit=_batch), "-o", out)
    assert done == 2
    assert "takes 2 images, must take 1" in " ".join(said.split())


@pytest.mark.toolchain("coreml")
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("name", "Shop", "name: found 'Shop', must be words of small letters and digits"),
        ("name", "../x", "name: found '../x', must be words"),
        ("name", "3d", "name: found '3d', must be words"),
        ("name", "", "name: found '', must be words"),
        (
            "name",
            "a1",
            "found 'a1', whose module MobileNetV4ModelsA1 models-a-1 has; every package",
        ),
        ("name", "myshop", "whose module MobileNetV4ModelsMyshop models-my-shop has; every"),
        ("namespace", "com.example", "found '--namespace', did you mean --name?"),
        ("agp", "8", "found '--agp', allowed: --out, --name"),
    ],
)
def test_names_that_no_package_can_have(mnv4, copied, tmp_path, option, value, message):
    out, bundle = tmp_path / "mnv4", copied("coreml")
    for name in ("a-1", "my-shop"):
        write_ios([bundle], out, name=name)
    before = tree(out)
    done, _, said = mnv4("sdk", "ios", bundle, "-o", out, f"--{option}", value)
    assert done == 2
    assert message in " ".join(said.split())
    assert tree(out) == before


@pytest.mark.toolchain("coreml")
@pytest.mark.toolchain("tflite")
def test_a_folder_of_the_other_platform_is_refused(mnv4, demo_bundle, copied, tmp_path):
    out, bundle = tmp_path / "mnv4", copied("coreml")
    write_android([demo_bundle("tflite").path], out)
    done, _, said = mnv4("sdk", "ios", bundle, "-o", out)
    assert done == 2
    said = " ".join(said.split())
    assert "mnv4-sdk.json: agp: unknown key" in said
    assert said.endswith(f"move {out} away and write it again")


@pytest.mark.toolchain("coreml")
def test_what_the_user_changed_is_not_replaced(copied, tmp_path):
    out, bundle = tmp_path / "mnv4", copied("coreml")
    write_ios([bundle], out)
    package = out / "models-main/Package.swift"
    package.write_text(package.read_text() + "// mine\n")
    for name in ("main", "shop"):
        with pytest.raises(
            ConfigError, match=r"Package\.swift: was changed since mnv4 sdk wrote it"
        ):
            write_ios([bundle], out, name=name)
    assert not (out / "models-shop").exists()


@pytest.mark.toolchain("coreml")
def test_the_privacy_manifest_is_in_the_package(copied, tmp_path):
    out = write_ios([copied("coreml")], tmp_path / "mnv4").path / "MobileNetV4Kit"
    assert '.process("PrivacyInfo.xcprivacy")' in (out / "Package.swift").read_text()
    path = out / "Sources/MobileNetV4Kit/PrivacyInfo.xcprivacy"
    found = plistlib.loads(path.read_bytes())
    assert found["NSPrivacyTracking"] is False
    assert found["NSPrivacyCollectedDataTypes"] == []
    kinds = [one["NSPrivacyAccessedAPIType"] for one in found["NSPrivacyAccessedAPITypes"]]
    assert [kind.removeprefix("NSPrivacyAccessedAPICategory") for kind in kinds] == [
        "FileTimestamp",
        "SystemBootTime",
    ]


def test_every_package_of_the_library_is_in_the_wheel():
    packages = {path.parent.name for path in IOS.glob("*/Package.swift")}
    assert packages == set(PACKAGES)
    project = (IOS.parent / "pyproject.toml").read_text()
    for folder in (*sorted(PACKAGES), "template"):
        assert f'"ios_demo/{folder}" = "mnv4_mobile/ios/{folder}"' in project


def _batch(manifest):
    manifest["inputs"][0]["shape"][0] = manifest["outputs"][0]["shape"][0] = 2


def _half(manifest):
    manifest["outputs"][0].update(dtype="float16")


@pytest.mark.toolchain("coreml")
@pytest.mark.toolchain("executorch")
def test_what_the_library_does_not_run_is_refused_by_name(mnv4, copied, tmp_path):
    out = tmp_path / "mnv4"
    for target, edit, message in (
        ("coreml", _batch, "takes 2 images, must take 1; build it with --batch 1"),
        ("executorch", _half, "output logits: is float16, the iOS library takes float32 or quant"),
    ):
        done, _, said = mnv4("sdk", "ios", copied(target, edit=edit), "-o", out)
        assert done == 2
        assert message in " ".join(said.split())
        assert not out.exists()
    assert mnv4("sdk", "ios", copied("coreml", "fp16", edit=_half), "-o", out)[0] == 0


@pytest.mark.toolchain("coreml")
def test_what_is_refused_leaves_nothing(mnv4, copied, tmp_path):
    out, good = tmp_path / "out" / "mnv4", copied("coreml")
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
        (other, "is for tflite, allowed: coreml, coreai, executorch"),
        (good, "has the same id as"),
        (tmp_path / "nothing", "not a bundle"),
    ):
        done, _, error = mnv4("sdk", "ios", good, bundle, "-o", out)
        assert done == 2
        assert message in error.replace("\n", "")
        assert "Traceback" not in error
        assert not out.exists()
    out.mkdir(parents=True)
    (out / "mine").touch()
    done, _, error = mnv4("sdk", "ios", good, "-o", out)
    assert done == 2
    assert "is not overwritten" in error.replace("\n", " ")
    assert [path.name for path in out.iterdir()] == ["mine"]


# Compiles as Apple's compiler does, as far as its documentation says, if its arguments are right.
COREMLCOMPILER = """#!/bin/sh
[ "$#" = 4 ] && [ "$1 $2" = "coremlcompiler compile" ] || exit 64
[ -d "$3/Data" ] && [ -d "$4" ] || exit 66
model="$4/$(basename "$3" .mlpackage).mlmodelc"
mkdir -p "$model/weights"
cp "$3/Data/com.apple.CoreML/model.mlmodel" "$model/model.mil"
cp "$3/Data/com.apple.CoreML/weights/weight.bin" "$model/weights/weight.bin"
"""


@pytest.fixture
def xcrun(tmp_path, monkeypatch):
    """Puts a stand-in for Xcode's tools on the PATH; no Mac was at hand."""

    def put(script=COREMLCOMPILER):
        tool = tmp_path / "bin" / "xcrun"
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(script)
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")

    return put


@pytest.mark.toolchain("coreml")
@pytest.mark.toolchain("executorch")
def test_models_are_compiled_on_a_mac(mnv4, copied, tmp_path, xcrun):
    xcrun()
    out, source, pte = tmp_path / "mnv4", copied("coreml"), copied("executorch")
    before = tree(source)
    done, printed, _ = mnv4("sdk", "ios", source, pte, "-o", out, "--compiled", "--json")
    assert done == 0
    assert len(json.loads(printed)["models"]) == 2
    shipped = open_bundle(out / MAIN / RESOURCES / f"main.{source.name}")
    original = open_bundle(source)
    stem = original.artifact.stem
    assert shipped.artifact.name == f"{stem}.mlmodelc"
    assert not [*out.rglob("*.mlpackage")]
    # The hash and the size are those of what a device loads, and so it notices a damaged model.
    assert shipped.manifest.artifact.sha256 == sha256(shipped.artifact)
    assert shipped.manifest.artifact.sha256 != original.manifest.artifact.sha256
    assert (
        replace(
            shipped.manifest, artifact=original.manifest.artifact, golden=original.manifest.golden
        )
        == original.manifest
    )
    assert open_bundle(out / MAIN / RESOURCES / f"main.{pte.name}").artifact.suffix == ".pte"
    assert tree(source) == before
    # Another package leaves it as it is, also where nothing compiles.
    model = tree(shipped.path)
    xcrun("#!/bin/sh\nexit 1\n")
    assert mnv4("sdk", "ios", copied("coreml", "fp16"), "-o", out, "--name", "shop")[0] == 0
    assert tree(shipped.path) == model
    # Python's tools read no compiled model, and say so.
    done, _, said = mnv4("verify", shipped.path)
    assert done == 2
    assert "use the .mlpackage from which it was made" in " ".join(said.split())
    # What is compiled is shipped as it is.
    assert mnv4("sdk", "ios", shipped.path, "-o", tmp_path / "again")[0] == 0
    weight = next(shipped.artifact.rglob("weight.bin"))
    weight.write_bytes(bytes(weight.stat().st_size))
    with pytest.raises(BundleError, match="mlmodelc: damaged"):
        open_bundle(shipped.path)


@pytest.mark.toolchain("coreml")
@pytest.mark.toolchain("executorch")
def test_models_that_cannot_be_compiled_are_refused(mnv4, copied, tmp_path, xcrun, monkeypatch):
    out, source = tmp_path / "out" / "mnv4", copied("coreml")
    unable = 'xcrun: error: unable to find utility "coremlcompiler", not a developer tool'
    monkeypatch.setenv("PATH", str(tmp_path))
    for script, bundle, message in (
        (None, source, "compiled: needs a Mac with Xcode; found no xcrun. Leave --compiled out"),
        (COREMLCOMPILER, copied("executorch"), ".pte, compiles only .mlpackage"),
        (f"#!/bin/sh\necho '{unable}' >&2\nexit 72\n", source, f"cannot compile it: {unable}"),
        ("#!/bin/sh\n", source, ".mlpackage: xcrun coremlcompiler cannot compile it: exit code 0"),
    ):
        if script:
            xcrun(script)
        done, _, said = mnv4("sdk", "ios", bundle, "-o", out, "--compiled")
        assert done == 2
        assert message in " ".join(said.split())
        assert "Traceback" not in said
        assert not out.parent.exists()
    with pytest.raises(ConfigError, match="compiled: is for ios"):
        sdk("android", [source], out, compiled=True)


@pytest.mark.toolchain("coreml")
def test_pixels_are_recommended_where_images_come_from_vision(mnv4, copied, tmp_path):
    floats, pixels = copied("coreml"), copied("coreml", "fp16")
    bundle = open_bundle(pixels)
    image = replace(bundle.manifest.inputs[0], shape=(1, 96, 96, 3), dtype="uint8", layout="nhwc")
    write_manifest(pixels, replace(bundle.manifest, inputs=(image,)))
    code, printed, _ = mnv4("sdk", "ios", floats, pixels, "-o", tmp_path / "mnv4")
    assert code == 0
    (line,) = (line for line in printed.splitlines() if "--input pixels" in line)
    assert line.startswith(f"{floats.name}: takes floats, but Vision and the camera feed images")
    _, printed, _ = mnv4("sdk", "ios", pixels, "-o", tmp_path / "images")
    assert "--input pixels" not in printed
