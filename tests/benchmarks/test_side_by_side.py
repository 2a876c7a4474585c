"""Rounds, ratios, and what a process takes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks.side_by_side import ProgramFailed, Run, Spread, in_turn, measured, play, ratios, spread, taken

MEGABYTE = 10**6


def run(seconds: float, peak: int = 1) -> Run:
    return Run(seconds, 2 * seconds, peak)


def test_a_ratio_is_made_within_a_round() -> None:
    # The machine was twice as slow in the second round: for both.
    rounds = [
        {"ours": run(10), "theirs": run(20)},
        {"ours": run(22), "theirs": run(40)},
        {"ours": run(9), "other": run(1)},
    ]
    assert ratios(rounds, "ours", "theirs") == Spread(0.525, 0.5, 0.55)
    assert ratios(rounds, "ours", "nobody") is None
    assert taken(rounds, "ours") == Spread(10, 9, 22)
    assert taken(rounds, "nobody") is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3.0], Spread(3, 3, 3)), ([4.0, 1.0], Spread(2.5, 1, 4)), ([5.0, 1.0, 2.0], Spread(2, 1, 5))],
)
def test_of_values_there_is_the_median_and_how_far_they_spread(values: list[float], expected: Spread) -> None:
    assert spread(values) == expected


def test_what_runs_one_after_the_other_adds_up_but_for_memory() -> None:
    assert Run(1, 2, 30).then(Run(10, 20, 7)) == Run(11, 22, 30)


def test_every_second_round_goes_the_other_way() -> None:
    assert list(in_turn("abc", 3)) == [("a", "b", "c"), ("c", "b", "a"), ("a", "b", "c")]


def test_rounds_that_were_run_before_are_not_run_again() -> None:
    order: list[str] = []
    programs = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}  # type: ignore[misc]
    assert list(play(programs, 3, done=1)) == [{"a": 2, "b": 1}, {"a": 3, "b": 4}]
    assert order == ["b", "a", "a", "b"]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_memory_is_that_of_the_whole_tree(tmp_path: Path) -> None:
    hold = "import time; held = bytearray(b'1') * {size}; time.sleep(1)"
    child = hold.format(size=100 * MEGABYTE)
    parent = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {child!r}]); "
    took, _ = measured(python(parent + hold.format(size=100 * MEGABYTE) + "; child.wait()"), tmp_path / "log")
    assert 200 * MEGABYTE < took.peak_bytes < 300 * MEGABYTE
    assert took.seconds > 1


def test_a_peak_too_short_to_be_seen_counts(tmp_path: Path) -> None:
    took, _ = measured(python(f"held = bytearray(b'1') * {300 * MEGABYTE}"), tmp_path / "log")
    assert took.peak_bytes > 300 * MEGABYTE


def test_what_it_says_is_kept_apart(tmp_path: Path) -> None:
    took, answer = measured(python("import sys; print('an answer'); print('talk', file=sys.stderr)"), tmp_path / "log")
    assert answer == "an answer\n"
    assert (tmp_path / "log").read_text() == "talk\n"
    assert took.cpu_seconds > 0


def test_a_failure_is_told_with_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match=r"ended with 3:\n(.*\n)*out of tune"):
        measured(python("import sys; print('out of tune', file=sys.stderr); sys.exit(3)"), tmp_path / "log")
