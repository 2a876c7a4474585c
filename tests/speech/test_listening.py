from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from sounds import said, sound
from stemscribe.speech.faster_whisper import Listening
from stemscribe.speech.listening import Wanted, listen
from stemscribe.speech.recognition import Heard
from stemscribe.speech.scripts import scripts_for
from stemscribe.speech.sound import Sound
from stemscribe.transcript import Audio, Region, Segment

REGION = Region(0.0, 10.0)
CLEAR = sound(10.0, [(1.0, 9.0)], music=0.001)
LOUD = sound(10.0, [(1.0, 9.0)], music=0.2)
SPEECH = (Region(2.0, 3.2),)
ENGLISH = Wanted("en", "auto")


class Ear:
    """Hears what it is told to, and remembers how it was asked to listen."""

    def __init__(self, heard: Mapping[Audio, Sequence[Segment]], **otherwise: Sequence[Segment]) -> None:
        self._heard, self._otherwise = heard, otherwise
        self.asked: list[Listening] = []

    def __call__(self, listenings: Sequence[Listening]) -> list[list[Segment]]:
        return [self._hear(listening) for listening in listenings]

    def _hear(self, listening: Listening) -> list[Segment]:
        self.asked.append(listening)
        found = self._heard.get(listening.audio, ())
        if listening.scripts:
            found = self._otherwise.get("in_script", found)
        if not listening.repeat:
            found = self._otherwise.get("without_repeating", found)
        return [replace(segment, heard=listening.audio) for segment in found]

    @property
    def audios(self) -> list[Audio]:
        return [listening.audio for listening in self.asked]


def hear(ear: Ear, region: Sound = CLEAR, wanted: Wanted = ENGLISH) -> Heard:
    return listen(3, REGION, region, SPEECH, wanted, ear)


def texts(heard: Heard) -> list[str]:
    return [segment.text for segment in heard.segments]


@pytest.mark.parametrize(
    ("confidence", "marks"),
    [(-0.3, ()), (-0.99, ()), (-1.3, ("an average log probability of -1.30",))],
)
def test_what_is_hardly_to_be_believed_is_marked(confidence: float, marks: tuple[str, ...]) -> None:
    ear = Ear({"mix": [said("come in", 2.0, confidence=confidence)]})
    (segment,) = hear(ear, wanted=Wanted("en", "mix")).segments
    assert segment.doubts == marks


def test_what_is_clear_is_heard_once_in_the_mix() -> None:
    ear = Ear({"mix": [said("come in", 2.0)]})
    heard = listen(3, REGION, CLEAR, (Region(1.8, 3.0),), ENGLISH, ear)
    assert ear.audios == ["mix"]
    assert texts(heard) == ["come in"]
    (segment,) = heard.segments
    assert (segment.heard, segment.doubts) == ("mix", ())
    assert segment.reason == "clear in the mix: voices 39 dB over everything else"
    (hearing,) = heard.hearings
    assert (hearing.region, hearing.audio, hearing.words, hearing.chosen, hearing.score) == (3, "mix", 2, 2, None)


def test_under_music_all_hearings_are_compared_and_kept() -> None:
    right = said("come in please", 2.0)
    ear = Ear({"mix": [said("combing fleas", 2.0)], "vocals": [said("come in peas", 2.0)], "blend-20": [right],
               "blend-10": [said("come and please", 2.0)], "blend-35": [right]})  # fmt: skip
    heard = hear(ear, LOUD)
    assert ear.audios == ["vocals", "blend-35", "blend-20", "blend-10"]
    assert texts(heard) == ["come in please"]
    assert heard.segments[0].heard == "blend-20"
    assert heard.segments[0].reason.startswith("voices only -7 dB over everything else; other hearings differ")
    assert [hearing.audio for hearing in heard.hearings] == ear.audios
    scores = {hearing.audio: hearing.score for hearing in heard.hearings}
    assert None not in scores.values()
    assert max(scores, key=lambda audio: scores[audio] or -9) in ("blend-20", "blend-35")
    assert [hearing.chosen for hearing in heard.hearings] == [0, 0, 3, 0]


