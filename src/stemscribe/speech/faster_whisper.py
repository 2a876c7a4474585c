"""Whisper through faster-whisper (CTranslate2): sound in, segments with word times out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemscribe.arrays import Array
from stemscribe.errors import ModelError
from stemscribe.languages import standard_code
from stemscribe.timebase import Seconds
from stemscribe.transcript import Audio, Segment, Word

ENGINE = "faster_whisper"
SAMPLE_RATE = 16000
_SEED = 0
_WHISPERS_OWN = {"fil": "tl", "jv": "jw", "nb": "no"}  # where Whisper departs from the standard


@dataclass(frozen=True)
class Hearing:
    """How to listen.

    Attributes:
        language: ISO 639-1 code of what is spoken.
        audio: which audio it is, for the record.
        beam_size: how many hypotheses are kept.
    """

    language: str
    audio: Audio
    beam_size: int = 5


class FasterWhisper:
    """A loaded Whisper model.

    Args:
        folder: the fetched model.
        device: `cpu` or `cuda`; `auto` takes CUDA where it works.
        threads: on a CPU; 0 leaves it to the runtime.

    Raises:
        ModelError: the model cannot be loaded.
    """

    def __init__(self, folder: Path, *, device: str = "auto", threads: int = 0) -> None:
        from faster_whisper import WhisperModel

        device = device if device in {"cpu", "cuda"} else "auto"
        try:
            # `default` keeps a GPU's own precision; on a CPU int8 is as good for recognition, and about twice as fast.
            on_gpu = device == "cuda" or (device == "auto" and _has_cuda())
            compute = "default" if on_gpu else "int8"
            self._model = WhisperModel(str(folder), device=device, compute_type=compute, cpu_threads=threads)
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelError(
                f"The speech recognition model in {folder} could not be loaded: {error}.",
                hint="See whether it is whole with stemscribe models verify; try --device cpu if it is the GPU.",
            ) from error

    def language_of(self, audio: Array) -> dict[str, float]:
        """How probable each language is for up to 30 s of mono sound at 16 kHz, `[frames]`."""
        _, _, probabilities = self._model.detect_language(audio)
        return {code: float(probability) for code, probability in probabilities}

    def hear(self, audio: Array, hearing: Hearing) -> list[Segment]:
        """What is said in up to 30 s.

        Each call stands alone: no text of former calls is given to the decoder (which would carry repetition loops
        on), and its random numbers start from the same seed, so that a resumed run hears what an undisturbed one
        hears.

        Args:
            audio: mono sound at 16 kHz, `[frames]`.
            hearing: how to listen.

        Returns:
            Segments in seconds from the first frame.
        """
        import ctranslate2

        ctranslate2.set_random_seed(_SEED)
        duration = len(audio) / SAMPLE_RATE
        found, _ = self._model.transcribe(
            audio,
            language=hearing.language,
            beam_size=hearing.beam_size,
            word_timestamps=True,
            condition_on_previous_text=False,
            vad_filter=False,
        )
        return [_segment(segment, hearing, duration) for segment in found]


def _segment(found: Any, hearing: Hearing, duration: Seconds) -> Segment:
    words = tuple(
        Word(
            min(float(word.start), duration),
            min(float(word.end), duration),
            word.word,
            _measure(word.probability),
        )
        for word in found.words or ()
    )
    return Segment(
        start=words[0].start if words else min(float(found.start), duration),
        end=words[-1].end if words else min(float(found.end), duration),
        text=found.text.strip(),
        language=hearing.language,
        words=words,
        average_log_probability=_measure(found.avg_logprob),
        no_speech_probability=_measure(found.no_speech_prob),
        compression_ratio=_measure(found.compression_ratio),
        heard=hearing.audio,
        reason="as asked",
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
