"""Models, recipes, sweeps and plans."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import yaml

from mnv4_mobile.errors import WeightsError
from tests.hostile.kinds.kind import ROOT, Kind, command, each
from tests.hostile.mutations import (
    RAW_YAML,
    change,
    changed_json,
    changed_lines,
    damaged,
    encoded,
    text_of,
)
from tests.hostile.promise import Files


def _shipped(folder: str) -> dict[str, str]:
    paths = sorted((ROOT / "configs" / folder).glob("*.yaml"))
    return {path.name: path.read_text() for path in paths}


@functools.cache
def _texts(folder: str) -> tuple[str, ...]:
    texts = list(_shipped(folder).values())
    if folder == "models":
        texts.append((ROOT / "tests/data/hybrid-narrow.yaml").read_text())
    return tuple(texts)


_BOMBS = (
    "b0: &b0 [1]\n" + "".join(f"b{i + 1}: &b{i + 1} [*b{i}, *b{i}]\n" for i in range(30)),
    "b0: &b0 {x: 1}\n"
    + "".join(f"b{i + 1}: &b{i + 1} {{<<: [{', '.join([f'*b{i}'] * 9)}]}}\n" for i in range(12)),
    "a: &a {x: 1, y: 2}\nb: {<<: *a, <<: *a}\n",
    "- " * 3000 + "a\n",
    "? " * 2000 + "a\n",
    "a: " + "{a: " * 400 + "1" + "}" * 400 + "\n",
    "a: !!binary " + "A" * 100_000 + "\n",
    "a: '" + "x" * 1_100_000 + "'\n",
    "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system [id]\n",
    "a: 1\n---\nb: 2\n",
    "\ufeffa: 1\n",
    "a: " + "1_" * 5000 + "\n",
    "a: " + "1:" * 5000 + "1\n",
)


def hostile_yaml(folder: str, random: Random) -> Files:
    text = random.choice(_texts(folder))
    match random.randrange(10):
        case 0 | 1:
            data = changed_lines(random, text, RAW_YAML)
        case 2:
            data = damaged(random, text.encode())
        case 3:
            bomb = random.choice(_BOMBS)
            data = encoded(random.choice((bomb, text + "\n" + bomb, bomb + text)))
        case _:
            data = encoded(text_of(change(random, yaml.safe_load(text), RAW_YAML)))
    return {"hostile.yaml": data}


def _good_yaml(folder: str) -> Files:
    return {"hostile.yaml": _texts(folder)[0].encode()}


def _read_model(given: Path, out: Path) -> None:
    from mnv4_mobile.model.fit import fit_checkpoint
    from mnv4_mobile.model.grammar import load_model
    from mnv4_mobile.model.resolve import resolve

    file = given / "hostile.yaml"
    spec = load_model(str(file))
    each(
        partial(command, "models", file),
        partial(command, "models", file, "--json"),
        partial(resolve, str(file), "random:0"),
    )
    with suppress(WeightsError):  # of another network
        fit_checkpoint(_demo(), spec)


@functools.cache
def _demo() -> Any:
    from mnv4_mobile.model.checkpoint_index import read_index
    from mnv4_mobile.model.checkpoint_source import DEMO

    return read_index(DEMO)


def _read_recipe(given: Path, out: Path) -> None:
    file = given / "hostile.yaml"
    each(partial(command, "recipes", file), partial(command, "recipes", file, "--json"))


def _read_sweep(given: Path, out: Path) -> None:
    from mnv4_mobile import records
    from mnv4_mobile.measuring.sweep import load_sweep

    sweep = load_sweep(str(given / "hostile.yaml"))
    for plan in sweep.plans():
        assert plan.key
        plan.cores  # noqa: B018
    records.encode(sweep)
    if sweep.build is not None:
        sweep.build.input_sizes  # noqa: B018


@functools.cache
def _golden(name: str) -> tuple[Any, ...]:
    cases = json.loads((ROOT / "tests/golden/documents" / f"{name}.json").read_text())
    return tuple(json.loads(case["text"]) for case in cases["accept"])


def _plan(random: Random) -> Files:
    name = random.choice(("plan", "job", "result"))
    return {f"{name}.json": changed_json(random, random.choice(_golden(name)))}


def _good_plan() -> Files:
    return {f"{n}.json": text_of(_golden(n)[0]).encode() for n in ("plan", "job", "result")}


def _read_plan(given: Path, out: Path) -> None:
    from mnv4_mobile import records
    from mnv4_mobile.measuring.devices.app import Job, Result
    from mnv4_mobile.measuring.plan import Plan

    types: Mapping[str, Any] = {"plan": Plan, "job": Job, "result": Result}
    for path in sorted(given.iterdir()):
        record = records.decode(path.read_bytes(), types[path.stem], str(path))
        plan = record if isinstance(record, Plan) else getattr(record, "plan", None)
        if plan is not None:
            assert plan.key
            plan.cores  # noqa: B018
            plan.with_values({})
        records.encode(record)


KINDS = {
    "model": Kind(partial(_good_yaml, "models"), partial(hostile_yaml, "models"), _read_model),
    "recipe": Kind(partial(_good_yaml, "recipes"), partial(hostile_yaml, "recipes"), _read_recipe),
    "sweep": Kind(partial(_good_yaml, "sweeps"), partial(hostile_yaml, "sweeps"), _read_sweep),
    "plan": Kind(_good_plan, _plan, _read_plan),
}
