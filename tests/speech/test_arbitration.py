from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sounds import said, sound
from stemscribe.speech.arbitration import ArbitrationRules, agreed, arbitrate, chosen, drowned, in_order, worth_another
from stemscribe.speech.doubts import DoubtRules
from stemscribe.transcript import Audio, Segment


def text(segments: tuple[Segment, ...]) -> str:
    return " | ".join(segment.text for segment in segments)


def test_the_hearing_that_the_others_agree_with_is_believed() -> None:
    hearings = {
        "vocals": [said("when is a lobster not a lobster")],
        "blend-10": [said("when is it most of a world")],
        "blend-20": [said("when is a lobster not the lobster")],
        "blend-35": [said("when is a lobster not a lobster")],
    }
    (stretch,) = arbitrate(hearings)
    assert stretch.best.audio == "vocals"
    assert stretch.best.risk == pytest.approx((4 / 7 + 1 / 7 + 0) / 3)
    assert [score.audio for score in stretch.scores][-1] == "blend-10"
    assert (stretch.start, stretch.end) == (-math.inf, math.inf)


def test_between_equals_the_surest_is_believed() -> None:
    hearings = {"vocals": [said("come in", sure=0.5)], "blend-20": [said("come in", sure=0.9)]}
    assert arbitrate(hearings)[0].best.audio == "blend-20"


def test_each_stretch_is_chosen_for_itself() -> None:
    right, wrong = "they went home", "day vent foam"
    late_right, late_wrong = "and slept well", "ants leapt bell"
    hearings = {
        "vocals": [said(right, 0.0), said(late_wrong, 5.0)],
        "blend-10": [said(wrong, 0.0), said(late_right, 5.0)],
        "blend-20": [said(right, 0.0), said(late_right, 5.0)],
        "blend-35": [said("they went roam", 0.0), said(late_right, 5.0)],
    }
    stretches = arbitrate(hearings)
    assert len(stretches) == 2
    assert 1.2 < stretches[0].end < 5.0
    assert text(chosen(hearings, stretches)) == f"{right} | {late_right}"


def test_a_segment_is_parted_where_the_choice_changes_and_nowhere_else() -> None:
    both = said("one two", 0.0).words + said("three four", 5.0).words
    whole = Segment(0.0, 5.8, "one two three four", "en", both, -0.3, 0.0, 1.0, "vocals")
    bad_start = [said("won too", 0.0), said("three four", 5.0)]
    hearings = {"vocals": [whole], "blend-10": [said("one two", 0.0, sure=0.2), said("three for", 5.0)]}
    assert chosen(hearings, arbitrate(hearings)) == (whole,)
    three = {"vocals": bad_start, "blend-10": [whole], "blend-20": [said("one two", 0.0), said("free fur", 5.0)]}
    found = chosen(three, arbitrate(three))
    assert "".join(word.text for segment in found for word in segment.words) == " one two three four"


def test_no_word_is_lost_or_doubled_by_the_choice() -> None:
    hearings = {"mix": [said("a b c d", 0.0), said("e f", 1.6)]}
    assert chosen(hearings, arbitrate(hearings)) == tuple(hearings["mix"])


def test_silence_wins_where_most_hear_nothing() -> None:
    hearings = {"vocals": [], "blend-10": [], "blend-20": [], "blend-35": [said("You", sure=0.3)]}
    assert chosen(hearings, arbitrate(hearings)) == ()


def test_one_faint_hearing_is_believed_if_it_is_sure() -> None:
    hearings = {"vocals": [], "blend-20": [said("over here", sure=0.95)]}
    assert text(chosen(hearings, arbitrate(hearings))) == "over here"


