"""Writes the files that are generated from the code: JSON Schemas, and reference pages of `docs/`.

    python -m tools.schemas

`mnv4_mobile/schema/NAME.schema.json` is for other languages, for tools and for editors. A field's
description is the docstring below it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mnv4_mobile.bundle.manifest import Manifest
from mnv4_mobile.measuring.devices.app import Job, Result
from mnv4_mobile.measuring.measurement import Measurement
from mnv4_mobile.measuring.plan import PRESETS, Plan
from mnv4_mobile.measuring.profile import StoredProfile
from mnv4_mobile.measuring.sweep import PLAN_KEYS, Sweep
from mnv4_mobile.model.grammar import BareModel, Head, TrainingConfiguration
from mnv4_mobile.quality.evaluate import Evaluation
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import Record, Row
from tools import command_reference, field_tables, python_reference
from tools.field_tables import classes, optional, texts

ROOT = Path(__file__).parents[1]
SCHEMAS: Mapping[str, type[Record]] = {
    "manifest": Manifest,
    "plan": Plan,
    "job": Job,
    "result": Result,
    "measurement": Measurement,
    "evaluation": Evaluation,
    "profile": StoredProfile,
}
"""Records that are stored as JSON."""
YAML_SCHEMAS = ("model", "recipe", "sweep")
"""Files that people write, in which a key with a default may be left out."""
URL = "https://raw.githubusercontent.com/mnv4-mobile/mnv4-mobile/main/mnv4_mobile/schema"


def files() -> dict[Path, str]:
    """Returns the content of every file that is generated from the code."""
    schemas = {name: schema(name) for name in SCHEMAS}
    schemas |= {"model": model_schema(), "recipe": recipe_schema(), "sweep": sweep_schema()}
    made = {
        ROOT / f"mnv4_mobile/schema/{name}.schema.json": json.dumps(found, indent=2) + "\n"
        for name, found in schemas.items()
    }
    return made | {page: tables(page.read_text("utf-8")) for page, tables in PAGES.items()}


def _bundle_page(text: str) -> str:
    text = _replaced(text, "keys", field_tables.manifest_keys())
    return _replaced(text, "example", field_tables.manifest_example())


def _yaml_page(text: str) -> str:
    for mark, content in field_tables.yaml_tables().items():
        text = _replaced(text, mark, content)
    return text


def _commands_page(text: str) -> str:
    text = _replaced(text, "exit-codes", command_reference.exit_code_table())
    return _replaced(text, "commands", command_reference.sections())


def _python_page(text: str) -> str:
    text = _replaced(text, "functions", python_reference.functions())
    text = _replaced(text, "classes", python_reference.classes())
    return _replaced(text, "errors", python_reference.errors())


PAGES: Mapping[Path, Callable[[str], str]] = {
    ROOT / "docs/reference/bundle.md": _bundle_page,
    ROOT / "docs/reference/yaml.md": _yaml_page,
    ROOT / "docs/reference/commands.md": _commands_page,
    ROOT / "docs/reference/python.md": _python_page,
}
"""Pages whose marked parts are generated from the code; the rest is written by hand."""


def _replaced(text: str, mark: str, content: str) -> str:
    begin, end = f"<!-- {mark}: made by tools/schemas.py -->\n", f"<!-- end of {mark} -->"
    head, found, rest = text.partition(begin)
    assert found, f"no {begin}"
    return f"{head}{begin}\n{content}\n\n{end}{rest.partition(end)[2]}"


def schema(name: str) -> dict[str, Any]:
    """Returns the JSON Schema of a record."""
    kind = SCHEMAS[name]
    parts = _parts(kind, yaml=False)
    top: dict[str, Any] = parts.pop(kind.__name__)
    return _head(name) | top | ({"$defs": parts} if parts else {})


def model_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a model file, which has one of two forms."""
    return _head("model") | {
        "title": "Model",
        "description": "A network in the block grammar of NetsPresso Trainer.",
        "if": {"required": ["model"]},
        "then": {"$ref": "#/$defs/TrainingConfiguration"},
        "else": {"$ref": "#/$defs/BareModel"},
        "$defs": _parts(BareModel, TrainingConfiguration, Head, yaml=True),
    }


def recipe_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a recipe file."""
    parts = _parts(Recipe, yaml=True)
    return _head("recipe") | _unnamed(parts.pop("Recipe")) | {"$defs": parts}


def sweep_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a sweep file."""
    parts = _parts(Sweep, yaml=True)
    sweep, plan = _unnamed(parts.pop("Sweep")), parts["Plan"]
    sweep["required"].remove("plan")
    sweep["anyOf"] = [{"required": ["bundles"]}, {"required": ["build"]}]
    device = sweep["properties"]["devices"]
    device["items"] = {"anyOf": [{"type": "string", "minLength": 1}, device["items"]]}
    own: dict[str, Any] = {
        key: {"anyOf": [plan["properties"][key], {"type": "null"}]} for key in PLAN_KEYS
    }
    preset = {"description": "The plan to start from.", "enum": list(PRESETS)}
    parts["Plan"] = plan | {"properties": {"preset": preset} | own, "required": []}
    return _head("sweep") | sweep | {"$defs": parts}


def _head(name: str) -> dict[str, Any]:
    address = f"{URL}/{name}.schema.json"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": address}


def _unnamed(found: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a record that is named by its file."""
    properties = {key: value for key, value in found["properties"].items() if key != "name"}
    return found | {
        "properties": properties,
        "required": [key for key in found["required"] if key != "name"],
    }


def _parts(*kinds: type[Record], yaml: bool) -> dict[str, Any]:
    """Returns the schemas of classes and of their parts, by name."""
    _, parts = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    known = {found.__name__: found for kind in kinds for found in classes(kind)}
    return {name: _part(known[name], found, yaml=yaml) for name, found in parts.items()}


def _part(kind: type[Record | Row], found: dict[str, Any], *, yaml: bool) -> dict[str, Any]:
    """Returns the schema of a class with the texts of its fields."""
    about = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    text = texts(kind)
    if issubclass(kind, Row):
        tag, *items = found["prefixItems"]
        named = [
            item | {"title": name, "description": text[name]}
            for name, item in zip(kind.__struct_fields__, items, strict=True)
        ]
        return found | {"description": about, "prefixItems": [tag, *named], "items": False}
    properties = {
        name: {k: v for k, v in value.items() if yaml or k != "default"}
        | {"description": text[name]}
        for name, value in found["properties"].items()
    }
    if yaml:
        required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    else:
        required = [name for name in properties if name not in optional(kind)]
    return found | {"description": about, "properties": properties, "required": required}


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content, "utf-8")
