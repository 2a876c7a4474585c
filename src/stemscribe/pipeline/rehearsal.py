"""The rehearsal: the whole job on two and a half seconds of its own film, before the hours are spent.

Every stage runs in its real environment, through every model, writer and encoder, in a folder beside the job's own
artefacts and in a process of its own. What cannot work fails here. What works tells how long the job will take, and
how much memory and disk it needs; what will not fit is refused.

A rehearsal takes some seconds, which is nothing to an hour of work and a quarter of a minute's film. What it finds out
about the machine is the same for every film: so a job of a few minutes, of a kind that was rehearsed here not long ago,
is measured by that rehearsal, and begins at once. What may be wrong with its film shows in its first stage.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec

import stemscribe
from stemscribe.audio.decode import TrackDecoder
from stemscribe.audio.probe import Media, identity, probe
from stemscribe.choices import SAMPLE_BYTES
from stemscribe.environments.tree import stamp, stamp_of
from stemscribe.errors import MediaError, RecordError, StageError, StemscribeError, StorageError
from stemscribe.jobs.folder import REHEARSAL, JobFolder
from stemscribe.jobs.job import Job
from stemscribe.models.store import ModelStore
from stemscribe.pipeline.decisions import SEPARATION
from stemscribe.pipeline.engines import STEMS
from stemscribe.pipeline.resources import available_memory
from stemscribe.pipeline.worker import Answer, Request
from stemscribe.pipeline.workflows import Workflow
from stemscribe.records import read_record, storage_error, write_record
from stemscribe.timebase import Seconds, clock
from stemscribe.wording import ending, readable

log = logging.getLogger(__name__)

LENGTH: Seconds = 2.5
TIME_LIMIT: Seconds = 600.0
CACHE = ".rehearsals"
KEPT = 50
MIX = "mix"  # the artefact that all stages after the first can do with

LESS_MEMORY = "Give it more with --max-ram, or take less: a smaller --model, --engine onnx on a CPU."
_SHORT: Seconds = 300.0  # a job that takes no longer need not be rehearsed
_REMEMBERED: Seconds = 24 * 3600.0  # where another one of its kind was rehearsed no longer ago than this
_MEMORY_MARGIN = 1.05  # a film has regions of 30 s; the rehearsal has one of 2.5 s
_REGION: Seconds = 15.0  # a region of speech for so much of a film: talkative, as films go
_OTHER_STAGES = 100.0  # what is neither separation nor recognition goes at least that many times as fast as the film
_JOURNAL_SHARE = 4 / 3  # each window's tail is kept beside its finished frames
_RATE, _CHANNELS = 44100, 2


@dataclass(frozen=True)
class Expectation:
    """What a job will need.

    Attributes:
        film: how much of the film it is about; 0 where that is not known, and with it time and disk.
        seconds: how long it will take.
        memory_bytes: the most memory it will take at once.
        disk_bytes: what it needs on the disk while it works.
    """

    film: Seconds
    seconds: Seconds
    memory_bytes: int
    disk_bytes: int

    def __str__(self) -> str:
        memory = f"{readable(self.memory_bytes)} of memory"
        if not self.film:
            return f"{memory}; how long the film is cannot be told"
        disk = f"{readable(self.disk_bytes)} on the disk"
        return f"about {_spoken(self.seconds)} for {_spoken(self.film)} of film, {memory}, {disk}"


@dataclass(frozen=True)
class Rehearsal:
    """How a job is rehearsed.

    Attributes:
        folder: the job's own.
        job: with everything decided for this machine.
        workflow: of the job.
        models: all that are needed are there.
        environments: the folder of virtual environments.
        max_memory: the most memory, in bytes, that it may take; `None` for as much as there is.
    """

    folder: JobFolder
    job: Job
    workflow: Workflow
    models: ModelStore
    environments: Path
    max_memory: int | None = None

    def expectation(self, *, fresh: bool = False) -> Expectation:
        """What the job will need, found out by doing it in small; at once if that was done before.

        Args:
            fresh: do it even if it was done before.

        Raises:
            StemscribeError: a stage failed; the message names it.
        """
        kept = self._cache / f"{self.key()}.json"
        if not fresh:
            try:
                return read_record(kept, Expectation)
            except RecordError:
                pass  # never rehearsed
            if expected := self._remembered():
                log.info("not rehearsed, because another job like it was a while ago: %s", expected)
                return expected
        started = time.monotonic()
        log.info("Rehearsing %s on %.1f s of the film...", self.job.workflow, LENGTH)
        answer = self._rehearse()
        expected = self._expect(answer)
        log.info("rehearsed in %.1f s: %s", time.monotonic() - started, expected)
        self._keep(kept, expected)
        self._keep(self._cache / f"{self.kind()}.json", answer)
        return expected

    def _remembered(self) -> Expectation | None:
        """What a short job needs by the rehearsal of another one of its kind; `None` if it has to be rehearsed."""
        kept = self._cache / f"{self.kind()}.json"
        try:
            answer, age = read_record(kept, Answer), time.time() - kept.stat().st_mtime
        except (RecordError, OSError):
            return None
        expected = self._expect(answer)
        is_short = expected.film > 0 and expected.seconds <= _SHORT
        return expected if is_short and 0 <= age <= _REMEMBERED else None

    def key(self) -> str:
        """What a rehearsal depends on, hashed: the request, the film, models, environments and the code itself."""
        return self._hashed(self.job.source_language, self.job.media_identity, asdict(self.job.options))

    def kind(self) -> str:
        """What a rehearsal finds out about the machine depends on, hashed: all of that but the film, unless that is
        gone back to in the end.
        """
        of_the_film = {"audio_track": "", "start_time": 0.0, "end_time": None}
        film = self.job.media_identity if self.workflow.goes_back_to_the_film else ""
        return self._hashed(self.job.source_language, film, asdict(self.job.options) | of_the_film)

    def _hashed(self, language: str, film: str, options: dict[str, object]) -> str:
        environments = {Path(sys.prefix)}
        for step in self.workflow.steps:
            environments |= {
                self.environments / name for name in step.stage.packages(self.job.options) if name != "core"
            }
        facts = {
            "job": [self.job.workflow, language, film, options],
            "models": {name: self.models.spec(name).digest for name in self._model_names()},
            "environments": sorted(stamp(venv) for venv in environments),
            "code": stamp_of(Path(stemscribe.__file__).parent),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def _cache(self) -> Path:
        return self.folder.path.parent / CACHE

    def _keep(self, path: Path, found: Expectation | Answer) -> None:
        if path.parent.is_symlink():  # out/ may be shared, and this name is known to everybody
            return
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise storage_error(path, error) from error
        write_record(path, found)
        with suppress(OSError):  # another process may be tidying up as well
            for old in sorted(self._cache.glob("*.json"), key=lambda one: one.stat().st_mtime)[:-KEPT]:
                old.unlink(missing_ok=True)

    def _rehearse(self) -> Answer:
        """Run it a third into the film, where there is something to hear; if that cannot be read, where sound
        begins.
        """
        middle = self._middle()
        answer = self._run(middle)
        reads_the_film = bool(answer.failed_stage) and not self.workflow.stage(answer.failed_stage).inputs
        if reads_the_film and (first := self._first_sound()) is not None and first != middle:
            answer = self._run(first)
        return self._checked(answer)

    def _first_sound(self) -> Seconds | None:
        """Where the sound of the film begins, from the start of what is asked for on; `None` where there is none."""
        options = self._source.options
        track = self._film.track(options.audio_track, self._source.source_language)
        decoder = TrackDecoder(self._film.path, track.number, _RATE, start=options.start_time, end=options.end_time)
        try:
            next(decoder.blocks(), None)
        except MediaError:
            return None  # the rehearsal's own failure says more
        return decoder.offset

    def _middle(self) -> Seconds:
        film, start = self._film, self._source.options.start_time
        length = _length(film, self._source)
        if not film.is_seekable or length <= 3 * LENGTH:
            return start
        return round(start + length / 3, 3)

    @cached_property
    def _source(self) -> Job:
        """The job; when its film is gone or changed and no stage needs it any more, the same job on its mix.

        So a job that was handed to another machine without its film can be finished there.
        """
        film = Path(self.job.media)
        if film.is_file() and identity(film) == self.job.media_identity:
            return self.job
        made = self.folder.manifest.stage(self.workflow.steps[0].stage.name).artefacts
        mix = next((self.folder.path / artefact.path for artefact in made if artefact.name == MIX), None)
        if mix is None or not mix.is_file():
            return self.job  # whose first stage will say what is wrong
        options = replace(self.job.options, audio_track="", start_time=0.0, end_time=None)
        return replace(self.job, media=str(mix.absolute()), media_identity=identity(mix), options=options)

    @cached_property
    def _film(self) -> Media:
        return probe(Path(self._source.media), until=self._source.options.end_time)

    def _run(self, start: Seconds) -> Answer:
        """Run the job on a few seconds in a process of its own, in a folder that goes afterwards."""
        try:
            place = Path(tempfile.mkdtemp(prefix=REHEARSAL, dir=self.folder.path))
        except OSError as error:
            raise storage_error(self.folder.path, error) from error
        try:
            until = self._source.options.end_time
            end = start + LENGTH if until is None else min(start + LENGTH, until)
            options = replace(self._source.options, start_time=start, end_time=end)
            write_record(place / "job.json", replace(self._source, options=options))
            return self._in_process(place)
        finally:
            for log_file in place.glob("pipeline.log"):
                shutil.move(log_file, self.folder.path / "rehearsal.log")
            shutil.rmtree(place, ignore_errors=True)

    def _in_process(self, place: Path) -> Answer:
        names = self._model_names()
        request = Request(
            asker=os.getpid(),
            folder=str(place.absolute()),
            models_dir=str(self.models.root.absolute()),
            catalog={name: spec for name, spec in self.models.catalog.items() if name in names},
            environments=str(self.environments.absolute()),
            max_memory=self.max_memory,
        )
        command = [sys.executable, "-I", "-m", "stemscribe.pipeline.worker"]
        try:
            done = subprocess.run(
                command,
                input=msgspec.json.encode(request),
                capture_output=True,
                timeout=TIME_LIMIT,
                start_new_session=sys.platform != "win32",
            )
        except subprocess.TimeoutExpired as error:
            raise StageError(
                f"The rehearsal had not ended after {TIME_LIMIT:.0f} s, and was stopped.",
                hint=f"{self.folder.path / 'rehearsal.log'} tells how far it came; --force runs the job all the same.",
            ) from error
        try:
            return msgspec.json.decode(done.stdout, type=Answer)
        except msgspec.DecodeError as error:
            raise self._crashed(done) from error

    def _crashed(self, done: subprocess.CompletedProcess[bytes]) -> StemscribeError:
        talk = done.stderr.decode(errors="replace").strip()
        log.debug("the rehearsal said:\n%s", talk)
        if done.returncode in {-9, 137}:
            free = readable(available_memory())
            return StageError(
                f"The rehearsal was killed, most likely because memory ran out ({free} are available).",
                hint="Close other programs, and run the job again.",
            )
        last = (talk.splitlines() or ["it said nothing"])[-1].rstrip(".")
        return StageError(f"The rehearsal {ending(done.returncode)}: {last}.", hint="Run `stemscribe doctor`.")

    def _checked(self, answer: Answer) -> Answer:
        if answer.message:
            where = f"The rehearsal failed in {answer.failed_stage}: " if answer.failed_stage else ""
            kind = MediaError if answer.failed_stage == self.workflow.steps[0].stage.name else StageError
            raise kind(f"{where}{answer.message}", hint=answer.hint)
        return answer

    def _expect(self, answer: Answer) -> Expectation:
        film = _length(self._film, self._source)
        windows = film / answer.stride if answer.stride else 0.0
        seconds = windows * answer.pace.get("windows", 0.0) + film / _REGION * answer.pace.get("regions", 0.0)
        memory = int(answer.peak_bytes * _MEMORY_MARGIN)
        return Expectation(film, seconds + film / _OTHER_STAGES, memory, _disk(film, self.job, self._copied_bytes))

    @property
    def _copied_bytes(self) -> int:
        """How much of the disk a copy of the film takes; 0 where the job makes none."""
        return self._film.path.stat().st_size if self.workflow.makes("subtitled") else 0

    def _model_names(self) -> set[str]:
        return {name for step in self.workflow.steps for name in step.stage.models(self.job.options)}


def check_fits(folder: JobFolder, expected: Expectation, max_memory: int | None = None) -> None:
    """Refuse a job that the machine cannot hold, or that would take more than it is given.

    Args:
        folder: of the job; what is in it need not be written again, and once there are stems the rest is small.
        expected: what the job needs.
        max_memory: the most memory, in bytes, that it may take; `None` for as much as there is.

    Raises:
        StorageError: the disk is too full.
        StageError: there is not enough memory.
    """
    present = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
    needed, free = max(0, expected.disk_bytes - present), shutil.disk_usage(folder.path).free
    if free < needed and folder.manifest.stage(SEPARATION).status != "completed":
        raise StorageError(
            f"This job needs {readable(needed)} on the disk of {folder.path.parent}, and {readable(free)} are free.",
            hint="Free some space, choose another folder with --out-dir, or use --force to begin all the same.",
        )
    if max_memory is not None and max_memory < expected.memory_bytes:
        raise StageError(
            f"This job needs {readable(expected.memory_bytes)} of memory, and --max-ram allows {readable(max_memory)}.",
            hint=f"{LESS_MEMORY} --force begins all the same.",
        )
    if (available := available_memory()) < expected.memory_bytes:
        raise StageError(
            f"This job needs {readable(expected.memory_bytes)} of memory, and {readable(available)} are available.",
            hint="Close other programs, choose a smaller --model, or use --force to begin all the same.",
        )


def check_models_fit(models: ModelStore, names: Iterable[str], max_memory: int) -> None:
    """Refuse a model whose files alone are larger than what a job may take, before it is fetched.

    Raises:
        StageError: there is one; the message has both numbers.
    """
    for name in names:
        if (size := models.spec(name).size) > max_memory:
            raise StageError(
                f"Model {name} alone takes {readable(size)} of memory or more,"
                f" and --max-ram allows {readable(max_memory)}.",
                hint=LESS_MEMORY,
            )


def _spoken(duration: Seconds) -> str:
    """A duration to the second: more would not be meant."""
    return clock(float(round(duration))).removesuffix(".000")


def _length(film: Media, job: Job) -> Seconds:
    """How much of the film a job is about; 0 where that is not known."""
    ends = [job.options.end_time, film.duration if film.is_indexed or job.options.end_time is None else None]
    known = [end for end in ends if end is not None]
    return max(0.0, min(known) - job.options.start_time) if known else 0.0


def _disk(film: Seconds, job: Job, copied: int) -> int:
    """What a job needs at its peak: the mix (about 60 % of its size as PCM), the journal, and the stems beside it.

    The journal is gone when the film is copied.
    """
    samples = film * _RATE * _CHANNELS
    stems = STEMS[job.options.stems]
    written = 2 if job.options.stems == "two" else len(stems)
    mix = samples * 3
    journal = samples * 4 * len(stems) * _JOURNAL_SHARE
    return int(mix + max(journal, copied) + samples * SAMPLE_BYTES[job.options.stem_subtype] * written)
