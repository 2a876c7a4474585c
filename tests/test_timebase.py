import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemscribe.timebase import clock, parse_clock, to_frames, to_seconds


@given(st.integers(0, 10**10), st.sampled_from([8000, 16000, 44100, 48000]))
def test_frames_survive_seconds(frames: int, rate: int) -> None:
    assert to_frames(to_seconds(frames, rate), rate) == frames


@given(st.integers(0, 10**9))
def test_times_survive_being_written(milliseconds: int) -> None:
    assert parse_clock(clock(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90.5", 90.5), ("1:30", 90), ("0:01:30.5", 90.5), ("2:00:00", 7200), (" 5 ", 5)]
)
def test_times_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_clock(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-5",
        "1:2:3:4",
        "1::2",
        "1.5:00",
        "nan",
        "inf",
        "1e3",
        "٣",
        "9" * 400,
        "9" * 5000 + ":00",
        "10000001",
    ],
)
def test_what_is_not_a_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_clock(text)
