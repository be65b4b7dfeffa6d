"""`mnv4 sdk android`: what it writes, and what it refuses."""

import json
import re
import shutil
from pathlib import Path

import pytest

from mnv4_mobile.bundle.manifest import open_bundle
from mnv4_mobile.errors import BundleError, ConfigError, DiskError
from mnv4_mobile.files import sha256
from mnv4_mobile.sdks.android import RUNTIMES, library, write_android

ANDROID = Path(__file__).parents[2] / "android_demo"
SOURCES = Path("src/main/kotlin/io/github/mnv4")


@pytest.fixture
def variant(demo_bundle, tmp_path):
    """A copy of the demo bundle for a target, with entries of its manifest changed."""

    def make(target="tflite", size=None, **entries):
        source = demo_bundle(target)
        manifest = json.loads((source.path / "manifest.json").read_text())
        manifest |= entries
        if size:
            manifest["preprocess"]["size"] = list(size)
            manifest["inputs"][0]["shape"] = [1, *size, 3]
        folder = tmp_path / "bundles" / manifest["id"]
        shutil.copytree(source.path, folder)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make


def constants(module):
    return re.findall(
        r"public val (\w+): Mnv4Model", (module / SOURCES / "Mnv4Models.kt").read_text()
    )


@pytest.mark.toolchain("tflite")
@pytest.mark.toolchain("executorch")
def test_a_module_has_the_library_the_bundles_and_their_runtimes(demo_bundle, tmp_path, mnv4):
    paths = [demo_bundle("tflite").path, demo_bundle("executorch").path]
    out = tmp_path / "app" / "mnv4"
    code, printed, _ = mnv4("sdk", "android", *paths, "-o", out, "--json")
    names = ["CONV_SMALL_035_96X96_FP32_TFLITE", "CONV_SMALL_035_96X96_FP32_EXECUTORCH"]
    assert code == 0
    wanted = {"schema": 1, "path": str(out), "models": names, "removed": [], "added": []}
    assert json.loads(printed) == wanted
    assert constants(out) == names
    for path in paths:
        shipped = open_bundle(out / "src/main/assets/mnv4" / path.name)
        assert sha256(shipped.artifact) == sha256(open_bundle(path).artifact)
    gradle = (out / "build.gradle.kts").read_text()
    assert "    // runtimes" not in gradle
    for runtime in RUNTIMES.values():
        assert f'    implementation("{runtime}")\n' in gradle
    readme = (out / "README.md").read_text()
    assert f"Mnv4Models.{names[0]}" in readme
    assert "<!--" not in readme
    assert all(f"| `{name}` |" in readme for name in names)
    for file in library().rglob("src/main/**/*.kt"):
        assert (out / file.relative_to(library())).is_file()
    assert (out / "consumer-rules.pro").is_file()
    tests = [path.name for path in (out / "src/test").rglob("*.kt")]
    assert tests == ["Mnv4ModelsTest.kt"]


@pytest.mark.toolchain("tflite")
def test_an_app_gets_only_the_runtime_of_its_bundles(demo_bundle, tmp_path):
    write_android([demo_bundle("tflite").path], tmp_path / "mnv4")
    gradle = (tmp_path / "mnv4" / "build.gradle.kts").read_text()
    assert re.findall(r" implementation\(\"(.+?)\"\)", gradle) == [RUNTIMES["tflite"]]


def test_the_runtimes_have_the_same_versions_everywhere():
    versions = dict(
        re.findall(r'^(\w+) = "(.+)"$', (ANDROID / "gradle/libs.versions.toml").read_text(), re.M)
    )
    session = (ANDROID / "mnv4" / SOURCES / "Session.kt").read_text()
    gradle = (ANDROID / "mnv4/build.gradle.kts").read_text()
    for target, version in (("tflite", "litert"), ("executorch", "executorch")):
        assert RUNTIMES[target].endswith(f":{versions[version]}")
        assert f'"{RUNTIMES[target]}"' in session
        assert f'compileOnly("{RUNTIMES[target]}")' in gradle


@pytest.mark.toolchain("tflite")
def test_writing_again_names_what_leaves(variant, tmp_path, mnv4):
    out = tmp_path / "mnv4"
    first, second, third = (variant(id=f"{n}-96x96-fp32-tflite") for n in ("one", "two", "3d"))
    _, printed, _ = mnv4("sdk", "android", first, "-o", out)
    assert "removed" not in printed
    _, printed, _ = mnv4("sdk", "android", first, second, "-o", out)
    assert printed.splitlines()[1] == "removed: none; added: TWO_96X96_FP32_TFLITE"
    # A second bundle does not change the first one's constant.
    assert constants(out) == ["ONE_96X96_FP32_TFLITE", "TWO_96X96_FP32_TFLITE"]
    _, printed, _ = mnv4("sdk", "android", third, second, "-o", out, "--json")
    changes = json.loads(printed)
    assert changes["removed"] == ["ONE_96X96_FP32_TFLITE"]
    assert changes["added"] == ["MODEL_3D_96X96_FP32_TFLITE"]
    assert not (out / "src/main/assets/mnv4" / first.name).exists()
    _, printed, _ = mnv4("sdk", "android", third, second, "-o", out)
    assert "removed" not in printed


