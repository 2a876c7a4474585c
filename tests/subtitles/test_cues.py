"""What every cue keeps to, whatever a recogniser writes; and what good cues look like."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from stemscribe.subtitles import cues
from stemscribe.subtitles.cues import Cue, cues_of, drafts
from stemscribe.subtitles.display import cells
from stemscribe.subtitles.rules import CueRules, milliseconds
from stemscribe.subtitles.tokens import Joint, Token
from stemscribe.transcript import Segment, Transcript, Word

RULES = CueRules()

letters = st.sampled_from("aZé.,?!-:0।॥،؟कखमािी्ंसعد日本語。、「」ーあ한국😀\u200d\ufe0f\n\t \x00\u0301<>&{}\\")
texts = st.one_of(
    st.text(letters, max_size=12),
    st.sampled_from([" the", " and", " Yes.", " Mr.", " कि", "", " ", "x" * 43, "क्ष" * 30, "東京" * 30, " a b  c"]),
)
times = st.one_of(st.sampled_from([0.0, 1.0, 1.0004, 2.5]), st.floats(-5, 60), st.floats(0, 8000))


@st.composite
def spoken(draw: st.DrawFn) -> Segment:
    """A segment whose word times may be empty, equal, backwards or outside it."""
    start, step = draw(times), draw(st.sampled_from([0.0, 0.001, 0.2, 0.5, 3.0]))
    words = []
    for index, text in enumerate(draw(st.lists(texts, max_size=40))):
        jitter = draw(st.sampled_from([0.0, 0.0, 0.0, 0.1, -0.3, 9.0]))
        begin = start + index * step + jitter
        words.append(Word(begin, begin + draw(st.sampled_from([0.0, step, -0.5, 10.0])), text, 0.5))
    text = "".join(word.text for word in words)
    kept = draw(st.booleans())
    return Segment(
        start, start + step * len(words), text, draw(st.sampled_from(["en", "hi", "ja"])), tuple(words) * kept
    )


transcripts = st.lists(spoken(), max_size=6).map(lambda segments: Transcript("en", tuple(segments)))


def visible(text: str) -> str:
    """What must survive: everything but white space and control characters."""
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) != "Cc")


def spans(segment: Segment) -> list[tuple[float, float, str]]:
    """Where the cues' times come from: the words if there are any, else the segment."""
    words = [(word.start, word.end, word.text) for word in segment.words]
    if any(visible(text) for *_, text in words):
        return words
    return [(segment.start, segment.end, segment.text)] if visible(segment.text) else []


def first_time(segment: Segment) -> int:
    return next(milliseconds(start) for start, _, text in spans(segment) if visible(text))


def heard(transcript: Transcript) -> list[Segment]:
    return sorted((segment for segment in transcript.segments if spans(segment)), key=first_time)


def ms(seconds: float) -> int:
    return round(seconds * 1000)


@settings(deadline=None)
@given(transcripts)
def test_no_two_cues_are_shown_at_once_and_each_lasts(transcript: Transcript) -> None:
    cues = cues_of(transcript)
    assert all(ms(before.end) <= ms(after.start) for before, after in pairwise(cues))
    assert all(0 <= cue.start < cue.end for cue in cues)
    assert all(ms(cue.end) - ms(cue.start) <= ms(RULES.longest) for cue in cues)


@settings(deadline=None)
@given(transcripts)
def test_each_cue_lasts_long_enough_wherever_there_is_time_for_all(transcript: Transcript) -> None:
    cues = cues_of(transcript)
    if not cues:
        return
    start, end = extent(transcript)
    share = (end - start - 2) // len(cues)  # `extent` is a millisecond wider at both ends
    shortest = min(ms(RULES.shortest), max(1, share))
    assert min(ms(cue.end) - ms(cue.start) for cue in cues) >= shortest


@settings(deadline=None)
@given(transcripts)
def test_cues_stay_within_the_time_of_the_speech(transcript: Transcript) -> None:
    cues = cues_of(transcript)
    if not cues:
        return
    start, end = extent(transcript)
    assert ms(cues[0].start) >= start
    last = cues[-1]
    readable = ms(last.start) + min(ms(RULES.longest), 50 * to_read(last))
    assert ms(last.end) <= max(end, readable, start + len(cues))  # 1 ms each, where there is no time at all


def to_read(cue: Cue) -> int:
    """How many characters a cue takes, and its line break; at 20 a second each asks for 50 ms."""
    return sum(map(cells, cue.lines)) + len(cue.lines) - 1


def extent(transcript: Transcript) -> tuple[int, int]:
    """From the first word to `shortest` after the last, in milliseconds, one more at both ends for rounding."""
    segments = [spans(segment) for segment in heard(transcript)]
    ends = [max(start, end) for segment in segments for start, end, text in segment if visible(text)]
    return max(0, first_time(heard(transcript)[0]) - 1), max(0, ms(max(ends))) + ms(RULES.shortest) + 1


@settings(deadline=None)
@given(transcripts)
def test_every_line_fits(transcript: Transcript) -> None:
    for cue in cues_of(transcript):
        assert 1 <= len(cue.lines) <= RULES.lines
        assert all(line == line.strip() and line for line in cue.lines)
        assert all(cell_len(line) <= RULES.line_length for line in cue.lines)  # measured by another hand