def test_two_hearings_with_the_same_words_are_enough() -> None:
    ear = Ear({"vocals": [said("Come in, please.", 2.0)], "blend-35": [said("come in please", 2.1)]})
    heard = hear(ear, LOUD)
    assert ear.audios == ["vocals", "blend-35"]
    assert [text.strip(".").lower() for text in texts(heard)] in (["come in, please"], ["come in please"])
    assert [hearing.audio for hearing in heard.hearings] == ["vocals", "blend-35"]
    assert sorted(hearing.chosen for hearing in heard.hearings) == [0, 3]


def test_two_hearings_with_nearly_the_same_words_are_enough() -> None:
    text = "come in and take a seat and tell me all of it"
    ear = Ear({"vocals": [said(text, 2.0, sure=0.7)], "blend-35": [said(text.replace("seat", "sheet"), 2.0, sure=0.9)]})
    heard = hear(ear, LOUD)
    assert ear.audios == ["vocals", "blend-35"]
    assert texts(heard) == ["come in and take a sheet and tell me all of it"]  # between two, the surer one is believed


def test_two_that_are_much_alike_are_not_enough() -> None:
    """That they have the same words proves little: all four are asked."""
    right = [said("come in please", 2.0)]
    ear = Ear({"vocals": [said("come in peas", 2.0)], "blend-35": right, "blend-20": right, "blend-10": right})
    assert texts(hear(ear, LOUD)) == ["come in please"]
    assert ear.audios == ["vocals", "blend-35", "blend-20", "blend-10"]


@pytest.mark.parametrize(
    "doubtful",
    [
        said("come in please", 2.0, confidence=-0.7),
        said("no " * 8, 2.0, pace=0.2),
        said("Subtitles by Amara.org", 2.0),
        said("come in please", 9.3),  # where nobody speaks
    ],
)
def test_two_that_agree_on_what_is_doubtful_are_not_enough(doubtful: Segment) -> None:
    ear = Ear({"vocals": [doubtful], "blend-20": [doubtful], "blend-10": [doubtful], "blend-35": [doubtful]})
    hear(ear, LOUD)
    assert ear.audios[:4] == ["vocals", "blend-35", "blend-20", "blend-10"]


def test_to_have_heard_nothing_is_not_to_agree() -> None:
    ear = Ear({"blend-35": [said("over here", 2.0, sure=0.99)]})
    hear(ear, LOUD)
    assert ear.audios == ["vocals", "blend-35", "blend-20", "blend-10"]


def test_what_is_drowned_is_heard_in_the_mix_only_where_nothing_else_has_a_word() -> None:
    mix = [said("come in", 2.0)]
    one_word = Ear({"mix": mix, "blend-35": [said("come", 2.0, sure=0.99)]})
    hear(one_word, LOUD)
    assert "mix" not in one_word.audios
    nothing = Ear({"mix": mix})
    heard = hear(nothing, LOUD)
    assert nothing.audios == ["vocals", "blend-35", "mix"]
    assert [hearing.why for hearing in heard.hearings] == [
        *["voices only -7 dB over everything else"] * 2,
        "nothing heard elsewhere",
    ]


def test_what_is_not_clear_in_the_mix_stops_where_two_agree_as_well() -> None:
    unsure = said("come in", 2.0, confidence=-0.8)
    right = [said("come in", 2.0)]
    ear = Ear({"mix": [unsure], "vocals": right, "blend-35": right})
    hear(ear)
    assert ear.audios == ["mix", "vocals", "blend-35"]


CENTRED = sound(10.0, [(1.0, 9.0)], music=0.2, centre=True)


def test_a_films_centre_is_heard_first_and_will_do_if_it_is_clear() -> None:
    ear = Ear({"centre": [said("come in and take a seat, and tell me what it was", 1.5, pace=0.6)]})
    heard = hear(ear, CENTRED)
    assert ear.audios == ["centre"]
    assert heard.segments[0].heard == "centre"


def test_where_the_centre_is_not_clear_it_is_one_witness_of_two() -> None:
    right, wrong = said("come in", 2.0, sure=0.99, confidence=-0.7), said("coming hen", 2.0, sure=0.5)
    ear = Ear({"centre": [right], "vocals": [wrong], "blend-10": [wrong], "blend-20": [wrong], "blend-35": [wrong]})
    heard = hear(ear, CENTRED)
    assert ear.audios == ["centre", "vocals", "blend-35"]
    assert texts(heard) == ["come in"]  # hearings of what was separated are one witness, and it is less sure


