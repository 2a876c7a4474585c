from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from fakes import noise
from stemscribe.speech.activity import HOP_FRAMES, Activity, SpeechDetector, detect, level_db


def sound(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate, 16000)[None]


@pytest.fixture
def detected(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Gives the activity of the mix and the vocals, in blocks each, as a whole."""

    def detected(detector: SpeechDetector, mix: list[np.ndarray], vocals: list[np.ndarray]) -> Activity:
        found = detect(detector, mix, vocals, tmp_path)
        return found.between(0, len(found))

    return detected


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    return sound(Path(__file__).parents[1] / "media" / "jfk_1961.flac")


def test_levels_are_those_of_a_sine() -> None:
    full = np.sin(2 * np.pi * np.arange(HOP_FRAMES) / 16)[None].astype(np.float32)
    assert level_db(full)[0] == pytest.approx(-3.01, abs=0.01)
    assert level_db(np.zeros((1, HOP_FRAMES), np.float32))[0] == -100.0


@pytest.mark.models
@pytest.mark.parametrize("frames", [100, 512, 5000, 48_000])
def test_streamed_equals_one_shot(model: Callable[[str], Path], speech: np.ndarray, frames: int, detected) -> None:  # type: ignore[no-untyped-def]
    detector = SpeechDetector(model("silero-vad"))
    blocks = [speech[:, start : start + frames] for start in range(0, speech.shape[1], frames)]
    one, many = (detected(detector, parts, parts) for parts in ([speech], blocks))
    np.testing.assert_allclose(many.mix_speech, one.mix_speech, atol=1e-5)
    np.testing.assert_array_equal(many.mix_db, one.mix_db)
    assert len(one.speech) == -(-speech.shape[1] // HOP_FRAMES)


@pytest.mark.models
def test_speech_is_told_from_noise(model: Callable[[str], Path], speech: np.ndarray, detected) -> None:  # type: ignore[no-untyped-def]
    detector = SpeechDetector(model("silero-vad"))
    heard = detected(detector, [noise(160_000, channels=1)], [speech[:, :160_000]])
    assert np.mean(heard.vocals_speech > 0.5) > 0.5
    assert np.mean(heard.mix_speech > 0.5) < 0.02
    np.testing.assert_array_equal(heard.speech, np.maximum(heard.mix_speech, heard.vocals_speech))


@pytest.mark.models
def test_it_hears_what_faster_whispers_own_detector_hears(  # type: ignore[no-untyped-def]
    model: Callable[[str], Path], speech: np.ndarray, detected
) -> None:
    from faster_whisper.vad import get_vad_model

    heard = detected(SpeechDetector(model("silero-vad")), [speech], [speech])
    whole = speech.shape[1] // HOP_FRAMES * HOP_FRAMES
    theirs = np.asarray(get_vad_model()(speech[0, :whole])).reshape(-1)
    # Theirs gives the first hop the end of the last one as context; from then on both are the same.
    np.testing.assert_allclose(heard.mix_speech[1 : len(theirs) - 1], theirs[1:-1], atol=0.05)


class Said:
    """A detector that takes what it is given for what it has found."""

    def hear(self, blocks: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
        return blocks


def test_an_empty_film_has_no_activity(detected) -> None:  # type: ignore[no-untyped-def]
    assert len(detected(Said(), [], [])) == 0


def test_any_span_of_what_was_detected_can_be_looked_at(tmp_path: Path) -> None:
    speech, level = np.linspace(0, 1, 100, dtype=np.float32), np.linspace(-90, 0, 100, dtype=np.float32)
    parts = [(speech[start : start + 7], level[None, start : start + 7]) for start in range(0, 100, 7)]
    found = detect(Said(), parts, [(level, speech[None]), (level, speech[None])], tmp_path)  # type: ignore[arg-type, list-item]
    assert len(found) == 100
    for start, stop in ((0, 100), (3, 50), (99, 100), (40, 40), (90, 200), (100, 200)):
        part, span = found.between(start, stop), slice(start, stop)
        for name, wanted in (
            ("mix_speech", speech),
            ("mix_db", level),
            ("vocals_speech", level),
            ("vocals_db", speech),
        ):
            np.testing.assert_array_equal(getattr(part, name), wanted[span])
