"""The transcript judges where something is said; the translation neither adds to it nor leaves anything out unsaid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sounds import said, sound
from stemscribe.speech.faster_whisper import Listening
from stemscribe.speech.recognition import Dropped
from stemscribe.speech.scripts import LATIN
from stemscribe.speech.translation import Said, Translated, TranslationRules, Untranslated, passages, translate
from stemscribe.transcript import Region, Segment, Word

REGION = Region(100.0, 120.0)
VOICES = sound(20.0, [(100.0, 120.0)], start=100.0)
SPEECH = (REGION,)


def german(text: str, start: float, **named: object) -> Segment:
    return said(text, start, language="de", **named)  # type: ignore[arg-type]


def english(text: str, start: float, **named: object) -> Segment:
    """As the recogniser gives it: with the language that it was told."""
    return german(text, start, **named)


class Ear:
    """Hears what it has for the moments that it is let listen to, and remembers what it was asked."""

    def __init__(
        self,
        *heard: Segment,
        without_repeating: tuple[Segment, ...] | None = None,
        alone: Callable[[Region], list[Segment]] | None = None,
    ) -> None:
        self._heard, self._without_repeating, self._alone = heard, without_repeating, alone
        self.asked: list[tuple[Region, Listening]] = []

    def __call__(self, span: Region, listening: Listening) -> list[Segment]:
        self.asked.append((span, listening))
        if self._alone is not None and len(self.asked) > 1:
            return self._alone(span)
        heard = self._heard
        if not listening.repeat and self._without_repeating is not None:
            heard = self._without_repeating
        inside = (one for one in heard if span.start <= (one.start + one.end) / 2 <= span.end)
        return [replace(one, heard=listening.audio) for one in inside]

    @property
    def spans(self) -> list[tuple[float, float]]:
        return [(round(span.start, 3), round(span.end, 3)) for span, _ in self.asked]


def translated(ear: Ear, *segments: Segment, dropped: tuple[Segment, ...] = ()) -> Translated:
    doubted = tuple(Dropped(segment, "the vocals are silent here") for segment in dropped)
    return translate(7, REGION, VOICES, SPEECH, Said(segments, doubted), ear)


def test_what_is_english_is_taken_over_word_for_word_and_not_heard() -> None:
    ear, kept = Ear(), replace(said("come in", 102.0), reason="the mix first", doubts=("it repeats itself",))
    assert translated(ear, kept) == Translated(7, (kept,))
    assert ear.asked == []


def test_the_rest_is_heard_once_more_where_it_was_understood_best() -> None:
    spoken = [german("kommen Sie doch herein", 102.0, heard="blend-20"), german("bitte", 104.0, heard="mix")]
    ear = Ear(english("do come in please", 102.4))
    (segment,) = translated(ear, *spoken).segments
    assert (segment.text, segment.language, segment.heard) == ("do come in please", "en", "blend-20")
    assert (segment.reason, segment.doubts) == ("translated from German", ())
    assert ear.spans == [(101.8, 104.6)]
    ((_, listening),) = ear.asked
    assert listening == Listening("de", "blend-20", task="translate", scripts=frozenset((LATIN,)))


def test_what_was_not_believed_is_not_listened_to() -> None:
    ear = Ear(english("good morning", 102.0), english("thank you", 103.0), english("sit down", 104.1))
    found = translated(
        ear, german("guten Morgen", 102.0), german("setzt euch", 104.0), dropped=(german("Vielen Dank", 103.1),)
    )
    assert ear.spans == [(101.8, 103.0), (103.9, 105.0)]
    assert [segment.text for segment in found.segments] == ["good morning", "sit down"]


def test_a_long_pause_parts_what_is_heard_at_once_and_a_short_one_does_not() -> None:
    lines = [german("eins zwei", 101.0), german("drei vier", 103.0), german("acht neun", 108.0)]
    ear = Ear(english("one two three four", 101.5), english("eight nine", 108.0))
    assert len(translated(ear, *lines).segments) == 2
    assert ear.spans == [(100.8, 104.0), (107.8, 109.0)]


def test_each_language_is_heard_as_what_it_is() -> None:
    lines = [
        german("guten Tag", 101.0),
        said("good day", 102.0),
        said("bonjour madame", 103.0, language="fr"),
        german("guten Abend", 104.0),
    ]
    ear = Ear(english("good day to you", 101.0, pace=0.2), english("hello madam", 103.0), english("good night", 104.0))
    found = translated(ear, *lines)
    assert [listening.language for _, listening in ear.asked] == ["de", "fr", "de"]
    assert ear.spans == [(100.8, 102.0), (102.8, 104.0), (103.8, 105.0)]
    assert [segment.text for segment in found.segments] == ["good day to you", "good day", "hello madam", "good night"]
    assert found.untranslated == ()


def test_a_loop_is_heard_again_by_a_decoder_that_cannot_repeat_itself() -> None:
    ear = Ear(english("no " * 8, 102.0), without_repeating=(english("no and again no", 102.0),))
    (segment,) = translated(ear, german("nein und wieder nein", 102.0)).segments
    assert [listening.repeat for _, listening in ear.asked] == [True, False]
    assert segment.text == "no and again no"
    assert segment.reason == "translated from German, heard again without repeating"


def test_a_loop_that_stays_is_kept_and_flagged() -> None:
    ear = Ear(english("no " * 8, 102.0))
    found = translated(ear, german("nein nein nein nein nein nein nein nein", 102.0))
    (segment,) = found.segments
    assert segment.doubts == ("it repeats itself",)
    assert (segment.reason, found.untranslated) == ("translated from German", ())
    assert len(ear.asked) == 2


def test_what_whisper_writes_over_music_is_heard_again_and_then_flagged() -> None:
    ear = Ear(english("Subtitles by the Amara.org community", 102.0))
    (segment,) = translated(ear, german("sie kommen heute nicht mehr", 102.0)).segments
    assert segment.doubts == ("a line about subtitles, as Whisper writes over music",)
    assert [listening.repeat for _, listening in ear.asked] == [True, False]


def test_hearing_nothing_at_all_is_no_better_than_a_loop() -> None:
    ear = Ear(english("no " * 8, 102.0), without_repeating=())
    (segment,) = translated(ear, german("nein nein nein nein nein nein nein nein", 102.0)).segments
    assert segment.doubts == ("it repeats itself",)


def test_a_translation_that_the_model_is_unsure_of_is_flagged() -> None:
    ear = Ear(english("the Tampa River", 102.0, confidence=-1.24))
    (segment,) = translated(ear, german("der Tempelritter", 102.0)).segments
    assert segment.doubts == ("an average log probability of -1.24",)


def test_that_the_model_is_unsure_is_said_once() -> None:
    ear = Ear(english("no " * 8, 102.0, confidence=-1.24))
    (segment,) = translated(ear, german("nein nein nein nein nein nein nein nein", 102.0)).segments
    assert segment.doubts == ("it repeats itself",)


def test_what_was_passed_over_is_heard_by_itself() -> None:
    lines = [german("ich gehe jetzt", 101.0), german("ja", 103.0), german("bis morgen", 104.0)]
    ear = Ear(english("I go now", 101.0), english("until tomorrow", 104.0), alone=lambda span: [english("yes", 103.0)])
    found = translated(ear, *lines)
    assert ear.spans == [(100.8, 105.0), (102.8, 103.6)]
    assert [segment.text for segment in found.segments] == ["I go now", "yes", "until tomorrow"]
    assert found.segments[1].reason == "translated from German, heard by itself"
    assert found.untranslated == ()


def test_what_was_alone_already_is_not_heard_by_itself_again() -> None:
    ear = Ear()
    found = translated(ear, german("ja", 101.0), german("bis morgen", 110.0))
    assert ear.spans == [(100.8, 101.6), (109.8, 111.0)]
    assert [lost.text for lost in found.untranslated] == ["ja", "bis morgen"]


def test_what_has_no_translation_is_recorded() -> None:
    lines = [german("ich gehe jetzt", 101.0), german("ja", 103.0)]
    found = translated(Ear(english("I go now", 101.0), alone=lambda span: []), *lines)
    assert [segment.text for segment in found.segments] == ["I go now"]
    assert found.untranslated == (Untranslated(103.0, 103.4, "ja", "de"),)


def test_what_is_recorded_has_the_times_of_the_transcript_however_it_was_heard() -> None:
    lines = [german("ich gehe", 101.0), german("jetzt aber wirklich gleich", 101.9)]
    ear = Ear(english("I am going now", 101.0, pace=0.25), alone=lambda span: [])
    found = translated(ear, *lines)
    assert ear.spans[1][0] > 101.9
    assert found.untranslated == (Untranslated(101.9, 103.5, "jetzt aber wirklich gleich", "de"),)


def test_signs_are_no_translation() -> None:
    found = translated(Ear(english("♪ ♪", 101.0)), german("ich gehe jetzt", 101.0))
    assert found.segments == ()
    assert [lost.text for lost in found.untranslated] == ["ich gehe jetzt"]


def test_words_are_moved_to_where_something_is_said() -> None:
    """One begins before anybody speaks, one is in a pause, one after the end."""
    lines = [german("eins zwei", 102.0), german("drei vier", 104.0)]
    times = [(101.9, 102.1), (102.9, 103.3), (104.9, 105.0)]
    words = tuple(Word(start, end, " word", 0.9) for start, end in times)
    heard = replace(english("word word word", 101.9), start=101.9, end=105.0, words=words)
    (segment,) = translated(Ear(heard), *lines).segments
    first, second, third = segment.words
    assert first.start == segment.start == 102.0
    assert 102.8 <= second.start < second.end < 104.0
    assert third.start == 104.8


moments = st.floats(0, 20)


@given(st.lists(moments, max_size=12), st.lists(st.tuples(moments, moments), max_size=30))
def test_whatever_the_times_words_are_in_order_and_within_what_was_heard(
    starts: list[float], times: list[tuple[float, float]]
) -> None:
    lines, end = [], 100.0
    for start in sorted(starts):
        if 100.0 + start >= end and 100.8 + start <= 120.0:
            lines.append(german("ein Wort", 100.0 + start))
            end = lines[-1].end
    words = tuple(
        Word(100.0 + start, 100.0 + max(start, stop), f" w{index}", 0.9)
        for index, (start, stop) in enumerate(sorted(times))
    )
    heard = [Segment(word.start, word.end, word.text.strip(), "de", (word,), heard="vocals") for word in words]
    ear = Ear(*heard)
    found = translated(ear, *lines)
    told = [word for segment in found.segments for word in segment.words]
    spans = [span for span, _ in ear.asked]
    assert all(before.start <= after.start for before, after in pairwise(told))
    assert all(any(span.start <= word.start <= word.end <= span.end for span in spans) for word in told)
    for line in lines:
        covered = any(segment.start < line.end and segment.end > line.start for segment in found.segments)
        assert covered or line.text in {lost.text for lost in found.untranslated}


@given(st.lists(st.tuples(moments, st.sampled_from(["de", "fr", "en", "not believed"])), max_size=15))
def test_passages_hold_all_that_is_foreign_and_touch_nothing_else(rows: list[tuple[float, str]]) -> None:
    segments, dropped, end = [], [], 100.0
    for start, language in sorted(rows):
        if 100.0 + start >= end and 100.8 + start <= 120.0:
            one = said("two words", 100.0 + start, language=language)
            end = one.end
            segments += [one] if language != "not believed" else []
            dropped += [Dropped(one, "")] if language == "not believed" else []
    found = list(passages(REGION, Said(tuple(segments), tuple(dropped)), TranslationRules()))
    foreign = [one for one in segments if one.language != "en"]
    assert [one for passage in found for one in passage.said] == foreign
    assert all(len({one.language for one in passage.said}) == 1 for passage in found)
    for passage in found:
        span = passage.span
        assert REGION.start <= span.start <= passage.said[0].start
        assert passage.said[-1].end <= span.end <= REGION.end
        others = [one for one in segments if one not in passage.said] + [each.segment for each in dropped]
        assert all(other.end <= span.start or other.start >= span.end for other in others)
