import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemscribe.speech.recognition import find_language, overlap
from stemscribe.transcript import Region

SPEECH = (Region(10.0, 12.0), Region(14.0, 15.0))


def test_the_language_is_that_of_the_regions_with_most_speech() -> None:
    regions = [Region(0, 5), Region(10, 20), Region(30, 31)]
    answers = {0: {"en": 0.9, "hi": 0.1}, 10: {"en": 0.2, "hi": 0.8}, 30: {"en": 0.1, "hi": 0.9}}
    found = find_language(regions, SPEECH, lambda region: answers[int(region.start)])
    assert found == ("hi", pytest.approx(0.6))


def test_without_voices_the_language_is_not_known() -> None:
    assert find_language([], [], lambda region: {"hi": 1.0}) == ("en", 0.0)


spans = st.lists(st.tuples(st.floats(0.01, 3), st.floats(0, 3)), max_size=20)


@given(spans, st.floats(0, 60), st.floats(0, 10))
def test_overlap_looks_only_where_it_must(rows: list[tuple[float, float]], start: float, length: float) -> None:
    others, end = [], 0.0
    for duration, gap in rows:
        others.append(Region(end + gap, end + gap + duration))
        end = others[-1].end
    span = Region(start, start + length)
    wanted = sum(max(0.0, min(span.end, other.end) - max(span.start, other.start)) for other in others)
    assert overlap(span, others) == pytest.approx(wanted, abs=1e-9)


def test_overlap_counts_seconds() -> None:
    assert overlap(Region(11.0, 14.5), SPEECH) == pytest.approx(1.5)
