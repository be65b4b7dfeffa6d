"""The writing check finds what it forbids, in every language, and lets ordinary sentences pass."""

import pytest

from tools.writing import RULES, findings

REFUSED = {
    "of": ['"""Of the runtime."""', "# Of ten steps one would be the rise."],
    "fragment": ['"""Whose toolchains it imported."""', 'f(help="In points of top-1.")'],
    "norm": ["# The norm is images.py.", 'x = "after the norm in images.py"'],
    "told": ['"""Progress.\n\n    progress: Is told\n        how it goes.\n"""'],
    "held-back": ["# judged on pictures held\n# back of them"],
    "made-up": ["# made-up pictures", 'raise E(f"{n} pictures are made up: {x}")'],
    "of-which": ["# 1000 pictures, of which 1 is 0.1 %"],
    "settled": ["# This is settled on the device."],
    "behind": ["# a value behind the pooling"],
    "there": ["# 3 of 4 sessions are there.", "# Writes it when all is there"],
    "a-x-a-y": ["# weights with a scale a channel", '"""Returns one row a picture."""'],
    "carrier": ["# the carrier's exit code"],
    "believed": ["# is not believed"],
    "used-of": ['"not used of x.yaml"'],
    "archaic": ["# the sum thereof"],
}
HONEST = [
    '"""The number of threads."""',
    "# In two steps: first the weights, then the biases.",
    '"""Folds the norm before a key into it. The norm of attention goes into three."""',
    '"""Bytes cannot be told apart, and 98 % cannot be told from 99 %."""',
    "# An archive is made up of segments, each of which has a hash.",
    "# Two sums, one of which is exact; is there another? There are none.",
    "# A file that was left behind a day ago lies behind a link.",
    "# A line that a user wrote, once a day, in a folder at a time.",
    "held_back = told = settle = carrier = 1",
]


def test_every_rule_has_cases():
    assert REFUSED.keys() == RULES.keys()


@pytest.mark.parametrize(("rule", "source"), [(r, s) for r in REFUSED for s in REFUSED[r]])
def test_finds(rule, source):
    (message,) = findings("module.py", f"x = 1\n{source}\n", [rule])
    assert message.endswith(f"write {RULES[rule].instead}")
    line = int(message.split(":")[1])
    assert line == (4 if rule == "told" else 2)


@pytest.mark.parametrize("source", HONEST)
def test_lets_ordinary_sentences_pass(source):
    assert list(findings("module.py", source)) == []


@pytest.mark.parametrize(
    ("name", "source", "line"),
    [
        ("A.kt", 'val x = "//"\n\n/**\n * Of one step. */', 4),
        ("A.swift", "let x = 1 // one\n/// Of one\n/// step.", 2),
        ("a.js", 'throw new Error("the page was told so")', 1),
        ("a.ts", "const a = 1;\n/* b\n * is told\n */", 3),
        ("a.md", "# Title\n\nIt is told\nso.\n", 3),
        ("a.yaml", "description: it is told so\n", 1),
    ],
)
def test_reads_every_language(name, source, line):
    (message,) = findings(name, source)
    assert message.startswith(f"{name}:{line}: ")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.md", "Use `told`, and\n\n    mnv4 told\n\n```\nis told\n```\n<!-- told -->\n"),
        ("A.kt", "val told = 1"),
        ("tests/test_a.py", 'assert error == "is told"'),
    ],
)
def test_code_is_no_prose(name, source):
    assert list(findings(name, source)) == []
