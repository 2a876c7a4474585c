"""The studio as one ASGI application."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from stemscribe import __version__
from stemscribe.errors import StemscribeError
from stemscribe.jobs.folder import all_jobs
from stemscribe.pipeline.status import status_of
from stemscribe.studio import api, pages
from stemscribe.studio.guard import Guard
from stemscribe.studio.transcripts import Transcripts
from stemscribe.studio.workspace import Workspace

STATIC = Path(__file__).with_name("static")
_LOOK_EVERY = 5.0  # seconds


def create_app(workspace: Workspace, token: str, hosts: Collection[str]) -> ASGIApp:
    """The studio, guarded.

    Args:
        workspace: the jobs.
        token: what every request has to carry.
        hosts: under which names and ports it is known.
    """
    app = FastAPI(
        title="stemscribe",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=_draws_ahead,
    )
    app.state.workspace, app.state.transcripts = workspace, Transcripts(workspace)
    app.openapi = api.describe(app)  # type: ignore[method-assign]
    for kind in (StemscribeError, HTTPException, RequestValidationError, OSError):
        app.add_exception_handler(kind, _refused)
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=STATIC))
    return Guard(app, token, hosts)


async def _refused(request: Request, error: Exception) -> Response:
    """An error that somebody can be told about: as JSON for programs, as a page for people."""
    status, message, hint = 422, "There is no such address.", ""
    if isinstance(error, StemscribeError):
        status, message, hint = api.status_of(error), error.message, error.hint
    elif isinstance(error, HTTPException):
        status, message = error.status_code, error.detail
    elif isinstance(error, OSError):
        status, message = 507, f"The disk could not be used: {error.strerror or type(error).__name__}."
    elif isinstance(error, RequestValidationError):
        if not _is_for_programs(request):
            return pages.refusal(request, 404, "There is no such page.")
        message = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    if _is_for_programs(request):
        return JSONResponse({"detail": message, "hint": hint}, status)
    return pages.refusal(request, status, message, hint)


def _is_for_programs(request: Request) -> bool:
    return request.url.path.startswith(f"{api.PREFIX}/")


@asynccontextmanager
async def _draws_ahead(app: FastAPI) -> AsyncIterator[None]:
    """Tidy up, and draw the waveforms of finished jobs before anybody asks: of a film of hours that takes a while."""
    app.state.workspace.sweep()
    leaving = threading.Event()
    thread = threading.Thread(target=_draw, args=(app.state.workspace, leaving), daemon=True)
    thread.start()
    try:
        yield
    finally:
        leaving.set()


def _draw(workspace: Workspace, leaving: threading.Event) -> None:
    drawn: set[str] = set()
    while not leaving.wait(_LOOK_EVERY):
        for folder in all_jobs(workspace.settings.out_dir):
            job = folder.path.name
            if job not in drawn and status_of(folder).state == "completed":
                drawn.add(job)
                with suppress(StemscribeError, OSError, RuntimeError):  # a page that shows it says what is wrong
                    for track in workspace.sound(job).tracks:
                        if leaving.is_set():
                            return
                        workspace.peaks(job, track.name)
