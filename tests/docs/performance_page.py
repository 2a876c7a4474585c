"""Writes docs/explanation/performance.md and its charts from what was measured: `PYTHONPATH=tests python -m
docs.performance_page`.

The figures are in performance.json beside the page, where the benchmarks put them, each its own part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from textwrap import fill
from xml.etree import ElementTree

from benchmarks.performance import (
    PART,
    Conditions,
    Contest,
    Overlap,
    Performance,
    Pipeline,
    Scaling,
    Separation,
    Shares,
    read_performance,
)
from benchmarks.pipeline import NAIVE, NAIVE_DEMUCS, OURS, SEPARATION, SEPARATION_FOR_STEMS
from benchmarks.scaling import named
from benchmarks.separation import OURS as OUR_SEPARATION
from benchmarks.side_by_side import Spread, spread

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "performance.md"
DATA = PAGE.with_suffix(".json")

HEADING = """# What it costs

Whole processes, from command to exit, run in turn on the same files with the same weights, on a CPU: what ours takes is
told as a share of what the other takes, round by round: the median, and from the lowest to the highest. Below 1 ours is
cheaper. Seconds are medians; on another machine they are others. Memory is the most that was resident at a time, of all
processes of a program together.

```
python -m benchmarks.film ../shared/corpus FILM.wav --minutes 1             # something like a film's sound
python -m benchmarks.separation FILM.wav ... --json docs/explanation/performance.json --modern-python PYTHON
python -m benchmarks.pipeline ../shared/corpus --json docs/explanation/performance.json
python -m benchmarks.scaling ../shared/corpus --json docs/explanation/performance.json
python -m benchmarks.overlap ../shared/corpus --json docs/explanation/performance.json
python -m benchmarks.profile FILM.wav --json docs/explanation/performance.json
PYTHONPATH=tests python -m docs.performance_page                            # writes this page
```

No film of those is committed: they are made from a corpus of readers and music, always the same from the same seed.
"""
SEPARATION_HEADING = """
## Separation

Two stems by HTDemucs, every window of the file separated (`--gate off`), against Demucs' own command with the same
weights. `Demucs` runs without its random shift (`--shifts 0 --float32`), which makes it a little cheaper than as it
comes, and its output comparable: *SNR* is how far the difference between both vocals is below them, at least.

{conditions}
"""
PIPELINE_HEADING = """
## A whole job

Our job, from the film to the transcript, as it comes and without the gate (`--gate off`). *{naive}*
is what a short script does with Demucs 4.0.1 and faster-whisper's defaults; *faster-whisper on the mix* is the latter
alone. Whisper base in int8 for all. WER: in per cent, against what is said. What has one value instead of three ran in
the first round only.

{film}: readers, alone and over music; music; quiet. For {spoken:.0f} % of the time somebody speaks. {conditions}
"""
GATE = """The gate leaves out windows without voices. Our separation alone, from command to exit, takes {separation} of
what Demucs' command takes where windows overlap as for transcripts (`--quality fast`), and {for_stems} where they
overlap as in Demucs; the separation stage of the job takes {stage} of what it takes without the gate. Taking the
transcript of the ungated job for what was said, that of the gated one has a WER of {words:.2f} %. {vocals}"""
SCALING_HEADING = """
## Cost against length

`--separation-model {model}`, every window separated.

{conditions}
"""
CHARTS = """
![Seconds by minutes of film](performance-seconds.svg)

![Peak memory by minutes of film](performance-memory.svg)
"""
OVERLAP_HEADING = """
## Less overlap

{mixtures} mixtures of speech and music whose voices are known: SI-SDR and SDR of the vocals in dB, in the mean. Time
goes with the number of windows.

{conditions}

| | overlap, % | windows | SI-SDR | SDR |
| --- | ---: | ---: | ---: | ---: |
"""
EDGES_HEADING = """
What overlap is for: near the ends of a window HTDemucs hears less of what is around. How much more is wrong there than
where the same sound lies in the middle of another window:

| from the end | more is wrong by |
| --- | ---: |
"""
SHARES_HEADING = """
## Where the time goes

{media}: {film:.0f} s of sound, separated in {seconds:.1f} s, from the film to the stems that were read back; loading
the model took {loading:.1f} s more. Here all was done one after the other; in a job, most of it happens while the model
works. The model ran for {model:.1f} % of the time; the rest:

