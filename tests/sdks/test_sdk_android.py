"""`mnv4 sdk android`: what it writes, and what it refuses."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from mnv4_mobile.bundle.folder import open_bundle, write_manifest
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.errors import BundleError, ConfigError, DiskError
from mnv4_mobile.files import sha256
from mnv4_mobile.records import replace
from mnv4_mobile.sdks.android import MODULES, library, write_android
from mnv4_mobile.sdks.write import sdk
from tools.hostile_bundle import compiled_bundle

ANDROID = Path(__file__).parents[2] / "android_demo"
MAIN = Path("models-main")
ASSETS = Path("src/main/assets/mnv4")
SOURCES = Path("src/main/kotlin/io/github/mnv4")
CODE = SOURCES / "models/main/Mnv4Models.kt"


@pytest.fixture
def variant(demo_bundle, tmp_path):
    """A copy of the demo bundle for a target, with entries of its manifest changed."""

    def make(target="tflite", folder=None, edit=None, **entries):
        source = demo_bundle(target)
        manifest = json.loads((source.path / "manifest.json").read_text())
        manifest |= entries
        if edit:
            edit(manifest)
        folder = tmp_path / "bundles" / (folder or manifest["id"])
        shutil.copytree(source.path, folder)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make


def constants(module, code=CODE):
    return re.findall(r"public val (\w+): Mnv4Model", (module / code).read_text())


def gradle(module):
    return (module / "build.gradle.kts").read_text()


def needs(module):
    return re.findall(r'(?:api|implementation)\(project\("\$sdk:(.+?)"\)\)', gradle(module))


def tree(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }


@pytest.mark.toolchain("tflite")
@pytest.mark.toolchain("executorch")
def test_a_folder_has_the_library_and_a_module_with_the_bundles(demo_bundle, tmp_path, mnv4):
    paths = [demo_bundle("tflite").path, demo_bundle("executorch").path]
    out = tmp_path / "app" / "mnv4"
    code, printed, _ = mnv4("sdk", "android", *paths, "-o", out, "--json")
    names = ["CONV_SMALL_035_96X96_FP32_TFLITE", "CONV_SMALL_035_96X96_FP32_EXECUTORCH"]
    assert code == 0
    wanted = {"schema": 1, "path": str(out), "models": names, "removed": [], "added": []}
    assert json.loads(printed) == wanted
    assert constants(out / MAIN) == names
    for path in paths:
        shipped = open_bundle(out / MAIN / ASSETS / f"main.{path.name}")
        assert sha256(shipped.artifact) == sha256(open_bundle(path).artifact)
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [
        *sorted(MODULES),
        "models-main",
    ]
    for module in MODULES:
        for file in (library() / module).rglob("*"):
            if file.is_file() and file.name != "build.gradle.kts":
                assert (out / file.relative_to(library())).read_bytes() == file.read_bytes()
    assert needs(out / MAIN) == ["mnv4", "mnv4-executorch", "mnv4-litert"]
    readme = (out / "README.md").read_text()
    assert f"Mnv4Models.{names[0]}" in readme
    assert "<!--" not in readme
    assert all(f"| `{name}` | conv-small-035, 96 x 96, fp32: logits |" in readme for name in names)
    assert '    ":mnv4:mnv4-litert",\n    ":mnv4:models-main",\n)' in readme
    assert "| 28 kB |" in readme


@pytest.mark.toolchain("tflite")
def test_an_app_gets_only_the_runtime_of_its_bundles(demo_bundle, tmp_path):
    write_android([demo_bundle("tflite").path], tmp_path / "mnv4")
    folders = sorted(path.name for path in (tmp_path / "mnv4").iterdir() if path.is_dir())
    assert folders == sorted({*MODULES, "models-main"} - {"mnv4-executorch"})
    assert needs(tmp_path / "mnv4" / MAIN) == ["mnv4", "mnv4-litert"]
    scripts = "".join(path.read_text() for path in tmp_path.rglob("*.gradle.kts"))
    assert "pytorch" not in scripts
    assert "com.google.ai.edge.litert:litert:" in scripts


@pytest.mark.toolchain("tflite")
def test_a_models_module_is_added_or_replaced_alone(variant, tmp_path, mnv4):
    out = tmp_path / "mnv4"
    edit = lambda manifest: manifest.update(labels=[f"thing {i}" for i in range(10)])  # noqa: E731
    digits, things = variant(), variant(edit=edit, folder="things")
    mnv4("sdk", "android", digits, "-o", out)
    before = tree(out)
    _, printed, _ = mnv4("sdk", "android", things, "-o", out, "--name", "my-shop")
    assert "models-my-shop with CONV_SMALL_035_96X96_FP32_TFLITE" in printed
    assert "removed" not in printed
    after = tree(out)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"README.md", "mnv4-sdk.json"}
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {"models-my-shop"}
    # Both go into one app: their ids are equal, their folders in the assets and packages are not.
    shop = out / "models-my-shop"
    assert constants(shop, SOURCES / "models/my_shop/Mnv4Models.kt") == constants(out / MAIN)
    folders = [path.name for path in out.glob(f"models-*/{ASSETS}/*")]
    assert sorted(folders) == [f"{name}.{digits.name}" for name in ("main", "my-shop")]
    assert open_bundle(shop / ASSETS / f"my-shop.{digits.name}").manifest.labels[0] == "thing 0"
    readme = (out / "README.md").read_text()
    assert "### models-main" in readme
    assert "### models-my-shop" in readme
    other = variant(id="other")
    mnv4("sdk", "android", other, "-o", out, "--name", "my-shop")
    assert [path.name for path in (shop / ASSETS).iterdir()] == ["my-shop.other"]
    assert {name: data for name, data in tree(out).items() if name.startswith("models-main/")} == {
        name: data for name, data in before.items() if name.startswith("models-main/")
    }
    shutil.rmtree(shop)  # how a user removes it
    write_android([digits], out)
    assert tree(out) == before


@pytest.mark.toolchain("tflite")
def test_a_damaged_module_is_written_again_or_deleted(demo_bundle, tmp_path):
    out, bundle = tmp_path / "mnv4", demo_bundle("tflite").path
    write_android([bundle], out, name="first")
    write_android([bundle], out, name="second")
    whole = tree(out)
    next(out.glob("models-first/**/eager.logits.bin")).unlink()
    before = tree(out)
    with pytest.raises(BundleError, match=r"eager\.logits\.bin: missing; write models-first again"):
        write_android([bundle], out, name="second")
    assert tree(out) == before
    write_android([bundle], out, name="first")
    assert tree(out) == whole


@pytest.mark.toolchain("tflite")
@pytest.mark.toolchain("executorch")
def test_runtimes_of_earlier_runs_stay(demo_bundle, tmp_path):
    out = tmp_path / "mnv4"
    write_android([demo_bundle("executorch").path], out)
    write_android([demo_bundle("tflite").path], out, name="second")
    assert needs(out / MAIN) == ["mnv4", "mnv4-executorch"]
    assert needs(out / "models-second") == ["mnv4", "mnv4-litert"]
    write_android([demo_bundle("tflite").path], out)
    assert (out / "mnv4-executorch").is_dir()  # the app's settings.gradle.kts names it
    assert needs(out / MAIN) == ["mnv4", "mnv4-litert"]


@pytest.mark.toolchain("tflite")
def test_choices_hold_until_they_are_made_anew(demo_bundle, tmp_path, mnv4):
    out, bundle = tmp_path / "mnv4", demo_bundle("tflite").path
    plugin = 'id("org.jetbrains.kotlin.android")'
    write_android([bundle], out)
    assert not any(plugin in gradle(path.parent) for path in out.glob("*/build.gradle.kts"))
    assert 'version = "1.0"' in gradle(out / "mnv4")
    choices = ("--namespace", "com.example.net", "--agp", "8", "--version", "2.1-rc1")
    mnv4("sdk", "android", bundle, "-o", out, *choices)
    mnv4("sdk", "android", bundle, "-o", out, "--name", "second")
    mnv4("sdk", "android", bundle, "-o", out)
    for path in out.glob("*/build.gradle.kts"):
        assert plugin in gradle(path.parent)
        assert 'version = "2.1-rc1"' in gradle(path.parent)
    assert 'namespace = "com.example.net"' in gradle(out / MAIN)
    assert constants(out / MAIN, Path("src/main/kotlin/com/example/net/Mnv4Models.kt"))
    assert "import com.example.net.Mnv4Models" in (out / "README.md").read_text()
    assert not (out / MAIN / CODE).exists()
    assert 'namespace = "io.github.mnv4.models.second"' in gradle(out / "models-second")
    mnv4("sdk", "android", bundle, "-o", out, "--agp", "9")
    assert plugin not in gradle(out / "models-second")


@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize(
    ("choice", "value", "message"),
    [
        ("name", "Shop", "name: found 'Shop', must be words of small letters and digits"),
        ("name", "../x", "name: found '../x', must be words"),
        ("name", "new", "name: found 'new', which is a keyword of Java or Kotlin"),
        ("namespace", "models", "namespace: found 'models', must be a package"),
        ("namespace", 'a.b"', "namespace: found 'a.b\"', must be a package"),
        ("namespace", "com.in.app", "namespace: found 'in', which is a keyword"),
        ("namespace", "io.github.mnv4", "namespace: found 'io.github.mnv4', which mnv4 has"),
        ("namespace", "io.github.mnv4.models.main", "which models-main has"),
        ("agp", "7", "agp: found 7, allowed: 8, 9"),
        ("version", "1 0", "version: found '1 0', must be letters"),
    ],
)
def test_names_that_no_module_can_have(demo_bundle, tmp_path, mnv4, choice, value, message):
    out, bundle = tmp_path / "mnv4", demo_bundle("tflite").path
    write_android([bundle], out)
    before = tree(out)
    options = {"name": "second"} | {choice: value}
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    code, _, said = mnv4("sdk", "android", bundle, "-o", out, *words)
    assert code == 2
    assert message in " ".join(said.split())
    assert tree(out) == before


def test_a_swift_package_has_none_of_these(tmp_path):
    with pytest.raises(ConfigError, match="namespace: is for android"):
        sdk("ios", [], tmp_path / "kit", namespace="a.b")


@pytest.mark.toolchain("tflite")
def test_one_golden_pair_is_shipped(demo_bundle, tmp_path):
    bundle, out = demo_bundle("tflite"), tmp_path / "mnv4"
    write_android([bundle], out)
    folder = out / MAIN / ASSETS / f"main.{bundle.manifest.id}"
    shipped = open_bundle(folder)
    assert sorted(shipped.files) == sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    eager, artifact = bundle.golden("eager")["logits"], bundle.golden("artifact")["logits"]
    best = int(sqnr_db(eager, artifact).argmax())
    (pixels,), (wanted,) = shipped.golden("input")["pixels"], shipped.golden("eager")["logits"]
    assert np.array_equal(pixels, bundle.golden("input")["pixels"][best])
    assert np.array_equal(wanted, eager[best])
    assert shipped.golden("artifact") == {}
    assert shipped.gates() == bundle.gates()


@pytest.mark.toolchain("tflite")
def test_the_pair_is_the_one_with_most_room_above_its_gate(variant, tmp_path):
    """Also if an earlier image misses the gate, which holds for the median of all."""
    folder = variant(id="noisy")
    bundle = open_bundle(folder)
    entry = next(e for e in bundle.manifest.golden if e.source == "artifact")
    found = bundle.golden("artifact")["logits"].copy()
    found[[0, 1, 3]] *= np.float32(2)
    (folder / entry.path).write_bytes(found.tobytes())
    golden = [replace(e, sha256=sha256(folder / e.path)) for e in bundle.manifest.golden]
    write_manifest(folder, replace(bundle.manifest, golden=tuple(golden)))
    write_android([folder], tmp_path / "mnv4")
    shipped = open_bundle(tmp_path / "mnv4" / MAIN / ASSETS / "main.noisy")
    assert np.array_equal(shipped.golden("eager")["logits"][0], bundle.golden("eager")["logits"][2])


@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("models", {"x/../../../evil": {"namespace": "a.b", "bundles": {"X": "x"}}}),
        ("models", {"x": {"namespace": "a.b", "bundles": {"X": "../../evil"}}}),
        ("models", {"x": {"namespace": 'a.b"', "bundles": {"X": "x"}}}),
        ("models", {"x": {"namespace": "a.b", "bundles": {"X = 1": "x"}}}),
        ("release", '1"'),
        ("runtimes", ["../evil"]),
    ],
)
def test_a_marker_that_someone_changed_is_refused(demo_bundle, tmp_path, key, value):
    out, bundle = tmp_path / "mnv4", demo_bundle("tflite").path
    write_android([bundle], out)
    marker = json.loads((out / "mnv4-sdk.json").read_text())
    (out / "mnv4-sdk.json").write_text(json.dumps(marker | {key: value}))
    before = tree(out)
    with pytest.raises(ConfigError, match=rf"mnv4-sdk\.json: {key}.*; move .*mnv4 away"):
        write_android([bundle], out)
    assert tree(out) == before


@pytest.mark.toolchain("tflite")
def test_names_of_tensors_choose_no_files(variant, tmp_path):
    name = "../../../../../../../evil"

    def edit(manifest):
        manifest["parity"] = {}
        for tensor in (*manifest["outputs"], *manifest["golden"]):
            for key in {"name", "tensor"} & tensor.keys():
                tensor[key] = tensor[key].replace("logits", name)

    folder = variant(id="strange", edit=edit)
    before = sorted(tmp_path.rglob("*"))
    write_android([folder], tmp_path / "app" / "mnv4")
    outside = [
        path for path in tmp_path.rglob("*") if tmp_path / "app" not in (path, *path.parents)
    ]
    assert sorted(outside) == before
    shipped = open_bundle(tmp_path / "app" / "mnv4" / MAIN / ASSETS / "main.strange")
    assert shipped.golden("eager")[name].shape == (1, 10)


def _half(tensor):
    return lambda manifest: manifest[tensor][0].update(dtype="float16")


def _plain(tensor):
    return lambda manifest: manifest[tensor][0].update(dtype="int8")


def _batch(manifest):
    manifest["inputs"][0]["shape"][0] = manifest["outputs"][0]["shape"][0] = 2


@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_half("inputs"), "input image: is float16, the Android library takes float32, quantized"),
        (_half("outputs"), "output logits: is float16, the Android library takes float32 or quant"),
        (_plain("inputs"), "input image: is int8, the Android library takes float32, quantized"),
        (
            _plain("outputs"),
            "output logits: is int8, the Android library takes float32 or quantized",
        ),
        (_batch, "input image: takes 2 images, must take 1; build it with --batch 1"),
    ],
)
def test_what_the_library_does_not_run_is_refused_by_name(variant, tmp_path, edit, message):
    with pytest.raises(ConfigError, match=message) as refused:
        write_android([variant(edit=edit, id="strange")], tmp_path / "mnv4")
    assert "bundles/strange: " in str(refused.value)
    assert not (tmp_path / "mnv4").exists()


def test_documents_name_the_version_of_litert_that_apps_get():
    (version,) = re.findall("litert:litert:([0-9.]+)", gradle(ANDROID / "mnv4-litert"))
    for path in ("README.md", "template/README.md"):
        assert f"LiteRT {version}" in (ANDROID / path).read_text()
    session = ANDROID / "mnv4-litert/src/main/kotlin/io/github/mnv4/litert/CompiledSession.kt"
    how_to = ANDROID.parent / "docs/how-to/adding-the-android-module.md"
    gpu = ANDROID / "benchmark/build.gradle.kts"
    for path in (session, how_to, gpu, ANDROID / "template/README.md"):
        assert f"litert:litert-gpu:{version}" in path.read_text()


def test_every_module_of_the_library_is_shipped_and_in_the_wheel():
    modules = {path.parent.name for path in ANDROID.glob("mnv4*/build.gradle.kts")}
    assert modules == set(MODULES)
    project = (ANDROID.parent / "pyproject.toml").read_text()
    for folder in (*sorted(MODULES), "template"):
        assert f'"android_demo/{folder}" = "mnv4_mobile/android/{folder}"' in project


@pytest.mark.toolchain("tflite")
def test_writing_again_names_what_leaves(variant, tmp_path, mnv4):
    out = tmp_path / "mnv4"
    first, second, third = (variant(id=f"{n}-96x96-fp32-tflite") for n in ("one", "two", "3d"))
    _, printed, _ = mnv4("sdk", "android", first, "-o", out)
    assert "removed" not in printed
    _, printed, _ = mnv4("sdk", "android", first, second, "-o", out)
    assert printed.splitlines()[1] == "removed: none; added: TWO_96X96_FP32_TFLITE"
    # A second bundle does not change the first one's constant.
    assert constants(out / MAIN) == ["ONE_96X96_FP32_TFLITE", "TWO_96X96_FP32_TFLITE"]
    _, printed, _ = mnv4("sdk", "android", third, second, "-o", out, "--json")
    changes = json.loads(printed)
    assert changes["removed"] == ["ONE_96X96_FP32_TFLITE"]
    assert changes["added"] == ["MODEL_3D_96X96_FP32_TFLITE"]
    assert not (out / MAIN / ASSETS / f"main.{first.name}").exists()
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
    with pytest.raises(ConfigError, match="is for coreml, allowed: tflite, snapdragon, exec"):
        write_android([good, variant(id="apple", target="coreml")], out)
    with pytest.raises(ConfigError, match="has the same id as"):
        write_android([good, good], out)
    assert not out.exists()
    code, _, said = mnv4("sdk", "android", tmp_path / "nothing", "-o", out)
    assert code == 2
    assert "nothing" in said


@pytest.mark.toolchain("tflite")
def test_a_module_holds_programs_for_several_socs(variant, tmp_path):
    """A compiled bundle is beside the plain one, which other devices run."""
    plain, out = variant(id="net-int8-tflite"), tmp_path / "mnv4"
    compiled = [compiled_bundle(plain, tmp_path / "npu", soc) for soc in ("SM8650", "SM8750")]
    write_android([*compiled, plain, variant(id="other", recipe="other")], out)
    lines = re.findall(r"public val (\w+): Mnv4Model = (.+)", (out / MAIN / CODE).read_text())
    folders = {soc: f'"main.net-int8-{soc}-snapdragon"' for soc in ("SM8650", "SM8750")}
    pairs = ", ".join(f'"{soc}" to {folder}' for soc, folder in folders.items())
    assert dict(lines) == {
        "NET_INT8_SM8650_SNAPDRAGON": f"Mnv4Model({folders['SM8650']})",
        "NET_INT8_SM8750_SNAPDRAGON": f"Mnv4Model({folders['SM8750']})",
        "NET_INT8_TFLITE": f'Mnv4Model("main.net-int8-tflite", mapOf({pairs}))',
        "MODEL_OTHER": 'Mnv4Model("main.other")',
    }
    assert needs(out / MAIN) == ["mnv4", "mnv4-litert"]
    with pytest.raises(ConfigError, match=r"runs only on the NPU of SM8750; give the bundle"):
        write_android([compiled[1], variant(id="another", recipe="another")], out)
    twin = compiled_bundle(plain, tmp_path / "twin", "SM8650")
    twin = twin.rename(twin.with_name("twin"))
    write_manifest(twin, replace(open_bundle(twin).manifest, id="twin"))
    with pytest.raises(ConfigError, match=r"twin and .*: both are for the NPU of SM8650; give one"):
        write_android([plain, compiled[0], twin], out)


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
    assert [path.name for path in (out / MAIN / ASSETS).iterdir()] == ["main.second"]
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
    mine = {out / "proguard/mine.pro": "keep", out / MAIN / ASSETS / "main.first/notes": "mine"}
    for path, text in mine.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (out / "link").symlink_to("nowhere")
    written = write_android([second], out)
    assert (written.removed, written.added) == (("MODEL_FIRST",), ("MODEL_SECOND",))
    assert {path: path.read_text() for path in mine} == mine
    assert (out / "link").is_symlink()
    assert not (out / MAIN / ASSETS / "main.first/manifest.json").exists()
    write_android([second], out)  # they are still not ours
    assert {path: path.read_text() for path in mine} == mine


@pytest.mark.toolchain("tflite")
def test_what_the_user_changed_is_not_replaced(variant, tmp_path):
    out = tmp_path / "mnv4"
    first = variant(id="first")
    write_android([first], out)
    script = out / "mnv4/build.gradle.kts"
    text = script.read_text()
    script.write_text(f"{text}// mine\n")
    with pytest.raises(ConfigError, match=r"build\.gradle\.kts: was changed since mnv4 sdk wrote"):
        write_android([first], out)
    script.write_text(text)
    taken = out / MAIN / ASSETS / "main.second"
    taken.mkdir()
    (taken / "manifest.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"manifest\.json: was not written by mnv4 sdk"):
        write_android([first, variant(id="second")], out)
    (out / "mnv4-sdk.json").write_text('{"version": "0"}')
    with pytest.raises(ConfigError, match=r"mnv4-sdk\.json: .*missing.*; move .*mnv4 away"):
        write_android([first], out)
    assert (taken / "manifest.json").read_text() == "mine"
