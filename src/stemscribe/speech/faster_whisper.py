"""Whisper through faster-whisper (CTranslate2): sound in, segments with word times out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from stemscribe.arrays import Array
from stemscribe.concurrency import cores
from stemscribe.errors import ModelError
from stemscribe.languages import standard_code
from stemscribe.speech.scripts import tokens_outside
from stemscribe.timebase import Seconds
from stemscribe.transcript import Audio, Segment, Word

ENGINE = "faster_whisper"
SAMPLE_RATE = 16000
_SHORTEST = 400  # frames that one column of the spectrogram takes
_NON_SPEECH = -1  # faster-whisper's word for its own list of tokens that are no speech
_NO_REPEAT = 4
_UNLIKELY = -1.0  # a text whose average log probability is lower than this
_NO_SPEECH = 0.6  # is none at all where nobody speaks with a higher probability than this
_MOST_CORES = 8  # that several calls share: one alone makes use of four
_WHISPERS_OWN = {"fil": "tl", "jv": "jw", "nb": "no"}  # where Whisper departs from the standard


@dataclass(frozen=True)
class Listening:
    """How to listen.

    Attributes:
        language: ISO 639-1 code of what is spoken.
        audio: which audio it is, for the record.
        task: to write down what is said, or to translate it into English.
        scripts: to keep to, as `scripts.scripts_for` names them; empty for any.
        repeat: whether a phrase may be said again; without it, the decoder cannot get into a loop.
        beam_size: how many hypotheses are kept.
        until: where the last voice ends, in seconds from the first frame. What the model has left unread after that is
            not read: it would be given another 30 s of silence, and write something over them.
    """

    language: str
    audio: Audio
    task: Literal["transcribe", "translate"] = "transcribe"
    scripts: frozenset[str] = frozenset()
    repeat: bool = True
    beam_size: int = 5
    until: Seconds = math.inf


class FasterWhisper:
    """A loaded Whisper model.

    Args:
        folder: the fetched model.
        device: `cpu` or `cuda`; `auto` takes CUDA where it works.
        threads: on a CPU; 0 leaves it to the runtime.
        at_once: how many calls may compute at a time, on a CPU that has the cores for it.

    Attributes:
        at_once: how many calls do.

    Raises:
        ModelError: the model cannot be loaded.
    """

    def __init__(self, folder: Path, *, device: str = "auto", threads: int = 0, at_once: int = 1) -> None:
        from faster_whisper import WhisperModel

        device = device if device in {"cpu", "cuda"} else "auto"
        try:
            # `default` keeps a GPU's own precision; on a CPU int8 is as good for recognition, and about twice as fast.
            on_gpu = device == "cuda" or (device == "auto" and _has_cuda())
            compute = "default" if on_gpu else "int8"
            shared = threads or min(cores(), _MOST_CORES)
            self.at_once = 1 if on_gpu else min(at_once, shared)
            each = threads if self.at_once == 1 else shared // self.at_once
            self._model = WhisperModel(
                str(folder), device=device, compute_type=compute, cpu_threads=each, num_workers=self.at_once
            )
            self._tokens: dict[frozenset[str], tuple[int, ...]] = {}
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelError(
                f"The speech recognition model in {folder} could not be loaded: {error}.",
                hint="See whether it is whole with stemscribe models verify; try --device cpu if it is the GPU.",
            ) from error

    def language_of(self, audio: Array) -> dict[str, float]:
        """How probable each language is for up to 30 s of mono sound at 16 kHz, `[frames]`."""
        _, _, probabilities = self._model.detect_language(audio)
        return {code: float(probability) for code, probability in probabilities}

    def hear(self, audio: Array, listening: Listening) -> list[Segment]:
        """What is said in up to 30 s, as `hear_together` has it.

        Args:
            audio: mono sound at 16 kHz, `[frames]`.
            listening: how to listen.

        Returns:
            Segments in seconds from the first frame.
        """
        return self.hear_together({listening.audio: audio}, listening)[listening.audio]

    def hear_together(self, sounds: Mapping[Audio, Array], listening: Listening) -> dict[Audio, list[Segment]]:
        """What is said in up to 30 s, in several sounds of the same moment: in one pass of the model, which is cheaper.

        Each call stands alone: no text of former calls is given to the decoder (which would carry repetition loops
        on), and nothing is left to chance: Whisper's other temperatures would draw from random numbers that go on from
        call to call, and a resumed run would hear otherwise than an undisturbed one.

        Args:
            sounds: mono at 16 kHz, `[frames]` each, all of one length.
            listening: how to listen to each of them.

        Returns:
            Segments of each in seconds from the first frame.
        """
        from stemscribe.speech.reading import Reader

        frames = len(next(iter(sounds.values())))
        duration = frames / SAMPLE_RATE
        if frames < _SHORTEST:
            return {audio: [] for audio in sounds}
        read = Reader(self._model, SAMPLE_RATE).read(list(sounds.values()), listening.until, self._options(listening))
        heard = {}
        for number, ((audio, sound), one) in enumerate(zip(sounds.items(), read, strict=True)):
            alone = replace(listening, audio=audio)
            heard[audio] = _believed(one.found, alone, duration, number * duration)
            if one.unread is not None:
                rest = replace(alone, until=listening.until - one.unread)
                found = self.hear(sound[round(one.unread * SAMPLE_RATE) :], rest)
                heard[audio] += [segment.moved(one.unread) for segment in found]
        return heard

    def _options(self, listening: Listening) -> dict[str, Any]:
        return {
            "language": listening.language,
            "task": listening.task,
            "beam_size": listening.beam_size,
            "suppress_tokens": [_NON_SPEECH, *self._outside(listening.scripts)],
            "temperature": 0.0,
            "no_repeat_ngram_size": 0 if listening.repeat and not listening.scripts else _NO_REPEAT,
            "word_timestamps": True,
            "vad_filter": False,
        }

    def _outside(self, scripts: frozenset[str]) -> tuple[int, ...]:
        """The tokens that would leave these scripts; worked out once for each, since it takes half a second."""
        if scripts not in self._tokens:
            tokenizer = self._model.hf_tokenizer
            vocabulary = tokenizer.get_vocab(with_added_tokens=False)
            special = tokenizer.token_to_id("<|endoftext|>")
            self._tokens[scripts] = tokens_outside(vocabulary, scripts, special) if scripts else ()
        return self._tokens[scripts]


def _believed(found: Iterable[Any], listening: Listening, duration: Seconds, origin: Seconds) -> list[Segment]:
    """What was read in a sound, which began at `origin` for the model, but for what Whisper itself takes for none."""
    return [
        _segment(segment, listening, duration, origin)
        for segment in found
        if segment.text.strip() and not (segment.avg_logprob < _UNLIKELY and segment.no_speech_prob > _NO_SPEECH)
    ]


def _segment(found: Any, listening: Listening, duration: Seconds, origin: Seconds = 0.0) -> Segment:
    """A segment of a sound of some duration, which began at `origin` for the model."""

    def within(time: float) -> Seconds:
        return min(max(0.0, float(time) - origin), duration)

    start, end = within(found.start), within(found.end)
    text, confidence = found.text.strip(), _measure(found.avg_logprob)
    words = tuple(
        Word(within(word.start), within(word.end), word.word, _measure(word.probability)) for word in found.words or ()
    )
    if text and not words:  # the alignment found none: then all of it is one
        words = (Word(start, max(start, end), f" {text}", round(math.exp(min(confidence, 0.0)), 4)),)
    return Segment(
        start=words[0].start if words else start,
        end=words[-1].end if words else max(start, end),
        text=text,
        language=listening.language,
        words=words,
        average_log_probability=confidence,
        no_speech_probability=_measure(found.no_speech_prob),
        compression_ratio=_measure(found.compression_ratio),
        heard=listening.audio,
    )


def _measure(value: float) -> float:
    """A number that JSON can hold."""
    return round(float(value), 4) if math.isfinite(value) else 0.0


def _has_cuda() -> bool:
    import ctranslate2

    return int(ctranslate2.get_cuda_device_count()) > 0


def known_languages() -> frozenset[str]:
    """The codes of all languages that multilingual Whisper models know."""
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    return frozenset(_LANGUAGE_CODES)


def whisper_code(name: str) -> str | None:
    """Whisper's code for a language that a user or a film names, or `None`.

    >>> whisper_code("hin"), whisper_code("TL"), whisper_code("nob"), whisper_code("tlh")
    ('hi', 'tl', 'no', None)
    """
    known = known_languages()
    if name.lower() in known:
        return name.lower()
    code = standard_code(name)
    code = _WHISPERS_OWN.get(code, code)
    return code if code in known else None
