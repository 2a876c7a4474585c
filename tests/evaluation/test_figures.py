from __future__ import annotations

import pytest

from stemscribe.evaluation.distortion import Distortion
from stemscribe.evaluation.figures import ALL, Measured, Totals, totals
from stemscribe.evaluation.words import WordErrors


def said(reference: str, setting: str, errors: int, words: int, **more: object) -> Measured:
    counted = WordErrors(words=words, lost=errors, characters=5 * words, character_errors=errors)
    group = reference.rpartition("/")[0]
    return Measured(reference, group, setting, 60.0, words=counted, **more)  # type: ignore[arg-type]


def unspaced(reference: str, setting: str, errors: int, characters: int) -> Measured:
    return Measured(reference, "ja", setting, 60.0, words=WordErrors(characters=characters, character_errors=errors))


def of(measured: list[Measured], *settings: str) -> dict[tuple[str, str], Totals]:
    return {(one.group, one.setting): one for one in totals(measured, settings or ("a",))}


def test_totals_are_sums_by_folder_and_over_all() -> None:
    found = of([said("x/1", "a", 1, 10), said("x/2", "a", 0, 90), said("y/3", "a", 5, 50)])
    assert list(found) == [("x", "a"), ("y", "a"), (ALL, "a")]
    assert found["x", "a"].rate == pytest.approx(0.01)
    assert found["x", "a"].mean_rate == pytest.approx(0.05)
    assert found[ALL, "a"].rate == pytest.approx(6 / 150)
    assert (found["x", "a"].files, found["x", "a"].seconds) == (2, 120.0)
    assert found["y", "a"].interval is None


def test_one_folder_needs_no_sum_of_all() -> None:
    assert list(of([said("x/1", "a", 1, 10), said("x/2", "a", 0, 90)])) == [("x", "a")]


def test_differences_are_to_the_first_setting_on_the_same_recordings() -> None:
    measured = [said("x/1", "a", 4, 10), said("x/2", "a", 1, 10), said("x/2", "b", 3, 10), said("x/3", "b", 9, 10)]
    found = of(measured, "a", "b")
    assert (found["x", "a"].difference, found["x", "a"].difference_interval) == (None, None)
    assert found["x", "b"].difference == pytest.approx(0.2)  # x/1 failed in b and x/3 in a: neither counts


def test_words_where_nobody_speaks_are_no_errors_of_the_others() -> None:
    silent = Measured("x/music", "x", "a", 120.0, invented=3)
    found = of([said("x/1", "a", 1, 10), silent])["x", "a"]
    assert found.rate == pytest.approx(0.1)
    assert (found.invented, found.silent_seconds, found.invented_per_minute) == (3, 120.0, 1.5)
    assert of([said("x/1", "a", 1, 10)])["x", "a"].invented_per_minute is None


def test_a_folder_without_spaces_between_words_has_a_rate_of_characters() -> None:
    found = of([unspaced("ja/1", "a", 2, 20), unspaced("ja/2", "a", 0, 20)])["ja", "a"]
    assert (found.measure, found.rate) == ("CER", 0.05)
    mixed = of([unspaced("ja/1", "a", 20, 20), said("x/1", "a", 1, 10)])[ALL, "a"]
    assert (mixed.measure, mixed.rate) == ("WER", 0.1)


def test_stems_and_coverage_are_means() -> None:
    def stem(decibels: float) -> dict[str, Distortion]:
        return {"vocals": Distortion(decibels, None, None, None, 1.0)}

    measured = [
        said("x/1", "a", 0, 1, stems=stem(4.0), coverage=0.5),
        said("x/2", "a", 0, 1, stems=stem(8.0), coverage=1.0),
        said("x/3", "a", 0, 1),
    ]
    found = of(measured)["x", "a"]
    assert found.stems["vocals"].si_sdr == 6.0
    assert found.coverage == 0.75


def test_a_setting_in_which_nothing_could_be_measured_has_no_totals() -> None:
    assert list(of([said("x/1", "a", 1, 10)], "a", "b")) == [("x", "a")]