@pytest.mark.parametrize(
    ("music", "first", "why"),
    [
        (0.001, [said("come in please", 1.0)], ""),
        (0.001, [said("no " * 8, 0.6, pace=0.2)], "doubtful in the mix: it repeats itself"),
        (0.1, [said("come in please", 1.0)], "voices only -0 dB over everything else"),
        (0.001, [said("come in", 1.0, confidence=-0.8)], "heard in the mix with an average log probability of -0.80"),
        (0.001, [said("come in or go", 2.2)], "2 of 4 words heard in the mix where the vocals are silent"),
        (0.001, [said("come in", 1.0), said("you", 4.0)], "doubtful in the mix: the vocals are silent here"),
        (0.001, [], ""),
    ],
)
def test_when_to_listen_again(music: float, first: list[Segment], why: str) -> None:
    region = sound(5.0, [(0.5, 3.0)] if music < 0.1 else [(0.0, 5.0)], music=music)
    assert worth_another(region, "mix", first, (), doubt=DoubtRules()) == why


def test_where_no_spaces_part_words_letters_are_compared() -> None:
    def heard(text: str, sure: float) -> list[Segment]:
        segment = said(" ".join(text), sure=sure, pace=0.1, language="ja")
        return [replace(segment, words=tuple(replace(word, text=word.text.strip()) for word in segment.words))]

    stretches = arbitrate(
        {
            "vocals": heard("今日はとても良い天気です", 0.7),
            "blend-10": heard("今日はとても良い電気です", 0.7),
            "blend-20": heard("今日はとても良い天気でし", 0.7),
            "blend-35": heard("ご視聴ありがとうございま", 0.8),  # surer, and nobody agrees with it
        }
    )
    (stretch,) = stretches
    assert stretch.best.audio == "vocals"
    assert stretch.scores[-1].audio == "blend-35"
    assert 0.0 < stretch.best.risk < 0.5


def test_what_was_separated_is_heard_in_an_order_in_which_the_first_two_differ_most() -> None:
    assert ArbitrationRules().others == ("vocals", "blend-35", "blend-20", "blend-10")


TEN = "one two three four five six seven eight nine ten"


@pytest.mark.parametrize(
    ("one", "other", "has_agreed"),
    [
        ("come in", "come in", True),
        ("Come in!", "come, in", True),
        ("come in", "come inn", False),
        ("come in", "come in now", False),
        (TEN, TEN.replace("ten", "then"), True),
        (TEN, f"{TEN} eleven", True),
        (TEN, TEN.replace("nine ten", "mine then"), False),
        ("", "", True),
        ("♪", "", True),
        ("", "come in", False),
    ],
)
def test_two_agree_if_they_have_nearly_the_same_words(one: str, other: str, has_agreed: bool) -> None:
    hearings: dict[Audio, list[Segment]] = {
        "vocals": [said(one)] if one else [],
        "blend-35": [said(other)] if other else [],
    }
    assert agreed(hearings) == has_agreed


def test_how_much_they_may_differ_is_a_rule() -> None:
    two = {"vocals": [said("come in")], "blend-35": [said("come on")]}
    assert not agreed(two, ArbitrationRules(alike=0.49))  # type: ignore[arg-type]
    assert agreed(two, ArbitrationRules(alike=0.5))  # type: ignore[arg-type]


def test_words_count_and_not_how_they_are_parted() -> None:
    parted = [said("come in", 1.0), said("and sit down", 2.0)]
    assert agreed({"vocals": [said("come in and sit down", 1.0)], "blend-35": parted})


@pytest.mark.parametrize(("music", "why"), [(0.001, ""), (0.025, ""), (0.05, "voices only 6 dB over everything else")])
def test_voices_drown_where_they_do_not_stand_out(music: float, why: str) -> None:
    assert drowned(sound(5.0, [(0.0, 5.0)], music=music)) == why


def test_hearings_are_put_in_order_from_the_purest_on() -> None:
    heard: dict[Audio, list[Segment]] = {audio: [] for audio in ArbitrationRules().others}
    assert list(in_order(heard)) == ["vocals", "blend-10", "blend-20", "blend-35"]