def test_a_centre_without_a_word_is_not_enough() -> None:
    there = [said("come in", 2.0)]
    ear = Ear({"vocals": there, "blend-10": there, "blend-20": there, "blend-35": there})
    assert texts(hear(ear, CENTRED)) == ["come in"]
    assert ear.asked[1].audio == "vocals"


def test_speech_without_a_word_is_listened_to_again() -> None:
    ear = Ear({"mix": [said("come in", 2.0)], "vocals": [said("come in", 2.0), said("and sit down please", 5.0)],
               "blend-20": [said("come in", 2.0), said("and sit down please", 5.0)]})  # fmt: skip
    heard = listen(3, REGION, CLEAR, (Region(2.0, 3.2), Region(5.0, 7.5)), ENGLISH, ear)
    assert texts(heard) == ["come in", "and sit down please"]
    assert heard.hearings[1].why == "2.0 s of certain speech without a word in the mix"


def test_what_only_the_mix_has_is_not_lost() -> None:
    heard = hear(Ear({"mix": [said("come in", 2.0)]}), LOUD)
    assert texts(heard) == ["come in"]
    assert heard.segments[0].heard == "mix"


def test_what_only_the_mix_has_is_dropped_if_it_is_unsure() -> None:
    heard = hear(Ear({"mix": [said("I love you", 2.0, confidence=-0.98)]}), LOUD)
    assert texts(heard) == []
    assert [each.reason for each in heard.dropped] == [
        "nothing heard elsewhere, and here with an average log probability of -0.98"
    ]


def test_what_is_unsure_in_the_mix_is_judged_as_ever_where_nobody_else_was_asked() -> None:
    ear = Ear({"mix": [said("come in", 2.0, confidence=-0.98)]})
    assert texts(hear(ear, CLEAR, Wanted("en", "mix"))) == ["come in"]


def test_the_model_is_told_where_the_last_voice_ends() -> None:
    ear = Ear({"mix": [said("come in", 2.0)]})
    hear(ear, CLEAR)
    assert ear.asked[0].until == pytest.approx(8.5, abs=0.03)  # half a second of the last voice may be left unread
    ear = Ear({"mix": [said("come in", 2.0)]})
    silent = sound(10.0, [], music=0.01)
    listen(3, REGION, silent, (Region(2.0, 9.5),), ENGLISH, ear)
    assert ear.asked[0].until == pytest.approx(9.0, abs=0.001)  # of vocals that are silent, the detector knows better
    ear = Ear({})
    listen(3, REGION, silent, (), ENGLISH, ear)
    assert ear.asked[0].until == 0.0


@pytest.mark.parametrize(("asked", "audio"), [("mix", "mix"), ("vocals", "vocals"), ("blend", "blend-20")])
def test_one_audio_alone_where_that_is_asked(asked: str, audio: Audio) -> None:
    ear = Ear({audio: [said("come in", 2.0)]})
    heard = hear(ear, LOUD, Wanted("en", asked))  # type: ignore[arg-type]
    assert ear.audios == [audio]
    assert [(segment.heard, segment.reason) for segment in heard.segments] == [(audio, "as asked")]


def test_what_is_not_believed_is_dropped_with_its_reason() -> None:
    heard = hear(Ear({"mix": [said("come in", 2.0), said("Subtitles by Amara.org", 5.0)]}))
    assert texts(heard) == ["come in"]
    assert [(each.segment.text, each.reason) for each in heard.dropped] == [
        ("Subtitles by Amara.org", "a line about subtitles, as Whisper writes over music")
    ]


def test_a_loop_is_heard_once_more_without_repeating() -> None:
    loop, rest = said("I know " * 8, 2.0, pace=0.2), said("go home", 7.0)
    ear = Ear({"mix": [loop, rest]}, without_repeating=[said("I know her", 2.0), said("and gone", 7.0)])
    heard = hear(ear)
    assert texts(heard) == ["I know her", "go home"]  # only what went round in a loop is replaced
    assert ear.asked[-1].repeat is False
    assert heard.segments[0].reason == "heard again without repeating"


def test_a_loop_that_stays_is_flagged_or_dropped() -> None:
    ear = Ear({"mix": [said("no " * 8, 2.0, pace=0.2)]})
    assert [segment.doubts for segment in hear(ear).segments] == [("it repeats itself",)]
    gone = Ear({"mix": [said("no " * 8, 2.0, pace=0.2)]}, without_repeating=[])
    assert len(hear(gone).segments) == 1  # heard again as nothing: it is not for a decoder's sake that it goes
    unsure = Ear({"mix": [said("no " * 8, 2.0, pace=0.2, confidence=-0.9)]})
    assert [each.reason for each in hear(unsure).dropped] == ["it repeats itself"]


