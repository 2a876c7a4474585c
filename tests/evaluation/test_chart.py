from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from stemscribe.evaluation.chart import charts
from stemscribe.evaluation.distortion import Distortion
from stemscribe.evaluation.figures import Evaluation, Measured, totals
from stemscribe.evaluation.words import WordErrors


def evaluation(*measured: Measured) -> Evaluation:
    settings = dict.fromkeys(one.setting for one in measured)
    return Evaluation("x", settings, measured, tuple(totals(measured, list(settings))), (), {})


def said(reference: str, setting: str, errors: int) -> Measured:
    return Measured(reference, "x", setting, 60.0, words=WordErrors(words=40, lost=errors, characters=1))


def texts(svg: bytes) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]  # noqa: S314


def test_each_recording_has_a_bar_for_each_setting_and_the_sum_comes_first() -> None:
    measured = (said("x/<one>", "mix", 4), said("x/<one>", "vocals", 2), said("x/दो", "mix", 0))
    ((name, svg),) = charts(evaluation(*measured))
    assert name == "errors"
    shown = texts(svg)
    assert {"x/<one>", "x/दो", "all", "10.0", "5.0", "0.0"} <= set(shown)
    assert shown.index("x/दो") < shown.index("x/<one>") < shown.index("all")  # from the bottom up


def test_each_folder_has_its_sum() -> None:
    other = replace(said("y/three", "mix", 0), group="y")
    ((_, svg),) = charts(evaluation(said("x/one", "mix", 4), said("x/two", "mix", 0), other))
    assert {"all", "all of x"} <= set(texts(svg))
    assert "all of y" not in texts(svg)  # one recording is no sum


def test_figures_of_another_unit_have_a_chart_of_their_own() -> None:
    silent = Measured("x/music", "x", "mix", 120.0, invented=3)
    stem = replace(said("x/one", "mix", 1), stems={"vocals": Distortion(7.25, None, None, None, 1.0)})
    found = dict(charts(evaluation(silent, stem)))
    assert list(found) == ["errors", "invented", "stems"]
    assert {"x/music", "1.5"} <= set(texts(found["invented"]))
    assert {"x/one: vocals", "7.2"} <= set(texts(found["stems"]))


def test_a_chart_fetches_nothing_runs_nothing_and_is_the_same_again() -> None:
    ((_, svg),) = charts(evaluation(said("x/one", "mix", 1)))
    assert b"script" not in svg
    assert b"href=" not in svg
    assert svg == next(charts(evaluation(said("x/one", "mix", 1))))[1]


def test_nothing_measured_gives_no_chart() -> None:
    assert list(charts(evaluation())) == []
