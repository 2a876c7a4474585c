"""Every voiced second is accounted for, by what is known of it; and nothing of half a second is explained away."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemscribe.records import to_json
from stemscribe.speech.ledger import Doubtful, Entry, Ledger, account, doubtful_words, totals
from stemscribe.speech.recognition import Dropped
from stemscribe.speech.regions import Voiced
from stemscribe.transcript import Segment, Word


def segment(*words: tuple[float, float], text: str = " word") -> Segment:
    said = tuple(Word(start, end, text, 0.9) for start, end in words)
    return Segment(words[0][0], words[-1][1], text * len(words), "en", said)


def dropped(start: float, end: float, text: str, reason: str = "no words") -> Dropped:
    return Dropped(Segment(start, end, text, "en"), reason)


def speech(start: float, end: float) -> Voiced:
    return Voiced(start, end, 0.95, -3.0)


def energy(start: float, end: float) -> Voiced:
    return Voiced(start, end, 0.12, -6.0)


def kinds(voiced: list[Voiced], segments: list[Segment], *unbelieved: Dropped) -> list[tuple[float, float, str]]:
    """Start, end, and kind, or what it is."""
    entries = account(voiced, segments, unbelieved)
    return [(round(entry.start, 2), round(entry.end, 2), entry.what or entry.kind) for entry in entries]


def test_a_voice_that_words_cover_is_transcribed() -> None:
    (entry,) = account([speech(1, 3)], [segment((1.2, 1.9), (2.0, 2.7))], [])
    assert entry == Entry(1, 3, "transcribed", "", "2 words", 0.95, -3.0)


def test_certain_speech_without_words_is_a_gap() -> None:
    (entry,) = account([speech(1, 3)], [], [])
    assert entry == Entry(1, 3, "gap", "", "probability of speech up to 0.95; nothing was heard", 0.95, -3.0)


def test_energy_of_which_neither_makes_speech_is_no_speech() -> None:
    (entry,) = account([energy(1, 3)], [], [])
    told = "probability of speech at most 0.12; nothing was heard"
    assert entry == Entry(1, 3, "not_speech", "no speech heard", told, 0.12, -6.0)


def test_what_was_heard_and_dropped_is_told() -> None:
    (entry,) = account([energy(1, 3)], [], [dropped(0.5, 2.5, " Thank you.", "it is said over silence")])
    told = "probability of speech at most 0.12; “Thank you.” was heard, and dropped: it is said over silence"
    assert (entry.kind, entry.evidence) == ("not_speech", told)
    (entry,) = account([speech(1, 3)], [], [dropped(0.5, 2.5, " Thank you.", "it is said over silence")])
    assert (entry.kind, entry.evidence[:31]) == ("gap", "probability of speech up to 0.9")
    assert "“Thank you.” was heard" in entry.evidence


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("♪ ♪", "sung"),
        ("(singing)", "sung"),
        ("[Laughter]", "laughter"),
        ("*he laughs*", "laughter"),
        ("(crowd screaming)", "shouted"),
        ("(music)", "gap"),
        ("laughter", "gap"),
        ("...", "gap"),
    ],
)
def test_only_what_was_written_down_as_such_is_sung_or_laughed(text: str, what: str) -> None:
    assert kinds([speech(1, 5)], [], dropped(1, 5, text)) == [(1, 5, what)]


def test_a_mark_explains_only_the_time_that_it_covers() -> None:
    assert kinds([speech(1, 9)], [], dropped(0, 5, "(laughs)")) == [(1, 5, "laughter"), (5, 9, "gap")]


def test_slivers_beside_words_are_theirs_and_half_a_second_is_not() -> None:
    assert kinds([speech(0, 4)], [segment((0.45, 3.55))]) == [(0, 4, "transcribed")]
    assert kinds([speech(0, 4)], [segment((0.5, 3.55))]) == [(0, 0.5, "gap"), (0.5, 4, "transcribed")]
    assert kinds([speech(0, 4)], [segment((0.45, 3.5))]) == [(0, 3.5, "transcribed"), (3.5, 4, "gap")]
    two = [segment((0, 2)), segment((2.5, 4))]
    assert kinds([speech(0, 4)], two) == [(0, 2, "transcribed"), (2, 2.5, "gap"), (2.5, 4, "transcribed")]


def test_a_short_pause_between_the_words_of_a_segment_is_theirs() -> None:
    assert kinds([speech(0, 4)], [segment((0, 2), (2.75, 4))]) == [(0, 4, "transcribed")]
    found = kinds([speech(0, 4)], [segment((0, 2), (2.9, 4))])
    assert found == [(0, 2, "transcribed"), (2, 2.9, "gap"), (2.9, 4, "transcribed")]


def test_a_line_does_not_vanish_where_the_detector_wavers() -> None:
    """Two slivers of certain speech, each shorter than a word, with a doubt of the detector's between them."""
    wavering = [speech(0, 2), energy(2, 2.1), speech(2.1, 2.3), energy(2.3, 2.6), speech(2.6, 2.8), energy(2.8, 5)]
    found = kinds(wavering, [segment((0, 1.95))])
    assert found == [(0, 1.95, "transcribed"), (1.95, 2.8, "gap"), (2.8, 5, "no speech heard")]


