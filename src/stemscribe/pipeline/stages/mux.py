"""The film again, with its subtitles in it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import ClassVar

from stemscribe.audio.mux import SubtitleTrack, TimedText, mux
from stemscribe.audio.probe import probe
from stemscribe.errors import StageError, StorageError
from stemscribe.jobs.job import Options
from stemscribe.languages import english_name, three_letters
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.records import storage_error
from stemscribe.rows import read_head
from stemscribe.subtitles.reading import read_cues
from stemscribe.timebase import LONGEST, Seconds
from stemscribe.transcript import Transcript
from stemscribe.wording import readable

log = logging.getLogger(__name__)

_MAKER = "stemscribe"


class Mux:
    """Copies the film, untouched, and adds what `export` has written as a subtitle track that can be switched off."""

    name = "mux"
    version = 1
    depends_on = ("container", "media_identity")
    parameters: ClassVar[dict[str, object]] = {"maker": _MAKER}
    inputs = ("transcript", "srt")

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        return {"core": ("av", "langcodes")}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        ending = "mkv" if options.container == "auto" else options.container  # `prepare` decides
        return (Artefact("subtitled", f"subtitled.{ending}", "Film with subtitles written"),)

    def models(self, options: Options) -> tuple[str, ...]:
        return ()

    def run(self, context: StageContext) -> None:
        film, target = Path(context.job.media), context.outputs["subtitled"]
        _check_apart(film, target)
        if not context.rehearsal:
            _check_space(film, target)
        options = context.options
        media = probe(film, until=options.end_time)
        duration = media.duration or 0.0
        span = (options.start_time, options.end_time or duration) if context.rehearsal else None
        told = _EachSecond(context, duration)
        container = "mkv" if options.container == "auto" else options.container
        end = duration if media.is_indexed and duration else LONGEST
        mux(film, target, container, _track(context, end), span=span, progress=told)


class _EachSecond:
    """Passes progress on once a second of the film: packets come a hundred times as often."""

    def __init__(self, context: StageContext, duration: Seconds) -> None:
        self._context, self._duration, self._told = context, duration, -1.0

    def __call__(self, done: Seconds) -> None:
        if done >= self._told + 1.0:
            self._told = done
            self._context.progress(Progress(done, self._duration, "s", done))


def _track(context: StageContext, film_end: Seconds) -> SubtitleTrack:
    """What is shown when, as it stands in the subtitle file, but not beyond the film, which would become longer."""
    cues = read_cues(context.inputs["srt"]) if context.inputs["srt"].stat().st_size else ()
    language = read_head(context.inputs["transcript"], Transcript).language
    title = f"{english_name(language)} ({_MAKER})".strip()
    texts = tuple(
        TimedText(cue.start, min(cue.end, film_end), "\n".join(cue.lines)) for cue in cues if cue.start < film_end
    )
    return SubtitleTrack(texts, three_letters(language), title)


def _check_apart(film: Path, target: Path) -> None:
    """Refuse to work where the film itself would be replaced: a job folder may come from anywhere."""
    home = target.parent.parent
    if home.resolve() in film.resolve().parents:
        raise StageError(
            f"{film} lies where its own copy is to be written.", hint="Move the film elsewhere, and prepare a new job."
        )


def _check_space(film: Path, target: Path) -> None:
    """Refuse to begin a copy for which there is no room: it is the last thing that a job does, and the largest.

    Raises:
        StorageError: there is none.
    """
    try:
        size, free = film.stat().st_size, shutil.disk_usage(target.parent).free
    except OSError as error:
        raise storage_error(target, error) from error
    if free < size:
        raise StorageError(
            f"A copy of {film.name} takes {readable(size)}, and {readable(free)} are free.",
            hint="Make room, then run the job again: only this copy is missing, and the subtitles are there.",
        )
