"""`mnv4 inspect`."""

from __future__ import annotations

from collections import Counter

from mnv4_mobile.cli.show import (
    BundlePath,
    Json,
    Quiet,
    agreement,
    decibels,
    megabytes,
    option_text,
    print_json,
    print_table,
    show_next,
)


def inspect(
    bundle: BundlePath,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Shows what is in a bundle, down to the artifact's operators."""
    from mnv4_mobile.bundle.folder import open_bundle
    from mnv4_mobile.target import load_target, require
    from mnv4_mobile.tensors import sizes_text

    opened = open_bundle(bundle)
    manifest = opened.manifest
    target = load_target(manifest.target)
    require(target)
    operators = target.operators(opened.artifact)
    if as_json:
        print_json({"manifest": manifest, "operators": operators})
        return
    model, preprocess = manifest.model, manifest.preprocess
    precisions = Counter(layer.precision for layer in manifest.layers)
    height, width = preprocess.size
    rows = [
        ["id", manifest.id],
        ["model", f"{model.name}, weights {model.weights}"],
        ["licence of the weights", model.licence or "unknown"],
        ["artifact", f"{opened.artifact.name}, {megabytes(manifest.artifact.bytes)}"],
        ["sha256", manifest.artifact.sha256],
    ]
    for kind, tensors in (("input", manifest.inputs), ("output", manifest.outputs)):
        for t in tensors:
            shape = " x ".join(map(str, t.shape))
            text = f"{shape} {t.dtype} {t.layout or ''}"
            if grid := t.quantization:
                text += f", (integer - {grid.zero_point}) * {grid.scale:.6g}"
            rows.append([f"{kind} {t.name}", text])
    rows += [
        [
            "preprocessing",
            f"{height} x {width}, crop {preprocess.crop}, {preprocess.interpolation}, mean "
            f"{list(preprocess.mean)}, std {list(preprocess.std)}"
            + (", normalised inside" if preprocess.inside else ""),
        ],
        ["labels", f"{len(manifest.labels)}" if manifest.labels else "none"],
        ["SQNR in dB", decibels(manifest.parity)],
        ["top-1 agreement", agreement(manifest.parity)],
        ["layers", ", ".join(f"{count} {name}" for name, count in precisions.items())],
        ["operators", ", ".join(f"{count} {name}" for name, count in sorted(operators.items()))],
        [
            "options",
            ", ".join(f"{k} {option_text(v)}" for k, v in manifest.options.items()) or "none",
        ],
        ["requires", ", ".join(f"{k} {v}" for k, v in manifest.requires.items()) or "nothing"],
        ["versions", ", ".join(f"{k} {v}" for k, v in manifest.versions.items())],
    ]
    for entry in manifest.more_sizes:
        shapes = (
            f"{o.name} {' x '.join(map(str, o.shape))}" for o in manifest.at(entry.size).outputs
        )
        text = f"{', '.join(shapes)}; SQNR in dB: {decibels(entry.parity)}"
        rows.append([f"at {sizes_text([entry.size])}", text])
    if calibration := manifest.calibration:
        text = f"{calibration.images} images, {calibration.skipped} skipped"
        if calibration.held_out:
            text += f", {calibration.held_out} held out"
        if calibration.range:
            text += f", range {calibration.range}"
        rows.append(["calibration", text])
    if tuning := manifest.tuning:
        best = tuning.tried[0]
        text = (
            f"{best.recipe}: the best of {len(tuning.tried)} artifacts, "
            f"{best.sqnr_db_p10:.1f} dB at the 10th percentile and {best.drop:.2f} points on "
            f"{tuning.images} images"
        )
        rows.append(["tuning", text])
    if found := manifest.float16_range:
        text = f"margin {found.margin:.3g} at {found.layer}, on {found.images} images"
        rows.append(["range of float16", text])
    elif any(layer.precision == "float16" for layer in manifest.layers):
        rows.append(["range of float16", "not checked"])
    reasons = {layer.why for layer in manifest.layers if layer.why}
    rows += [["not as the recipe", why] for why in sorted(reasons)]
    print_table(["", ""], rows)
    show_next(["lint", bundle], hidden=quiet)