def test_what_was_well_understood_gives_way_to_nothing_unsure() -> None:
    ear = Ear({"mix": [said("no " * 6, 2.0, pace=0.2)]}, without_repeating=[said("no no yes", 2.0, confidence=-1.5)])
    (segment,) = hear(ear).segments
    assert (segment.text.strip(), segment.doubts) == ("no no no no no no", ("it repeats itself",))


def test_what_would_be_dropped_gives_way_to_what_may_be_believed() -> None:
    loop = said("no " * 8, 2.0, pace=0.2, confidence=-0.9)
    ear = Ear({"mix": [loop]}, without_repeating=[said("no no yes", 2.0, confidence=-0.7)])
    assert texts(hear(ear)) == ["no no yes"]


def test_loops_in_two_audios_are_both_heard_again_and_neither_is_lost() -> None:
    early, late = "la " * 8, "no " * 8

    def both(sure_of_early: float, sure_of_late: float) -> list[Segment]:
        return [said(early, 1.5, pace=0.2, sure=sure_of_early), said(late, 6.0, pace=0.2, sure=sure_of_late)]

    sure_of = {"vocals": both(0.9, 0.3), "blend-10": both(0.3, 0.9)}
    mended = [said("la di da", 2.0), said("not now", 6.2)]
    ear = Ear(sure_of, without_repeating=mended)  # type: ignore[arg-type]
    heard = listen(3, REGION, LOUD, (Region(1.5, 3.1), Region(6.0, 7.6)), ENGLISH, ear)
    assert [listening.audio for listening in ear.asked if not listening.repeat] == ["vocals", "blend-10"]
    assert [(segment.text, segment.heard) for segment in heard.segments] == [
        ("la di da", "vocals"), ("not now", "blend-10")]  # fmt: skip


def test_a_loop_is_not_lost_where_another_one_is_mended() -> None:
    loops = [said("la " * 8, 1.5, pace=0.2), said("no " * 8, 6.0, pace=0.2)]
    ear = Ear({"mix": loops}, without_repeating=[said("la di da", 2.0)])
    heard = listen(3, REGION, CLEAR, (Region(1.5, 3.1), Region(6.0, 7.6)), ENGLISH, ear)
    assert [text.strip() for text in texts(heard)] == ["la di da", ("no " * 8).strip()]


def test_a_mended_loop_moves_no_other_word() -> None:
    home = said("go home", 7.0)  # beside it the vocals go on
    alone = hear(Ear({"mix": [home]})).segments[-1]
    beside = hear(Ear({"mix": [said("I know " * 8, 2.0, pace=0.2), home]})).segments[-1]
    assert beside.words == alone.words


def test_everything_that_was_heard_is_recorded() -> None:
    loop = said("I know " * 8, 2.0, pace=0.2)
    heard = hear(Ear({"mix": [loop]}, without_repeating=[said("I know her", 2.0)]))
    assert [(hearing.audio, hearing.text.strip(), hearing.chosen) for hearing in heard.hearings] == [
        ("mix", loop.text.strip(), 0),
        *((audio, "", 0) for audio in ("vocals", "blend-35")),
        ("mix", "I know her", 3),
    ]
    assert heard.hearings[-1].why.endswith("; again, without repeating")


HINDI = Wanted("hi", "auto", scripts_for("hi", "native"))
UNSURE = -0.7  # of what further hearings might clear up


def test_another_script_is_heard_again_in_the_right_one() -> None:
    ear = Ear({"mix": [said("tum kahan the", 2.0)]}, in_script=[said("तुम कहाँ थे", 2.0)])
    heard = hear(ear, CLEAR, HINDI)
    assert texts(heard) == ["तुम कहाँ थे"]
    assert heard.segments[0].doubts == ()
    assert [bool(listening.scripts) for listening in ear.asked] == [False, True]


