"""`stemscribe evaluate`: how good it is on recordings of one's own, in numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stemscribe.cli import console
from stemscribe.cli.context import job_options, memory_option, place_options, request, settings, store
from stemscribe.errors import JobError, UsageError
from stemscribe.timebase import clock

if TYPE_CHECKING:
    from stemscribe.evaluation.confidence import Interval
    from stemscribe.evaluation.figures import Evaluation, Measured, Totals
    from stemscribe.evaluation.references import Reference
    from stemscribe.pipeline.evaluation.jobs import Jobs
    from stemscribe.pipeline.evaluation.measuring import Subject
    from stemscribe.pipeline.evaluation.sources import Source
    from stemscribe.pipeline.runner import Rules
    from stemscribe.settings import Settings

_SHOWN = 8  # files that are left out are named up to so many


@click.command("evaluate")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--compare",
    "compared",
    multiple=True,
    metavar="OPTION=A,B",
    help="A column for each value of an option, e.g. asr-audio=mix,vocals. Again: every combination.",
)
@click.option("--jobs", "only_done", is_flag=True, help="Measure the jobs that are done, and run none.")
@click.option(
    "--hypotheses",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Measure what another tool made: NAME.txt, .srt, .vtt or .json, and stems in a folder NAME. Runs no job.",
)
@click.option("--no-speech", is_flag=True, help="Nobody speaks in recordings that have no text.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for evaluation.json, charts and alignments.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
@click.option("--no-cache", is_flag=True, help="Take nothing over from other jobs.")
@job_options
@memory_option
@place_options
def command(
    folder: Path,
    compared: tuple[str, ...],
    only_done: bool,
    hypotheses: tuple[Path, ...],
    no_speech: bool,
    output: Path | None,
    as_json: bool,
    no_cache: bool,
    max_ram: str | None,
    out_dir: Path | None,
    models_dir: Path | None,
    offline: bool | None,
    **flags: Any,
) -> None:
    """Measure transcripts and stems against the references in DIR.

    A reference is a recording with NAME.txt (or .srt, .vtt) beside it; a mixture.wav with true stems or a
    transcript.txt in its folder; or music without a word, in a folder called music. Folders called en, hi, ... say
    what is spoken.

    Each recording is a job like any other: what is done is not done again, and interrupted, the same command goes on.
    """
    from stemscribe.pipeline.evaluation.measuring import evaluate, references_in, subjects_of
    from stemscribe.pipeline.evaluation.results import Results
    from stemscribe.pipeline.runner import Rules

    if hypotheses and compared and not only_done:
        raise UsageError(
            "--compare is about jobs, and --hypotheses runs none.",
            hint="Add --jobs for jobs that are done beside them.",
        )
    if output is not None:
        _check_writable(output)
    chosen = settings(out_dir=out_dir, models_dir=models_dir, offline=offline, max_ram=max_ram)
    runs = not hypotheses and not only_done
    aligned: dict[str, list[str]] = {}

    def note(measured: Measured, alignment: str) -> None:
        if alignment:
            aligned.setdefault(measured.setting, []).append(f"{measured.reference}\n{alignment}")

    with console.display(brief=True) as shown:
        found = references_in(folder, no_speech=no_speech)
        sources: list[Source] = [Results(place) for place in hypotheses]
        if runs or only_done:
            rules = Rules(reuse=not no_cache, max_memory=chosen.max_ram)
            sources += _jobs(flags, compared, found.references, chosen, rules, shown, only_done=only_done)
        _check_names(sources)
        subjects, failures = subjects_of(found.references)
        for line in _overview(subjects, found.left_out, sources, runs=runs):
            console.say(line)
        tell = console.say if runs else lambda sentence: None
        evaluation = evaluate(folder, found, subjects, failures, sources, tell, note)
    if output is not None:
        _write(output, evaluation, aligned)
    if as_json:
        console.answer_json(evaluation)
    else:
        _show(evaluation, output)
    _fail(evaluation)


def _jobs(
    flags: dict[str, Any],
    compared: Sequence[str],
    references: Sequence[Reference],
    chosen: Settings,
    rules: Rules,
    shown: console.Display,
    *,
    only_done: bool,
) -> list[Jobs]:
    """A column of jobs for each setting, once it is clear that all of them can be meant."""
    from stemscribe.languages import AUTO
    from stemscribe.pipeline.evaluation.jobs import Jobs, settings_of

    asked = request(Path(), "transcribe", flags)
    language = "" if asked.source_language.lower() == AUTO else asked.source_language
    models = store(chosen, shown)
    columns = [
        Jobs(setting, chosen.out_dir, models, chosen.venv_dir, rules, shown.show, only_done=only_done)
        for setting in settings_of(asked.options, language, compared)
    ]
    for column in columns:
        column.check(references)
    return columns


def _check_writable(folder: Path) -> None:
    """Find out before hours of work whether the figures can be kept.

    Raises:
        StorageError: they cannot.
    """
    from stemscribe.records import replacing

    probe = folder / "evaluation.probe"
    with replacing(probe) as temporary:
        temporary.touch()
    probe.unlink()


def _check_names(sources: Sequence[Source]) -> None:
    names = [source.name for source in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"Two columns would be called {twice[0]}.", hint="Rename one of the folders of --hypotheses.")


def _overview(
    subjects: Sequence[Subject], left_out: Mapping[str, str], sources: Sequence[Source], *, runs: bool
) -> Iterable[str]:
    """What was taken for what, and how much it is."""
    groups: dict[str, list[Subject]] = {}
    for subject in subjects:
        groups.setdefault(subject.reference.group, []).append(subject)
    for group, members in groups.items():
        yield f"{group}: {_kinds(members)}; {_minutes(sum(one.seconds for one in members))}"
    for name, why in list(left_out.items())[:_SHOWN]:
        yield f"left out: {name} {why}"
    if len(left_out) > _SHOWN:
        yield f"left out: {len(left_out) - _SHOWN} more"
    total = sum(subject.seconds for subject in subjects)
    columns = f"{len(sources)} settings ({', '.join(source.name for source in sources)})"
    yield f"{len(subjects)} recordings, {_minutes(total)}, in {columns if len(sources) > 1 else sources[0].name}"
    if runs:
        yield (
            "what is not done yet may take as long as the recordings last, in each setting that separates anew"
            " (two cores, whisper-base); interrupted, the same command goes on"
        )


def _kinds(members: Sequence[Subject]) -> str:
    """What recordings are taken for, for example `10 with a text (en)`."""
    languages = sorted({one.reference.language or "language to be found" for one in members if one.text is not None})
    counts = (
        (sum(one.text is not None for one in members), f"with a text ({', '.join(languages)})"),
        (sum(one.reference.silent for one in members), "in which nobody speaks"),
        (sum(bool(one.reference.stems) for one in members), "with true stems"),
    )
    return ", ".join(f"{count} {kind}" for count, kind in counts if count)


def _minutes(seconds: float) -> str:
    return f"{clock(float(round(seconds))).removesuffix('.000')} of sound"


def _show(evaluation: Evaluation, output: Path | None) -> None:
    """The tables, and where there is more."""
    names = list(evaluation.settings)
    if any(one.words or one.invented is not None for one in evaluation.measured):
        rows = _file_rows(evaluation, names)
        console.answer_table(("recording", "said", *(f"errors % {name}" for name in names)), rows)
        console.answer("")
        sums = [_sum_row(totals) for totals in evaluation.totals if totals.words.characters or totals.silent_seconds]
        console.answer_table(*_without_empty(_SUMS, sums), names=2)
    if stems := [row for totals in evaluation.totals for row in _stem_rows(totals)]:
        console.answer("")
        console.answer_table(_STEMS, stems, names=3)
    console.answer("")
    for line in _LEGEND:
        console.answer(line)
    if output is not None:
        console.answer(f"\nEvery figure, and charts: {console.relative(output)}")


def _without_empty(
    headings: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A table without the columns in which nothing stands."""
    kept = [column for column in range(len(headings)) if any(row[column] for row in rows)]
    return tuple(headings[column] for column in kept), [tuple(row[column] for column in kept) for row in rows]


