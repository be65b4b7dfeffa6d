"""Times Android's and iOS's preprocessing on this computer against Pillow's resize of one image.

    python -m benchmarks.preprocessing -o out/preprocessing

Needs `java`, `mvn` and Swift; the output folder must be in the checkout. JMH runs the library's
Kotlin, compiled by the JVM's optimizing compiler; Swift compiles the core of its library in Release
and in Debug, which is what Xcode's Run makes. Each runs on one thread: from a camera's frame
(640 x 480, planes of YUV with padded rows and interleaved chroma, to be turned by 90 degrees) and
from an upright bitmap to the float input of conv-small. Pillow resizes the same image, which is
upright RGB already. All take turns, so that other work on the computer slows them alike. The bytes
that Kotlin and Swift resize to must equal Python's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
from PIL import Image

from mnv4_mobile.images import Preprocess, pixels, random_images
from tools.ios import swift

JVM = Path(__file__).parent / "jvm"
SWIFT = Path(__file__).parent / "swift"
WIDTH, HEIGHT, ROW_STRIDE = 640, 480, 704
CONV_SMALL = Preprocess(size=(224, 224), crop=0.875, interpolation="bicubic")
SECONDS = 5.0


def write_frame(out: Path) -> npt.NDArray[np.uint8]:
    """Writes a camera's frame, the same image upright, and that resized by Python.

    Returns:
        The upright image.
    """
    (scene,) = random_images(Preprocess(size=(HEIGHT, WIDTH)), 1, 0)
    planes = np.asarray(Image.fromarray(scene).convert("YCbCr"))
    rows = np.zeros((HEIGHT, ROW_STRIDE), np.uint8)
    rows[:, :WIDTH] = planes[:, :, 0]
    (out / "y").write_bytes(rows.tobytes())
    chroma = np.zeros((HEIGHT // 2, ROW_STRIDE), np.uint8)
    chroma[:, :WIDTH:2] = planes[::2, ::2, 2]
    chroma[:, 1:WIDTH:2] = planes[::2, ::2, 1]
    (out / "vu").write_bytes(chroma.tobytes())

    red, blue = (
        chroma[:, first:WIDTH:2].repeat(2, 0).repeat(2, 1).astype(np.int32) - 128
        for first in (0, 1)
    )
    luma = (planes[:, :, 0].astype(np.int32) << 16) + (1 << 15)
    channels = (luma + 91881 * red, luma - 22554 * blue - 46802 * red, luma + 116130 * blue)
    rgb = np.stack([np.clip(channel >> 16, 0, 255) for channel in channels], -1).astype(np.uint8)
    upright = np.ascontiguousarray(np.rot90(rgb, -1))
    packed = upright.astype("<i4") << np.array([16, 8, 0])
    (out / "upright").write_bytes(packed.sum(-1, dtype="<i4").tobytes())
    (out / "resized").write_bytes(pixels(upright, CONV_SMALL).tobytes())
    return upright


def compile_kotlin() -> str:
    """Compiles the benchmark, and returns its class path."""
    subprocess.run(["mvn", "-q", "--batch-mode", "compile"], cwd=JVM, check=True)
    target = JVM / "target"
    return f"{target / 'classes'}:{(target / 'classpath').read_text().strip()}"


def kotlin(classpath: str, out: Path) -> dict[str, float]:
    """Returns the median in milliseconds of preprocessing each source."""
    result = out / "jmh.json"
    command = ["java", "-cp", classpath, "org.openjdk.jmh.Main", "-v", "SILENT", "-foe", "true"]
    command += ["-rf", "json", "-rff", str(result), "-jvmArgsAppend", f"-Dmnv4.frame={out}"]
    subprocess.run(command, check=True)
    return {
        f"kotlin, {record['params']['source']}": record["primaryMetric"]["scorePercentiles"]["50.0"]
        for record in json.loads(result.read_text())
    }


def compile_swift(configuration: str, out: Path) -> Path:
    """Compiles the benchmark, and returns its program."""
    paths = ["--package-path", str(SWIFT), "--scratch-path", str(out / "swift")]
    swift("swift", "build", "-c", configuration, *paths)
    return out / "swift" / configuration / "Preprocessing"


def run_swift(program: Path, out: Path) -> dict[str, float]:
    """Returns the median in milliseconds of preprocessing each source."""
    swift(str(program), str(out), str(SECONDS))
    medians: dict[str, float] = json.loads((out / "swift.json").read_text())
    return {f"swift {program.parent.name}, {name}": medians[name] for name in sorted(medians)}


def pillow(upright: npt.NDArray[np.uint8]) -> float:
    """Returns the median in milliseconds of Pillow's resize."""
    image = Image.fromarray(upright)
    scale = CONV_SMALL.size[0] / CONV_SMALL.crop / min(image.size)
    size = (int(image.width * scale), int(image.height * scale))
    times = []
    end = time.perf_counter() + SECONDS
    while (begin := time.perf_counter()) < end:
        image.resize(size, Image.Resampling.BICUBIC)
        times.append(1000 * (time.perf_counter() - begin))
    return median(times)


def main() -> None:
    """Measures in rounds, prints a table and writes `preprocessing.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-o", "--out", type=Path, default=Path("out/preprocessing"))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    upright = write_frame(out)
    classpath = compile_kotlin()
    programs = [compile_swift(configuration, out) for configuration in ("release", "debug")]
    rounds = []
    for _ in range(arguments.rounds):
        times = {"pillow": pillow(upright)} | kotlin(classpath, out)
        for program in programs:
            times |= run_swift(program, out)
        rounds.append(times)
    print("| | ms | times Pillow |\n| --- | ---: | ---: |")
    for name in rounds[0]:
        ratio = median(found[name] / found["pillow"] for found in rounds)
        print(f"| {name} | {median(found[name] for found in rounds):.2f} | {ratio:.2f} |")
    (out / "preprocessing.json").write_text(json.dumps(rounds, indent=1) + "\n")


if __name__ == "__main__":
    main()
