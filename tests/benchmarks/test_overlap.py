"""Where a window is worse than its middle is found, and where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from benchmarks.overlap import BLOCK, RATE, edges

from fakes import Array, noise

WINDOW = 6 * RATE


class WorseAtItsEnds:
    """Takes all of the mix for vocals, and twice of it in the first and the last block of a window."""

    window_frames = WINDOW

    def separate(self, mix: Array) -> Array:
        found = mix.copy()
        found[:, :BLOCK] *= 2
        found[:, -BLOCK:] *= 2
        return found[None]


def mixture(folder: Path, frames: int) -> Path:
    folder.mkdir()
    soundfile.write(folder / "mixture.flac", 0.1 * noise(frames).T, RATE)
    soundfile.write(folder / "speech.flac", np.zeros((frames, 1)), RATE)
    return folder


def test_what_is_worse_near_the_ends_is_found_there(tmp_path: Path) -> None:
    found = edges([mixture(tmp_path / "long", 20 * RATE)], WorseAtItsEnds())  # type: ignore[arg-type]
    assert [(edge.start, edge.end) for edge in found] == [(0.0, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 0.8), (0.8, 1.5)]
    assert [edge.error_db for edge in found] == pytest.approx([20 * np.log10(2), 0, 0, 0, 0], abs=0.05)


def test_sound_that_no_two_windows_share_tells_nothing(tmp_path: Path) -> None:
    assert edges([mixture(tmp_path / "short", WINDOW)], WorseAtItsEnds()) == ()  # type: ignore[arg-type]
    assert edges([], WorseAtItsEnds()) == ()  # type: ignore[arg-type]
