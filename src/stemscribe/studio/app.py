"""The studio as one ASGI application."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from stemscribe import __version__
from stemscribe.errors import StemscribeError
from stemscribe.jobs.folder import all_jobs
from stemscribe.pipeline.status import status_of
from stemscribe.studio import api, pages
from stemscribe.studio.guard import Guard
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
    app.state.workspace = workspace
    app.openapi = api.describe(app)  # type: ignore[method-assign]
    app.add_exception_handler(StemscribeError, api.refused)
    app.include_router(api.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=STATIC))
    return Guard(app, token, hosts)


@asynccontextmanager
async def _draws_ahead(app: FastAPI) -> AsyncIterator[None]:
    """Draw the waveforms of finished jobs before anybody asks for them: of a film of hours that takes a while."""
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
