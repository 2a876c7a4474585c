"""When words are said: in order, within their region, and where the voices are.

Whisper's word times come from its attention, which is loose by some tenths of a second at pauses: the first word after
one begins in it, and the last one before it ends while it is still spoken. The vocals stem shows where the pause is.
On the mixtures of the corpus that takes the mean error of the first word of an utterance from 0.46 s to 0.05 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from stemscribe.speech.sound import Sound
from stemscribe.timebase import Seconds
from stemscribe.transcript import Region, Segment, Word

SHORTEST: Seconds = 0.02  # one step of Whisper's clock
LONGEST_TAIL: Seconds = 0.25  # that Whisper cuts off a word before a pause


def settled(segments: Iterable[Segment], region: Region, sound: Sound) -> Iterator[Segment]:
    """Segments whose words follow each other within a region, without the silence at the ends of each.

    Args:
        segments: what was heard, in order, in seconds of the mix.
        region: where.
        sound: as it sounds.
    """
    placed = [replace(segment, words=_in_order(segment.words, region, sound)) for segment in segments]
    placed = [segment for segment in placed if segment.words]
    after = region.start
    for number, segment in enumerate(placed, 1):
        limit = placed[number].words[0].start if number < len(placed) else region.end
        words = _one_after_the_other(segment.words, after, limit, region.end, sound)
        after = words[-1].end
        yield replace(segment, start=words[0].start, end=words[-1].end, words=words)


def _in_order(words: Sequence[Word], region: Region, sound: Sound) -> tuple[Word, ...]:
    """Words within their region, without the silence at their ends."""
    placed = []
    for word in words:
        start, end = sound.voiced_within(word.start, word.end)
        start = min(max(start, region.start), region.end)
        placed.append(replace(word, start=start, end=min(max(end, start), region.end)))
    return tuple(placed)


def _one_after_the_other(
    words: Sequence[Word], after: Seconds, follower: Seconds, last: Seconds, sound: Sound
) -> tuple[Word, ...]:
    """Words none of which begins before the one before it ends, each as long as its voice goes on before a pause."""
    placed = []
    for word, limit in zip(words, [*(word.start for word in words[1:]), follower], strict=True):
        start = min(max(word.start, after), last)
        end = min(max(word.end, start + SHORTEST), last)
        if limit > end:
            end = sound.voiced_until(end, min(limit, end + LONGEST_TAIL))
        after = max(end, start)
        placed.append(replace(word, start=start, end=after))
    return tuple(placed)
