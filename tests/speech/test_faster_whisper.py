from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from stemscribe.errors import ModelError
from stemscribe.speech.faster_whisper import FasterWhisper, Listening, known_languages


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    samples, rate = soundfile.read(
        Path(__file__).parents[1] / "media" / "jfk_1961.flac", dtype="float32", always_2d=True
    )
    return soxr.resample(samples.mean(axis=1), rate, 16000)


@pytest.mark.models
def test_words_come_with_their_times(model: Callable[[str], Path], speech: np.ndarray) -> None:
    whisper = FasterWhisper(model("whisper-tiny.en"))
    segments = whisper.hear(speech, Listening("en", "mix"))
    words = [word for segment in segments for word in segment.words]
    assert "country" in " ".join(segment.text for segment in segments)
    assert len(words) >= 20
    for before, after in pairwise(words):
        assert 0 <= before.start <= before.end <= after.end <= len(speech) / 16000
    assert all(segment.heard == "mix" and segment.language == "en" for segment in segments)
    assert all(0 <= word.probability <= 1 for word in words)


@pytest.mark.models
def test_the_same_sound_is_heard_the_same_whatever_came_before(
    model: Callable[[str], Path], speech: np.ndarray
) -> None:
    whisper = FasterWhisper(model("whisper-tiny.en"))
    noise = np.random.default_rng(0).standard_normal(80_000).astype(np.float32) * 0.1
    first = whisper.hear(noise, Listening("en", "mix"))  # makes Whisper try several temperatures, and so random numbers
    expected = whisper.hear(speech, Listening("en", "mix"))
    assert whisper.hear(noise, Listening("en", "mix")) == first
    assert whisper.hear(speech, Listening("en", "mix")) == expected


@pytest.mark.models
def test_the_language_is_recognised(model: Callable[[str], Path], speech: np.ndarray) -> None:
    probabilities = FasterWhisper(model("whisper-base")).language_of(speech)
    assert max(probabilities, key=lambda code: probabilities[code]) == "en"
    assert set(probabilities) <= known_languages()


@pytest.mark.parametrize(("device", "compute"), [("cpu", "int8"), ("auto", "default"), ("cuda", "default")])
def test_a_cpu_computes_in_int8_even_where_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, compute: str
) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 1)
    monkeypatch.setattr("faster_whisper.WhisperModel", lambda folder, **options: asked.update(options))
    FasterWhisper(tmp_path, device=device)
    assert asked["compute_type"] == compute


def test_a_model_that_cannot_be_loaded_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="could not be loaded") as caught:
        FasterWhisper(tmp_path)
    assert "stemscribe models verify" in caught.value.hint
