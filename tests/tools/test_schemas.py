"""The schemas and the reference pages are those of the code, and agree with what is read."""

import copy
import json
import re

import pytest
import yaml
from jsonschema import Draft202012Validator

from mnv4_mobile.configs import config_folder, shipped
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measuring.sweep import load_sweep
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.recipe import load_recipe
from tests.model.test_grammar import BARE
from tools import schemas
from tools.golden import FOLDER as GOLDEN

FOLDER = schemas.ROOT / "mnv4_mobile/schema"
READERS = {"model": load_model, "recipe": load_recipe, "sweep": load_sweep}


def test_the_files_are_up_to_date():
    made = schemas.files().items()
    stale = [path.name for path, text in made if path.read_text("utf-8") != text]
    assert not stale, "run: .venv/bin/python -m tools.schemas"


def test_every_key_stands_in_the_page_and_in_the_schema():
    page = (schemas.ROOT / "docs/reference/bundle.md").read_text()
    rows = re.findall(r"^\| `([\w.\[\]*]+)` \| (.*?) \| (.*?) \|", page, re.M)
    keys = {key for key, _, _ in rows}
    assert len(keys) == len(rows) > 70
    assert all(kind and meaning.endswith(".") for _, kind, meaning in rows)
    found = schemas.schema("manifest")
    assert keys == set(_keys(found, found, ""))
    names = [*schemas.SCHEMAS, *schemas.YAML_SCHEMAS]
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.schema.json" for name in names}


def _keys(part, top, prefix):
    """The keys of a schema in the notation of the page."""
    if "$ref" in part:
        part = top["$defs"][part["$ref"].rpartition("/")[2]]
    for choice in part.get("anyOf", ()):
        yield from _keys(choice, top, prefix)
    for name, inner in part.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from _keys(inner, top, f"{prefix}{name}.")
    if isinstance(part.get("items"), dict):
        yield from _keys(part["items"], top, f"{prefix.removesuffix('.')}[].")
    if isinstance(part.get("additionalProperties"), dict):
        yield from _keys(part["additionalProperties"], top, f"{prefix}*.")


@pytest.mark.parametrize("path", FOLDER.iterdir(), ids=lambda path: path.name)
def test_schemas_are_valid_and_have_an_address(path):
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    relative = path.relative_to(schemas.ROOT).as_posix()
    assert schema["$id"].endswith(f"/mnv4-mobile/mnv4-mobile/main/{relative}")


def validator(kind):
    return Draft202012Validator(json.loads((FOLDER / f"{kind}.schema.json").read_text()))


@pytest.mark.parametrize("kind", ["manifest", "plan", "job", "result"])
def test_a_line_feed_after_a_text_is_refused(kind):
    documents = json.loads((GOLDEN / f"documents/{kind}.json").read_text("utf-8"))["refuse"]
    ended = [one for one in documents if one["name"].endswith('\\n"')]
    assert ended
    for one in ended:
        assert list(validator(kind).iter_errors(json.loads(one["text"]))), one["name"]


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in READERS for name in shipped(f"{kind}s")]
)
def test_shipped_files_keep_their_schema(kind, name):
    text = (config_folder(f"{kind}s") / f"{name}.yaml").read_text()
    assert list(validator(kind).iter_errors(yaml.safe_load(text))) == []


SAMPLES = {
    "model": {
        "input_size": [224, 192],
        "model": {
            "task": "classification",
            "architecture": {
                "backbone": BARE,
                "head": {"name": "fc_conv", "params": {"num_layers": 2, "act_type": "gelu"}},
            },
        },
    },
    "recipe": {
        "description": "x",
        "precision": "float32",
        "weights": {"bits": 8, "form": "integer", "per": "channel"},
        "activations": {"mode": "static", "range": "image-percentile", "percentile": 95},
        "keep": {"depthwise": True, "modules": ["stem"], "npu": {"modules": []}},
        "prepare": ["equalize", "distill"],
        "distill": {"steps": 8, "rate": 0.1},
        "calibration": {"images": 16},
        "gate": {"sqnr_db": 15, "top1_agreement": 0.9},
    },
    "sweep": {
        "description": "x",
        "bundles": ["out/*"],
        "build": {
            "models": ["conv-small"],
            "weights": "random:0",
            "targets": ["coreml"],
            "sizes": [224, [192, 256]],
            "options": {"coreml": {"min_ios": 17}},
        },
        "devices": ["host", {"device": "adb:1", "tool": "x"}],
        "threads": [1, 2],
        "units": ["cpu", None],
        "plan": {"preset": "paper", "runs": 3, "affinity": "4,5", "max_thermal": None},
    },
}
# Messages about several values together, or about installed targets, which no schema checks.
TOGETHER = re.compile(
    r"must be .* as \w+ is|without it$|: only with |: calibration: missing$"
    r"|: build: (target|option)"
)


def changes(document):
    """Yields the place of a change and the document with it: bad values, keys more and less."""

    def at(node, path):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in list(items):
            place = [*path, key]
            yield place, lambda parent, key=key: parent.pop(key)
            for bad in ({"a": 1}, [[]], "odd", -3, 0.5, None):
                yield place, lambda parent, key=key, bad=bad: parent.__setitem__(key, bad)
            if isinstance(value, dict | list):
                yield from at(value, place)
        if isinstance(node, dict):
            yield [*path, "more"], lambda parent: parent.__setitem__("more", 1)

    for place, change in at(document, []):
        made = copy.deepcopy(document)
        parent = made
        for key in place[:-1]:
            parent = parent[key]
        change(parent)
        yield ".".join(map(str, place)), made


def refusal(reader, path):
    try:
        reader(str(path))
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_a_schema_refuses_what_the_reader_refuses_and_nothing_else(tmp_path, kind):
    path, schema = tmp_path / "it.yaml", validator(kind)
    assert schema.is_valid(SAMPLES[kind])
    refused = 0
    for place, document in changes(SAMPLES[kind]):
        path.write_text(json.dumps(document))
        error = refusal(READERS[kind], path)
        if error is None or not TOGETHER.search(error):
            assert schema.is_valid(document) == (error is None), (place, document, error)
            refused += error is not None
    assert refused > 100
