"""The page about speed says what was measured, and what was measured keeps what it promises.

Promises are about ratios of whole processes in the same rounds; nothing here depends on how fast a machine is.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TypeVar

import pytest
from benchmarks.performance import (
    Conditions,
    Contest,
    Gate,
    Performance,
    Pipeline,
    Scaling,
    Separation,
    Shares,
    read_performance,
)
from benchmarks.pipeline import NAIVE, NAIVE_DEMUCS, OURS, SEPARATION, SEPARATION_FOR_STEMS, UNGATED_JOB
from benchmarks.scaling import named
from benchmarks.separation import FAST, MODERN, PINNED
from benchmarks.separation import OURS as OUR_SEPARATION
from benchmarks.side_by_side import Run, Spread

from stemscribe.evaluation.words import WordErrors

from . import performance_page

MINUTE, FIVE_MINUTES = 60.0, 300.0


@pytest.fixture(scope="module")
def measured() -> Performance:
    if not performance_page.DATA.exists():
        pytest.skip("docs/explanation/performance.json was not measured yet")
    return read_performance(performance_page.DATA)


def test_the_performance_page_is_what_was_measured(measured: Performance) -> None:
    how = "run: PYTHONPATH=tests python -m docs.performance_page"
    assert performance_page.PAGE.read_text(encoding="utf-8") == performance_page.page(measured), how
    charts = performance_page.charts(measured.scaling) if measured.scaling else {}
    for name, chart in charts.items():
        assert performance_page.PAGE.with_name(name).read_bytes() == chart, how


def test_there_is_no_page_without_figures() -> None:
    assert performance_page.PAGE.exists() == performance_page.DATA.exists()


def of_length(contests: tuple[Contest, ...], seconds: float) -> Contest:
    """The contest on a file of about this length."""
    found = (contest for contest in contests if contest.seconds == pytest.approx(seconds, rel=0.02))
    return there(next(found, None))


Part = TypeVar("Part")


def there(part: Part | None) -> Part:
    """A part of what was measured; without it, there is nothing to hold a promise against."""
    if part is None:
        pytest.skip("this part of docs/explanation/performance.json was not measured yet")
    return part


@pytest.mark.parametrize(("seconds", "most"), [(MINUTE, 0.60), (FIVE_MINUTES, 0.65)])
def test_equal_output_takes_no_more_than_this_share_of_demucs_time(
    measured: Performance, seconds: float, most: float
) -> None:
    contest = of_length(there(measured.separation).contests, seconds)
    assert min(contest.snr_db.values()) >= 60
    assert _median(contest.ratio(OUR_SEPARATION, PINNED)) <= most


def test_equal_output_takes_less_memory(measured: Performance) -> None:
    contest = of_length(there(measured.separation).contests, FIVE_MINUTES)
    assert _median(contest.ratio(OUR_SEPARATION, PINNED, "peak_bytes")) <= 0.6
    memory = contest.taken(OUR_SEPARATION, "peak_bytes")
    assert memory is not None
    assert memory.highest <= 1.3e9


def test_the_gate_saves_time_and_no_words(measured: Performance) -> None:
    pipeline = there(measured.pipeline)
    assert _median(pipeline.contest.ratio(SEPARATION, NAIVE_DEMUCS)) <= 0.35
    assert median(one.words.wer or 0.0 for one in pipeline.gate) <= 0.005


def test_a_whole_job_takes_half_of_a_short_script_and_hears_as_well(measured: Performance) -> None:
    pipeline = there(measured.pipeline)
    assert _median(pipeline.contest.ratio(OURS, NAIVE)) <= 0.5
    wer = {name: median(one.wer or 0.0 for one in errors) for name, errors in pipeline.words.items()}
    assert wer[OURS] <= wer[NAIVE]


def test_the_fast_model_is_ten_times_as_fast_as_demucs(measured: Performance) -> None:
    contest = of_length(there(measured.separation).contests, FIVE_MINUTES)
    assert _median(contest.ratio(FAST, PINNED)) <= 0.1


def test_little_time_goes_beside_the_model(measured: Performance) -> None:
    assert there(measured.shares).beside_the_model <= 0.08


def _median(ratio: Spread | None) -> float:
    assert ratio is not None
    return ratio.median


CONDITIONS = Conditions("2026-11-28", "a machine", {"stemscribe": "0.1.0", "demucs": "4.0.1"})
ROUNDS = ({OUR_SEPARATION: Run(30, 50, 10**9), PINNED: Run(60, 100, 2 * 10**9), MODERN: Run(50, 100, 2 * 10**9)},)
CONTEST = Contest("film", 60.0, ROUNDS, {PINNED: 84.26, MODERN: 85.0})
WORDS = WordErrors(words=1000, substitutions=3, lost=1, invented=1)
JOB = {
    OURS: Run(40, 60, 10**9),
    UNGATED_JOB: Run(50, 70, 10**9),
    NAIVE: Run(100, 150, 2 * 10**9),
    NAIVE_DEMUCS: Run(80, 130, 2 * 10**9),
    SEPARATION: Run(20, 30, 10**9),
    SEPARATION_FOR_STEMS: Run(28, 40, 10**9),
}
EVERYTHING = Performance(
    Separation(CONDITIONS, (CONTEST, replace(CONTEST, seconds=300.0))),
    Pipeline(
        CONDITIONS,
        Contest("10 min of film, seed 1", 600.0, (JOB, JOB)),
        0.4,
        {OURS: (WORDS, WORDS), NAIVE: (WORDS, WORDS)},
        (Gate((20.0, 40.0), WORDS, 330.0, 91.0),) * 2,
    ),
    Scaling(CONDITIONS, "spleeter", (Contest("1 min", 60.0, ({named("spleeter"): Run(4, 5, 10**9), **ROUNDS[0]},)),)),
    Shares(CONDITIONS, "film, htdemucs", 60.0, 30.0, 2.0, 27.0, {"spectrograms": 2.0, "everything else": 1.0}),
)


def test_a_table_has_a_program_a_row() -> None:
    lines = performance_page.page(EVERYTHING).splitlines()
    assert "| **stemscribe** | 30.0 |  |  | 1.00 |  |  |" in lines
    assert f"| {PINNED} | 60.0 | 0.50 | 0.50 | 2.00 | 0.50 | 84.3 |" in lines
    assert f"| {NAIVE} | 100.0 | 0.40 | 0.40 | 2.00 | 0.50 | 0.5 |" in lines
    assert "| **all of that** | 3.00 | 10.0 |" in lines


def test_the_gate_is_told_in_words() -> None:
    text = " ".join(performance_page.page(EVERYTHING).split())
    assert "takes 0.25 of what Demucs' command takes where windows overlap as for transcripts" in text
    assert "and 0.35 where they overlap as in Demucs" in text
    assert "takes 0.50 of what it takes without the gate" in text
    assert "has a WER of 0.50 %. 55 % of the film was separated; there the difference between both jobs' vocals" in text


def test_a_part_that_was_not_measured_has_no_section() -> None:
    headings = [line for line in performance_page.page(Performance()).splitlines() if line.startswith("#")]
    assert headings == ["# What it costs"]


def test_charts_are_the_same_for_the_same_figures_and_run_nothing() -> None:
    assert EVERYTHING.scaling is not None
    charts = performance_page.charts(EVERYTHING.scaling)
    assert charts == performance_page.charts(EVERYTHING.scaling)
    assert set(charts) == {"performance-seconds.svg", "performance-memory.svg"}
    assert all(b"<script" not in chart and chart.startswith(b"<?xml") for chart in charts.values())
