"""One pass of Whisper over several sounds of the same moment, in which each is read to the end of its voices.

Whisper often stops at the end of a sentence, and leaves two times in a row: there one ends and another begins. Its own
way on is a window that begins there. But what is missing is in this window too. So the decoder goes on behind the last
sentence it has written, and is told those before as it would be told of a window before; and the encoder, which takes
as long for two seconds as for thirty, has nothing more to do. (Told the time alone, or the last sentence as if it stood
in another window, the decoder writes words twice that it hears across that time.)

Where nobody speaks any more, it copies one of those sentences. Somebody may have said it twice, though, in a song above
all: so whoever asks is told from where on a window of its own has to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ctranslate2 import Device, StorageView
from faster_whisper import BatchedInferencePipeline
from faster_whisper.transcribe import get_compression_ratio
from rapidfuzz.fuzz import partial_ratio

from stemscribe.arrays import Array
from stemscribe.speech.doubts import plain_words, units
from stemscribe.timebase import Seconds

_COPIED, _WORDS = 90, 3  # how like an earlier text (in percent) and how long the copy of a sentence is
_TOLD = 100  # tokens of what was written before; with what is given and what is to come they must fit in


@dataclass(frozen=True)
class Read:
    """What was read in a sound.

    Attributes:
        found: faster-whisper's segments, whose times are those of all sounds behind each other.
        unread: where something was left that only a window of its own can tell, in seconds of this sound.
    """

    found: list[Any]
    unread: Seconds | None = None


@dataclass(frozen=True)
class _Part:
    """What the decoder wrote at a time: from which of its times on, and how sure it was."""

    begin: int
    tokens: list[int]
    avg_logprob: float


class Reader(BatchedInferencePipeline):  # type: ignore[misc]
    """faster-whisper's batches, which go on reading where something was left unread.

    Args:
        model: faster-whisper's.
        sample_rate: of the sounds, in Hz.
    """

    def __init__(self, model: Any, sample_rate: int) -> None:
        super().__init__(model)
        self._sample_rate = sample_rate
        self._duration = self._until = 0.0
        self._parts: list[list[_Part]] = []
        self._unread: list[Seconds | None] = []

    def read(self, sounds: Sequence[Array], until: Seconds, options: dict[str, Any]) -> list[Read]:
        """What is said in several sounds: faster-whisper's segments, of each sound by itself.

        Args:
            sounds: mono, `[frames]` each, all of one length of up to 30 s.
            until: from here on nothing more is read.
            options: of the pipeline's `transcribe`.

        Returns:
            What there is in each sound. Figures of segments are those of all that was read in one go, as Whisper has
            it: a loop may be a sentence that is said again and again.
        """
        duration = self._duration = len(sounds[0]) / self._sample_rate
        self._until = min(until, duration)
        found, _ = self.transcribe(
            np.concatenate(sounds),
            clip_timestamps=[
                {"start": number * duration, "end": (number + 1) * duration} for number in range(len(sounds))
            ],
            batch_size=len(sounds),
            without_timestamps=False,
            **options,
        )
        of: list[list[Any]] = [[] for _ in sounds]
        for segment in found:
            of[min(int((segment.start + segment.end) / 2 / duration), len(sounds) - 1)].append(segment)
        return [Read(*one) for one in zip(of, self._unread, strict=True)]

    def forward(self, features: Any, tokenizer: Any, chunks_metadata: Any, options: Any) -> Any:
        found = super().forward(features, tokenizer, chunks_metadata, options)
        for segments, parts in zip(found, self._parts, strict=True):
            for part, its_own in zip(parts, _shared_out(segments, parts), strict=True):
                text = "".join(segment["text"] for segment in its_own).strip()
                for segment in its_own:
                    segment["avg_logprob"] = part.avg_logprob
                    segment["compression_ratio"] = get_compression_ratio(text) if text else 0.0
        return found

    def generate_segment_batched(self, features: Any, tokenizer: Any, options: Any) -> Any:
        encoded, outputs = super().generate_segment_batched(features, tokenizer, options)
        self._parts, self._unread = [], []
        for number, output in enumerate(outputs):
            parts = [_Part(tokenizer.timestamp_begin, output["tokens"], output["avg_logprob"])]
            while (unread := self._unread_from(parts[-1], tokenizer)) is not None:
                part = self._read_on(encoded, number, parts, tokenizer, options)
                if _is_copy(tokenizer.decode(part.tokens), tokenizer.decode(_written(parts))):
                    break
                parts.append(part)
            output["tokens"] = _written(parts)
            self._parts.append(parts)
            self._unread.append(unread)
        return encoded, outputs

    def _unread_from(self, part: _Part, tokenizer: Any) -> Seconds | None:
        """Where there is more, if a text ends with the sign for that, at a later time than it began."""
        last = part.tokens[-2:]
        if len(last) < 2 or min(last) < tokenizer.timestamp_begin or last[-1] <= part.begin:
            return None
        time: Seconds = (last[-1] - tokenizer.timestamp_begin) * self.model.time_precision
        return time if time < self._until else None

    def _read_on(self, encoded: Any, number: int, parts: Sequence[_Part], tokenizer: Any, options: Any) -> _Part:
        """What one of the sounds goes on with."""
        written = _written(parts)
        times = [at for at, token in enumerate(written) if token >= tokenizer.timestamp_begin]
        last = times[-3] if len(times) > 2 else 0  # where the last of what is written begins
        told, given = [token for token in written[:last] if token < tokenizer.eot], written[last:]
        sound = np.array(encoded.to_device(Device.cpu))[number : number + 1]
        (result,) = self.model.model.generate(
            StorageView.from_array(sound),
            [[*self.model.get_prompt(tokenizer, told[-_TOLD:]), *given]],
            beam_size=options.beam_size,
            max_length=self.model.max_length,
            suppress_blank=options.suppress_blank,
            suppress_tokens=options.suppress_tokens,
            no_repeat_ngram_size=options.no_repeat_ngram_size,
            return_scores=True,
        )
        whole = result.sequences_ids[0]
        tokens = whole[len(given) :]
        if not tokens or tokens[-1] < tokenizer.timestamp_begin:
            end = min(self._duration, self.model.feature_extractor.chunk_length)
            tokens.append(tokenizer.timestamp_begin + round(end / self.model.time_precision))
        # The score is the mean over the whole text, to which what was given adds nothing, and whose end is no token.
        return _Part(given[-1], tokens, result.scores[0] * len(whole) / (len(whole) - len(given) + 1))


def _written(parts: Sequence[_Part]) -> list[int]:
    return [token for part in parts for token in part.tokens]


def _is_copy(text: str, written: str) -> bool:
    """Whether a text is one that stands in what was written before."""
    plain = plain_words(text)
    return len(units(plain)) >= _WORDS and partial_ratio(plain, plain_words(written)) >= _COPIED


def _shared_out(segments: Sequence[dict[str, Any]], parts: Sequence[_Part]) -> list[list[dict[str, Any]]]:
    """The segments of each part, by how many tokens there are of both."""
    ends, read = np.cumsum([len(part.tokens) for part in parts]), np.cumsum([len(one["tokens"]) for one in segments])
    shared: list[list[dict[str, Any]]] = [[] for _ in parts]
    for segment, number in zip(segments, np.searchsorted(ends, read), strict=True):
        shared[number].append(segment)
    return shared