_SUMS = (
    *("all of", "setting", "files", "minutes", "WER %", "95 %", "mean", "CER %", "lost", "invented"),
    *("vs first", "95 %", "per min", "coverage"),
)
_STEMS = ("stems of", "setting", "stem", "SI-SDR dB", "gain", "SDR dB", "median")
_LEGEND = (
    "WER: words wrong, lost or invented, of all that were said; c: characters, where no spaces part words.",
    "per min: words a minute where nobody speaks. 95 %: where the figure lies with other recordings of the kind;",
    "a difference whose span holds 0 is none.",
)


def _file_rows(evaluation: Evaluation, names: Sequence[str]) -> list[tuple[str, ...]]:
    cells: dict[str, dict[str, str]] = {}
    said: dict[str, str] = {}
    for one in evaluation.measured:
        if one.words is not None:
            errors, whole = one.words.counted
            said[one.reference] = f"{whole}" if one.words.words else f"{whole}c"
            cells.setdefault(one.reference, {})[one.setting] = f"{100 * errors / whole:.1f}"
        elif one.invented is not None:
            said[one.reference] = "0"
            cells.setdefault(one.reference, {})[one.setting] = f"{60 * one.invented / one.seconds:.1f}/min"
    return [(name, said[name], *(row.get(setting, "–") for setting in names)) for name, row in cells.items()]


