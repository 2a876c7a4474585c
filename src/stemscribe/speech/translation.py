"""What was said, in English: heard once more by a recogniser that translates, where the transcript has words.

The transcript judges where something is said, and in which audio it is understood best. So a region is not translated
as a whole but in passages: segments of one language that follow each other closely, without what was not believed
between them. What is not in the transcript is not listened to, and cannot be translated.

Word times are rough. Whisper reads them from where its attention lay, and a translation does not keep the order of what
it translates: they tell at which part of a passage the recogniser looked, and are no more than good enough for
subtitles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from stemscribe.languages import english_name
from stemscribe.speech.doubts import NO_WORDS, DoubtRules, doubts, repeats_itself
from stemscribe.speech.faster_whisper import Listening
from stemscribe.speech.recognition import Dropped
from stemscribe.speech.scripts import LATIN
from stemscribe.speech.sound import Sound
from stemscribe.speech.word_times import settled
from stemscribe.timebase import Seconds
from stemscribe.transcript import Audio, Region, Segment, Word

ENGLISH = "en"
_SCRIPTS = frozenset((LATIN,))

Ear = Callable[[Region, Listening], list[Segment]]
"""Listens to a part of a region in one of its sounds; times in seconds of the mix."""


@dataclass(frozen=True)
class TranslationRules:
    """How a region is translated.

    Attributes:
        pause: one of this length in the transcript parts two passages.
        room: so much more than a passage is listened to, at each end where nothing else is said.
        covered: a segment of which the translation covers a smaller share is not translated.
        unsure: an average log probability below this is doubtful by itself. Translations have lower ones than
            transcripts: with Whisper base, good ones have −0.7.
        doubt: when else a translation is doubted.
    """

    pause: Seconds = 2.0
    room: Seconds = 0.2
    covered: float = 0.25
    unsure: float = -1.0
    doubt: DoubtRules = field(default_factory=lambda: DoubtRules(unsure=-1.0))


@dataclass(frozen=True)
class Untranslated:
    """What was said, in seconds of the mix, and is not in the translation."""

    start: Seconds
    end: Seconds
    text: str
    language: str


@dataclass(frozen=True)
class Translated:
    """What came of one region: the translation, and what of the transcript has none."""

    region: int
    segments: tuple[Segment, ...]
    untranslated: tuple[Untranslated, ...] = ()


@dataclass(frozen=True)
class Translation:
    """`translation.json`: the transcript in English, in seconds of the mix.

    Attributes:
        language: of the translation.
        source_language: what was spoken in most of the film.
        model: the recognition model.
        segments: the translation; what was said in English is as it is in the transcript.
        untranslated: segments of the transcript of which it has nothing.
    """

    language: str
    source_language: str
    model: str
    segments: tuple[Segment, ...]
    untranslated: tuple[Untranslated, ...]
    version: int = 1


@dataclass(frozen=True)
class Said:
    """What the transcript has of a region, in order: what is believed, and what is not."""

    segments: tuple[Segment, ...]
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True)
class Passage:
    """Segments of one language that follow each other closely.

    Attributes:
        span: what to listen to.
        said: the segments.
    """

    span: Region
    said: tuple[Segment, ...]

    @property
    def language(self) -> str:
        return self.said[0].language

    @property
    def audio(self) -> Audio:
        """In which most of the words were understood."""
        words: Counter[Audio] = Counter()
        for segment in self.said:
            words[segment.heard] += max(1, len(segment.words))
        return words.most_common(1)[0][0]


def translate(
    number: int,
    region: Region,
    sound: Sound,
    speech: Sequence[Region],
    said: Said,
    ear: Ear,
    rules: TranslationRules = TranslationRules(),
) -> Translated:
    """What is said in a region, in English.

    Args:
        number: of the region.
        region: in seconds of the mix.
        sound: the region's.
        speech: where the detector is sure of speech.
        said: what the transcript has of it.
        ear: what listens.
        rules: how.

    Returns:
        Segments in order of time; those that were said in English are as they are in the transcript.
    """
    translator = _Translator(sound, speech, ear, rules)
    found = [segment for segment in said.segments if segment.language == ENGLISH]
    missing: list[Segment] = []
    for passage in passages(region, said, rules):
        translated, left = translator.heard(passage)
        found += translated
        for segment in left:  # a recogniser may pass over what it cannot when it is alone
            alone = _alone(segment, passage, found, rules)
            if (alone.span, alone.audio) == (passage.span, passage.audio):  # it would be the same again
                missing.append(segment)
                continue
            translated, lost = translator.heard(alone, "heard by itself")
            found += translated
            missing += [segment] if lost else []
    lost_for_good = (Untranslated(one.start, one.end, one.text, one.language) for one in missing)
    return Translated(number, tuple(sorted(found, key=lambda segment: segment.start)), tuple(lost_for_good))


def passages(region: Region, said: Said, rules: TranslationRules = TranslationRules()) -> Iterator[Passage]:
    """What is to be translated of a region, passage by passage, each with the room that the others leave it."""
    segments = sorted(said.segments, key=lambda segment: segment.start)
    others = [(dropped.segment.start, dropped.segment.end) for dropped in said.dropped]
    for run in _runs(segments, others, rules.pause):
        rest = [*others, *((segment.start, segment.end) for segment in segments if segment not in run)]
        yield Passage(_with_room(run[0].start, run[-1].end, region, rest, rules.room), tuple(run))


def _runs(
    segments: Iterable[Segment], dropped: Sequence[tuple[Seconds, Seconds]], pause: Seconds
) -> Iterator[list[Segment]]:
    """Segments that belong together; those in English belong to none."""
    run: list[Segment] = []
    for segment in segments:
        if run:
            before = run[-1]
            between = any(before.end <= (start + end) / 2 <= segment.start for start, end in dropped)
            if segment.language != before.language or segment.start - before.end >= pause or between:
                yield run
                run = []
        if segment.language != ENGLISH:
            run.append(segment)
    if run:
        yield run


def _with_room(
    start: Seconds, end: Seconds, limits: Region, others: Iterable[tuple[Seconds, Seconds]], room: Seconds
) -> Region:
    """A span that is a little wider, as far as it may be, and does not reach into the others."""
    spans = tuple(others)
    earliest = max([limits.start, start - room, *(other_end for _, other_end in spans if other_end <= start)])
    latest = min([limits.end, end + room, *(other_start for other_start, _ in spans if other_start >= end)])
    return Region(min(start, earliest), max(end, latest))


def _alone(segment: Segment, passage: Passage, found: Iterable[Segment], rules: TranslationRules) -> Passage:
    """A segment of a passage as one of its own, without what is translated of it."""
    rest = [(other.start, other.end) for other in (*(one for one in passage.said if one != segment), *found)]
    start, end = segment.start, segment.end
    for other_start, other_end in rest:
        if other_start < end and other_end > start:
            if other_start + other_end < start + end:
                start = min(other_end, end)
            else:
                end = max(other_start, start)
    span = _with_room(start, end, passage.span, rest, rules.room)
    return Passage(span, (replace(segment, start=start, end=end),))


class _Translator:
    """Translates passages of a region."""

    def __init__(self, sound: Sound, speech: Sequence[Region], ear: Ear, rules: TranslationRules) -> None:
        self._sound, self._speech, self._ear, self._rules = sound, speech, ear, rules

    def heard(self, passage: Passage, how: str = "") -> tuple[list[Segment], list[Segment]]:
        """The translation of a passage, and those of its segments of which it has nothing.

        Args:
            passage: what to translate.
            how: to be added to the reasons.
        """
        found = self._once(passage, how)
        if any(one.is_grave for one in found):
            # A loop, or what Whisper writes over silence: a decoder that may not repeat itself takes another way.
            again = self._once(passage, "heard again without repeating", repeat=False)
            found = again if again and _gravity(again) < _gravity(found) else found
        segments = [one.segment for one in found]
        return segments, [one for one in passage.said if _covered(one, segments) < self._rules.covered]

    def _once(self, passage: Passage, how: str, *, repeat: bool = True) -> list[_Doubted]:
        listening = Listening(passage.language, passage.audio, task="translate", scripts=_SCRIPTS, repeat=repeat)
        reason = ", ".join(filter(None, (f"translated from {english_name(passage.language)}", how)))
        english = [
            replace(segment, language=ENGLISH, reason=reason, words=_within(segment.words, passage.said))
            for segment in self._ear(passage.span, listening)
        ]
        placed = settled(english, passage.span, self._sound)
        return [doubted for segment in placed for doubted in self._doubted(segment)]

    def _doubted(self, segment: Segment) -> Iterator[_Doubted]:
        """A segment, if it has any words, with what speaks against it."""
        against = doubts(segment, self._sound, self._speech, self._rules.doubt)
        reasons = [doubt.reason for doubt in against]
        if NO_WORDS in reasons:
            return
        confidence = segment.average_log_probability
        if not reasons and confidence is not None and confidence < self._rules.unsure:
            reasons.append(f"an average log probability of {confidence:.2f}")
        is_grave = any(doubt.fatal for doubt in against) or repeats_itself(segment, self._rules.doubt)
        yield _Doubted(replace(segment, doubts=tuple(reasons)), is_grave)


@dataclass(frozen=True)
class _Doubted:
    """A segment with its doubts; they are grave if it repeats itself, or a transcript would not have it."""

    segment: Segment
    is_grave: bool


def _gravity(found: Iterable[_Doubted]) -> int:
    return sum(one.is_grave for one in found)


def _within(words: Iterable[Word], said: Sequence[Segment]) -> tuple[Word, ...]:
    """Words moved, each by as little as possible, to where the transcript has some; their order stays."""
    moved = []
    for word in words:
        middle = (word.start + word.end) / 2
        span = min(said, key=lambda segment: max(segment.start - middle, middle - segment.end, 0.0))
        start = min(max(word.start, span.start), span.end)
        moved.append(replace(word, start=start, end=max(start, min(word.end, span.end))))
    return tuple(moved)


def _covered(segment: Segment, others: Iterable[Segment]) -> float:
    """The share of a segment's time that others cover, which do not overlap each other; 1 where it has none."""
    shared = sum(max(0.0, min(segment.end, other.end) - max(segment.start, other.start)) for other in others)
    return shared / (segment.end - segment.start) if segment.end > segment.start else 1.0