def test_what_is_too_short_to_be_a_word_is_no_gap() -> None:
    (entry,) = account([energy(0, 2), speech(2, 2.2), energy(2.2, 5)], [], [])
    told = "probability of speech at most 0.12, but for 0.20 s; nothing was heard"
    assert (entry.start, entry.end, entry.kind, entry.evidence, entry.speech) == (0, 5, "not_speech", told, 0.12)
    assert kinds([speech(2, 2.2)], []) == [(2, 2.2, "no speech heard")]
    assert kinds([speech(2, 2.3)], []) == [(2, 2.3, "gap")]


def test_the_tail_of_a_word_makes_no_gap_of_what_follows_it() -> None:
    """Of the last word's own late end, and of what the detector is not certain of: neither is a line."""
    fading = [speech(0, 4.5), energy(4.5, 4.98)]
    assert kinds(fading, [segment((0, 4.4))]) == [(0, 4.4, "transcribed"), (4.4, 4.98, "no speech heard")]
    assert kinds(fading, [segment((0, 4.2))]) == [(0, 4.2, "transcribed"), (4.2, 4.98, "gap")]


def test_a_short_voice_beside_a_word_is_its_own() -> None:
    assert kinds([speech(2, 2.3)], [segment((1.5, 1.9))]) == [(2, 2.3, "transcribed")]
    assert kinds([speech(2, 2.3)], [segment((1.2, 1.7))]) == [(2, 2.3, "gap")]
    assert kinds([speech(2, 2.6)], [segment((1.5, 1.9))]) == [(2, 2.6, "gap")]


def test_where_the_vocals_are_silent_the_detector_has_to_be_sure() -> None:
    (entry,) = account([Voiced(1, 3, 0.62, -57.6)], [], [])
    told = "probability of speech at most 0.62; the vocals are silent; nothing was heard"
    assert (entry.what, entry.evidence) == ("no speech heard", told)
    assert kinds([Voiced(1, 3, 0.62, -5.0)], []) == [(1, 3, "gap")]
    assert kinds([Voiced(1, 3, 0.97, -57.6)], []) == [(1, 3, "gap")]


def test_a_segment_without_words_covers_its_time() -> None:
    assert kinds([speech(1, 3)], [Segment(1, 3, "words", "en")]) == [(1, 3, "transcribed")]


def test_segments_may_be_out_of_order_and_words_may_run_backwards() -> None:
    later, earlier = segment((11, 13)), segment((1, 3))
    voiced = [speech(1, 3), speech(11, 13)]
    assert kinds(voiced, [later, earlier]) == [(1, 3, "transcribed"), (11, 13, "transcribed")]
    assert kinds([speech(1, 3)], [segment((2.2, 1.8), (1.2, 2.8))]) == [(1, 3, "transcribed")]


def test_words_without_a_voice_beneath_are_doubtful() -> None:
    said = [segment((1.0, 1.4), (3.15, 3.3), (3.3, 3.3), (9.0, 9.5), text=" Thanks.")]
    assert list(doubtful_words([speech(1, 3), energy(20, 21)], said)) == [
        Doubtful(3.3, 3.3, "Thanks."),
        Doubtful(9.0, 9.5, "Thanks."),
    ]
    assert list(doubtful_words([], [])) == []
    assert list(doubtful_words([], [segment((9.0, 8.5))])) == [Doubtful(9.0, 9.0, "word")]


