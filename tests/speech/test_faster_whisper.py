from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr

from stemscribe.concurrency import one_ahead
from stemscribe.errors import ModelError
from stemscribe.speech import faster_whisper
from stemscribe.speech.faster_whisper import FasterWhisper, Listening, _Read, known_languages
from stemscribe.transcript import Audio


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
    """Also where a text fails Whisper's own checks: other temperatures would bring chance into it."""
    whisper = FasterWhisper(model("whisper-tiny.en"))
    backwards = speech[::-1].copy()
    sounds = (speech, backwards, backwards[16_000:], speech)
    found = [whisper.hear(sound, Listening("en", "mix")) for sound in sounds]
    assert [whisper.hear(sound, Listening("en", "mix")) for sound in sounds[::-1]][::-1] == found
    assert all(max(segment.compression_ratio or 0.0 for segment in found[unclear]) > 2.4 for unclear in (1, 2))


@pytest.mark.models
def test_several_calls_at_a_time_hear_what_one_hears(model: Callable[[str], Path], speech: np.ndarray) -> None:
    alone, both = (FasterWhisper(model("whisper-tiny.en"), threads=2, at_once=each) for each in (1, 2))
    assert (alone.at_once, both.at_once) == (1, 2)
    parts = [speech[start : start + 48_000] for start in range(0, len(speech) - 48_000, 16_000)]
    expected = [alone.hear(part, Listening("en", "mix")) for part in parts]
    at_once = one_ahead(lambda part: both.hear(part, Listening("en", "mix")), parts, threads=2)
    assert [found for _, found in at_once] == expected


@pytest.mark.parametrize(
    ("device", "threads", "wanted", "at_once", "each"),
    [("cpu", 0, 1, 1, 0), ("cpu", 3, 1, 1, 3), ("cpu", 1, 2, 1, 1), ("cpu", 6, 2, 2, 3), ("cuda", 6, 2, 1, 6)],
)
def test_calls_at_a_time_share_the_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str, threads: int, wanted: int, at_once: int, each: int
) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr("faster_whisper.WhisperModel", lambda folder, **options: asked.update(options))
    whisper = FasterWhisper(tmp_path, device=device, threads=threads, at_once=wanted)
    assert (whisper.at_once, asked["num_workers"], asked["cpu_threads"]) == (at_once, at_once, each)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sounds went through the encoder at once, each time."""
    from faster_whisper import WhisperModel

    seen: list[int] = []
    encode = WhisperModel.encode

    def counted(model: WhisperModel, features: np.ndarray) -> object:
        seen.append(features.shape[0] if features.ndim == 3 else 1)
        return encode(model, features)

    monkeypatch.setattr(WhisperModel, "encode", counted)
    return seen


@pytest.mark.models
def test_several_sounds_are_heard_in_one_pass_each_as_by_itself(
    model: Callable[[str], Path], speech: np.ndarray, passes: list[int]
) -> None:
    whisper = FasterWhisper(model("whisper-base"))
    hiss = np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32) * 0.003
    sounds: dict[Audio, np.ndarray] = {"vocals": speech, "blend-35": speech + hiss, "mix": speech[::-1] * 0.01}
    found = whisper.hear_together(sounds, Listening("en", "mix", until=10.0))
    assert passes[0] == 3
    for audio in ("vocals", "blend-35"):
        (alone, together) = whisper.hear(sounds[audio], Listening("en", audio)), found[audio]
        words, expected = ([word for each in heard for word in each.words] for heard in (together, alone))
        assert [word.text.lower() for word in words] == [word.text.lower() for word in expected]
        assert [word.start for word in words] == pytest.approx([word.start for word in expected], abs=0.15)
        assert {segment.heard for segment in together} == {audio}
        assert 0 <= words[0].start <= words[-1].end <= len(speech) / 16000
    assert "country" not in " ".join(segment.text for segment in found["mix"])


@pytest.mark.models
def test_what_is_left_unread_is_read_only_where_somebody_speaks(
    model: Callable[[str], Path], speech: np.ndarray, passes: list[int]
) -> None:
    whisper = FasterWhisper(model("whisper-base"))
    film = np.concatenate([speech, np.zeros(8 * 16000, np.float32), speech[: 9 * 16000]])
    heard = whisper.hear(film, Listening("en", "mix"))
    assert passes == [1, 1]  # it leaves the last words unread at first
    assert heard[-1].end > 27
    passes.clear()
    assert heard[: len(whisper.hear(film, Listening("en", "mix", until=26.0)))][-1].end > 26
    whisper.hear_together({"vocals": film, "mix": film}, Listening("en", "mix", until=26.0))
    assert passes == [1, 2]
    passes.clear()
    together = whisper.hear_together({"vocals": film, "mix": film}, Listening("en", "mix", until=27.5))
    assert passes == [2, 1, 1]
    assert min(found[-1].end for found in together.values()) > 27


def read(*texts: str, confidence: float = -0.3, no_speech: float = 0.1) -> _Read:
    """What a model has read, a second a text."""
    times = [{"start": float(second), "end": second + 0.9} for second in range(len(texts))]
    known = {"avg_logprob": confidence, "no_speech_prob": no_speech, "compression_ratio": 0.9, "words": None}
    return _Read([SimpleNamespace(text=text, **time, **known) for text, time in zip(texts, times, strict=True)], False)


@pytest.mark.parametrize(
    ("found", "heard"),
    [
        (read(" Come in.", " Sit down."), ["Come in.", "Sit down."]),
        (read(" Come in.", " ", " Sit down."), ["Come in.", "Sit down."]),
        (read(" Come in.", confidence=-1.1), ["Come in."]),
        (read(" Come in.", confidence=-1.1, no_speech=0.7), []),
        (read(), []),
    ],
)
def test_of_several_sounds_each_is_judged_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: _Read, heard: list[str]
) -> None:
    monkeypatch.setattr("faster_whisper.WhisperModel", lambda folder, **options: None)
    monkeypatch.setattr(faster_whisper, "_read_together", lambda model, sounds, options: [read(" Yes."), found])
    whisper = FasterWhisper(tmp_path, device="cpu")
    monkeypatch.setattr(whisper, "_outside", lambda scripts: ())
    sounds: dict[Audio, np.ndarray] = {
        "vocals": np.zeros(16000 * 30, np.float32),
        "mix": np.zeros(16000 * 30, np.float32),
    }
    assert [segment.text for segment in whisper.hear_together(sounds, Listening("en", "mix"))["mix"]] == heard


def test_a_sentence_that_is_said_again_and_again_is_measured_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each by itself would pass for speech."""
    monkeypatch.setattr("faster_whisper.WhisperModel", lambda folder, **options: None)
    loop = read(*[" Thank you for watching."] * 20)
    monkeypatch.setattr(faster_whisper, "_read_together", lambda model, sounds, options: [read(" Yes."), loop])
    whisper = FasterWhisper(tmp_path, device="cpu")
    monkeypatch.setattr(whisper, "_outside", lambda scripts: ())
    sounds: dict[Audio, np.ndarray] = {
        "vocals": np.zeros(16000 * 30, np.float32),
        "mix": np.zeros(16000 * 30, np.float32),
    }
    found = whisper.hear_together(sounds, Listening("en", "mix"))["mix"]
    assert min(segment.compression_ratio or 0.0 for segment in found) > 10


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
