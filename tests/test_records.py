"""Records are read strictly, and messages name the key, what was found and what is allowed."""

import json
import math
import re
import time
from collections.abc import Mapping
from importlib import import_module
from pkgutil import walk_packages
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from records import evaluation, manifest, measurement

import mnv4_mobile
from mnv4_mobile.bundle.manifest import Manifest
from mnv4_mobile.errors import BundleError, ConfigError
from mnv4_mobile.measuring.devices.app import Job, Result
from mnv4_mobile.measuring.measurement import Measurement
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.sweep import Matrix, Sweep, SweepDevice
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.records import (
    Count,
    Record,
    Row,
    Share,
    check,
    convert,
    decode,
    encode,
    plain,
    replace,
    whole,
)
from tools.golden import FOLDER

KINDS = {"manifest": Manifest, "plan": Plan, "job": Job, "result": Result}


class Part(Record, frozen=True, kw_only=True):
    share: Share


class Whole(Record, frozen=True, kw_only=True, omit_defaults=True):
    schema: Literal[1] = 1
    count: Count
    names: Annotated[tuple[str, ...], Meta(min_length=1)] = ("a",)
    size: tuple[Count, Count] = (1, 2)
    unit: Literal["cpu", "gpu"] | None = None
    parts: Mapping[Literal["a", "b"], Mapping[str, Part]] = {}
    several: tuple[Part, ...] = ()
    code: Annotated[str, Meta(pattern=whole("[a-z]+"), description="small letters")] = "a"

    def __post_init__(self):
        if self.count == 13:
            raise ValueError("count: found 13, which brings no luck")


def documents(kind, part):
    found = json.loads((FOLDER / f"documents/{kind}.json").read_text("utf-8"))
    return [pytest.param(kind, one, id=f"{kind}: {one['name']}") for one in found[part]]


@pytest.mark.parametrize(
    ("kind", "document"), [one for kind in KINDS for one in documents(kind, "accept")]
)
def test_what_every_language_accepts(kind, document):
    found = decode(document["text"], KINDS[kind], "it")
    assert decode(encode(found), KINDS[kind], "it") == found


@pytest.mark.parametrize(
    ("kind", "document"), [one for kind in KINDS for one in documents(kind, "refuse")]
)
def test_what_every_language_refuses(kind, document):
    with pytest.raises(BundleError) as refused:
        decode(document["text"], KINDS[kind], "it", BundleError)
    message = str(refused.value)
    assert message.startswith(f"it: {document['key']}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], r"found \[\], must be an object"),
        ({}, "count: missing"),
        ({"count": 0}, "count: found 0, must be a whole number, 1 or more"),
        ({"count": True}, "count: found True, must be a whole number"),
        ({"count": 13}, "count: found 13, which brings no luck"),
        ({"names": []}, "names: found [], must be a list, of length 1 or more"),
        ({"names": ["a", 1]}, "names[1]: found 1, must be a text"),
        ({"size": [1]}, "size: found [1], must be a list of 2"),
        ({"unit": "npu"}, "unit: found 'npu', allowed: cpu, gpu"),
        ({"parts": {"c": {}}}, "parts.c: found 'c', allowed: a, b"),
        ({"parts": {"b": {"x": {"share": 2}}}}, "parts.b.x.share: found 2, must be a number, 0"),
        ({"parts": {"b": {"x": None}}}, "parts.b.x: found ~, must be an object"),
        (
            {"several": [{"share": 1}, {"chare": 1}]},
            "several[1].chare: unknown key, did you mean share? allowed: sha",
        ),
        ({"code": "a\n"}, r"code: found 'a\n', must be small letters"),
        (
            {"schema": 2, "new": 1},
            "schema: written by a newer version (schema 2, this one reads 1)",
        ),
    ],
)
def test_messages(values, said):
    given = {"count": 1, **values} if values else values
    with pytest.raises(ConfigError) as refused:
        convert(given, Whole, "a.yaml")
    assert str(refused.value).startswith(f"a.yaml: {said}".replace("\\[", "[").replace("\\]", "]"))


def test_python_and_yaml_may_leave_out_what_json_may_not():
    assert convert({}, Plan, "it") == Plan()
    with pytest.raises(ConfigError, match="it: warmup: missing"):
        decode(b'{"schema": 1}', Plan, "it")
    assert decode(b'{"count": 3}', Whole, "it") == Whole(count=3)
    assert encode(Whole(count=3)) == b'{"count":3}'


def test_what_python_code_makes_is_checked_on_request():
    assert check(Whole(count=3), "it") == Whole(count=3)
    for made in (Whole(count=0), replace(Whole(count=3), names=())):
        with pytest.raises(ConfigError, match=r"^it: (count|names): found"):
            check(made, "it")
    for share in (math.nan, math.inf):
        with pytest.raises(ConfigError, match=r"it: several\[0\]\.share"):
            check(Whole(count=1, several=(Part(share=share),)), "it")
        with pytest.raises(ConfigError, match="part: found a number that is not finite"):
            encode(Part(share=share))
    with pytest.raises(ConfigError, match="whole: found a text that is not Unicode"):
        encode(Whole(count=1, names=("\udcff",)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
SWEEP = Sweep(
    name="x",
    build=Matrix(models=("a",), weights="demo", targets=("tflite",), sizes=(32, (64, 96))),
    devices=(SweepDevice(device="host"),),
    plan=Plan(),
)
MADE = [Plan(), manifest(), measurement(), evaluation(), load_recipe("int8"), SWEEP]


@given(data=st.data())
def test_any_value_is_accepted_or_refused_with_a_message(data):
    made = data.draw(st.sampled_from(MADE))
    place = values = plain(made)
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(JSON)
    try:
        found = convert(values, type(made), "it")
    except ConfigError as error:
        found, said = None, str(error)
    assert found is not None or re.match(r"it: [^\n]+: ", said)


def test_thousands_of_samples_are_read_fast():
    data = encode(measurement([0.1 * i for i in range(20_000)]))
    begin = time.process_time()
    decode(data, Measurement, "it")
    assert time.process_time() - begin < 0.5  # 20 ms on a quiet machine


def unbounded(kind, metas=()):
    """Yields the numbers in a type that have no bound on one side."""
    if get_origin(kind) is Annotated:
        bare, *metas = get_args(kind)
        yield from unbounded(bare, [meta for meta in metas if isinstance(meta, Meta)])
    elif kind in (int, float):
        least = [meta for meta in metas if meta.ge is not None or meta.gt is not None]
        most = [meta for meta in metas if meta.le is not None or meta.lt is not None]
        if not least or not most:
            yield kind
    elif get_origin(kind) is not Literal:
        for part in get_args(kind):
            yield from unbounded(part)


@pytest.mark.package("aiohttp")
def test_every_number_of_every_record_has_bounds():
    for module in walk_packages(mnv4_mobile.__path__, "mnv4_mobile."):
        if module.name != "mnv4_mobile.__main__":
            import_module(module.name)
    kinds = [*Record.__subclasses__(), *Row.__subclasses__()]
    for kind in kinds:
        kinds += kind.__subclasses__()
    ours = [kind for kind in kinds if kind.__module__.startswith("mnv4_mobile.")]
    assert len(ours) > 40
    fields = [(kind, *field) for kind in ours for field in hints(kind).items()]
    assert [(k.__name__, name) for k, name, type_ in fields if any(unbounded(type_))] == []


def hints(kind):
    return get_type_hints(kind, include_extras=True)
