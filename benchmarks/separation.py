"""Separation side by side with Demucs: `python -m benchmarks.separation MEDIA... --json FILE --modern-python PYTHON`.

The same files and the same weights, whole processes from command to exit: our command as users run it, without the gate
that leaves out what has no voices, with HTDemucs and with the fast model; Demucs 4.0.1's own command in `venv/demucs`;
and Demucs 4.1's, in an environment made from `requirements/demucs-modern.txt` in some other folder (left out without
`--modern-python`).

Demucs runs without its random shift (`--shifts 0`): so it is a little cheaper than as it comes, and the same vocals can
be expected. All write float. Files must be WAV or FLAC, so that no ffmpeg is needed. Each program runs once on a few
seconds first: nobody pays for cold disks.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.peers import CORE, DEMUCS, EQUAL_OUTPUT, UNGATED, Demucs, Job, Stemscribe, demucs_repository, snr_db
from benchmarks.peers import versions as releases
from benchmarks.performance import (
    EXCERPT_SECONDS,
    QUICK_SECONDS,
    Conditions,
    Contest,
    Separation,
    arguments,
    excerpt,
    length,
    read_performance,
    report,
    workplace,
    write_part,
)
from benchmarks.side_by_side import Run, play

OURS = "stemscribe"
FAST = f"{OURS}, spleeter"
PINNED, MODERN = "Demucs 4.0.1", "Demucs 4.1"
FLOAT = ("--stem-subtype", "float")


@dataclass(frozen=True)
class Separated:
    """One separation: what it took, and where its vocals are."""

    run: Run
    vocals: Path
    job: Job | None = None


Program = Callable[[Path, Path], Separated]
"""Separates a file, given a fresh folder."""


def programs(work: Path, modern: Path | None, ours: Mapping[str, tuple[str, ...]]) -> dict[str, Program]:
    """Everything that separates, by name.

    Args:
        work: a folder for Demucs' weights, and for our jobs.
        modern: the Python that has Demucs 4.1, if any.
        ours: options of our command, by the name of what is run with them.
    """
    repository, jobs = demucs_repository(work / "repository"), work / "jobs"
    pinned = Demucs(DEMUCS, repository)
    found = {name: _ours(jobs, options) for name, options in ours.items()}
    found[PINNED] = _demucs(pinned, EQUAL_OUTPUT)
    if modern is not None:
        found[MODERN] = _demucs(Demucs(modern, repository), EQUAL_OUTPUT)
    return found


def _ours(jobs: Path, options: tuple[str, ...]) -> Program:
    def separate(media: Path, place: Path) -> Separated:
        job = Stemscribe(jobs).separate(media, place, *options)
        return Separated(job.run, job.answer("vocals.wav"), job)

    return separate


def _demucs(demucs: Demucs, options: tuple[str, ...]) -> Program:
    def separate(media: Path, place: Path) -> Separated:
        return Separated(*demucs.separate(media, place, *options))

    return separate


def warm_up(chosen: Mapping[str, Program], media: Path, work: Path) -> None:
    """Run every program on a few seconds, so that what they read is in memory."""
    short = excerpt(media, work / "excerpt.wav", EXCERPT_SECONDS)
    for program in chosen.values():
        program(short, _emptied(work / "warm-up"))


def contested(
    contest: Contest, media: Path, chosen: Mapping[str, Program], rounds: int, work: Path, equal: Collection[str] = ()
) -> Iterator[Contest]:
    """The contest with one more round, again and again, until it has as many as wanted.

    Args:
        contest: with the rounds that were run before.
        media: what is separated.
        chosen: the programs; the first of them is ours.
        rounds: how many there are to be.
        work: a folder for their outputs.
        equal: those whose vocals should be ours.
    """
    ours = next(iter(chosen))
    bound = {
        name: lambda name=name, program=program: program(media, _emptied(work / "runs" / name))
        for name, program in chosen.items()
    }
    for results in play(bound, rounds, done=len(contest.rounds)):
        decibels = {
            peer: min(_snr_db(results[ours], results[peer]), contest.snr_db.get(peer, float("inf")))
            for peer in chosen
            if peer in equal
        }
        runs = {name: result.run for name, result in results.items()}
        contest = replace(contest, rounds=(*contest.rounds, runs), snr_db=decibels)
        shutil.rmtree(work / "runs")
        yield contest


def _snr_db(ours: Separated, theirs: Separated) -> float:
    assert ours.job is not None
    return snr_db(ours.job, theirs.vocals)


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def versions(modern: Path | None) -> dict[str, str]:
    """Which releases are compared."""
    found = releases(CORE, "stemscribe", "openvino", "onnxruntime")
    found |= {f"{name} (pinned)": release for name, release in releases(DEMUCS, "demucs", "torch").items()}
    if modern is not None:
        found |= {f"{name} (modern)": release for name, release in releases(modern, "demucs", "torch").items()}
    return found


def measure(asked: argparse.Namespace, work: Path) -> None:
    """Every file in turn; the figures are written after each round."""
    chosen = programs(
        work, asked.modern_python, {OURS: (*UNGATED, *FLOAT), FAST: (*FLOAT, "--separation-model", "spleeter")}
    )
    if asked.modern_python is None:
        print(f"{MODERN} is left out: give --modern-python.", flush=True)
    conditions = Conditions.here(versions(asked.modern_python))
    before = read_performance(asked.json).separation if asked.resume else None
    kept = {one.media: one for one in before.contests} if before and before.conditions.match(conditions) else {}
    warm_up(chosen, asked.media[0], work)
    done: dict[str, Contest] = {}
    for media in asked.media:
        file = excerpt(media, work / f"{media.stem}.wav", QUICK_SECONDS) if asked.quick else media.resolve()
        fresh = Contest(media.stem, length(file))
        earlier = kept.get(media.stem, fresh)
        done[media.stem] = earlier if earlier.seconds == fresh.seconds else fresh
        rounds = 1 if asked.quick else asked.pairs
        for contest in contested(done[media.stem], file, chosen, rounds, work, equal=(PINNED, MODERN)):
            done[media.stem] = contest
            write_part(asked.json, separation=Separation(conditions, tuple(done.values())))
            print(report(contest, OURS), flush=True)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("media", type=Path, nargs="+", help=".wav or .flac")
    parser.add_argument("--modern-python", type=Path, help="the Python of an environment that has Demucs 4.1")
    asked = parser.parse_args()
    with workplace(asked) as work:
        measure(asked, work)


if __name__ == "__main__":
    main()
