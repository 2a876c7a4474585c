from __future__ import annotations

import pytest

from sounds import said, sound
from stemscribe.speech.doubts import credit_in, doubts, is_outro, plain_words, repeats_itself
from stemscribe.transcript import Region, Segment

SPEECH = (Region(10.0, 12.0), Region(14.0, 15.0))
VOICES = sound(30.0, [(10.0, 12.0), (14.0, 15.0), (20.0, 22.0)])


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        (said("I am here.", 10.0, confidence=-0.3), ""),
        (said("I am here.", 10.0, confidence=-1.5), ""),  # speech was detected: low confidence alone is no reason
        (said("La la la", 20.0, confidence=-0.3), ""),  # sung, and well understood
        (said("Somebody else", 20.0, confidence=-1.21),
         "no speech detected here, and an average log probability of -1.21"),
        (said("Go away.", 25.0, confidence=-0.3), "the vocals are silent here"),
        (said("♪ … .", 10.0, confidence=-0.1), "no words"),
        (said("", 10.0), "no words"),
        (said("हाँ।", 10.0, confidence=-0.9, language="hi"), ""),
        (said("Thank you.", 10.0, confidence=-0.2), ""),  # people do say it
        (said("Thank you.", 10.0, confidence=-0.8), "what Whisper writes over silence"),
        (said("Thank you. Thank you.", 20.0, confidence=-0.3), "what Whisper writes over silence"),
        (said("Sous-titres réalisés par la communauté d'Amara.org", 10.0, language="fr"),
         "a line about subtitles, as Whisper writes over music"),
        (said("Untertitel im Auftrag des ZDF, 2017", 10.0, language="de"),
         "a line about subtitles, as Whisper writes over music"),
        (said("no " * 8, 20.0), "it repeats itself"),
        (said("one two three four five six", 10.0, pace=0.05, confidence=-0.9),
         "faster than anybody speaks, and an average log probability of -0.90"),
    ],
)  # fmt: skip
def test_what_is_not_believed(segment: Segment, reason: str) -> None:
    found = doubts(segment, VOICES, SPEECH)
    assert [doubt.reason for doubt in found if doubt.fatal][:1] == ([reason] if reason else [])


def test_a_click_that_the_detector_took_for_speech_is_no_speaker() -> None:
    click = (Region(20.5, 20.55),)
    (doubt,) = doubts(said("Somebody else", 20.0, confidence=-0.9), VOICES, click)
    assert doubt.fatal


def test_what_is_only_doubtful_stays() -> None:
    (doubt,) = doubts(said("no " * 8, 10.0, pace=0.2), VOICES, (Region(10.0, 12.0),))
    assert (doubt.reason, doubt.fatal) == ("it repeats itself", False)  # somebody may well say no eight times


@pytest.mark.parametrize(
    ("text", "ratio", "loops"),
    [
        ("no no no no no no", 1.0, True),
        ("no no no no no", 1.0, False),
        ("I don't know, " * 6, 1.0, True),
        ("go on then " * 2 + "and stop", 1.0, False),
        ("You are the one that I want and you are the one that I need", 2.5, True),
        ("はい" * 6, 1.0, True),  # no spaces between words
        ("今日はとても良い天気ですね", 1.3, False),
        ("ありがとうございました" * 8, 9.0, True),
        ("Row row row your boat", 3.0, False),  # too short for its compression to say anything
    ],
)
def test_loops(text: str, ratio: float, loops: bool) -> None:
    assert repeats_itself(said(text, ratio=ratio)) is loops


def test_plain_hindi_is_no_loop_though_its_letters_compress_well() -> None:
    plain = (
        "मैं कल सुबह बाज़ार गया था, वहाँ मुझे मेरा पुराना दोस्त मिला।"
        " हमने साथ में चाय पी और बहुत देर तक बातें कीं।"
        " फिर वह अपने घर चला गया और मैं दफ़्तर आ गया।"
    )
    assert not repeats_itself(said(plain, language="hi", ratio=2.6))
    assert repeats_itself(said("मैं कल सुबह बाज़ार गया था। " * 4, language="hi", ratio=4.6))


def test_phrases_are_known_by_language() -> None:
    assert is_outro(plain_words("Продолжение следует..."), "ru")
    assert not is_outro(plain_words("Продолжение следует..."), "en")
    assert not is_outro(plain_words("Thank you, Watson."), "en")
    assert credit_in(plain_words("Subtitles by the Amara.org community"), "hi")
    assert not credit_in(plain_words("She said so."), "en")


@pytest.mark.parametrize(
    ("text", "language", "is_credit"),
    [
        ("Tamara organised it, and Amara organised the rest.", "en", False),
        ("Amara.org", "en", True),
        ("字幕由Amara.org社区提供", "zh", True),
        ("这些食物由社区提供。", "zh", False),  # the community provides this food
    ],
)
def test_letters_within_other_words_are_no_credit(text: str, language: str, is_credit: bool) -> None:
    assert credit_in(plain_words(text), language) is is_credit
