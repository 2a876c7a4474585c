from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr

from stemscribe.concurrency import one_ahead
from stemscribe.errors import ModelError
from stemscribe.speech.faster_whisper import FasterWhisper, Listening, known_languages
from stemscribe.speech.reading import Read, Reader
from stemscribe.transcript import Audio, Segment


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


@dataclass
class Passes:
    """How many sounds went through the encoder and the decoder at once, each time."""

    encoded: list[int] = field(default_factory=list)
    decoded: list[int] = field(default_factory=list)

    def clear(self) -> None:
        self.encoded.clear()
        self.decoded.clear()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    from ctranslate2.models import Whisper
    from faster_whisper import WhisperModel

    seen = Passes()
    encode, generate = WhisperModel.encode, Whisper.generate

    def encoded(model: WhisperModel, features: np.ndarray) -> object:
        seen.encoded.append(features.shape[0] if features.ndim == 3 else 1)
        return encode(model, features)

    def decoded(model: Whisper, sounds: object, prompts: list[list[int]], **options: object) -> object:
        seen.decoded.append(len(prompts))
        return generate(model, sounds, prompts, **options)

    monkeypatch.setattr(WhisperModel, "encode", encoded)
    monkeypatch.setattr(Whisper, "generate", decoded)
    return seen


@pytest.mark.models
def test_several_sounds_are_heard_in_one_pass_each_as_by_itself(
    model: Callable[[str], Path], speech: np.ndarray, passes: Passes
) -> None:
    whisper = FasterWhisper(model("whisper-base"))
    hiss = np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32) * 0.003
    sounds: dict[Audio, np.ndarray] = {"vocals": speech, "blend-35": speech + hiss, "mix": speech[::-1] * 0.01}
    found = whisper.hear_together(sounds, Listening("en", "mix", until=10.0))
    assert passes.encoded == [3]
    for audio in ("vocals", "blend-35"):
        (alone, together) = whisper.hear(sounds[audio], Listening("en", audio)), found[audio]
        words, expected = ([word for each in heard for word in each.words] for heard in (together, alone))
        assert [word.text.lower() for word in words] == [word.text.lower() for word in expected]
        assert [word.start for word in words] == pytest.approx([word.start for word in expected], abs=0.15)
        assert {segment.heard for segment in together} == {audio}
        assert 0 <= words[0].start <= words[-1].end <= len(speech) / 16000
    assert "country" not in " ".join(segment.text for segment in found["mix"])


@pytest.mark.models
def test_what_is_left_unread_is_read_without_another_encoding_where_somebody_speaks(
    model: Callable[[str], Path], speech: np.ndarray, passes: Passes
) -> None:
    whisper, silence = FasterWhisper(model("whisper-base")), np.zeros(15 * 16000, np.float32)
    film = np.concatenate([speech[int(7.8 * 16000) :], silence, speech[: 7 * 16000]])
    heard = whisper.hear(film, Listening("en", "mix", until=24.7))
    assert (passes.encoded, passes.decoded) == ([1], [1, 1])  # it leaves the last words unread at first
    assert heard[-1].end > 24.5
    said = " ".join(segment.text for segment in heard).lower()
    assert said.endswith("ask not what your country can do")
    assert said.count("fellow americans") == 1
    assert heard[-1].average_log_probability != heard[0].average_log_probability  # each has its own
    passes.clear()
    assert whisper.hear(film, Listening("en", "mix", until=23.5))[-1].end < 24.5
    assert (passes.encoded, passes.decoded) == ([1], [1])
    passes.clear()
    together = whisper.hear_together({"vocals": film, "mix": film}, Listening("en", "mix", until=24.7))
    assert (passes.encoded, passes.decoded) == ([2], [2, 1, 1])
    assert min(found[-1].end for found in together.values()) > 24.5


