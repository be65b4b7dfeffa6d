"""`mnv4 models`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mnv4_mobile.cli import complete, next_step
from mnv4_mobile.cli.show import Json, Quiet, print_json, print_table, print_text, show_next
from mnv4_mobile.model.spec import BlockRow


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A shipped configuration or a YAML file.", autocompletion=complete.models
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Lists the configurations, or prints the stage table of one."""
    from mnv4_mobile.configs import shipped
    from mnv4_mobile.model.grammar import load_model, read_model

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


def _totals(table: list[BlockRow]) -> tuple[int, int]:
    """Returns the numbers of parameters and of multiply-accumulates."""
    return sum(row.cost.params for row in table), sum(row.cost.macs for row in table)


def _giga(macs: int) -> str:
    return f"{macs / 1e9:.3f} G" if macs >= 1e8 else f"{macs / 1e6:.2f} M"
