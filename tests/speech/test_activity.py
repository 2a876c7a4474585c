from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from fakes import noise
from stemscribe.speech.activity import HOP_FRAMES, SpeechDetector, detect, level_db


def sound(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate, 16000)[None]


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    return sound(Path(__file__).parents[1] / "media" / "jfk_1961.flac")


def test_levels_are_those_of_a_sine() -> None:
    full = np.sin(2 * np.pi * np.arange(HOP_FRAMES) / 16)[None].astype(np.float32)
    assert level_db(full)[0] == pytest.approx(-3.01, abs=0.01)
    assert level_db(np.zeros((1, HOP_FRAMES), np.float32))[0] == -100.0


@pytest.mark.models
@pytest.mark.parametrize("frames", [100, 512, 5000, 48_000])
def test_streamed_equals_one_shot(model: Callable[[str], Path], speech: np.ndarray, frames: int) -> None:
    detector = SpeechDetector(model("silero-vad"))
    blocks = [speech[:, start : start + frames] for start in range(0, speech.shape[1], frames)]
    one, many = (detect(detector, parts, parts) for parts in ([speech], blocks))
    np.testing.assert_allclose(many.mix_speech, one.mix_speech, atol=1e-5)
    np.testing.assert_array_equal(many.mix_db, one.mix_db)
    assert len(one.speech) == -(-speech.shape[1] // HOP_FRAMES)


@pytest.mark.models
def test_speech_is_told_from_noise(model: Callable[[str], Path], speech: np.ndarray) -> None:
    detector = SpeechDetector(model("silero-vad"))
    heard = detect(detector, [noise(160_000, channels=1)], [speech[:, :160_000]])
    assert np.mean(heard.vocals_speech > 0.5) > 0.5
    assert np.mean(heard.mix_speech > 0.5) < 0.02
    np.testing.assert_array_equal(heard.speech, np.maximum(heard.mix_speech, heard.vocals_speech))


@pytest.mark.models
def test_it_hears_what_faster_whispers_own_detector_hears(model: Callable[[str], Path], speech: np.ndarray) -> None:
    from faster_whisper.vad import get_vad_model

    heard = detect(SpeechDetector(model("silero-vad")), [speech], [speech])
    whole = speech.shape[1] // HOP_FRAMES * HOP_FRAMES
    theirs = np.asarray(get_vad_model()(speech[0, :whole])).reshape(-1)
    # Theirs gives the first hop the end of the last one as context; from then on both are the same.
    np.testing.assert_allclose(heard.mix_speech[1 : len(theirs) - 1], theirs[1:-1], atol=0.05)


def test_an_empty_film_has_no_activity() -> None:
    class Nothing:
        def hear(self, blocks: object) -> list[object]:
            return list(blocks)  # type: ignore[call-overload, no-any-return]

    empty = detect(Nothing(), [], [])  # type: ignore[arg-type]
    assert empty.speech.shape == (0,)
