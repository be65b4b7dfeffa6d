"""Shared fixtures: demo bundles built once a run, whatever the number of pytest workers."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from mnv4_mobile import Options, build
from mnv4_mobile.bundle import open_bundle
from mnv4_mobile.target import load_target, missing


def pytest_runtest_setup(item):
    """A missing toolchain skips its tests, and fails them where nothing may be missing."""
    for marker in item.iter_markers("toolchain"):
        target = load_target(marker.args[0])
        absent = missing(target)
        if not absent:
            continue
        reason = f"{target.name}: not installed: {', '.join(absent)}; extra: {target.extra}"
        if os.environ.get("MNV4_REQUIRE_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder of this run's, the same for all of its workers."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session", autouse=True)
def _cache(shared):
    """A cache of bundles of this run's own, for the command's processes too."""
    os.environ["MNV4_CACHE"] = str(shared / "cache")


@pytest.fixture(scope="session")
def demo_bundle(shared, _cache):
    """A function from a target's name to the demo bundle for it."""

    def bundle(target: str):
        path = Path(shared, "demo", f"conv-small-035-96x96-fp32.{target}")
        with FileLock(shared / f"{target}.lock"):
            if not path.exists():
                images = Path(__file__).parent.parent / "mnv4_mobile" / "demo" / "pictures"
                options = Options(images=images)
                build(
                    "conv-small-035",
                    weights="demo",
                    out=path.parent,
                    targets=[target],
                    options=options,
                )
        return open_bundle(path)

    return bundle
