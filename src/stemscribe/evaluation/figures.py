"""From what was measured in each recording to what can be said of all: totals by folder and by setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stemscribe.evaluation.confidence import Interval, difference_interval, rate_interval
from stemscribe.evaluation.distortion import Distortion, mean_distortion
from stemscribe.evaluation.words import WordErrors, total
from stemscribe.timebase import Seconds

Measure = Literal["WER", "CER"]
ALL = ""  # the name of the group that holds everything


@dataclass(frozen=True)
class Measured:
    """One recording in one setting.

    Attributes:
        reference: the recording's name.
        group: the folder that it is counted with.
        setting: the name of the setting.
        seconds: how long the recording is.
        language: as it was asked for; `auto` where it was to be found.
        words: the errors of its transcript; `None` where there is no text to compare with.
        invented: the words that were written although nobody speaks; `None` where somebody does.
        stems: how far stems are from the true ones, by name.
        coverage: the share of voiced seconds that the job's ledger accounts for; `None` where there is none.
        job: the job that it was measured in; empty where it was not one of ours.
    """

    reference: str
    group: str
    setting: str
    seconds: Seconds
    language: str = ""
    words: WordErrors | None = None
    invented: int | None = None
    stems: Mapping[str, Distortion] = field(default_factory=dict)
    coverage: float | None = None
    job: str = ""


@dataclass(frozen=True)
class Failure:
    """One recording that could not be measured in one setting, and why."""

    reference: str
    setting: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Totals:
    """All recordings of a group in one setting.

    Attributes:
        group: the folder; empty for everything.
        setting: the name of the setting.
        files: how many recordings were measured.
        seconds: how long they are.
        measure: what `rate` is: of words, or of characters where the group has no words that spaces part.
        rate: the errors of all, against all that was said; `None` where nothing was.
        interval: where the rate lies with other recordings of this kind; `None` with fewer than two.
        mean_rate: the mean of the rates of single recordings, in which short ones count as much as long ones.
        difference: the rate, less that of the first setting on the same recordings; `None` for the first setting.
        difference_interval: where the difference lies; one that holds zero tells of no difference.
        words: all errors of recordings in which somebody speaks.
        silent_seconds: how long the recordings are in which nobody speaks.
        invented: the words that were written in those.
        invented_per_minute: of those; `None` where there are none.
        stems: the mean of the recordings, by stem.
        coverage: the mean of the recordings that have a ledger.
    """

    group: str
    setting: str
    files: int
    seconds: Seconds
    measure: Measure
    rate: float | None
    interval: Interval | None
    mean_rate: float | None
    difference: float | None
    difference_interval: Interval | None
    words: WordErrors
    silent_seconds: Seconds
    invented: int
    invented_per_minute: float | None
    stems: Mapping[str, Distortion]
    coverage: float | None


@dataclass(frozen=True)
class Evaluation:
    """Everything that was measured; `evaluation.json` is this.

    Attributes:
        folder: where the references are.
        settings: what is asked of the jobs of each setting, or the folder that its results were read from.
        measured: recording by recording, setting by setting.
        totals: by folder and setting; those of everything come last.
        failures: what could not be measured.
        left_out: the files that are no references, with the reason.
        normalisation: what was done to texts before they were compared.
    """

    folder: str
    settings: Mapping[str, object]
    measured: tuple[Measured, ...]
    totals: tuple[Totals, ...]
    failures: tuple[Failure, ...]
    left_out: Mapping[str, str]
    normalisation: str = (
        "NFKC, lower case; Unicode categories P, S and C removed; dashes part words; no numbers spelt out"
    )
    version: int = 1


def totals(measured: Sequence[Measured], settings: Sequence[str]) -> Iterator[Totals]:
    """The totals of each group in each setting, and, where there are several groups, of everything.

    Args:
        measured: in any order.
        settings: their names, in the order in which they are shown; the others are compared with the first.
    """
    groups = list(dict.fromkeys(one.group for one in measured))
    for group in groups:
        yield from _by_setting(group, [one for one in measured if one.group == group], settings)
    if len(groups) > 1:
        yield from _by_setting(ALL, measured, settings)


def _by_setting(group: str, measured: Sequence[Measured], settings: Sequence[str]) -> Iterator[Totals]:
    first = [one for one in measured if one.setting == settings[0]]
    for setting in settings:
        these = [one for one in measured if one.setting == setting]
        if these:
            yield _totals(group, setting, these, [] if setting == settings[0] else first)


def _totals(group: str, setting: str, measured: Sequence[Measured], first: Sequence[Measured]) -> Totals:
    measure, errors = _comparable(measured)
    rates = [found[0] / found[1] for found in errors.values()]
    difference, interval = _difference(errors, _comparable(first)[1])
    silent = [one for one in measured if one.invented is not None]
    silent_seconds, invented = sum(one.seconds for one in silent), sum(one.invented or 0 for one in silent)
    coverages = [one.coverage for one in measured if one.coverage is not None]
    return Totals(
        group=group,
        setting=setting,
        files=len(measured),
        seconds=sum(one.seconds for one in measured),
        measure=measure,
        rate=_rate(errors.values()),
        interval=rate_interval(list(errors.values())),
        mean_rate=_mean(rates),
        difference=difference,
        difference_interval=interval,
        words=total(one.words for one in measured if one.words is not None),
        silent_seconds=silent_seconds,
        invented=invented,
        invented_per_minute=60 * invented / silent_seconds if silent_seconds else None,
        stems=_stems(measured),
        coverage=_mean(coverages),
    )


def _comparable(measured: Sequence[Measured]) -> tuple[Measure, dict[str, tuple[int, int]]]:
    """What the rate of a group is about, and the counts of each recording that has it.

    Errors of words and of characters cannot be added: where a group has both, the recordings with words count.
    """
    found = {one.reference: one.words for one in measured if one.words is not None}
    spaced = {name: words.counted for name, words in found.items() if words.words}
    if spaced or not found:
        return "WER", spaced
    return "CER", {name: words.counted for name, words in found.items()}


def _difference(
    errors: Mapping[str, tuple[int, int]], first: Mapping[str, tuple[int, int]]
) -> tuple[float | None, Interval | None]:
    """By how much a rate differs from that of the first setting, on the recordings that both have."""
    names = [name for name in errors if name in first]
    if not names:
        return None, None
    these, those = [errors[name] for name in names], [first[name] for name in names]
    rate, other = _rate(these), _rate(those)
    assert rate is not None
    assert other is not None
    return rate - other, difference_interval(these, those)


def _stems(measured: Sequence[Measured]) -> dict[str, Distortion]:
    names = dict.fromkeys(name for one in measured for name in one.stems)
    return {name: mean_distortion(one.stems[name] for one in measured if name in one.stems) for name in names}


def _rate(counts: Iterable[tuple[int, int]]) -> float | None:
    errors, whole = (sum(column) for column in zip(*counts, strict=True)) if (counts := list(counts)) else (0, 0)
    return errors / whole if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