@pytest.mark.toolchain("tflite")
def test_two_ids_of_one_constant_are_refused(variant, tmp_path, mnv4):
    one, two = variant(id="a-b-tflite"), variant(id="a.B-tflite")
    code, _, said = mnv4("sdk", "android", one, two, "-o", tmp_path / "mnv4")
    assert code == 2
    wanted = "a-b-tflite and a.B-tflite: both would be A_B_TFLITE in code; build one of them"
    assert wanted in " ".join(said.split())
    assert not (tmp_path / "mnv4").exists()


@pytest.mark.toolchain("tflite")
def test_what_cannot_be_shipped_is_refused_and_leaves_nothing(variant, tmp_path, mnv4):
    out = tmp_path / "mnv4"
    good = variant(id="good")
    damaged = variant(id="damaged")
    artifact = open_bundle(damaged).artifact
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"?")
    with pytest.raises(BundleError, match="damaged: sha256"):
        write_android([good, damaged], out)
    with pytest.raises(ConfigError, match="is for coreml, allowed: tflite, executorch"):
        write_android([good, variant(id="apple", target="coreml")], out)
    with pytest.raises(ConfigError, match="has the same id as"):
        write_android([good, good], out)
    assert not out.exists()
    code, _, said = mnv4("sdk", "android", tmp_path / "nothing", "-o", out)
    assert code == 2
    assert "nothing" in said


@pytest.mark.toolchain("tflite")
def test_a_folder_is_replaced_whole_or_stays(variant, tmp_path, monkeypatch):
    out = tmp_path / "mnv4"
    write_android([variant(id="first")], out)
    before = sorted(path.relative_to(out) for path in out.rglob("*"))

    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    second = variant(id="second")
    with monkeypatch.context() as patched:
        patched.setattr("mnv4_mobile.sdks.android._code", full)
        with pytest.raises(DiskError, match="No space left"):
            write_android([second], out)
    assert sorted(path.relative_to(out) for path in out.rglob("*")) == before
    write_android([second], out)
    assert [path.name for path in (out / "src/main/assets/mnv4").iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.toolchain("tflite")
def test_what_is_not_ours_is_not_replaced(variant, tmp_path):
    out = tmp_path / "mnv4"
    out.mkdir()
    (out / "MyOwn.kt").write_text("")
    with pytest.raises(ConfigError, match=r"exists and holds no mnv4-sdk\.json"):
        write_android([variant(id="first")], out)
    assert [path.name for path in out.iterdir()] == ["MyOwn.kt"]


@pytest.mark.toolchain("tflite")
def test_files_of_the_user_are_kept(variant, tmp_path):
    out = tmp_path / "mnv4"
    first, second = variant(id="first"), variant(id="second")
    write_android([first], out)
    mine = {out / "proguard/mine.pro": "keep", out / "src/main/assets/mnv4/first/notes": "mine"}
    for path, text in mine.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (out / "link").symlink_to("nowhere")
    written = write_android([second], out)
    assert (written.removed, written.added) == (("MODEL_FIRST",), ("MODEL_SECOND",))
    assert {path: path.read_text() for path in mine} == mine
    assert (out / "link").is_symlink()
    assert not (out / "src/main/assets/mnv4/first/manifest.json").exists()
    write_android([second], out)  # they are still not ours
    assert {path: path.read_text() for path in mine} == mine


@pytest.mark.toolchain("tflite")
def test_what_the_user_changed_is_not_replaced(variant, tmp_path):
    out = tmp_path / "mnv4"
    first = variant(id="first")
    write_android([first], out)
    gradle = out / "build.gradle.kts"
    text = gradle.read_text()
    gradle.write_text(f"{text}// mine\n")
    with pytest.raises(ConfigError, match=r"build\.gradle\.kts: was changed since mnv4 sdk wrote"):
        write_android([first], out)
    gradle.write_text(text)
    taken = out / "src/main/assets/mnv4/second"
    taken.mkdir()
    (taken / "manifest.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"manifest\.json: was not written by mnv4 sdk"):
        write_android([first, variant(id="second")], out)
    (out / "mnv4-sdk.json").write_text('{"version": "0"}')
    with pytest.raises(ConfigError, match=r"mnv4-sdk\.json: .*missing.*; move .*mnv4 away"):
        write_android([first], out)
    assert (taken / "manifest.json").read_text() == "mine"
