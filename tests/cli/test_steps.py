"""Progress as the user sees it."""

import io
import re
import time

import pytest
from rich.console import Console

from mnv4_mobile.cli.steps import Count, Steps, steps


def test_the_time_left_is_estimated_from_finished_units():
    count = Count(4, "bundles", begin=0)
    assert count.text(now=5) == "0 of 4 bundles"
    count.advance(1, now=60)
    assert count.text(now=60) == "1 of 4 bundles, about 3 min left"
    assert count.text(now=90) == "1 of 4 bundles, about 2 min left"
    count.advance(2, now=120)
    assert count.text(now=120) == "3 of 4 bundles, about 40 s left"
    count.advance(5, now=170)
    assert count.text(now=170) == "4 of 4 bundles"


def test_a_unit_that_takes_long_makes_the_estimate_neither_negative_nor_grow():
    count = Count(3, "sessions", begin=0)
    count.advance(1, now=10)
    left = [count.seconds_left(now) for now in range(10, 1000)]
    assert left[0] == 20
    assert left[-1] == 10
    assert left == sorted(left, reverse=True)
    count.advance(1, now=20)
    assert count.seconds_left(now=500) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59, "59 s"), (59.5, "1 min"), (5399, "90 min"), (9000, "2.5 h")],
)
def test_durations(seconds, text):
    count = Count(2, "x", begin=0)
    count.advance(1, now=seconds)
    assert count.text(now=seconds) == f"1 of 2 x, about {text} left"


@pytest.fixture
def shown():
    """A function that runs a block of progress and returns what is written."""

    def run(block, *, terminal=False, quiet=False):
        file = io.StringIO()
        with Steps(Console(file=file, force_terminal=terminal, width=80), quiet=quiet) as progress:
            block(progress)
        return file.getvalue()

    return run


def work(progress):
    """Two units, with notes and something to do."""
    progress.ask("open the page")
    progress.note("once")
    with progress.count(2, "bundles"):
        for name in ("a", "b"):
            progress.note("once")
            progress.step(f"{name}: lower", "worker")
            progress.step(f"{name}: verify", "worker")
            progress.advance()
        progress.end("worker")
    progress.step("report")
    progress.end()


def test_without_a_terminal_each_finished_step_is_a_line(shown):
    text = re.sub(r"\d+\.\d", "0.0", shown(work))
    assert text == (
        "open the page\nnote: once\na: lower 0.0 s\n"
        "a: verify 0.0 s (1 of 2 bundles, about 1 s left)\n"
        "b: lower 0.0 s\nb: verify 0.0 s (2 of 2 bundles)\nreport 0.0 s\n"
    )


def test_quiet_shows_what_the_user_has_to_do_and_nothing_else(shown):
    assert shown(work, quiet=True) == "open the page\n"
    assert "lower" not in shown(work, quiet=True, terminal=True)


def test_a_terminal_shows_what_runs_and_how_far_it_is(shown):
    def block(progress):
        with progress.count(7, "bundles"), progress.count(1, "images"):
            progress.step("a: lower", "worker")
            time.sleep(0.5)

    text = shown(block, terminal=True)
    assert re.search(r"a: lower.*\n.*0 of 7 bundles", text)
    assert "images" not in text
    assert not re.search(r"a: lower.* s\n", text)  # it did not end


def test_units_are_counted_innermost_first(shown):
    def block(progress):
        with progress.count(2, "artifacts"):
            progress.step("a")
            with progress.count(3, "images"):
                progress.advance(3)
            progress.step("b")
            progress.advance()
            progress.end()

    first, second = shown(block).splitlines()
    assert re.fullmatch(r"a \d+\.\d s", first)
    assert "(1 of 2 artifacts" in second


def test_a_step_that_fails_is_no_line(capfd):
    def fail():
        with steps(verbose=True) as progress:
            progress.step("a")
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert capfd.readouterr().err == ""
