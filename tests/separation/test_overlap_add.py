import numpy as np
import pytest

from fakes import Array, noise
from stemscribe.separation.overlap_add import OverlapAdd, triangle
from stemscribe.separation.windows import WindowPlan

WINDOW = 100
OVERLAP = 25
LENGTHS = [0, 1, WINDOW - OVERLAP, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW + 7, 10 * WINDOW]


def whole_array(plan: WindowPlan, estimates: list[Array]) -> Array:
    """Demucs' way: sum everything, divide at the end."""
    total = np.zeros((*estimates[0].shape[:2], plan.total_frames), np.float32)
    weights = np.zeros(plan.total_frames, np.float32)
    for window, estimate in zip(plan, estimates, strict=True):
        total[..., window.start : window.stop] += estimate * triangle(plan.window_frames)[: window.frames]
        weights[window.start : window.stop] += triangle(plan.window_frames)[: window.frames]
    return total / weights


@pytest.mark.parametrize("frames", [length for length in LENGTHS if length])
@pytest.mark.parametrize("overlap", [0, OVERLAP, WINDOW // 2])
def test_streamed_equals_one_shot(frames: int, overlap: int) -> None:
    plan = WindowPlan(frames, WINDOW, overlap)
    estimates = [noise(window.frames * 3, seed=window.index).reshape(3, 2, -1) for window in plan]
    adding = OverlapAdd(plan)
    streamed = [adding.add(window, estimate) for window, estimate in zip(plan, estimates, strict=True)]
    # The very same float32 operations in the same order: not a bit may differ.
    np.testing.assert_array_equal(np.concatenate(streamed, -1), whole_array(plan, estimates))


@pytest.mark.parametrize("frames", LENGTHS)
def test_constant_in_constant_out(frames: int) -> None:
    plan = WindowPlan(frames, WINDOW, OVERLAP)
    adding = OverlapAdd(plan)
    parts = [adding.add(window, np.full((1, 2, window.frames), 0.7, np.float32)) for window in plan]
    assert sum(part.shape[-1] for part in parts) == frames
    for part in parts:
        np.testing.assert_allclose(part, 0.7, rtol=1e-6)  # one rounding of the product, one of the quotient


@pytest.mark.parametrize("stop", range(5))
def test_a_tail_takes_up_where_another_run_stopped(stop: int) -> None:
    plan = WindowPlan(370, WINDOW, OVERLAP)
    estimates = [noise(window.frames, seed=window.index)[None] for window in plan]
    undisturbed, first = OverlapAdd(plan), OverlapAdd(plan)
    expected = [undisturbed.add(window, estimates[window.index]) for window in plan]
    for window in plan:
        if window.index < stop:
            first.add(window, estimates[window.index])
    second = OverlapAdd(plan, first.tail)
    for window in plan.starting_at(stop):
        np.testing.assert_array_equal(second.add(window, estimates[window.index]), expected[window.index])


def test_weights_are_demucs_triangle() -> None:
    assert triangle(5).tolist() == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])
    assert triangle(343_980).min() > 0
