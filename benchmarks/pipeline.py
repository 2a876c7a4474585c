"""Whole jobs side by side with what a short script does: `python -m benchmarks.pipeline ../shared/corpus --json FILE`.

On a film made for the purpose (`benchmarks.film`), in turn, whole processes from command to exit: our job from the film
to the transcript, and the same without the gate; Demucs 4.0.1's command and then plain faster-whisper on its vocals;
plain faster-whisper on the mix; and our separation alone, with as much overlap as transcripts get, and with Demucs'
own. All hear with Whisper base in int8 and know the language.
Demucs runs without its random shift, which makes it a little cheaper. What all of them write is compared with what is
said, and our two transcripts and vocals with each other. The job without the gate, faster-whisper on the mix, and the
separation with Demucs' overlap run in the first round only.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from benchmarks.film import SEED, Corpus, spoken_share, write_film
from benchmarks.peers import CORE, DEMUCS, UNGATED, VOCALS, Demucs, Job, Stemscribe, demucs_repository, whisper
from benchmarks.peers import versions as releases
from benchmarks.performance import (
    EXCERPT_SECONDS,
    PART,
    Conditions,
    Contest,
    Gate,
    Pipeline,
    arguments,
    excerpt,
    length,
    read_performance,
    report,
    workplace,
    write_part,
)
from benchmarks.side_by_side import Run, play

from stemscribe.audio.source import BLOCK_FRAMES, AudioSource
from stemscribe.evaluation.words import word_errors
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.separation.windows import WindowPlan

OURS, UNGATED_JOB = "stemscribe", "stemscribe, no gate"
SEPARATION, SEPARATION_FOR_STEMS = "stemscribe, separation as for transcripts", "stemscribe, separation as for stems"
AS_FOR_TRANSCRIPTS = ("--quality", "fast")  # what the job takes of itself
NAIVE, NAIVE_DEMUCS, NAIVE_WHISPER = "Demucs, then faster-whisper", f"{PART}Demucs", f"{PART}faster-whisper"
ON_THE_MIX = "faster-whisper on the mix"
FOR_COMPARISON = (UNGATED_JOB, ON_THE_MIX, SEPARATION_FOR_STEMS)
AS_CHEAP_AS_CAN_BE = ("--shifts", "0")
QUICK_MINUTES = 0.25
SEPARATION_STAGE = "source_separation"


@dataclass(frozen=True)
class Heard:
    """What a program took, part by part, and what it wrote; `text` is `None` where it was not to write any."""

    runs: dict[str, Run]
    text: str | None = None
    job: Job | None = None


def programs(film: Path, repository: Path, work: Path) -> dict[str, Callable[[], Heard]]:
    """Everything that is run on a film, by name."""
    ours, demucs = Stemscribe(work / "jobs"), Demucs(DEMUCS, repository)

    def place(name: str) -> Path:
        folder = work / "runs" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def transcribe(name: str, *options: str) -> Heard:
        job = ours.transcribe(film, place(name), *options)
        return Heard({name: job.run}, job.text, job)

    def separate(name: str, *options: str) -> Heard:
        return Heard({name: ours.separate(film, place(name), *options).run})

    def naive() -> Heard:
        folder = place(NAIVE)
        separating, vocals = demucs.separate(film, folder, *AS_CHEAP_AS_CAN_BE)
        hearing, text = whisper(vocals, folder)
        return Heard(
            {NAIVE: separating.then(hearing), NAIVE_DEMUCS: separating, NAIVE_WHISPER: hearing},
            text,
        )

    def on_the_mix() -> Heard:
        run, text = whisper(film, place(ON_THE_MIX))
        return Heard({ON_THE_MIX: run}, text)

    return {
        OURS: lambda: transcribe(OURS),
        UNGATED_JOB: lambda: transcribe(UNGATED_JOB, *UNGATED),
        NAIVE: naive,
        ON_THE_MIX: on_the_mix,
        SEPARATION: lambda: separate(SEPARATION, *AS_FOR_TRANSCRIPTS),
        SEPARATION_FOR_STEMS: lambda: separate(SEPARATION_FOR_STEMS),
    }


def gate(gated: Heard, ungated: Heard) -> Gate:
    """What the gate does to a job."""
    assert gated.job is not None
    assert ungated.job is not None
    record = gated.job.separation
    spans = separated_spans(record)
    return Gate(
        stage_seconds=(_stage_seconds(gated.job), _stage_seconds(ungated.job)),
        words=word_errors(ungated.text or "", gated.text or ""),
        separated_seconds=sum(stop - start for start, stop in spans) / record.sample_rate,
        snr_db=difference_db(gated.job, ungated.job, spans),
    )


def separated_spans(record: SeparationRecord) -> list[tuple[int, int]]:
    """The spans of frames whose vocals come from separated windows alone, in order, none touching another.

    Where a separated window overlaps with one that was not, both are heard, and the vocals are no longer those of an
    ungated job: such frames do not count.
    """
    if not record.gate:
        return [(0, record.frames)]
    plan = WindowPlan(record.frames, record.window_frames, record.overlap_frames)
    spans = []
    for run in record.gate:
        if run.treatment == "separated":
            first, behind = plan[run.first], run.first + run.windows
            start = first.start + (record.overlap_frames if run.first else 0)
            spans.append((start, plan[behind].start if behind < len(plan) else record.frames))
    return [(start, stop) for start, stop in spans if start < stop]


def difference_db(one: Job, other: Job, spans: Sequence[tuple[int, int]]) -> float | None:
    """How far the difference between the vocals of two jobs is below those of the other; `None` where there is none.

    Each was brought down by a gain of its own, so that it would not clip; that is taken back.
    """
    signal = noise = 0.0
    with _vocals(one) as first, _vocals(other) as second:
        for start, stop in spans:
            for at in range(start, stop, BLOCK_FRAMES):
                end = min(at + BLOCK_FRAMES, stop)
                reference = second.read(at, end).astype(np.float64)
                signal += float(np.sum(reference**2))
                noise += float(np.sum((first.read(at, end) - reference) ** 2))
    if noise == 0:
        return None
    return round(float(10 * np.log10(max(signal, 1e-30) / noise)), 1)


def _vocals(job: Job) -> AudioSource:
    return AudioSource(job.file(f"{VOCALS}.wav"), gain=job.separation.stems[VOCALS]["gain"])


def _stage_seconds(job: Job) -> float:
    return job.stage_seconds(SEPARATION_STAGE)


def measure(asked: argparse.Namespace, work: Path) -> None:
    """All rounds; the figures are written after each."""
    minutes = QUICK_MINUTES if asked.quick else asked.minutes
    film = work / "film.wav"
    scenes = write_film(film, Corpus.of(asked.corpus), minutes, asked.seed)
    said = film.with_suffix(".txt").read_text(encoding="utf-8")
    found = releases(CORE, "stemscribe", "openvino", "faster-whisper", "ctranslate2")
    conditions = Conditions.here(found | releases(DEMUCS, "demucs", "torch"))
    contest = Contest(f"{minutes:g} min of film, seed {asked.seed}", length(film))
    part = Pipeline(conditions, contest, round(spoken_share(scenes), 3), {})
    before = read_performance(asked.json).pipeline if asked.resume else None
    if before and before.conditions.match(conditions) and before.contest.media == contest.media:
        part = before
    repository = demucs_repository(work / "repository")
    for program in programs(excerpt(film, work / "excerpt.wav", EXCERPT_SECONDS), repository, work).values():
        program()  # so that nobody pays for cold disks
    chosen = programs(film, repository, work)
    contestants = {name: program for name, program in chosen.items() if name not in FOR_COMPARISON}
    done, rounds = len(part.contest.rounds), 1 if asked.quick else asked.pairs
    for results in chain(play(chosen, 1, done=done), play(contestants, rounds, done=max(1, done))):
        part = _with_round(part, results, said)
        write_part(asked.json, pipeline=part)
        print(report(part.contest, OURS), flush=True)
        for name, errors in part.words.items():
            print(f"  {name:32} WER {100 * (errors[-1].wer or 0):.1f} %", flush=True)
        print(f"  gate: {part.gate[-1] if part.gate else 'not compared'}", flush=True)


def _with_round(part: Pipeline, results: dict[str, Heard], said: str) -> Pipeline:
    runs = {name: run for heard in results.values() for name, run in heard.runs.items()}
    words = dict(part.words)
    for name, heard in results.items():
        if heard.text is not None:
            words[name] = (*words.get(name, ()), word_errors(said, heard.text))
    contest = replace(part.contest, rounds=(*part.contest.rounds, runs))
    compared = (gate(results[OURS], results[UNGATED_JOB]),) if UNGATED_JOB in results else ()
    return replace(part, contest=contest, words=words, gate=(*part.gate, *compared))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    with workplace(asked) as work:
        measure(asked, work)


if __name__ == "__main__":
    main()
