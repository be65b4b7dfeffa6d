"""`mnv4 models`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mnv4_mobile.cli import complete, next_step
from mnv4_mobile.cli.show import Json, Quiet, print_json, print_table, print_text, show_next
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.model.spec import BlockRow
from mnv4_mobile.records import plain


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A shipped configuration or a YAML file.", autocompletion=complete.models
        ),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="List the published checkpoints instead.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Lists the configurations or the published checkpoints, or prints the stage table of one.

    The list of checkpoints needs no network: it has the source, licence, input size, preprocessing
    and published accuracy of each.
    """
    from mnv4_mobile.configs import shipped
    from mnv4_mobile.model.grammar import load_model, read_model

    if published:
        if name is not None:
            raise ConfigError(f"--published: lists all checkpoints; leave out {name}")
        _list_checkpoints(as_json, quiet)
        return
    if name is None:
        specs = [load_model(known) for known in shipped("models")]
        totals = [(spec, *_totals(spec.table())) for spec in specs]
        totals.sort(key=lambda total: total[1])
        if as_json:
            print_json(
                {
                    "models": [
                        {"model": s.name, "input": s.input_size, "params": params, "macs": macs}
                        for s, params, macs in totals
                    ]
                }
            )
            return
        print_table(
            ["model", ">input", ">parameters", ">MACs"],
            [
                [s.name, " x ".join(map(str, s.input_size)), f"{params:,}", _giga(macs)]
                for s, params, macs in totals
            ],
        )
        show_next(next_step.build(), hidden=quiet)
        return
    file = read_model(name)
    table = file.spec.table()
    if as_json:
        blocks = [{"block": row.name, "role": row.role, **asdict(row.cost)} for row in table]
        print_json({"model": file.spec.name, "unused": file.unused, "blocks": blocks})
        return
    lines = [
        [
            row.name,
            row.role,
            " x ".join(map(str, row.cost.shape)),
            f"{row.cost.params:,}",
            _giga(row.cost.macs),
        ]
        for row in table
    ]
    params, macs = _totals(table)
    lines.append(["total", "", "", f"{params:,}", _giga(macs)])
    height, width = file.spec.input_size
    title = f"{file.spec.name}, input 3 x {height} x {width}"
    print_table(["block", "role", ">output", ">parameters", ">MACs"], lines, title)
    if file.unused:
        print_text(f"{file.path.name}: ignored keys: {', '.join(file.unused)}")
    show_next(next_step.build(name, "--weights", "random:0"), hidden=quiet)


def _list_checkpoints(as_json: bool, quiet: bool) -> None:
    from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD
    from mnv4_mobile.model.timm_names import shipped_name
    from mnv4_mobile.published import accuracies_of, checkpoints

    known = checkpoints()
    results, top1 = accuracies_of(known)
    models = {one.name: shipped_name(one.name) for one in known.checkpoints}
    if as_json:
        listed = [
            {**plain(one), "model": models[one.name], "top1": top1[one.name]}
            for one in known.checkpoints
        ]
        print_json({"timm": known.timm, "accuracy": results.url, "checkpoints": listed})
        return
    lines = []
    for one in known.checkpoints:
        usual = (one.mean, one.std) == (IMAGENET_MEAN, IMAGENET_STD)
        cells = [
            one.source,
            models[one.name] or "not supported yet",
            f"{one.classes:,}",
            "ImageNet" if usual else f"{one.mean[0]}, {one.std[0]}",
            one.licence,
        ]
        for way in (one.trained, one.test):
            found = None if way is None else top1[one.name].get(way.size)
            cells += (
                ["", "", ""] if way is None else [str(way.size), f"{way.crop}", _percent(found)]
            )
        lines.append(cells)
    heads = ["weights", "model", ">classes", "mean, std", "licence"]
    heads += [">input", ">crop", ">top-1", ">or input", ">crop", ">top-1"]
    title = f"{len(lines)} checkpoints in timm {known.timm}"
    print_table(heads, lines, title)
    print_text(f"top-1: percent of ImageNet's validation images; {results.title}, {results.date}")
    show_next(next_step.build(known.checkpoints[-1].source), hidden=quiet)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1f}"


def _totals(table: list[BlockRow]) -> tuple[int, int]:
    """Returns the numbers of parameters and of multiply-accumulates."""
    return sum(row.cost.params for row in table), sum(row.cost.macs for row in table)


def _giga(macs: int) -> str:
    return f"{macs / 1e9:.3f} G" if macs >= 1e8 else f"{macs / 1e6:.2f} M"
