"""The JSON API: what the command line does, through the same rooms."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path as FilePath
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Query, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from stemscribe import __version__
from stemscribe.errors import (
    EnvironmentBroken,
    JobError,
    JobLocked,
    JobNotFound,
    MediaError,
    StemscribeError,
    StorageError,
    UsageError,
)
from stemscribe.records import TEMPORARY, flush_to_disk, make_folder, rename, storage_error
from stemscribe.speech.recognition import Hearing
from stemscribe.studio.pictures import ROWS, spectrogram
from stemscribe.studio.search import Found
from stemscribe.studio.transcripts import Mending, Stale, Text, Transcripts
from stemscribe.studio.workspace import JobRow, JobView, NewJob, Sound, Workspace, free_space
from stemscribe.subtitles.forms import Form

Kind = TypeVar("Kind")
PREFIX = "/api"
router = APIRouter(prefix=PREFIX)

LARGEST_BODY = 1 << 20  # bytes of JSON
TICK, STILL_HERE = 0.5, 15.0  # seconds
LOG_BYTES = 65_536
LONGEST_NAME = 240  # bytes: what file systems have room for, and for a number
_MEDIA_TYPES: dict[Form, str] = {
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "txt": "text/plain",
    "json": "application/json",
}
_REFERENCE = "#/components/schemas/{name}"
_STATUS: tuple[tuple[type[StemscribeError], int], ...] = (
    (JobNotFound, 404),
    (JobLocked, 409),
    (Stale, 409),
    (JobError, 409),
    (UsageError, 422),
    (MediaError, 422),
    (StorageError, 507),
    (EnvironmentBroken, 503),
)


class Answered(msgspec.Struct, frozen=True):
    """That something was done to a job."""

    job: str


class Refused(msgspec.Struct, frozen=True):
    """Why it was not done, and what to do."""

    detail: str
    hint: str = ""


class Uploaded(msgspec.Struct, frozen=True):
    """Where a film is now, for a new job."""

    path: str
    size: int


class TakenBack(msgspec.Struct, frozen=True):
    """The transcript without its last change, and that change."""

    text: Text
    change: dict[str, Any]


_RECORDS = (JobRow, JobView, Answered, Refused, Uploaded, NewJob, Sound, Text, Mending, TakenBack, Found, Hearing)


def workspace_of(request: Request) -> Workspace:
    workspace: Workspace = request.app.state.workspace
    return workspace


def transcripts_of(request: Request) -> Transcripts:
    transcripts: Transcripts = request.app.state.transcripts
    return transcripts


Here = Annotated[Workspace, Depends(workspace_of)]
Texts = Annotated[Transcripts, Depends(transcripts_of)]
JobId = Annotated[str, Path(pattern=r"^job-[0-9]{8}-[0-9]{4,12}$", examples=["job-20261122-0001"])]
Name = Annotated[str, Path(pattern=r"^[a-z_]{1,40}$", examples=["vocals"])]


def body_of(kind: type[Kind]) -> Any:
    """A parameter that is the body of a request, as JSON."""

    async def read(request: Request) -> Kind:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > LARGEST_BODY:
                raise HTTPException(413, "That is more than anybody can mean.")
        try:
            return msgspec.json.decode(bytes(content), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HTTPException(422, f"The request cannot be understood: {error}") from error

    return Depends(read)


def takes(kind: type[object]) -> dict[str, Any]:
    """What a route is given, for the description of the API."""
    schema = {"$ref": _REFERENCE.format(name=kind.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def gives(kind: type[object], *, status: int = 200, many: bool = False) -> dict[int | str, dict[str, Any]]:
    """What a route answers, for the description of the API."""
    schema: dict[str, Any] = {"$ref": _REFERENCE.format(name=kind.__name__)}
    schema = {"type": "array", "items": schema} if many else schema
    refused = {"content": {"application/json": {"schema": {"$ref": _REFERENCE.format(name="Refused")}}}}
    words = {404: "not there", 409: "not now", 413: "too large", 422: "not understood", 507: "no room"}
    return {
        status: {"description": "done", "content": {"application/json": {"schema": schema}}},
        **{code: {"description": word, **refused} for code, word in words.items()},
    }


def json(record: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(record), status, media_type="application/json")


@router.get("/jobs", responses=gives(JobRow, many=True))
def jobs(here: Here) -> Response:
    """All jobs, the latest first."""
    return json(here.rows())


@router.post("/jobs", status_code=201, responses=gives(Answered, status=201), openapi_extra=takes(NewJob))
def prepare(here: Here, new: Annotated[NewJob, body_of(NewJob)]) -> Response:
    """Make a job; it is not run yet."""
    return json(Answered(here.prepare(new)), 201)


@router.get("/jobs/{job}", responses=gives(JobView))
def job_view(here: Here, job: JobId) -> Response:
    """A job as it is now."""
    return json(here.view(job))


@router.post("/jobs/{job}/run", status_code=202, responses=gives(Answered, status=202))
def run(here: Here, job: JobId, live: bool = False) -> Response:
    """Run a job, or resume it."""
    here.run(job, live=live)
    return json(Answered(job), 202)


@router.post("/jobs/{job}/cancel", status_code=202, responses=gives(Answered, status=202))
def cancel(here: Here, job: JobId) -> Response:
    """Interrupt a job; what it has computed is kept."""
    here.cancel(job)
    return json(Answered(job), 202)


@router.get(
    "/jobs/{job}/events", responses={200: {"content": {"text/event-stream": {}}}, 404: {"description": "no job"}}
)
async def events(here: Here, job: JobId, request: Request) -> Response:
    """The job each time that something about it changes (`job`), and its log as it grows (`log`)."""
    folder = await run_in_threadpool(here.folder, job)
    return StreamingResponse(_told(here, job, folder.log_path, request), media_type="text/event-stream")


async def _told(here: Workspace, job: str, log: FilePath, request: Request) -> AsyncIterator[bytes]:
    last, place, quiet = b"", -1, 0.0
    while not await request.is_disconnected():
        try:
            now = msgspec.json.encode(await run_in_threadpool(here.view, job))
        except StemscribeError:
            return
        if now != last:
            last, quiet = now, 0.0
            yield b"event: job\ndata: " + now + b"\n\n"
        said, place = await run_in_threadpool(_log_from, log, place)
        if said:
            quiet = 0.0
            yield b"event: log\ndata: " + msgspec.json.encode(said) + b"\n\n"
        if quiet >= STILL_HERE:
            quiet = 0.0
            yield b": still here\n\n"
        quiet += TICK
        await asyncio.sleep(TICK)


def _log_from(path: FilePath, place: int) -> tuple[str, int]:
    """What was added to a log, whole lines of it, and where to go on; from its last part on, to begin with."""
    try:
        if not path.is_file():  # a pipe would wait for somebody to write
            return "", place
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if place < 0 or place > size:
                place = max(0, size - LOG_BYTES)
                file.seek(place)
                place += len(file.readline()) if place else 0
            file.seek(place)
            content = file.read(LOG_BYTES)
    except OSError:
        return "", place
    if b"\n" in content or len(content) < LOG_BYTES:  # a line that is longer comes in parts
        content = content[: content.rfind(b"\n") + 1]
    return content.decode(errors="replace"), place + len(content)


@router.get("/jobs/{job}/artefacts/{name}", response_class=FileResponse)
def artefact(here: Here, job: JobId, name: Name) -> Response:
    """A file that a stage has made; a part of it, if a range is asked for."""
    path = here.path(job, name)
    return FileResponse(path, filename=path.name)  # to be saved, not opened: a job may be somebody else's


@router.get("/jobs/{job}/media", response_class=FileResponse)
def media(here: Here, job: JobId) -> Response:
    """The film."""
    return FileResponse(here.media(job))


@router.get("/jobs/{job}/sound", responses=gives(Sound))
def sound(here: Here, job: JobId) -> Response:
    """What there is to hear, and to see beside the waveform."""
    return json(here.sound(job))


@router.get("/jobs/{job}/peaks/{name}", response_class=FileResponse)
def peaks(here: Here, job: JobId, name: Name) -> Response:
    """A waveform: a hundred pairs of signed bytes a second, the lowest and the highest sample."""
    return FileResponse(here.peaks(job, name), media_type="application/octet-stream")


_drawing = threading.Semaphore(2)  # of two minutes, one takes a hundred megabytes


@router.get("/jobs/{job}/spectrogram/{name}", responses={200: {"content": {"application/octet-stream": {}}}})
def picture(
    here: Here,
    job: JobId,
    name: Name,
    start: Annotated[float, Query(ge=0, le=1e6)],
    end: Annotated[float, Query(ge=0, le=1e6)],
    columns: Annotated[int, Query(ge=1, le=2000)] = 600,
) -> Response:
    """How loud each frequency is, 128 rows of bytes from high to low."""
    with _drawing:
        found = spectrogram(here.path(job, name), start, end, columns)
    return Response(found.tobytes(), media_type="application/octet-stream", headers={"X-Rows": str(ROWS)})


@router.get("/jobs/{job}/transcript", responses=gives(Text))
def transcript(texts: Texts, job: JobId) -> Response:
    """The transcript, with what was mended."""
    return json(texts.text(job))


@router.get("/jobs/{job}/hearings", responses=gives(Hearing, many=True))
def hearings(
    texts: Texts,
    job: JobId,
    start: Annotated[float, Query(ge=-1e6, le=1e6)],
    end: Annotated[float, Query(ge=-1e6, le=1e6)],
) -> Response:
    """All that was heard of a stretch of the film, in each sound that was listened to."""
    return json(texts.hearings(job, start, end))


@router.post("/jobs/{job}/edits", responses=gives(Text), openapi_extra=takes(Mending))
def mend(texts: Texts, job: JobId, mending: Annotated[Mending, body_of(Mending)]) -> Response:
    """Make one more change to what was seen."""
    return json(texts.mend(job, mending))


@router.delete("/jobs/{job}/edits/last", responses=gives(TakenBack))
def take_back(texts: Texts, job: JobId, revision: Annotated[str, Query(max_length=64)]) -> Response:
    """Take back the last change."""
    text, change = texts.take_back(job, revision)
    return json(TakenBack(text, msgspec.to_builtins(change)))


@router.get("/jobs/{job}/export/{form}", responses={200: {"content": {kind: {} for kind in _MEDIA_TYPES.values()}}})
def export(texts: Texts, job: JobId, form: Form, mended: bool = True) -> Response:
    """The transcript as a file, with or without what was mended."""
    headers = {"Content-Disposition": f'attachment; filename="{job}.{form}"'}
    return Response(texts.export(job, form, mended=mended), media_type=_MEDIA_TYPES[form], headers=headers)


@router.get("/search", responses=gives(Found, many=True))
def search(texts: Texts, q: Annotated[str, Query(max_length=200)]) -> Response:
    """Segments of all transcripts in which all these words occur."""
    return json(texts.search(q))


@router.put(
    "/uploads/{name}",
    status_code=201,
    responses=gives(Uploaded, status=201),
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
)
async def upload(here: Here, request: Request, name: Annotated[str, Path(max_length=200)]) -> Response:
    """Send a film; it goes to the disk as it comes, and appears there when all of it has come."""
    safe = FilePath(name.replace("\\", "/")).name.strip()
    if not safe or safe.startswith(".") or any(ord(letter) < 32 for letter in safe):
        raise HTTPException(422, "A film needs a name of its own, such as film.mkv.")
    if len(safe.encode()) > LONGEST_NAME:
        raise HTTPException(422, "That name is too long for a file.")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > await run_in_threadpool(free_space, here.uploads):
        raise HTTPException(507, "The disk has no room for this film.")
    draft = here.uploads / f".{secrets.token_hex(4)}{TEMPORARY}"
    size = 0
    try:
        await run_in_threadpool(make_folder, here.uploads)
        with draft.open("wb") as file:
            async for chunk in request.stream():
                await run_in_threadpool(file.write, chunk)
                size += len(chunk)
        if not size:
            raise HTTPException(422, "Nothing was sent.")
        await run_in_threadpool(flush_to_disk, draft)
        target = await run_in_threadpool(_named, draft, here.uploads, safe)
    except OSError as error:
        raise storage_error(here.uploads / safe, error) from error
    finally:
        draft.unlink(missing_ok=True)
    return json(Uploaded(str(target), size), 201)


_naming = threading.Lock()


def _named(draft: FilePath, folder: FilePath, name: str) -> FilePath:
    """Give a film that has come its name, or one like it where that is taken: by one that came meanwhile, too."""
    path, number = folder / name, 2
    with _naming:
        while path.exists():
            path = folder / f"{FilePath(name).stem}-{number}{FilePath(name).suffix}"
            number += 1
        rename(draft, path)
    return path


def status_of(error: StemscribeError) -> int:
    """The HTTP status that stands for an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)


def describe(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The description of the API, with the records that it takes and gives."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = get_openapi(title="stemscribe", version=__version__, routes=app.routes)
            _, components = msgspec.json.schema_components(_RECORDS, ref_template=_REFERENCE)
            described.setdefault("components", {}).setdefault("schemas", {}).update(components)
            app.openapi_schema = described
        return app.openapi_schema

    return openapi
