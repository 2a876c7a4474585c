from __future__ import annotations

from stemscribe.evaluation.confidence import difference_interval, rate_interval


def test_one_recording_tells_nothing_of_others() -> None:
    assert rate_interval([(1, 10)]) is None
    assert difference_interval([(1, 10)], [(2, 10)]) is None


def test_equal_rates_leave_no_doubt() -> None:
    interval = rate_interval([(1, 10), (2, 20), (5, 50)])
    assert interval is not None
    assert (interval.low, interval.high) == (0.1, 0.1)


def test_an_interval_holds_the_rate_and_narrows_with_more_recordings() -> None:
    few = rate_interval([(0, 10), (5, 10)] * 3)
    many = rate_interval([(0, 10), (5, 10)] * 50)
    assert few is not None
    assert many is not None
    assert few.low < many.low < 0.25 < many.high < few.high


def test_the_same_recordings_give_the_same_interval() -> None:
    counts = [(number % 4, 10) for number in range(12)]
    assert rate_interval(counts) == rate_interval(counts)


def test_a_difference_on_the_same_recordings_is_surer_than_its_two_rates() -> None:
    hard_and_easy = [(1, 10), (9, 10)] * 4
    always_one_more = [(errors + 1, whole) for errors, whole in hard_and_easy]
    difference = difference_interval(always_one_more, hard_and_easy)
    assert difference is not None
    assert round(difference.low, 9) == round(difference.high, 9) == 0.1
    rate = rate_interval(hard_and_easy)
    assert rate is not None
    assert rate.high - rate.low > 0.2