def _sum_row(totals: Totals) -> tuple[str, ...]:
    words = totals.words
    mark = "c" if totals.measure == "CER" else ""
    return (
        totals.group or "all",
        totals.setting,
        f"{totals.files}",
        f"{totals.seconds / 60:.1f}",
        _per_cent(totals.rate) + mark if totals.rate is not None else "",
        _span(totals.interval),
        _per_cent(totals.mean_rate),
        _per_cent(words.cer),
        f"{words.lost}" if words.words else "",
        f"{words.invented}" if words.words else "",
        "" if totals.difference is None else f"{100 * totals.difference:+.1f}",
        _span(totals.difference_interval, sign="+"),
        "" if totals.invented_per_minute is None else f"{totals.invented_per_minute:.1f}",
        _per_cent(totals.coverage),
    )


def _stem_rows(totals: Totals) -> Iterable[tuple[str, ...]]:
    for name, stem in totals.stems.items():
        figures = (stem.si_sdr, stem.gain, stem.sdr, stem.sdr_median)
        yield totals.group or "all", totals.setting, name, *("–" if one is None else f"{one:.1f}" for one in figures)


def _per_cent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _span(interval: Interval | None, *, sign: str = "") -> str:
    return "" if interval is None else f"{100 * interval.low:{sign}.1f} … {100 * interval.high:{sign}.1f}"


def _write(folder: Path, evaluation: Evaluation, aligned: dict[str, list[str]]) -> None:
    from stemscribe.evaluation.chart import charts
    from stemscribe.records import replacing, write_record

    write_record(folder / "evaluation.json", evaluation)
    contents = {f"{name}.svg": svg for name, svg in charts(evaluation)}
    for setting, texts in aligned.items():
        contents[f"alignments-{_file_name(setting)}.txt"] = "\n".join(texts).encode()
    for name, content in contents.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(content)


def _file_name(setting: str) -> str:
    return "".join(character if character.isalnum() or character in "-._" else "-" for character in setting)


def _fail(evaluation: Evaluation) -> None:
    """Tell what could not be measured.

    Raises:
        JobError: there is something.
    """
    if not evaluation.failures:
        return
    for failure in evaluation.failures[:_SHOWN]:
        setting = f" ({failure.setting})" if failure.setting else ""
        console.failed(JobError(f"{failure.reference}{setting}: {failure.message}", hint=failure.hint))
    count = len(evaluation.failures)
    what = "One measurement is" if count == 1 else f"{count} measurements are"
    raise JobError(
        f"{what} missing; the others are as they are above.",
        hint="evaluation.json and --json name all." if count > _SHOWN else "",
    )
