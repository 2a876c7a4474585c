"""How far the work has come, in words."""

from __future__ import annotations

import pytest

from stemscribe.cli import console
from stemscribe.pipeline.stage import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_for_windows_does_not_count_the_look_before_them(clock: list[float]) -> None:
    pace = console._Pace()
    shown = []
    for done in (0.0, 60.0, 120.0):
        shown.append(pace.facts("source_separation", Progress(done, 120.0, "s", done)))
        clock[0] += 3.0
    for done in (0, 1, 2):
        shown.append(pace.facts("source_separation", Progress(done, 20, "windows", 6.0 * done)))
        clock[0] += 4.0
    assert shown == [
        "0%",
        "50%, 20.0x, 0:03 left",
        "100%, 20.0x",
        "window 0 of 20",
        "window 1 of 20, 1.5x, 1:16 left",
        "window 2 of 20, 1.5x, 1:12 left",
    ]


def test_each_stage_has_a_pace_of_its_own(clock: list[float]) -> None:
    pace = console._Pace()
    pace.facts("demux", Progress(0.0, 60.0, "s", 0.0))
    clock[0] += 30.0
    assert pace.facts("demux", Progress(30.0, 60.0, "s", 30.0)) == "50%, 1.0x, 0:30 left"
    assert pace.facts("speech_detection", Progress(0.0, 60.0, "s", 0.0)) == "0%"
