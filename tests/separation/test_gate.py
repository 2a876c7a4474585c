"""Which windows need the model: on made-up evidence, so that what is a voice is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemscribe.separation.gate import (
    Evidence,
    GateRules,
    MixEvidence,
    Treated,
    Treatment,
    in_runs,
    open_questions,
    out_of_runs,
    treatments,
)
from stemscribe.separation.windows import WindowPlan

RATE = 1000
HOP = 0.032  # 32 frames
RULES = GateRules()
PLAN = WindowPlan(60 * RATE, 8 * RATE, 2 * RATE)  # a window every 6 s, the last one short
MUSIC = {"mix_speech": 0.02, "vocals_speech": 0.01, "mix_db": -20.0, "vocals_db": -75.0, "others_db": -20.0}
SILENCE = {"mix_speech": 0.0, "vocals_speech": 0.0, "mix_db": -100.0, "vocals_db": -100.0, "others_db": -100.0}
OVER_MUSIC = {"mix_speech": 0.9, "vocals_speech": 0.9, "vocals_db": -25.0}
ALONE = {"mix_speech": 0.9, "vocals_speech": 0.9, "mix_db": -20.0, "vocals_db": -20.0, "others_db": -50.0}


def heard(*spans: tuple[float, float, dict[str, float]], seconds: float = 60.0, **all_through: float) -> Evidence:
    """Evidence of a film with music, and of spans (from, to, in seconds) where something else is found."""
    count = int(np.ceil(seconds / HOP))
    facts = {name: np.full(count, value, np.float32) for name, value in {**MUSIC, **all_through}.items()}
    for start, end, found in spans:
        for name, value in found.items():
            facts[name][round(start / HOP) : round(end / HOP)] = value
    return Evidence(HOP, **facts)


def treated(evidence: Evidence, plan: WindowPlan = PLAN) -> list[Treatment]:
    return treatments(plan, RATE, evidence)


def separated(evidence: Evidence) -> list[int]:
    """The windows that are; all others are silent."""
    found = treated(evidence)
    assert "passed" not in found
    return [index for index, treatment in enumerate(found) if treatment == "separated"]


@pytest.mark.parametrize("film", [heard(**SILENCE), heard()])
def test_a_film_without_a_voice_is_silent(film: Evidence) -> None:
    assert treated(film) == ["silent"] * 10


def test_a_voice_has_the_windows_separated_in_which_it_is_and_no_others() -> None:
    assert separated(heard((21.0, 22.0, OVER_MUSIC))) == [3]
    assert separated(heard((24.5, 25.0, OVER_MUSIC))) == [3, 4]  # where two windows meet, both take part


@pytest.mark.parametrize(
    ("start", "windows"),
    [
        (17.280 - 0.5, [2]),  # it ends 0.72 s before window 3 begins
        (17.312 - 0.5, [2, 3]),  # and a hop later
        (26.688, [3, 4]),  # it begins 0.69 s after window 3 ends
        (26.720, [4]),  # and a hop later
    ],
)
def test_a_voice_that_comes_near_a_window_has_it_separated(start: float, windows: list[int]) -> None:
    assert separated(heard((start, start + 0.5, OVER_MUSIC))) == windows


@pytest.mark.parametrize("at", [0.0, 59.5])
def test_a_voice_at_either_end_of_the_film_is_no_exception(at: float) -> None:
    found = treated(heard((at, at + 0.5, OVER_MUSIC)))
    assert found[0 if at == 0 else -1] == "separated"
    assert found.count("separated") == 1


@pytest.mark.parametrize(
    ("found", "is_voice"),
    [
        ({"mix_speech": 0.45, "vocals_db": -51.0}, False),  # 31 dB below the mix
        ({"mix_speech": 0.45, "vocals_db": -49.0}, True),
        ({"mix_speech": 0.30, "vocals_db": -49.0}, False),
        ({"vocals_speech": 0.15, "vocals_db": -51.0}, False),
        ({"vocals_speech": 0.15, "vocals_db": -49.0}, True),
        ({"vocals_speech": 0.05, "vocals_db": -49.0}, False),
        ({"mix_speech": 0.45, "mix_db": -50.0, "vocals_db": -62.0}, False),  # as loud as hiss
    ],
)
def test_speech_that_the_rough_vocals_do_not_confirm_is_music(found: dict[str, float], is_voice: bool) -> None:
    assert separated(heard((21.0, 23.0, found))) == ([3] if is_voice else [])


@pytest.mark.parametrize(("seconds", "is_voice"), [(0.22, False), (0.36, True)])
def test_certain_speech_that_lasts_needs_no_other_witness(seconds: float, is_voice: bool) -> None:
    certain = {"mix_speech": 0.6, "vocals_db": -75.0}
    assert separated(heard((21.0, 21.0 + seconds, certain))) == ([3] if is_voice else [])


@pytest.mark.parametrize(
    ("seconds", "vocals_db", "mix_db", "is_voice"),
    [
        (0.9, -30.0, -20.0, False),  # a blip
        (1.1, -30.0, -20.0, True),  # somebody sings
        (1.1, -37.0, -20.0, False),  # not loud
        (5.0, -61.0, -65.0, False),  # next to nothing, of next to nothing
    ],
)
def test_rough_vocals_that_are_loud_for_long_are_somebody_who_sings(
    seconds: float, vocals_db: float, mix_db: float, is_voice: bool
) -> None:
    sung = {"vocals_db": vocals_db, "mix_db": mix_db}
    assert separated(heard((21.0, 21.0 + seconds, sung))) == ([3] if is_voice else [])


def test_blips_do_not_add_up() -> None:
    blips = [(20.0 + 0.5 * number, 20.3 + 0.5 * number, {"vocals_db": -30.0}) for number in range(9)]
    assert separated(heard(*blips)) == []


PAUSES = ((19.0, 20.0), (22.0, 23.0), (25.0, 25.5))


def spoken(*, in_pauses: float, others_in_pauses: float | None = None, **changes: float) -> Evidence:
    """Somebody speaks from 17 s to 27 s, that is all through window 3, with silence or something else in pauses."""
    others = in_pauses if others_in_pauses is None else others_in_pauses
    pause = {"mix_speech": 0.05, "vocals_speech": 0.01, "mix_db": in_pauses, "vocals_db": -90.0, "others_db": others}
    pauses = [(start, end, pause) for start, end in PAUSES]
    return heard((0.0, 60.0, SILENCE), (17.0, 27.0, ALONE | changes), *pauses)


def test_a_window_with_nothing_but_a_voice_is_passed_on() -> None:
    assert treated(spoken(in_pauses=-80.0)) == ["silent"] * 2 + ["passed"] * 3 + ["silent"] * 5
    without_a_pause = heard((0.0, 60.0, SILENCE), (17.0, 27.0, ALONE))
    assert treated(without_a_pause)[3] == "passed"


def test_where_something_goes_on_in_the_pauses_it_is_separated() -> None:
    assert treated(spoken(in_pauses=-56.0))[3] == "passed"
    quiet = spoken(in_pauses=-54.0)  # 34 dB below the voice
    assert treated(quiet)[3] == "separated"


def test_where_there_is_more_than_the_voice_it_is_separated() -> None:
    assert treated(spoken(in_pauses=-80.0, others_db=-46.0))[3] == "passed"
    assert treated(spoken(in_pauses=-80.0, others_db=-44.0))[3] == "separated"


def test_what_nobody_is_certain_of_is_not_passed_on_for_a_voice() -> None:
    assert treated(spoken(in_pauses=-80.0, mix_speech=0.45, vocals_speech=0.45))[3] == "separated"


def test_what_the_evidence_does_not_reach_is_silence() -> None:
    short = heard((28.6, 29.1, OVER_MUSIC), seconds=30.0)
    assert treated(short) == ["silent"] * 4 + ["separated"] + ["silent"] * 5
    nothing = heard(seconds=0.0)
    assert treated(nothing) == ["silent"] * 10
    assert treated(nothing, WindowPlan(0, 8 * RATE, 2 * RATE)) == []


def test_other_rules_decide_otherwise() -> None:
    film = heard((26.9, 27.4, OVER_MUSIC))
    assert treatments(PLAN, RATE, film, replace(RULES, margin=1.0))[3] == "separated"
    assert treatments(PLAN, RATE, film)[3] == "silent"


def open_in(film: Evidence, plan: WindowPlan = PLAN) -> np.ndarray:
    return open_questions(plan, RATE, MixEvidence(HOP, film.mix_speech, film.mix_db))


def test_who_speaks_over_something_needs_no_other_witness() -> None:
    """Windows 1, 2, 3 and 5 have speech, and pauses with music; in window 4 somebody speaks without a pause."""
    is_open = open_in(heard((12.0, 17.0, OVER_MUSIC), (19.0, 32.0, OVER_MUSIC)))
    seconds = np.arange(len(is_open)) * HOP
    around = RULES.margin + RULES.loud_for
    assert not is_open[(seconds > 8.0 + around) & (seconds < 24.0 - around)].any()
    assert is_open[(seconds < 8.0) | ((seconds > 24.0) & (seconds < 32.0)) | (seconds > 36.0)].all()


@pytest.mark.parametrize(
    "film",
    [
        heard(),
        heard(**SILENCE),
        spoken(in_pauses=-80.0),  # it may be passed
        spoken(in_pauses=-47.0),  # music that the rough vocals may have taken away: 27 dB below the voice
        heard((0.0, 60.0, {"mix_speech": 0.45})),  # nobody is certain
        heard((0.0, 60.0, OVER_MUSIC)),  # there is no pause to tell what goes on beside it
    ],
)
def test_elsewhere_the_question_is_open(film: Evidence) -> None:
    assert open_in(film).all()


def test_music_in_the_pauses_settles_it() -> None:
    assert not open_in(spoken(in_pauses=-43.0)).all()


def test_what_is_settled_is_separated_whatever_a_look_would_say() -> None:
    assert treated(spoken(in_pauses=-47.0, others_in_pauses=-80.0))[3] == "passed"
    assert treated(spoken(in_pauses=-43.0, others_in_pauses=-80.0))[3] == "separated"


def test_what_matters_to_an_open_window_may_begin_long_before_it() -> None:
    """Somebody sings for 1.1 s in window 3, which is settled, and ends 0.6 s before window 4 begins, which is not."""
    plan = WindowPlan(60 * RATE, 8 * RATE, 0)
    film = heard((25.0, 29.5, OVER_MUSIC), (30.3, 31.4, {"vocals_db": -25.0}))
    is_open = open_in(film, plan)
    seen = replace(film, vocals_db=np.where(is_open, film.vocals_db, -100))
    assert not is_open[round(28.0 / HOP)]
    assert treated(seen, plan) == treated(film, plan) == ["silent"] * 3 + ["separated"] * 2 + ["silent"] * 3


SPANS = st.lists(st.tuples(st.floats(0.0, 58.0), st.floats(0.1, 5.0), st.sampled_from([OVER_MUSIC, ALONE])), max_size=4)
PLANS = st.builds(
    lambda total, window, share: WindowPlan(total, window, int(window * share)),
    st.integers(1, 60 * RATE),
    st.integers(1 * RATE, 12 * RATE),
    st.floats(0.0, 0.5),
)


@given(spans=SPANS, plan=PLANS, is_quiet=st.booleans())
def test_near_a_voice_there_are_only_windows_that_have_it(
    spans: Sequence[tuple[float, float, dict[str, float]]], plan: WindowPlan, is_quiet: bool
) -> None:
    """Against the definition, hop by hop: within the margin of a voice no window is silent, and all others are."""
    found = [(start, min(start + length, 60.0), what) for start, length, what in spans]
    film = heard(*found, **(SILENCE if is_quiet else {}))
    voices = np.zeros(len(film.mix_db), bool)
    for start, end, _ in found:
        voices[round(start / HOP) : round(end / HOP)] = True
    margin = round(RULES.margin / HOP)
    near = np.convolve(voices, np.ones(2 * margin + 1), "same") > 0.5
    decided = treated(film, plan)
    assert len(decided) == len(plan)
    for window, treatment in zip(plan, decided, strict=True):
        begins = np.arange(len(near)) * HOP * RATE
        touched = near[(begins < window.stop) & (begins + HOP * RATE > window.start + 1e-6)]
        assert (treatment == "silent") == (not touched.any())


FOUND = st.fixed_dictionaries(
    {
        "mix_speech": st.sampled_from([0.05, 0.4, 0.9]),
        "vocals_speech": st.sampled_from([0.05, 0.9]),
        "mix_db": st.sampled_from([-20.0, -35.0, -60.0]),
        "vocals_db": st.sampled_from([-25.0, -70.0]),
        "others_db": st.sampled_from([-20.0, -60.0]),
    }
)


@given(
    spans=st.lists(st.tuples(st.floats(0.0, 58.0), st.floats(0.1, 12.0), FOUND), max_size=12),
    plan=PLANS,
)
def test_where_no_question_is_open_evidence_changes_nothing(
    spans: Sequence[tuple[float, float, dict[str, float]]], plan: WindowPlan
) -> None:
    film = heard(*[(start, min(start + length, 60.0), what) for start, length, what in spans])
    is_open = open_in(film, plan)
    without = replace(
        film,
        vocals_speech=np.where(is_open, film.vocals_speech, 0),
        vocals_db=np.where(is_open, film.vocals_db, -100),
        others_db=np.where(is_open, film.others_db, film.mix_db),
    )
    assert treated(without, plan) == treated(film, plan)


@given(st.lists(st.sampled_from(["separated", "silent", "passed"]), max_size=40))
def test_what_is_recorded_gives_the_treatment_of_every_window(decided: list[Treatment]) -> None:
    plan = WindowPlan(len(decided) * 600, 800, 200)
    runs = list(in_runs(plan, 100, decided))
    assert out_of_runs(runs) == decided
    assert all(before.treatment != after.treatment for before, after in pairwise(runs))
    assert [run.first for run in runs] == list(np.cumsum([0, *(run.windows for run in runs)])[:-1])


def test_what_is_recorded_tells_the_times() -> None:
    decided: list[Treatment] = ["silent", "silent", "separated", "passed"]
    assert list(in_runs(WindowPlan(2150, 800, 200), 100, decided)) == [
        Treated("silent", 0, 2, 0.0, 14.0),
        Treated("separated", 2, 1, 12.0, 20.0),
        Treated("passed", 3, 1, 18.0, 21.5),
    ]


def test_treatments_of_another_plan_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        list(in_runs(PLAN, RATE, ["silent"]))
