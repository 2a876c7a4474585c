"""The clip of the documentation and the end-to-end test is there, small, and made by the script beside this file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

MEDIA = Path(__file__).parent
SCRIPT = MEDIA / "make_test_clip.py"
CLIP = MEDIA.parents[1] / "in" / "test.mp4"
SPEECH_START = 4.0


def make(path: Path) -> Path:
    subprocess.run([sys.executable, SCRIPT, MEDIA / "jfk_1961.flac", path], check=True)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clip") / "made.mp4")


def audio_of(path: Path) -> np.ndarray:
    with av.open(path) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def level(samples: np.ndarray, start: float, stop: float) -> float:
    """The root mean square of a span, in dB of full scale."""
    span = samples[:, round(start * 48_000) : round(stop * 48_000)]
    return float(10 * np.log10(np.mean(np.square(span))))


def test_the_clip_is_small() -> None:
    assert CLIP.stat().st_size <= 2_000_000


def test_the_clip_is_a_film_with_an_english_track() -> None:
    with av.open(CLIP) as container:
        (video,), (audio,) = container.streams.video, container.streams.audio
        assert (video.width, video.height, video.average_rate) == (320, 180, 12)
        assert (audio.codec_context.name, audio.rate, audio.layout.name, audio.language) == (
            "aac",
            48_000,
            "stereo",
            "eng",
        )
        assert container.duration == pytest.approx(20_000_000, abs=50_000)


def test_the_clip_has_headroom() -> None:
    assert 0.5 <= np.abs(audio_of(CLIP)).max() <= 0.7


def test_music_begins_before_the_speech_and_goes_on_after_it() -> None:
    samples = audio_of(CLIP)
    speech = level(samples, SPEECH_START, 15.0)
    assert -40 < level(samples, 1.0, 3.9) < speech - 3
    assert -40 < level(samples, 15.5, 19.0) < speech - 3


def test_making_it_twice_gives_the_same_file(made: Path, tmp_path: Path) -> None:
    assert make(tmp_path / "again.mp4").read_bytes() == made.read_bytes()


def test_the_clip_in_the_repository_is_the_one_that_the_script_makes(made: Path) -> None:
    # Compared as sound, because another version of FFmpeg may encode it differently: AAC itself leaves 27 dB.
    ours, theirs = audio_of(CLIP), audio_of(made)
    difference = np.mean(np.square(ours - theirs)) / np.mean(np.square(ours))
    assert ours.shape == theirs.shape
    assert difference < 10 ** (-20 / 10)
