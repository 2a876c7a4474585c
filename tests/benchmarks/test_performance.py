"""What is written down of a measurement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from benchmarks.performance import (
    Conditions,
    Contest,
    Performance,
    Scaling,
    Separation,
    Shares,
    excerpt,
    length,
    read_performance,
    report,
    write_part,
)
from benchmarks.side_by_side import Run, Spread

CONDITIONS = Conditions("2026-11-28", "a machine", {"stemscribe": "0.1.0"})
CONTEST = Contest(
    "film",
    60.0,
    (
        {"stemscribe": Run(30, 50, 10**9), "Demucs": Run(60, 110, 2 * 10**9)},
        {"stemscribe": Run(36, 50, 10**9), "Demucs": Run(60, 100, 2 * 10**9)},
    ),
    {"Demucs": 84.26},
)


def test_a_part_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "performance.json"
    assert read_performance(path) == Performance()
    shares = Shares(CONDITIONS, "film", 60, 40, 2, 36, {"journal": 1.0})
    write_part(path, shares=shares)
    write_part(path, separation=Separation(CONDITIONS, (CONTEST,)))
    write_part(path, scaling=Scaling(CONDITIONS, "spleeter", ()))
    separation = Separation(CONDITIONS, (CONTEST, CONTEST))
    write_part(path, separation=separation)
    assert read_performance(path) == Performance(
        separation=separation, scaling=Scaling(CONDITIONS, "spleeter", ()), shares=shares
    )


def test_rounds_of_another_day_may_be_kept_but_not_of_another_release() -> None:
    assert CONDITIONS.match(replace(CONDITIONS, date="2026-11-29"))
    assert not CONDITIONS.match(replace(CONDITIONS, versions={"stemscribe": "0.2.0"}))


def test_the_time_beside_the_model_is_all_but_the_models() -> None:
    assert Shares(CONDITIONS, "film", 60, 40, 2, 36, {}).beside_the_model == pytest.approx(0.1)


def test_a_contest_gives_ratios() -> None:
    assert CONTEST.ratio("stemscribe", "Demucs") == Spread(0.55, 0.5, 0.6)
    assert CONTEST.ratio("stemscribe", "Demucs", "peak_bytes") == Spread(0.5, 0.5, 0.5)


def test_a_report_says_it_in_lines() -> None:
    assert report(CONTEST, "stemscribe").splitlines() == [
        "film, 60.0 s, 2 rounds",
        "  stemscribe                           33.0 s   1.00 GB",
        "  Demucs                               60.0 s   2.00 GB   time 0.55 (0.50 to 0.60)"
        "   memory 0.50 (0.50 to 0.50)   SNR 84.3 dB",
    ]


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_an_excerpt_is_the_beginning_sample_by_sample(tmp_path: Path, subtype: str) -> None:
    sound = np.random.default_rng(0).uniform(-1.2, 1.2, (5000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "film.wav", sound, 1000, subtype)
    short = excerpt(tmp_path / "film.wav", tmp_path / "short.wav", 2.5)
    whole, part = (soundfile.read(path, dtype="float64")[0] for path in (tmp_path / "film.wav", short))
    assert length(short) == 2.5
    assert np.array_equal(part, whole[:2500])
    assert soundfile.info(str(short)).subtype == subtype
