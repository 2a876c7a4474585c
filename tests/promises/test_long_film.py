"""An hour of film needs no more memory than a minute: whole jobs by the real runner, in processes of their own.

Film, decoder, journal, writers and speech detector are real; the separation model and Whisper are arithmetic, because
what these need does not depend on the film. `-m marathon` does it with ten hours.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from benchmarks.memory import VOCALS, Figures, measure, table

from stemscribe.audio.mix import MixInfo
from stemscribe.audio.source import AudioSource
from stemscribe.records import read_record
from stemscribe.transcript import Transcript
from waves import check_rf64, digest_by_ffmpeg, digest_by_soundfile, digest_of_data

pytestmark = [pytest.mark.models, pytest.mark.skipif(sys.platform != "linux", reason="peaks by stage are Linux' own")]

TOLERANCE = 1.05
STEP = 2**-15  # of 16 bit samples
GB = 1000**3
GIBIBYTES = 1024**3
NEEDED = 38 * GB  # journal 17, stems 13, mix 4


@pytest.fixture
def measured(
    tmp_path: Path, model: Callable[[str], Path], models_dir: Path
) -> Iterator[Callable[[float], tuple[Path, Figures]]]:
    """Gives the folder of a job on so many minutes of film, and what it took."""
    model("silero-vad")

    def measured(minutes: float) -> tuple[Path, Figures]:
        folder = tmp_path / f"{minutes:g}"
        folder.mkdir()
        figures = measure(folder, minutes, models_dir)
        (job,) = (folder / "out").glob("job-*")
        return job, figures

    measured(1)  # cold libraries take up less: the system maps more of a file that it has in memory
    yield measured
    shutil.rmtree(tmp_path)


def check_flat(short: Figures, long: Figures) -> None:
    assert (
        list(long.stages) == list(short.stages) == ["demux", "source_separation", "speech_detection", "asr", "export"]
    )
    assert long.peak_bytes <= TOLERANCE * short.peak_bytes, "\n" + table([short, long])


@pytest.mark.slow
def test_memory_is_flat_in_the_length_of_the_film(measured: Callable[[float], tuple[Path, Figures]]) -> None:
    (_, short), (_, other), (_, long) = measured(3), measured(4), measured(20)
    check_flat(short, long)
    for stage, peak in long.stages.items():
        # Two threads that listen meet in a dozen ways in three minutes, and in a hundred in twenty.
        most = max(short.stages[stage], other.stages[stage])
        assert peak <= TOLERANCE * most + 2e6, "\n" + table([short, other, long])


@pytest.mark.marathon
def test_ten_hours_need_no_more_memory_than_ten_minutes(
    tmp_path: Path, measured: Callable[[float], tuple[Path, Figures]]
) -> None:
    if shutil.disk_usage(tmp_path).free < NEEDED:
        pytest.skip(f"needs {NEEDED / GB:.0f} GB on the disk of the temporary folder")
    short_job, short = measured(10)
    shutil.rmtree(short_job)
    job, long = measured(600)
    check_flat(short, long)
    for stage, seconds in long.seconds.items():
        assert seconds <= 60 * 3 * max(short.seconds[stage], 1.0), f"{stage}: more than linear"
    check_stems(job)
    check_words(job, hours=10)


def check_stems(job: Path) -> None:
    """Past 4 GiB, each is read back whole by every reader, and holds what was separated."""
    stems = job / "99_source_separation"
    mean = read_record(job / "01_demux" / "mix.json", MixInfo).mean  # is added after the stems are made
    with AudioSource(job / "01_demux" / "mix.flac") as mix, AudioSource(stems / "vocals.wav") as vocals:
        assert vocals.frames == mix.frames
        for heard, separated in zip(mix.blocks(), vocals.blocks(), strict=True):
            np.testing.assert_allclose(separated, heard * VOCALS + mean * (1 - VOCALS), rtol=0, atol=STEP)
        frames = mix.frames
    for name in ("vocals.wav", "accompaniment.wav"):
        stem = stems / name
        assert stem.stat().st_size > 4 * GIBIBYTES
        check_rf64(stem, frames, 4)
        assert digest_of_data(stem) == digest_by_soundfile(stem, "int16") == digest_by_ffmpeg(stem)
        stem.unlink()


def check_words(job: Path, *, hours: float) -> None:
    """Every word arrived in every file, up to the end."""
    import msgspec

    exported = job / "04_export"
    transcript = msgspec.json.decode((exported / "transcript.json").read_bytes(), type=Transcript)
    words = sum(len(segment.words) for segment in transcript.segments)
    assert words > hours * 3600 * 2
    assert hours * 3600 - 60 < transcript.segments[-1].end <= hours * 3600
    assert (exported / "transcript.txt").read_text(encoding="utf-8").count("word") == words
    assert (exported / "transcript.srt").read_text(encoding="utf-8").count("word") == words