def test_totals_are_those_of_the_entries() -> None:
    entries = [
        Entry(0, 6, "transcribed", "", "", 0.9, 0.0),
        Entry(6, 8, "gap", "", "", 0.9, 0.0),
        Entry(9, 11, "not_speech", "sung", "", 0.1, 0.0),
    ]
    found = totals(entries, [Doubtful(1, 2, "a"), Doubtful(1, 2, "b")])
    assert found == Ledger(0.8, 10, 6, 2, 2, 1, 2)
    assert found.coverage == (found.transcribed_seconds + found.not_speech_seconds) / found.voiced_seconds


def test_a_film_without_voices_is_covered() -> None:
    assert totals([], []) == Ledger()
    assert Ledger().coverage == 1.0
    assert to_json(Ledger()).startswith(b'{\n  "coverage": 1.0,\n')


def test_times_are_put_on_the_films_clock_in_milliseconds() -> None:
    entry = Entry(1.0004, 2.0, "gap", "", "", 0.9, 0.0).on_film_clock(60.25)
    assert (entry.start, entry.end) == (61.25, 62.25)
    word = Doubtful(1.0, 2.00049, "a").on_film_clock(-0.5)
    assert (word.start, word.end) == (0.5, 1.5)


hops = st.integers(1, 60)
films = st.lists(st.tuples(hops, hops, st.sampled_from([0.1, 0.6, 0.95]), st.sampled_from([-40.0, -3.0])), max_size=25)
spoken = st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 30)), max_size=40)


@given(films, spoken, spoken, st.booleans())
def test_every_voiced_second_is_accounted_for_once(
    rows: list[tuple[int, int, float, float]],
    words: list[tuple[int, int]],
    drops: list[tuple[int, int]],
    touching: bool,
) -> None:
    voiced, time = [], 0
    for pause, length, probability, level in rows:
        time += 0 if touching and pause < 30 else pause
        voiced.append(Voiced(time * 0.032, (time + length) * 0.032, probability, level))
        time += length
    segments = sorted((segment((at * 0.05, (at + long) * 0.05)) for at, long in words), key=lambda one: one.start)
    unbelieved = [dropped(at * 0.05, (at + long) * 0.05, "♪") for at, long in sorted(drops)]
    entries = list(account(voiced, segments, unbelieved))
    assert sum(entry.duration for entry in entries) == pytest.approx(sum(one.duration for one in voiced), abs=1e-6)
    for before, after in pairwise(entries):
        assert before.end <= after.start
    for entry in entries:
        assert entry.start < entry.end
        assert any(one.start <= entry.start < one.end for one in voiced)
        within = [one for one in segments if one.start < entry.end and one.end > entry.start]
        if entry.kind != "transcribed":
            assert within == [], "a word has vanished"
        if entry.kind == "gap":
            assert entry.speech >= 0.5


@given(st.integers(0, 80), st.integers(0, 80), st.integers(16, 60))
def test_no_line_of_half_a_second_vanishes(before: int, after: int, line: int) -> None:
    """Wherever it stands between what others say: a line that was spoken and is in no segment is in a gap."""
    start = before * 0.032
    end = start + line * 0.032
    voiced = [Voiced(0, end + after * 0.032, 0.97, -2.0)]
    others = [segment(span) for span in ((0, start), (end, end + after * 0.032)) if span[0] < span[1]]
    gaps = [entry for entry in account(voiced, others, []) if entry.kind == "gap"]
    assert [(entry.start, entry.end) for entry in gaps] == [(pytest.approx(start), pytest.approx(end))]


def test_memory_does_not_grow_with_the_film() -> None:
    def film(spans: int) -> Iterator[Voiced]:
        return (speech(5 * number, 5 * number + 3) for number in range(spans))

    def talk(spans: int) -> Iterator[Segment]:
        return (
            segment(*((5 * number + at / 10, 5 * number + (at + 1) / 10) for at in range(30)))
            for number in range(spans)
        )

    def peak(spans: int) -> int:
        tracemalloc.start()
        found = totals(account(film(spans), talk(spans), []), doubtful_words(film(spans), talk(spans)))
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert replace(found, coverage=1.0).gaps == 0
        assert found.transcribed_seconds == 3 * spans
        return taken

    peak(100)
    assert peak(2000) <= peak(200) + 100_000
