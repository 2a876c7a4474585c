import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemscribe.separation.windows import WindowPlan

plans = st.builds(
    lambda total, window, share: WindowPlan(total, window, int(window * share)),
    st.integers(0, 5000),
    st.integers(1, 400),
    st.floats(0, 0.5),
)


@given(plans)
def test_every_frame_is_finished_exactly_once_and_in_order(plan: WindowPlan) -> None:
    finished = 0
    for window in plan:
        assert window.start == finished
        finished = plan.finished(window)
    assert finished == plan.total_frames


@given(plans)
def test_the_windows_are_those_of_demucs(plan: WindowPlan) -> None:
    offsets = range(0, plan.total_frames, plan.stride_frames)
    assert [window.start for window in plan] == list(offsets)
    assert [window.stop for window in plan] == [min(start + plan.window_frames, plan.total_frames) for start in offsets]
    assert len(plan) == len(offsets)


@given(plans)
def test_the_model_sees_a_window_in_the_middle_of_its_length(plan: WindowPlan) -> None:
    for window in plan:
        start, stop = plan.seen(window)
        assert stop - start == plan.window_frames
        before, after = window.start - start, stop - window.stop
        assert after - before in (0, 1)


def test_full_windows_are_seen_as_they_are() -> None:
    plan = WindowPlan(1_185_432, 343_980, 85_995)
    assert [plan.seen(window) for window in plan][:2] == [(0, 343_980), (257_985, 601_965)]
    assert plan.seen(plan[4]) == (1_031_940 - 95_244, 1_031_940 - 95_244 + 343_980)


@pytest.mark.parametrize(("total", "window", "overlap"), [(-1, 10, 0), (10, 0, 0), (10, 10, 6), (10, 10, -1)])
def test_impossible_plans_are_refused(total: int, window: int, overlap: int) -> None:
    with pytest.raises(ValueError, match=r"no plan|overlap"):
        WindowPlan(total, window, overlap)


def test_there_is_no_window_beyond_the_last() -> None:
    with pytest.raises(IndexError):
        WindowPlan(10, 4, 1)[4]
