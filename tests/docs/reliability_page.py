"""Writes docs/explanation/reliability.md from what the harness saw: `cd tests && python -m docs.reliability_page`.

The figures are in reliability.json beside the page, where `python -m faults --json` puts them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from faults.report import Real, Report, Row
from stemscribe.records import read_record

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "reliability.md"
DATA = PAGE.with_suffix(".json")
HEADING = """# What happens when something goes wrong

**{faults} faults in {trials} jobs, {broken} broken promises.** On {date}, {machine}, Python {python}, in {minutes} min,
seed {seed}.

Whatever happens, what was computed stays, and what is wrong is said early and plainly. That is easily said. A
harness (`tests/faults/`) breaks jobs on purpose, and looks. Each trial is a job of its own: real processes, real
files, the real command line, decoder, journal, writers, runner and speech detector. In place of the two large models
stands arithmetic, so that a window takes a hundredth of a second and hundreds of jobs can be broken in minutes; the
process that rehearses a job has it, too. After the fault the same command runs again.

```
cd tests
python -m faults --faults 500 --real --json ../docs/explanation/reliability.json   # breaks, and measures
python -m docs.reliability_page                                                     # writes this page
```

The ordinary tests carry out a sample with every kind in it. They also tamper with jobs behind the harness's back,
and it has to notice.

## What has to hold after every fault

1. **No file that is not whole.** Every file with its final name is, byte for byte, that of the undisturbed run, at once
   and not only in the end; and what the manifest calls completed is there, with its hash.
2. **Nothing is computed again beyond what was under way**: two windows (on a GPU, two batches of them), or three
   regions, for each fault. They are counted by the models themselves, over all runs of the job. A stage that was
   completed is not run again.
3. **The end result is the same, bit by bit**: mix, stems, regions, segments, transcript, SRT, WebVTT, text, and the
   record of the separation. No file is too much.
4. **The message says what happened and what to do**: `[ERROR]`, the evidence, and a hint below it. Never a traceback.
5. **The exit code is as designed**: 0 done, 1 the job failed, 2 wrong usage, 130 interrupted.
6. **It ends**, within a minute, where the job takes two seconds.
7. **Nothing is left behind** in the finished job: no draft, no scratch, no rehearsal.
8. **Nothing is written outside of `out/`.**

## What was broken, where, and what came of it

Columns: *before*, the start and the rehearsal; then the stages, with *finalising* from the last window to the finished
stems; *around*, between stages, between two runs, or where the stage does not matter. A job may meet several faults.

A *power cut* is acted out at a chosen point: what was written and not flushed is lost, cut short or turned to zeros,
what was renamed or made in a folder that was not flushed is undone or not, by lot, and the process is killed. A *crash
point* is before, after, or in the middle of anything that a run does to a file: {points} of them were tried.
"""
REAL = """
## One real film

`{film}` with the real models (HTDemucs, Silero, Whisper base), fresh interpreters and the rehearsal as it is, killed
{kills} times at random: {met}. Of its {windows} windows, {again} that had been committed were computed again. {verdict}
It took {minutes} min.
"""
CLOSING = """
## What is not covered

- A disk that dies, or that says it has flushed what it has not. The journal would notice by its checksums, and compute
  again; nothing could bring back what is gone.
- Power cuts are acted out after the rules of POSIX, in the program; nobody pulled a plug.
- Windows and macOS: kills, mounts and limits here are those of Linux.
- Network drives: file locks and flushes there are as good as the drive.
- Memory that runs out is acted out by `MemoryError` and by killing the worker; the kernel's own choice of whom to
  kill was not provoked.
"""
COLUMNS = (
    ("before", ("start", "rehearsal", "rehearsed")),
    ("demux", ("demux",)),
    ("separation", ("source_separation",)),
    ("finalising", ("finalising",)),
    ("detection", ("speech_detection",)),
    ("asr", ("asr",)),
    ("export", ("export",)),
    ("around", ()),
)
POINTS = ("SIGKILL at a crash point", "power cut at a crash point")


def page(report: Report) -> str:
    """The whole page."""
    return (
        HEADING.format(
            faults=report.faults,
            trials=report.trials,
            broken=report.broken or "no",
            date=report.date,
            machine=report.machine,
            python=report.python,
            minutes=round(report.seconds / 60),
            seed=report.seed,
            points=sum(row.count for row in report.rows if row.fault in POINTS),
        )
        + "".join(_tables(report.rows))
        + "".join(f"\nNot tried: {fault} ({why}).\n" for fault, why in report.skipped.items())
        + (_real(report.real) if report.real else "")
        + CLOSING
    )


def _tables(rows: tuple[Row, ...]) -> Iterator[str]:
    names = " | ".join(name for name, _ in COLUMNS)
    for group, members in groupby(rows, key=lambda row: row.group):
        yield f"\n### {group.capitalize()}\n\n| fault | the process | then | {names} |\n| --- | --- | --- "
        yield "| ---: " * len(COLUMNS) + "|\n"
        counts: dict[tuple[str, str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for row in members:
            counts[row.fault, row.ended, row.then][_column(row.stage)] += row.count
        for (fault, ended, then), by_column in counts.items():
            cells = " | ".join(str(by_column.get(name, "")) for name, _ in COLUMNS)
            yield f"| {fault} | {ended} | {then} | {cells} |\n"


def _column(stage: str) -> str:
    return next((name for name, stages in COLUMNS if stage in stages), COLUMNS[-1][0])


def _real(real: Real) -> str:
    same = f"All {len(real.compared)} files are those of the undisturbed run, byte for byte:"
    verdict = f"{same} {', '.join(real.compared)}." if not real.differing else f"Other: {', '.join(real.differing)}."
    met = ", ".join(f"{stage} {count}" for stage, count in sorted(real.met.items(), key=lambda item: -item[1]))
    return REAL.format(
        film=real.film,
        kills=real.kills,
        met=met,
        again=real.windows_again or "none",
        windows=real.windows,
        verdict=verdict,
        minutes=round(real.seconds / 60),
    )


if __name__ == "__main__":
    PAGE.write_text(page(read_record(DATA, Report)), encoding="utf-8")