@settings(deadline=None)
@given(transcripts)
def test_nothing_that_was_said_is_lost_or_moved(transcript: Transcript) -> None:
    shown = "".join(line for cue in cues_of(transcript) for line in cue.lines)
    said = "".join(text for segment in heard(transcript) for *_, text in spans(segment))
    assert visible(shown) == visible(said)


@settings(deadline=None)
@given(st.text("कखगमसािीुेोंँ़् \u200d", max_size=300).map(lambda text: "क" + text))
def test_a_line_never_begins_with_a_mark(text: str) -> None:
    first = {line[0] for cue in cues_of(whole(text, 10.0, "hi")) for line in cue.lines}
    written_so = {word[0] for word in text.split()}  # a mark after a space has no base in the text either
    assert not {c for c in first - written_so if unicodedata.category(c) in ("Mn", "Mc", "Me", "Cf")}


@given(st.integers(2, 60), st.integers(1, 3), transcripts)
@settings(deadline=None)
def test_other_rules_are_kept_as_well(line_length: int, lines: int, transcript: Transcript) -> None:
    rules = CueRules(line_length=line_length, lines=lines, shortest=1.0, longest=3.0)
    for cue in cues_of(transcript, rules):
        assert len(cue.lines) <= lines
        assert max(map(cell_len, cue.lines)) <= line_length
        assert ms(cue.end) - ms(cue.start) <= 3000


def whole(text: str, duration: float, language: str = "en") -> Transcript:
    return Transcript(language, (Segment(0.0, duration, text, language),))


def timed(text: str, *, start: float = 0.0, each: float = 0.3, pauses: dict[int, float] | None = None) -> Segment:
    """A segment whose words take `each` seconds, with a silence before those numbered in `pauses`."""
    words, now = [], start
    for index, word in enumerate(text.split()):
        now += (pauses or {}).get(index, 0.0)
        words.append(Word(now, now + each, f" {word}", 0.9))
        now += each
    return Segment(start, now, text, "en", tuple(words))


def test_english_is_cut_at_sentences_and_before_the_words_that_open_a_clause() -> None:
    kennedy = timed(
        "And so, my fellow Americans: ask not what your country can do for you, ask what you can do for your country. "
        "My fellow citizens of the world: ask not what America will do for you.",
        start=4.0,
        pauses={2: 0.8, 5: 1.0, 14: 0.6, 22: 1.2},
    )
    assert cues_of(Transcript("en", (kennedy,))) == (
        Cue(4.0, 4.7, ("And so,",)),
        Cue(5.4, 6.4, ("my fellow Americans:",)),
        Cue(7.3, 10.0, ("ask not what your country can do for you,",)),
        Cue(10.6, 13.0, ("ask what you can do for your country.",)),
        Cue(14.2, 18.4, ("My fellow citizens of the world:", "ask not what America will do for you.")),
    )


def test_hindi_without_word_times_is_cut_at_the_danda_and_in_proportion_to_its_length() -> None:
    text = (
        "आज दिल्ली में प्रधानमंत्री ने कहा कि देश की अर्थव्यवस्था तेज़ी से बढ़ रही है। "
        "मौसम विभाग ने उत्तर भारत में भारी वर्षा की चेतावनी दी है।"
    )
    assert cues_of(whole(text, 10.0, "hi")) == (
        Cue(0.0, 5.456, ("आज दिल्ली में प्रधानमंत्री ने कहा", "कि देश की अर्थव्यवस्था तेज़ी से बढ़ रही है।")),
        Cue(5.536, 10.0, ("मौसम विभाग ने उत्तर भारत में", "भारी वर्षा की चेतावनी दी है।")),
    )


def test_japanese_is_broken_without_spaces_but_never_before_closing_punctuation() -> None:
    text = "「今日は天気がいいですね」と彼女は言いました。私たちは公園へ散歩に行って、美しい桜の花を見ました。"
    assert [cue.lines for cue in cues_of(whole(text, 9.0, "ja"))] == [
        ("「今日は天気がいいですね」と", "彼女は言いました。"),
        ("私たちは公園へ散歩に行って、", "美しい桜の花を見ました。"),
    ]


def test_arabic_stays_in_logical_order() -> None:
    text = "قال الرئيس إن الحكومة تعمل على تحسين الاقتصاد، وأضاف أن النتائج ستظهر قريبا. هل تعتقدون ذلك؟"
    cues = cues_of(whole(text, 9.0, "ar"))
    assert " ".join(line for cue in cues for line in cue.lines) == text
    assert [cue.lines[-1][-1] for cue in cues] == ["،", ".", "؟"]


def test_a_word_wider_than_a_line_is_broken_hard() -> None:
    assert cues_of(whole("x" * 50, 3.0)) == (Cue(0.0, 3.0, ("x" * 42, "x" * 8)),)


@pytest.mark.parametrize("text", ["", "  ", "\n\x00"])
def test_a_segment_without_text_gives_no_cue(text: str) -> None:
    assert cues_of(whole(text, 3.0)) == ()


