"""A job on one page that needs nothing else: to hand to somebody who has no stemscribe."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader

from stemscribe import __version__
from stemscribe.audio.peaks import PER_SECOND, Peaks
from stemscribe.errors import JobNotFound
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.records import read_record
from stemscribe.rows import read_rows
from stemscribe.speech.ledger import Entry
from stemscribe.studio.transcripts import Text, Transcripts
from stemscribe.studio.workspace import SEPARATION, Sound, Span, Workspace
from stemscribe.timebase import Seconds, clock

WIDTH, HEIGHT = 1000, 60  # of a waveform, in units of its picture
KINDS = {"transcribed": "transcribed", "not_speech": "not speech", "gap": "speech without words"}


@dataclass(frozen=True)
class Bar:
    """A stretch of a timeline, in units of its width."""

    x: float
    width: float
    kind: str
    what: str


@dataclass(frozen=True)
class Wave:
    """A sound's name, and the outline of its waveform."""

    name: str
    outline: str


def report(workspace: Workspace, job: str) -> str:
    """The page of a job.

    Raises:
        JobNotFound: there is no such job, or it has no sound yet.
    """
    sound, view = workspace.sound(job), workspace.view(job)
    text = None
    with suppress(JobNotFound):
        text = Transcripts(workspace).text(job)
    separation = None
    with suppress(JobNotFound):
        separation = read_record(workspace.path(job, SEPARATION), SeparationRecord)
    environment = Environment(loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True)
    environment.filters["clock"] = lambda seconds: clock(float(round(seconds))).removesuffix(".000")
    return environment.get_template("report.html").render(
        job=workspace.folder(job).job,
        view=view,
        sound=sound,
        waves=[_wave(workspace, job, track.name, sound.duration) for track in sound.tracks],
        spans=[_bar(span, sound.duration) for span in sound.spans],
        heard=_heard(text, sound) if text else [],
        accounted=_accounted(workspace, job, sound),
        doubtful=_doubtful(text) if text else [],
        separated=_separated(separation),
        manifest=workspace.folder(job).manifest,
        text=text,
        kinds=KINDS,
        width=WIDTH,
        height=HEIGHT,
        version=__version__,
        written=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _wave(workspace: Workspace, job: str, name: str, duration: Seconds) -> Wave:
    """The outline of a waveform: there along what is highest, and back along what is lowest."""
    pairs = np.fromfile(workspace.peaks(job, name), np.int8).reshape(-1, 2)
    if not len(pairs):
        return Wave(name, "")
    columns = min(WIDTH, len(pairs))
    edges = np.linspace(0, len(pairs), columns, endpoint=False).astype(np.int64)
    lowest, highest = np.minimum.reduceat(pairs[:, 0], edges), np.maximum.reduceat(pairs[:, 1], edges)
    across = edges / max(duration * PER_SECOND, 1) * WIDTH
    there, back = _points(across, highest), _points(across[::-1], lowest[::-1])
    return Wave(name, " ".join((*there, *back)))


def _points(across: npt.NDArray[np.float64], levels: Peaks) -> list[str]:
    middle = HEIGHT / 2
    return [f"{x:.1f},{middle - int(level) / 127 * middle:.1f}" for x, level in zip(across, levels, strict=True)]


def _bar(span: Span, duration: Seconds) -> Bar:
    x, end = (min(max(time / max(duration, 1e-9), 0.0), 1.0) * WIDTH for time in (span.start, span.end))
    return Bar(round(x, 2), round(max(end - x, 0.5), 2), span.kind, span.what)


def _heard(text: Text, sound: Sound) -> list[Bar]:
    """Which sound each segment was recognised from."""
    spans = (
        Span(
            one.segment.start - sound.offset,
            one.segment.end - sound.offset,
            "mended" if one.is_edited else one.segment.heard.partition("-")[0],
            one.segment.text,
        )
        for one in text.segments
    )
    return [_bar(span, sound.duration) for span in spans]


def _accounted(workspace: Workspace, job: str, sound: Sound) -> list[Bar]:
    """What became of every voice."""
    with suppress(JobNotFound):
        entries = read_rows(workspace.path(job, "ledger"), "entries", Entry)
        return [
            _bar(Span(one.start - sound.offset, one.end - sound.offset, one.kind, one.evidence), sound.duration)
            for one in entries
        ]
    return []


def _doubtful(text: Text) -> list[tuple[Seconds, str, str]]:
    return [
        (one.segment.start, one.segment.text, ", ".join(one.segment.doubts))
        for one in text.segments
        if one.segment.doubts
    ]


def _separated(record: SeparationRecord | None) -> str:
    """How much of the film the model was needed for."""
    if record is None or not record.windows:
        return ""
    left_out = sum(run.windows for run in record.gate if run.treatment != "separated")
    return f"{100 * (record.windows - left_out) / record.windows:.0f} % of {record.windows} windows"
