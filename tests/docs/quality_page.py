"""Writes docs/explanation/quality.md from what was measured: `PYTHONPATH=tests python -m docs.quality_page`.

The figures are in quality.json and arbitration.json beside the page, where `python -m benchmarks.quality` and
`python -m benchmarks.arbitration` put them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.quality import Quality

from stemscribe.evaluation.figures import Evaluation, Measured, Totals
from stemscribe.records import read_record

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "quality.md"
DATA = PAGE.with_suffix(".json")
RULES = PAGE.with_name("arbitration.json")

HEADING = """# What a transcript is worth

Measured on {date}, {machine}, with Whisper base (int8): {versions}.

`auto` is stemscribe as it comes; `mix`, `vocals` and `blend` are `--asr-audio mix`, `vocals` and `blend`;
`faster-whisper` is the library alone, with its defaults, on the recording as it is. All of them know the language. Word
error rates (WER) in per cent, after lower-casing and without punctuation; repeated runs of one decoder differ by up
to a point, so only means over many files tell anything.

```
python -m benchmarks.quality ../shared/corpus --work FOLDER --json docs/explanation/quality.json
python -m benchmarks.arbitration ../shared/corpus --cache FOLDER --json docs/explanation/arbitration.json
PYTHONPATH=tests python -m docs.quality_page                                # writes this page
```

The recordings are those on which the rules were found, but for a few; what it is worth on yours,
[`stemscribe evaluate`](../how-to/evaluate.md) tells.
"""
MIX = """
## Speech under music

Four mixtures of readers and music, at 0 and −5 dB of speech against music.

"""
MUSIC = """
## Music alone

Nobody speaks or sings in these. Every word is invented.

"""
CLEAN = """
## Clean speech

{files} recordings of readers, {minutes:.1f} minutes. What needs no separation must not be harmed by it.

"""
FILM = """
## A film

The trailer of Sintel (Blender Foundation): 52 s of music, effects and titles, and four lines of dialogue.

"""
ARBITRATION = """
## How the rules were found

The same hearings of {count} mixtures (those above, and speech and music of the corpus mixed at −8 to 10 dB, every
second one with music in one half only), chosen from by different rules. *always all* never does with the mix alone;
*no pauses* chooses one hearing for a whole region; *agreement only* and *confidence first* weigh what the hearings
have in common and how sure each is of its words otherwise; the last two have fewer hearings to choose from.

"""


def page(quality: Quality, rules: Sequence[dict[str, float | str]]) -> str:
    """The whole page."""
    parts = quality.parts
    clean = _total(parts["clean speech"], "auto")
    versions = ", ".join(f"{name} {version}" for name, version in quality.versions.items())
    return "".join(
        (
            HEADING.format(date=quality.date, machine=quality.machine, versions=versions),
            MIX,
            *_rates(parts["music under speech"], by_recording=True),
            MUSIC,
            *_invented(parts["music alone"]),
            CLEAN.format(files=clean.files, minutes=clean.seconds / 60),
            *_rates(parts["clean speech"], by_recording=False),
            FILM,
            *_rates(parts["a film"], by_recording=False),
            ARBITRATION.format(count=len(rules)),
            *_rules(rules),
        )
    )


def _rates(evaluation: Evaluation, *, by_recording: bool) -> Iterator[str]:
    settings = list(evaluation.settings)
    yield f"| WER, % | words | {' | '.join(settings)} |\n| --- | ---: {'| ---: ' * len(settings)}|\n"
    if by_recording:
        for name in dict.fromkeys(one.reference for one in evaluation.measured):
            rows = {one.setting: one for one in evaluation.measured if one.reference == name}
            yield f"| {name} | {_words(rows[settings[0]])} | {' | '.join(_wer(rows[each]) for each in settings)} |\n"
    totals = [_total(evaluation, setting) for setting in settings]
    rates = " | ".join(f"{100 * (total.rate or 0):.1f}" for total in totals)
    yield f"| **all** | {totals[0].words.words} | {rates} |\n"
    if by_recording:
        yield f"| mean | | {' | '.join(f'{100 * (total.mean_rate or 0):.1f}' for total in totals)} |\n"
    yield f"| words lost | | {' | '.join(str(total.words.lost) for total in totals)} |\n"
    yield f"| words invented | | {' | '.join(str(total.words.invented) for total in totals)} |\n"
    yield f"| voices accounted for, % | | {' | '.join(_coverage(total) for total in totals)} |\n"


def _invented(evaluation: Evaluation) -> Iterator[str]:
    settings = list(evaluation.settings)
    yield f"| words invented | seconds | {' | '.join(settings)} |\n| --- | ---: {'| ---: ' * len(settings)}|\n"
    for name in dict.fromkeys(one.reference for one in evaluation.measured):
        rows = {one.setting: one for one in evaluation.measured if one.reference == name}
        cells = " | ".join(str(rows[each].invented) for each in settings)
        yield f"| {name} | {rows[settings[0]].seconds:.0f} | {cells} |\n"
    totals = [_total(evaluation, setting) for setting in settings]
    rates = " | ".join(f"{total.invented_per_minute or 0:.1f}" for total in totals)
    yield f"| **a minute** | {totals[0].silent_seconds:.0f} | {rates} |\n"


def _rules(rows: Sequence[dict[str, float | str]]) -> Iterator[str]:
    columns = [column for column in rows[0] if column != "mixture"]
    means = {column: sum(float(row[column]) for row in rows) / len(rows) for column in columns}
    yield "| chosen by | mean WER, % | worst against the better of mix and vocals |\n| --- | ---: | ---: |\n"
    for column in columns:
        worst = max(float(row[column]) - min(float(row["mix"]), float(row["vocals"])) for row in rows)
        yield f"| {column} | {means[column]:.1f} | {worst:+.1f} |\n"


def _total(evaluation: Evaluation, setting: str) -> Totals:
    return next(total for total in reversed(evaluation.totals) if total.setting == setting)


def _words(one: Measured) -> int:
    return one.words.words if one.words else 0


def _wer(one: Measured) -> str:
    return f"{100 * one.words.wer:.1f}" if one.words and one.words.wer is not None else ""


def _coverage(total: Totals) -> str:
    return "" if total.coverage is None else f"{100 * total.coverage:.1f}"


def rows() -> list[dict[str, float | str]]:
    """What the rules of arbitration gave."""
    found: list[dict[str, float | str]] = json.loads(RULES.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    PAGE.write_text(page(read_record(DATA, Quality), rows()), encoding="utf-8")