def test_a_short_answer_is_shown_with_the_sentence_after_it() -> None:
    answer, rest = timed("No.", start=1.0), timed("I have never been there.", start=1.3)
    assert [cue.lines for cue in cues_of(Transcript("en", (answer, rest)))] == [("No. I have never been there.",)]


def test_a_long_silence_always_ends_a_cue() -> None:
    rules = CueRules(pause=0.6)
    for silence, expected in ((0.5, [("one two",)]), (0.6, [("one",), ("two",)])):
        transcript = Transcript("en", (timed("one two", each=1.0, pauses={1: silence}),))
        assert [cue.lines for cue in cues_of(transcript, rules)] == expected


def test_segments_that_talk_over_each_other_are_not_shown_in_one_cue() -> None:
    first, second = timed("one two", pauses={1: 1.5}), timed("three", start=0.5)
    assert [cue.lines for cue in cues_of(Transcript("en", (first, second)))] == [("one",), ("two",), ("three",)]


def test_a_cue_stays_long_enough_to_be_read_where_the_silence_allows() -> None:
    quick = timed("something said far too quickly for anyone", each=0.05)
    later = timed("Later.", start=10.0)
    first, _ = cues_of(Transcript("en", (quick, later)))
    assert first == Cue(0.0, 2.05, ("something said far too quickly for anyone",))  # 41 characters at 20 a second


def test_abbreviations_and_initials_do_not_end_a_sentence() -> None:
    words = "We met Dr. J. Smith in his office at the very old hospital last week. He had left."
    assert [cue.lines for cue in cues_of(Transcript("en", (timed(words),)))] == [
        ("We met Dr. J. Smith in his office", "at the very old hospital last week."),
        ("He had left.",),
    ]


def test_the_lower_line_is_the_longer_one() -> None:
    (cue,) = cues_of(whole("aaaa bbbb cccc dddd eeee ffff gggg hhhh iiii jjjj kkkk", 5.0))
    upper, lower = cue.lines
    assert len(upper) == 24
    assert len(lower) == 29


def test_segments_out_of_order_are_put_in_order() -> None:
    late, early = Segment(9.0, 10.0, "late", "en"), Segment(1.0, 2.0, "early", "en")
    assert [cue.lines for cue in cues_of(Transcript("en", (late, early)))] == [("early",), ("late",)]


def endless(words: int) -> Iterator[Token]:
    """Talk without any pause, in which sentences end where they like."""
    random = Random(0)
    for index in range(words):
        text = f"word{index % 70}" + "." * (random.random() < 0.1)
        yield Token(text, 300 * index, 300 * index + random.randint(100, 300), Joint.SPACE, "en")


def test_cues_are_there_while_talk_goes_on() -> None:
    """What a film needs of memory is what is read before the first cue comes out."""
    read = 0

    def counted() -> Iterator[Token]:
        nonlocal read
        for token in endless(1_000_000):
            read += 1
            yield token

    found = drafts(counted())
    for _ in range(100):
        before = read
        next(found)
        assert read - before <= 1000
    assert read <= 2000


@pytest.mark.parametrize("enough", [2, 3, 10, 50])
def test_talk_that_is_cut_in_parts_is_cut_as_a_whole_would_be(enough: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cues, "_ENOUGH", 10**9)
    whole = list(drafts(endless(700)))
    monkeypatch.setattr(cues, "_ENOUGH", enough)
    assert list(drafts(endless(700))) == whole


def test_talk_without_any_rhythm_is_cut_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every word alike: each way to cut that begins a word later goes on for ever."""
    monkeypatch.setattr(cues, "_ENOUGH", 30)
    monkeypatch.setattr(cues, "_MOST", 200)
    read = 0

    def alike() -> Iterator[Token]:
        nonlocal read
        for read in range(1000):
            yield Token("word", 300 * read, 300 * read + 300, Joint.SPACE, "en")

    coming = drafts(alike())
    found = [next(coming)]
    assert read < 250
    found += coming
    assert " ".join(line for draft in found for line in draft.lines).split() == ["word"] * 1000


@given(st.integers(0, 10), st.integers(0, 10), st.sampled_from([",", ";", "–", ":"]))
def test_lines_are_broken_where_a_phrase_ends(before: int, after: int, mark: str) -> None:
    """Not in the middle, as long as the phrases are not too different in length."""
    first, second = "aaa aaaa " + "a" * before + "aaa" + mark, "b" * after + "bbbb bbb bbbb bbbb bbbb bbbb bb"
    (cue,) = cues_of(whole(f"{first} {second}", 5.0))
    assert cue.lines == (first, second)


@given(transcripts)
@settings(deadline=None)
def test_every_cue_can_be_read_where_there_is_time(transcript: Transcript) -> None:
    cues = cues_of(transcript)
    for cue, following in pairwise(cues):
        is_pressed = ms(following.start) - ms(cue.end) <= 80
        is_long = ms(cue.end) - ms(cue.start) >= 7000
        assert ms(cue.end) - ms(cue.start) >= 50 * to_read(cue) - 50 or is_pressed or is_long
