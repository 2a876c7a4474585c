"""The pages: a frame that the server renders, and scripts of its own that fill it from the API."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.templating import Jinja2Templates

from stemscribe.pipeline.workflows import workflow_names
from stemscribe.speech.faster_whisper import ENGINE
from stemscribe.studio.api import Here, JobId, Texts
from stemscribe.studio.search import BEGIN, END
from stemscribe.timebase import clock

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
templates = Jinja2Templates(FilePath(__file__).with_name("templates"))
templates.env.filters["clock"] = lambda seconds: clock(float(round(seconds))).removesuffix(".000")
templates.env.globals.update(begin=BEGIN, end=END)


def page(request: Request, name: str, status: int = 200, **facts: Any) -> Response:
    return templates.TemplateResponse(request, f"{name}.html", {"nonce": request.state.nonce, **facts}, status)


def refusal(request: Request, status: int, message: str, hint: str = "") -> Response:
    """Why there is no such page, or not now, and what to do."""
    return page(request, "refusal", status, message=message, hint=hint)


@router.get("/")
def jobs(request: Request, here: Here) -> Response:
    """All jobs, and a form for another one."""
    models = [name for name, spec in here.catalog.items() if spec.engine == ENGINE]
    return page(request, "jobs", rows=here.rows(), workflows=workflow_names(), models=models)


@router.get("/jobs/{job}")
def job(request: Request, here: Here, job: JobId) -> Response:
    """One job: how far it is, what it says, and what it has made."""
    return page(request, "job", view=here.view(job))


@router.get("/jobs/{job}/listen")
def listen(request: Request, here: Here, job: JobId) -> Response:
    """Its stems against each other."""
    return page(request, "listen", view=here.view(job))


@router.get("/jobs/{job}/transcript")
def transcript(request: Request, here: Here, job: JobId) -> Response:
    """Its transcript, to be read and mended."""
    return page(request, "transcript", view=here.view(job))


@router.get("/search")
def search(request: Request, here: Here, texts: Texts, q: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Where something was said, in all jobs."""
    media = {row.job: row.media for row in here.rows()}
    found = [one for one in texts.search(q) if one.job in media]
    return page(request, "search", q=q, found=found, media=media)


@router.get("/api")
def description(request: Request) -> Response:
    """The API, for people."""
    return page(request, "api", described=request.app.openapi())
