"""YAML files that are no plain data."""

import re
import time
from pathlib import Path

import pytest

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.yaml_file import read_yaml


def refusal(path: Path, text: str) -> str:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    begin = time.process_time()
    with pytest.raises(ConfigError) as refused:
        read_yaml(path)
    assert time.process_time() - begin < 2
    assert str(refused.value).startswith(f"{path}: ")
    return str(refused.value).removeprefix(f"{path}: ")


MERGES = "\n".join(
    [
        "a0: &a0 {x: 1}",
        *(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 9)),
    ]
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2024-01-01", "line 2: found '2024-01-01', must be a text, a number"),
        ("a: 2001-12-14t21:59:43.10-05:00", "line 1: found '2001"),
        ("a: 0b_", "line 1: found '0b_', must be a whole number of 64 bits"),
        ("a: " + "1" * 5000, "line 1: found '1111.*whole number of 64 bits"),
        ("a: 9223372036854775808", "whole number of 64 bits"),
        ("a: 1" + ":1" * 3000, "whole number of 64 bits"),
        ("a: !!int foo", "line 1: found the tag .*int, must be left out"),
        ("a: !!binary eA==", "line 1: found the tag"),
        ("a: .nan", "line 1: found '.nan', must be a finite number"),
        ("a: -.inf", "must be a finite number"),
        ("a: 1.0e+999", "must be a finite number"),
        ("a: =", "line 1: found '='"),
        ("- &x {a: 1}\n- <<: *x", "line 2: found '<<', merge keys are not read"),
        (MERGES, "line 2: found '<<', merge keys are not read"),
        ("a: " + "[" * 31, "line 1: nested more than 30 deep"),
        ("a: " + "[" * 200_000, "line 1: nested more than 30 deep"),
        ("? " * 100_000, "line 1: nested more than 30 deep"),
        ("- " * 100_000, "line 1: nested more than 30 deep"),
        ("a: [" + "x," * 100_000 + "]", "line 1: too large: more than 10000 values"),
        ("x" * 300_000, "too large: more than 262144 bytes"),
        ("1: a", "line 1: found the key 1, must be a text"),
        ("? [a]\n: 1", r"line 1: found the key \['a'\], must be a text"),
        ("a:\n  b: 1\n  b: 2", "line 3: 'b': a key occurs twice"),
        (r'a: "\ud800"', "line 1: found .*must be printable text"),
        (r'a: "x\0"', "must be printable text"),
        (r'a: "\e[31m"', "must be printable text"),
        (r'a: "\U00110000"', "not a plain YAML file"),
        ("a: *x", "line 1: not a plain YAML file: found undefined alias"),
        ("a: 1\n---\nb: 1", "line 2: not a plain YAML file"),
        ("%YAML " + "1" * 5000 + ".1\n---\na: 1", "not a plain YAML file"),
        ("a: \ud800", "not a plain YAML file"),
    ],
)
def test_what_is_no_plain_data_is_refused_with_its_line(
    text: str, message: str, tmp_path: Path
) -> None:
    found = refusal(tmp_path / "x.yaml", text)
    assert re.search(message, found), found
    assert len(found) < 400


def test_plain_data(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "text: a\nquoted: '2024-01-01'\nint: -9223372036854775808\nhex: 0x10\nfloat: 2.5\n"
        "'yes': no\nnone: ~\nlist: &list [1, two]\nagain: *list\nlines: |\n  a\n  b\nempty: {}\n"
    )
    assert read_yaml(path) == {
        "text": "a",
        "quoted": "2024-01-01",
        "int": -(2**63),
        "hex": 16,
        "float": 2.5,
        "yes": False,
        "none": None,
        "list": [1, "two"],
        "again": [1, "two"],
        "lines": "a\nb\n",
        "empty": {},
    }