def test_once_needed_the_script_is_kept_for_the_whole_region() -> None:
    ear = Ear({"vocals": [said("tum kahan the", 2.0)]}, in_script=[said("तुम कहाँ थे", 2.0, confidence=UNSURE)])
    assert texts(hear(ear, LOUD, HINDI)) == ["तुम कहाँ थे"]
    assert ear.audios == ["vocals", "blend-35", "vocals", "blend-20", "blend-10"]
    assert [bool(listening.scripts) for listening in ear.asked] == [False, False, True, True, True]


def test_two_that_agree_in_the_right_script_are_enough() -> None:
    other = [said("tum kahan the", 2.0)]
    ear = Ear({"vocals": other, "blend-35": other}, in_script=[said("तुम कहाँ थे", 2.0)])
    assert texts(hear(ear, LOUD, HINDI)) == ["तुम कहाँ थे"]
    assert ear.audios == ["vocals", "blend-35", "vocals", "blend-35"]
    assert [bool(listening.scripts) for listening in ear.asked] == [False, False, True, True]


def test_another_script_is_noticed_in_any_hearing() -> None:
    other = [said("tum kahan the", 2.0)]
    ear = Ear({"blend-35": other, "blend-20": other}, in_script=[said("तुम कहाँ थे", 2.0, confidence=UNSURE)])
    assert texts(hear(ear, LOUD, HINDI)) == ["तुम कहाँ थे"]
    assert ear.audios == ["vocals", "blend-35", "blend-35", "blend-20", "blend-10"]
    assert [bool(listening.scripts) for listening in ear.asked] == [False, False, True, True, True]


def test_a_script_that_it_cannot_write_is_asked_of_a_model_once_in_a_region() -> None:
    other = [said("tum kahan the", 2.0)]
    ear = Ear({"blend-20": other, "blend-35": other}, in_script=[said("ततत", 2.0, confidence=-1.7)])
    heard = hear(ear, LOUD, HINDI)
    assert ear.audios == ["vocals", "blend-35", "blend-35", "blend-20", "blend-10"]
    assert [bool(listening.scripts) for listening in ear.asked] == [False, False, True, False, False]
    assert [(hearing.text, hearing.score is None) for hearing in heard.hearings[:4]] == [
        ("", False), ("tum kahan the", False), ("ततत", True), ("tum kahan the", False)]  # fmt: skip


def test_a_script_that_the_model_cannot_write_is_flagged() -> None:
    ear = Ear({"mix": [said("tum kahan the", 2.0)]}, in_script=[said("ततत ततत", 2.0, confidence=-1.7)])
    heard = hear(ear, CLEAR, HINDI)
    assert texts(heard) == ["tum kahan the"]
    assert heard.segments[0].doubts == ("script: Latin",)


@pytest.mark.parametrize("in_script", [said("तुम कहाँ थे", 2.0, confidence=-0.75), said("ततत ततत", 2.0, confidence=-1.7)])
def test_what_only_the_mix_has_is_dropped_if_it_is_unsure_in_whatever_script(in_script: Segment) -> None:
    ear = Ear({"mix": [said("tum kahan the", 2.0, confidence=-0.9)]}, in_script=[in_script])
    heard = hear(ear, LOUD, HINDI)
    assert texts(heard) == []
    assert heard.dropped[0].reason.startswith("nothing heard elsewhere, and here with")


def test_stammering_in_the_right_script_is_no_text() -> None:
    ear = Ear({"mix": [said("tum kahan the", 2.0)]}, in_script=[said("। । । । । ।", 2.0, confidence=-0.1)])
    assert texts(hear(ear, CLEAR, HINDI)) == ["tum kahan the"]


def test_a_stammer_of_letters_is_no_text_either() -> None:
    stammer = said("ततत ततत ततत", 2.0, confidence=-0.1, ratio=6.0)
    ear = Ear({"mix": [said("tum kahan the", 2.0)]}, in_script=[stammer])
    assert texts(hear(ear, CLEAR, HINDI)) == ["tum kahan the"]


def test_any_script_will_do_where_that_is_asked() -> None:
    ear = Ear({"mix": [said("tum kahan the", 2.0)]})
    heard = hear(ear, CLEAR, Wanted("hi", "auto", scripts_for("hi", "any")))
    assert (len(ear.asked), heard.segments[0].doubts) == (1, ())


def test_nothing_heard_is_nothing_said() -> None:
    heard = hear(Ear({}), LOUD)
    assert (heard.segments, heard.dropped) == ((), ())
    assert [hearing.words for hearing in heard.hearings] == [0] * len(heard.hearings)