{conditions}

| what | seconds | share, % |
| --- | ---: | ---: |
"""


def page(performance: Performance) -> str:
    """The whole page; a part that was not measured has no section."""
    parts: list[str] = [HEADING]
    if performance.separation:
        parts += _separation(performance.separation)
    if performance.pipeline:
        parts += _pipeline(performance.pipeline)
    if performance.scaling:
        parts += _scaling(performance.scaling)
    if performance.overlap:
        parts += _overlap(performance.overlap)
    if performance.shares:
        parts += _shares(performance.shares)
    return "".join(parts)


def charts(scaling: Scaling) -> Mapping[str, bytes]:
    """The charts of the page by file name: what each program takes, by minutes of film."""
    return {
        "performance-seconds.svg": _lines("Seconds by minutes of film", "seconds", _points(scaling, "seconds", 1)),
        "performance-memory.svg": _lines("Peak memory by minutes of film", "GB", _points(scaling, "peak_bytes", 1e9)),
    }


def _separation(part: Separation) -> Iterator[str]:
    yield SEPARATION_HEADING.format(conditions=_conditions(part.conditions))
    for contest in part.contests:
        yield f"\n### {contest.seconds:.0f} s of sound\n\n"
        yield from _table(contest, OUR_SEPARATION)


def _pipeline(part: Pipeline) -> Iterator[str]:
    yield PIPELINE_HEADING.format(
        film=part.contest.media,
        spoken=100 * part.spoken,
        naive=NAIVE,
        conditions=_conditions(part.conditions),
    )
    yield "\n"
    wer = {name: 100 * median(one.wer or 0.0 for one in errors) for name, errors in part.words.items()}
    yield from _table(part.contest, OURS, wer)
    stage = [gated / ungated for gated, ungated in (one.stage_seconds for one in part.gate)]
    told = GATE.format(
        separation=_shown(part.contest.ratio(SEPARATION, NAIVE_DEMUCS)),
        for_stems=_shown(part.contest.ratio(SEPARATION_FOR_STEMS, NAIVE_DEMUCS)),
        stage=_shown(spread(stage)),
        words=100 * median(one.words.wer or 0.0 for one in part.gate),
        vocals=_vocals(part),
    )
    yield f"\n{fill(told, 120)}\n"


def _vocals(part: Pipeline) -> str:
    seconds = part.gate[-1].separated_seconds
    if seconds is None:
        return ""
    share = f"{100 * seconds / part.contest.seconds:.0f} % of the film was separated; there "
    decibels = [one.snr_db for one in part.gate if one.snr_db is not None]
    if not decibels:
        return share + "both jobs have the same vocals, sample by sample."
    return share + f"the difference between both jobs' vocals is {min(decibels):.0f} dB below them."


def _scaling(part: Scaling) -> Iterator[str]:
    yield SCALING_HEADING.format(model=part.model, conditions=_conditions(part.conditions))
    names = dict.fromkeys(name for contest in part.contests for one in contest.rounds for name in one)
    yield f"\n| | {' | '.join(contest.media for contest in part.contests)} |\n"
    yield f"| --- |{' ---: |' * len(part.contests)}\n"
    for name in names:
        yield f"| {name} | {' | '.join(_cost(contest, name) for contest in part.contests)} |\n"
    for name in names:
        if name != named(part.model):
            ratios = (_shown(contest.ratio(named(part.model), name)) for contest in part.contests)
            yield f"| {part.model} against {name} | {' | '.join(ratios)} |\n"
    yield CHARTS


def _cost(contest: Contest, name: str) -> str:
    seconds, memory = contest.taken(name), contest.taken(name, "peak_bytes")
    return f"{seconds.median:.1f} s, {memory.median / 1e9:.2f} GB" if seconds and memory else ""


def _overlap(part: Overlap) -> Iterator[str]:
    yield OVERLAP_HEADING.format(mixtures=part.mixtures, conditions=_conditions(part.conditions))
    for row in part.rows:
        name, share = f"{row.model}, `{row.quality}`", 100 * row.overlap
        yield f"| {name} | {share:.0f} | {row.windows} | {row.si_sdr:.2f} | {row.sdr:.2f} |\n"
    if part.edges:
        yield EDGES_HEADING
    for edge in part.edges:
        yield f"| {edge.start:.1f} to {edge.end:.1f} s | {edge.error_db:.1f} dB |\n"


def _shares(part: Shares) -> Iterator[str]:
    yield SHARES_HEADING.format(
        media=part.media,
        film=part.film_seconds,
        seconds=part.seconds,
        loading=part.loading_seconds,
        model=100 * (1 - part.beside_the_model),
        conditions=_conditions(part.conditions),
    )
    for name, seconds in part.parts.items():
        yield f"| {name} | {seconds:.2f} | {100 * seconds / part.seconds:.1f} |\n"
    yield f"| **all of that** | {part.seconds - part.model_seconds:.2f} | {100 * part.beside_the_model:.1f} |\n"


def _conditions(conditions: Conditions) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in conditions.versions.items())
    return f"Measured on {conditions.date}, {conditions.machine}: {versions}."


def _table(contest: Contest, ours: str, wer: Mapping[str, float] | None = None) -> Iterator[str]:
    """A program a row: what it took, and what ours took in relation to it."""
    rounds = len(contest.rounds)
    yield f"{rounds} {'round' if rounds == 1 else 'rounds'}.\n\n"
    last = "SNR, dB" if wer is None else "WER, %"
    yield f"| | seconds | ours / its time | ours / its CPU time | GB | ours / its memory | {last} |\n"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    figures = contest.snr_db if wer is None else wer
    for name in dict.fromkeys(name for one in contest.rounds for name in one):
        seconds, memory = contest.taken(name), contest.taken(name, "peak_bytes")
        assert seconds is not None
        assert memory is not None
        alone = name == ours or name.startswith(PART)
        time, cpu, space = (
            "" if alone else _shown(contest.ratio(ours, name, of)) for of in ("seconds", "cpu_seconds", "peak_bytes")
        )
        figure = f"{figures[name]:.1f}" if name in figures else ""
        label = f"**{name}**" if name == ours else name
        yield f"| {label} | {seconds.median:.1f} | {time} | {cpu} | {memory.median / 1e9:.2f} | {space} | {figure} |\n"


def _shown(value: Spread | None) -> str:
    if value is None:
        return ""
    is_one = value.lowest == value.highest
    return f"{value.median:.2f}" if is_one else f"{value.median:.2f} ({value.lowest:.2f} to {value.highest:.2f})"


Points = Mapping[str, Sequence[tuple[float, float]]]


def _points(scaling: Scaling, of: str, unit: float) -> Points:
    found: dict[str, list[tuple[float, float]]] = {}
    for contest in scaling.contests:
        for name in dict.fromkeys(name for one in contest.rounds for name in one):
            value = contest.taken(name, of)
            assert value is not None
            found.setdefault(name, []).append((round(contest.seconds / 60, 3), round(value.median / unit, 3)))
    return found


def _lines(title: str, unit: str, points: Points) -> bytes:
    import pygal
    from pygal.style import Style

    style = Style(
        background="white",
        plot_background="white",
        colors=("#4477aa", "#ee6677", "#228833"),  # Paul Tol's, as in `stemscribe.evaluation.chart`
        font_family="sans-serif",
    )
    chart = pygal.XY(
        style=style,
        js=(),  # nothing is fetched from anywhere, and nothing runs
        no_prefix=True,  # else the same figures give other files
        title=title,
        x_title="minutes of film",
        y_title=unit,
        width=800,
        height=420,
        legend_at_bottom=True,
        truncate_legend=-1,
        include_x_axis=True,
        range=(0, max(value for series in points.values() for _, value in series)),
        xrange=(0, max(minutes for series in points.values() for minutes, _ in series)),
    )
    for name, series in points.items():
        chart.add(name, series)
    tree = chart.render_tree()
    for parent in list(tree.iter()):
        for child in [child for child in parent if str(child.tag).endswith("script")]:
            parent.remove(child)
    return bytes(ElementTree.tostring(tree, encoding="utf-8", xml_declaration=True))


if __name__ == "__main__":
    measured = read_performance(DATA)
    PAGE.write_text(page(measured), encoding="utf-8")
    for name, content in (charts(measured.scaling) if measured.scaling else {}).items():
        PAGE.with_name(name).write_bytes(content)
