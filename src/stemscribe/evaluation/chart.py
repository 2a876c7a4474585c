"""Bars of what was measured, as SVG: recording by recording, a bar for each setting, with the sums first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from xml.etree import ElementTree

from stemscribe.evaluation.figures import Evaluation, Measured, Totals

_WIDTH, _BAR, _GAP, _FRAME = 1000, 16, 16, 150  # pixels
_COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")  # Paul Tol's, told apart by everybody
Rows = dict[str, dict[str, float]]


def charts(evaluation: Evaluation) -> Iterator[tuple[str, bytes]]:
    """The charts that an evaluation gives rise to: name and SVG of each.

    `errors` has the error rates, `invented` the words over recordings in which nobody speaks, `stems` the decibels.
    """
    settings = list(evaluation.settings)
    errors = _rows(evaluation, _sum_of_errors, _errors)
    invented = _rows(evaluation, lambda totals: totals.invented_per_minute, _invented)
    if errors:
        yield "errors", _bars("Errors, in per cent of what was said", "%", errors, settings)
    if invented:
        yield "invented", _bars("Words invented where nobody speaks", "words a minute", invented, settings)
    if stems := _stem_rows(evaluation):
        yield "stems", _bars("Stems against the true ones: SI-SDR", "dB", stems, settings)


def _errors(measured: Measured) -> float | None:
    errors, whole = measured.words.counted if measured.words else (0, 0)
    return 100 * errors / whole if whole else None


def _sum_of_errors(totals: Totals) -> float | None:
    return None if totals.rate is None else 100 * totals.rate


def _invented(measured: Measured) -> float | None:
    return None if measured.invented is None else 60 * measured.invented / measured.seconds


def _rows(
    evaluation: Evaluation, of_all: Callable[[Totals], float | None], of_one: Callable[[Measured], float | None]
) -> Rows:
    rows: Rows = {}
    several = len({totals.group for totals in evaluation.totals}) > 1
    for totals in evaluation.totals:
        if totals.files > 1 and (value := of_all(totals)) is not None:
            name = f"all of {totals.group}" if totals.group and several else "all"
            rows.setdefault(name, {})[totals.setting] = value
    for measured in evaluation.measured:
        if (value := of_one(measured)) is not None:
            rows.setdefault(measured.reference, {})[measured.setting] = value
    return rows


def _stem_rows(evaluation: Evaluation) -> Rows:
    rows: Rows = {}
    for measured in evaluation.measured:
        for name, stem in measured.stems.items():
            if stem.si_sdr is not None:
                rows.setdefault(f"{measured.reference}: {name}", {})[measured.setting] = stem.si_sdr
    return rows


def _bars(title: str, unit: str, rows: Mapping[str, Mapping[str, float]], settings: Sequence[str]) -> bytes:
    """One chart; the first row is at the top."""
    import pygal
    from pygal.style import Style

    style = Style(
        background="white",
        plot_background="white",
        foreground="#333333",
        foreground_strong="#111111",
        foreground_subtle="#cccccc",
        guide_stroke_color="#dddddd",
        major_guide_stroke_color="#dddddd",
        colors=_COLOURS,
        opacity="1",
        font_family="sans-serif",
        label_font_size=12,
        major_label_font_size=12,
        value_font_size=11,
        legend_font_size=13,
        title_font_size=16,
    )
    chart = pygal.HorizontalBar(
        style=style,
        js=(),  # nothing is fetched from anywhere, and nothing runs
        no_prefix=True,  # else every chart has a random id, and the same figures give other files
        title=title,
        x_title=unit,
        width=_WIDTH,
        height=_FRAME + len(rows) * (_GAP + _BAR * len(settings)),
        margin=20,
        legend_at_bottom=True,
        legend_at_bottom_columns=max(1, len(settings)),
        show_legend=len(settings) > 1,
        print_values=True,
        print_zeroes=True,
        truncate_label=-1,
        truncate_legend=-1,
        include_x_axis=True,
        formatter=lambda value: f"{value:.1f}",
    )
    chart.x_labels = list(rows)[::-1]
    for setting in settings:
        chart.add(setting, [row.get(setting) for row in rows.values()][::-1])
    return _without_scripts(chart.render_tree())


def _without_scripts(tree: ElementTree.Element) -> bytes:
    """An SVG that does nothing but show: pygal puts its settings into a script even where none is to use them."""
    for parent in list(tree.iter()):
        for child in [child for child in parent if str(child.tag).endswith("script")]:  # comments have no name
            parent.remove(child)
    return bytes(ElementTree.tostring(tree, encoding="utf-8", xml_declaration=True))
