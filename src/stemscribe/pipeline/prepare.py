"""From a wish to a job: everything that can be known to be wrong is found before anything is made."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from stemscribe import __version__
from stemscribe.audio.mux import container_for
from stemscribe.audio.probe import Media, check_decodable, identity, probe
from stemscribe.audio.writer import check_format
from stemscribe.errors import RecordError, UsageError
from stemscribe.jobs.folder import JobFolder, all_jobs, create
from stemscribe.jobs.job import Job, Options
from stemscribe.languages import AUTO
from stemscribe.models.spec import Catalog
from stemscribe.pipeline.engines import choose_engine, require_environment
from stemscribe.pipeline.workflows import workflow_named
from stemscribe.speech.faster_whisper import ENGINE, whisper_code
from stemscribe.timebase import clock

_MODEL_PREFIX = "whisper-"
_ENGLISH_ONLY = ".en"
_SAME_LANGUAGE = "turbo"  # trained without translations: asked for one, it writes down what is said as it is said


@dataclass(frozen=True)
class Request:
    """What a user asks for, as it was said."""

    media: Path
    workflow: str = "transcribe"
    source_language: str = AUTO
    options: Options = field(default_factory=Options)


def latest_or_new(out_dir: Path, job: Job) -> tuple[JobFolder, bool]:
    """The latest job folder that asked for the same, else a new one; and whether it is new.

    Raises:
        StorageError: the job folder cannot be written.
    """
    for folder in reversed(all_jobs(out_dir)):
        with suppress(RecordError):  # another job's broken record is no reason not to do this one
            if folder.job.asks_the_same_as(job):
                return folder, False
    return create(out_dir, job), True


def checked(request: Request, catalog: Catalog, environments: Path) -> Job:
    """The job that a request makes, without an id yet (`jobs.folder.create` gives it one); nothing is written.

    Args:
        request: what is asked for.
        catalog: the models that there are.
        environments: the folder of virtual environments.

    Raises:
        UsageError: the request cannot be meant as it stands.
        EnvironmentBroken: it needs an environment that is not there.
        MediaError: the film cannot be used.
    """
    options = replace(request.options, model=_model(request.options.model, catalog))
    workflow = workflow_named(request.workflow)
    language = _language(request.source_language)
    check_format(options.stem_format, options.stem_subtype)
    if choose_engine(options, catalog, environments).options.engine == "torch":
        require_environment(environments)
    if any(options.model in step.stage.models(options) for step in workflow.steps):
        language = _spoken(options.model, language)
    if workflow.makes("translation"):
        _check_translates(options.model)
    if options.end_time is not None and options.end_time <= options.start_time:
        raise UsageError(
            f"--end-time {clock(options.end_time)} is not after --start-time {clock(options.start_time)}.",
            hint="Both are points on the film's clock.",
        )
    film = Path(os.path.abspath(request.media))  # noqa: PTH100 - resolves `..`, and leaves links as they were named
    media = probe(film, until=options.end_time)
    _check_span(media, options)
    track = media.track(options.audio_track, language)
    check_decodable(media, track)
    makes_film = workflow.makes("subtitled")
    container = container_for(film, options.container) if makes_film else "auto"
    # By its number: what was made of a track serves every job that is about it, whatever language that one names.
    options = replace(options, audio_track=str(track.number), container=container)
    return Job(
        id="",
        media=str(film),
        media_identity=identity(film),
        workflow=workflow.name,
        source_language=language,
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        stemscribe=__version__,
        options=options,
    )


def _model(name: str, catalog: Catalog) -> str:
    """A model's full name; `base` will do for `whisper-base`."""
    known = [model for model, spec in catalog.items() if spec.engine == ENGINE]
    for candidate in (name, _MODEL_PREFIX + name):
        if candidate in known:
            return candidate
    raise UsageError(f"There is no speech recognition model {name!r}.", hint=f"Choose one of: {', '.join(known)}.")


def _language(name: str) -> str:
    if name.lower() == AUTO:
        return AUTO
    code = whisper_code(name)
    if code is None:
        raise UsageError(
            f"Whisper does not know the language {name!r}.",
            hint="Give its code, such as hi, en or ta, or leave out -s to have it found.",
        )
    return code


def _spoken(model: str, language: str) -> str:
    """The language that a model is to hear: one that knows English only cannot be asked to find it."""
    if not model.endswith(_ENGLISH_ONLY):
        return language
    if language not in {AUTO, "en"}:
        raise UsageError(
            f"Model {model} knows English only, and the film is to be in {language!r}.",
            hint=f"Use --model {model.removesuffix(_ENGLISH_ONLY).replace('tiny', 'base')}.",
        )
    return "en"


def _check_translates(model: str) -> None:
    """Refuse a model that was never taught to translate, and does not say so."""
    if model.endswith((_ENGLISH_ONLY, _SAME_LANGUAGE)):
        knows = "knows English only" if model.endswith(_ENGLISH_ONLY) else "was not trained to translate"
        raise UsageError(
            f"Model {model} {knows}: it cannot translate into English.",
            hint="Use another one, such as --model base, --model small or --model large-v3.",
        )


def _check_span(media: Media, options: Options) -> None:
    start, length = options.start_time, media.duration
    if media.is_indexed and length is not None and start >= length:
        raise UsageError(
            f"--start-time {clock(start)} is beyond the end of {media.path.name}, which lasts {clock(length)}.",
            hint="Give a point on the film's clock.",
        )