@pytest.mark.models
def test_whether_a_sentence_comes_again_is_decided_by_a_window_of_its_own(
    model: Callable[[str], Path], speech: np.ndarray, passes: Passes
) -> None:
    whisper, silence = FasterWhisper(model("whisper-base")), np.zeros(8 * 16000, np.float32)
    heard = whisper.hear(np.concatenate([speech, silence, speech[: 9 * 16000]]), Listening("en", "mix", until=27.5))
    assert (passes.encoded, passes.decoded) == ([1, 1], [1, 1, 1])
    assert heard[-1].end > 27.5
    assert " ".join(segment.text for segment in heard).lower().count("ask what you") == 2


def read(*texts: str, confidence: float = -0.3, no_speech: float = 0.1) -> list[SimpleNamespace]:
    """What a model has read, a second a text."""
    times = [{"start": float(second), "end": second + 0.9} for second in range(len(texts))]
    known = {"avg_logprob": confidence, "no_speech_prob": no_speech, "compression_ratio": 0.9, "words": None}
    return [SimpleNamespace(text=text, **time, **known) for text, time in zip(texts, times, strict=True)]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[list[SimpleNamespace]], list[Segment]]:
    """Gives what is heard in the second of two sounds, of what the model has read there."""
    monkeypatch.setattr("faster_whisper.WhisperModel", lambda folder, **options: None)
    whisper = FasterWhisper(tmp_path, device="cpu")
    monkeypatch.setattr(whisper, "_outside", lambda scripts: ())
    silence = np.zeros(16000 * 30, np.float32)

    def heard(found: list[SimpleNamespace]) -> list[Segment]:
        monkeypatch.setattr(Reader, "read", lambda reader, sounds, until, options: [Read(read(" Yes.")), Read(found)])
        return whisper.hear_together({"vocals": silence, "mix": silence}, Listening("en", "mix"))["mix"]

    return heard


@pytest.mark.parametrize(
    ("found", "heard"),
    [
        (read(" Come in.", " Sit down."), ["Come in.", "Sit down."]),
        (read(" Come in.", " ", " Sit down."), ["Come in.", "Sit down."]),
        (read(" Come in.", confidence=-1.1), ["Come in."]),
        (read(" Come in.", confidence=-1.1, no_speech=0.7), []),
        (read(" Come in.", no_speech=0.7) + read(" Bye.", confidence=-1.1, no_speech=0.7), ["Come in."]),
        (read(), []),
    ],
)
def test_what_whisper_itself_takes_for_no_speech_is_left_out(
    reads: Callable[[list[SimpleNamespace]], list[Segment]], found: list[SimpleNamespace], heard: list[str]
) -> None:
    assert [segment.text for segment in reads(found)] == heard


def test_what_is_still_unread_is_heard_by_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("faster_whisper.WhisperModel", lambda folder, **options: None)
    whisper = FasterWhisper(tmp_path, device="cpu")
    monkeypatch.setattr(whisper, "_outside", lambda scripts: ())
    asked: list[tuple[list[int], float]] = []

    def one_at_a_time(reader: Reader, sounds: list[np.ndarray], until: float, options: object) -> list[Read]:
        asked.append(([len(sound) for sound in sounds], until))
        return [Read(read(" La la."), 4.5)] if len(asked) == 1 else [Read(read(" La la la."))]

    monkeypatch.setattr(Reader, "read", one_at_a_time)
    heard = whisper.hear(np.zeros(16000 * 9, np.float32), Listening("en", "mix", until=8.0))
    assert asked == [([144_000], 8.0), ([72_000], 3.5)]
    assert [(segment.text, segment.start) for segment in heard] == [("La la.", 0.0), ("La la la.", 4.5)]


@pytest.mark.models
@pytest.mark.parametrize("frames", [0, 1, 160, 400])
def test_hardly_any_sound_is_no_text(model: Callable[[str], Path], frames: int) -> None:
    nothing = np.zeros(frames, np.float32)
    assert FasterWhisper(model("whisper-tiny.en"), device="cpu").hear(nothing, Listening("en", "mix")) == []


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
