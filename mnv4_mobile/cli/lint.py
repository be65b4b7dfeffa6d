"""`mnv4 lint`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mnv4_mobile.cli import next_step
from mnv4_mobile.cli.show import (
    BundlePaths,
    Json,
    Quiet,
    print_json,
    print_table,
    print_text,
    show_next,
)
from mnv4_mobile.errors import BoundError
from mnv4_mobile.lint import Finding

if TYPE_CHECKING:
    from mnv4_mobile.bundle.manifest import Manifest


def lint(
    bundles: BundlePaths,
    strict: Annotated[
        bool, typer.Option(help="End with exit code 3 if anything is found.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Finds what makes artifacts slow or unsafe, without a device; see docs/reference/lint.md."""
    from mnv4_mobile.bundle.folder import open_bundle
    from mnv4_mobile.target import load_target, require

    found = {}
    for path in bundles:
        bundle = open_bundle(path)
        target = load_target(bundle.manifest.target)
        require(target)
        found[str(path)] = [
            *target.lint(bundle.artifact, bundle.convolutions),
            *_range(bundle.manifest),
        ]
    if as_json:
        print_json({"bundles": [{"path": name, "findings": fs} for name, fs in found.items()]})
    else:
        for name, findings in found.items():
            if not findings:
                print_text(f"{name}: clean")
                continue
            rows = [[f.rule, f.layer or "(all)", f.what, f.advice] for f in findings]
            print_table(["rule", "layer", "found", "advice"], rows, name)
    if strict and (count := sum(map(len, found.values()))):
        raise BoundError(f"--strict: number of findings: found {count}, must be 0")
    show_next(next_step.measure(bundles[0]), hidden=as_json or quiet)


def _range(manifest: Manifest) -> Iterator[Finding]:
    """Yields the layer that may overflow in float16, if the build found one."""
    from mnv4_mobile.bundle.manifest import LEAST_MARGIN

    if (found := manifest.float16_range) and found.margin < LEAST_MARGIN:
        yield Finding(
            rule="float16-range",
            layer=found.layer,
            what=f"sums come to 1/{found.margin:.2g} of the largest float16",
            advice="Check it on the device, or build with -r fp32.",
        )
