"""Waveforms and spectrograms, made from the files of a job; waveforms are kept, since a film of hours takes a while."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemscribe.audio.peaks import peaks_of
from stemscribe.audio.source import AudioSource
from stemscribe.errors import UsageError
from stemscribe.records import make_folder, replacing
from stemscribe.timebase import Seconds

ROWS, FLOOR_DB = 128, -90.0
LONGEST_VIEW: Seconds = 120.0
_FFT_FRAMES = 2048


class Pictures:
    """Pictures of sounds.

    Args:
        folder: where waveforms are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def peaks(self, path: Path, sha256: str) -> Path:
        """The waveform of a file: two signed bytes for each hundredth of a second, its lowest and highest sample.

        Args:
            path: the file.
            sha256: of what is in it.
        """
        kept = self._folder / f"{sha256}.peaks"
        with self._locks[sha256]:  # three pages that ask for it wait for one
            if not kept.exists():
                make_folder(self._folder)
                with replacing(kept) as temporary, temporary.open("wb") as file:
                    for some in peaks_of(path):
                        file.write(some.tobytes())
        return kept


def spectrogram(path: Path, start: Seconds, end: Seconds, columns: int) -> npt.NDArray[np.uint8]:
    """How loud each frequency is: `[128, columns]`, from high to low frequencies, 255 for full scale, 0 for -90 dB.

    Args:
        path: a sound file.
        start: in seconds of it.
        end: up to where; silence beyond its end.
        columns: how many points in time.

    Raises:
        UsageError: that is no part of a file, or too long a part.
    """
    if not (0 <= start < end and end - start <= LONGEST_VIEW):
        raise UsageError(f"A spectrogram shows up to {LONGEST_VIEW:.0f} s of a file.")
    with AudioSource(path) as source:
        first, last = (min(round(time * source.sample_rate), source.frames) for time in (start, end))
        frames = round((end - start) * source.sample_rate)
        mono = np.zeros(frames + _FFT_FRAMES, np.float32)
        mono[_FFT_FRAMES // 2 :][: last - first] = source.read(first, last).mean(axis=0)
        rate = source.sample_rate
    starts = np.linspace(0, frames, columns, endpoint=False).astype(np.int64)
    window = np.hanning(_FFT_FRAMES).astype(np.float32)
    spectra = np.abs(np.fft.rfft(mono[starts[:, None] + np.arange(_FFT_FRAMES)] * window, axis=1))
    spectra /= window.sum() / 2
    rows = np.geomspace(60.0, rate / 2, ROWS + 1) * _FFT_FRAMES / rate
    edges = np.unique(np.round(rows).astype(np.int64))
    bands = np.maximum.reduceat(spectra, edges[:-1], axis=1)
    places = np.searchsorted(edges[1:], (rows[:-1] + rows[1:]) / 2).clip(0, bands.shape[1] - 1)
    level = 20 * np.log10(np.maximum(bands[:, places], 1e-9))
    scaled = np.clip(255 * (1 - level / FLOOR_DB), 0, 255)
    return np.ascontiguousarray(scaled.T[::-1].astype(np.uint8))
