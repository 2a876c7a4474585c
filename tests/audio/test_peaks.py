"""What a sound looks like, against the same said in one line."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemscribe.audio import peaks
from stemscribe.audio.peaks import PER_SECOND, peaks_of


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
@pytest.mark.parametrize("seconds", [0, 0.004, 0.01, 1.0, 2.3456])
@pytest.mark.parametrize("block", [100, 1 << 19])
def test_peaks_are_the_extremes_of_each_hundredth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, seconds: float, block: int
) -> None:
    monkeypatch.setattr(peaks, "BLOCK_FRAMES", block)
    sound = np.random.default_rng(0).uniform(-1, 1, (round(seconds * rate), 2)).astype(np.float32)
    soundfile.write(tmp_path / "sound.wav", sound, rate, subtype="FLOAT")
    found = list(peaks_of(tmp_path / "sound.wav"))
    joined = np.concatenate(found) if found else np.zeros((0, 2), np.int8)
    count = int(np.ceil(len(sound) * PER_SECOND / rate))
    edges = [min(round(place * rate / PER_SECOND), len(sound)) for place in range(count + 1)]
    parts = [sound[start:stop] for start, stop in itertools.pairwise(edges) if start < stop]
    assert joined.tolist() == [[round(float(part.min()) * 127), round(float(part.max()) * 127)] for part in parts]


def test_what_is_louder_than_full_scale_is_full_scale(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "sound.wav", np.full((441, 1), -3.0, np.float32), 44100, subtype="FLOAT")
    assert np.concatenate(list(peaks_of(tmp_path / "sound.wav"))).tolist() == [[-127, -127]]
