"""Finished jobs that nobody had to compute, and a studio that serves them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from stemscribe.audio.mix import MixInfo
from stemscribe.jobs.folder import JobFolder, create
from stemscribe.jobs.job import Job
from stemscribe.jobs.manifest import StageRecord
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.pipeline.workflows import workflow_named
from stemscribe.records import write_record
from stemscribe.separation.gate import Treated
from stemscribe.settings import Settings
from stemscribe.speech.ledger import Entry, Ledger
from stemscribe.speech.recognition import Hearing, Recognition
from stemscribe.studio.app import create_app
from stemscribe.studio.workspace import Workspace
from stemscribe.transcript import Segment, Transcript, Word

RATE = 44100
OFFSET = 0.5  # where the mix begins on the film's clock
MAIN = "from stemscribe.cli.app import main; main()"
HOST, TOKEN = "127.0.0.1:8765", "t0ken"
SAID = (
    Segment(
        0.7,
        1.5,
        "ask nut",
        "en",
        (Word(0.7, 1.1, " ask", 0.98), Word(1.1, 1.5, " nut", 0.31)),
        heard="mix",
        reason="clear",
    ),
    Segment(1.6, 2.2, "फिल्म <b>&", "hi", (Word(1.6, 1.9, " फिल्म", 0.9), Word(1.9, 2.2, " <b>&", 0.9))),
)
HEARD = Hearing(0, 0.1, 1.9, "vocals", "first", "ask not", 2, 0, 0.1, None, None, None)


def finished_job(
    out: Path, seconds: float = 3.0, media: str = "film.mkv", said: tuple[Segment, ...] = SAID
) -> JobFolder:
    """A job with all its artefacts: stems are tones, and its film is a file with a few bytes."""
    out.mkdir(exist_ok=True)
    film = out.parent / media
    film.write_bytes(bytes(range(256)) * 4)
    folder = create(out, Job("", str(film), "0" * 64, "transcribe", "en", "2026-11-22T10:00:00+00:00", "0.1.0"))
    frames = round(seconds * RATE)
    stems = {"mix": 440, "vocals": 220, "accompaniment": 880}
    for step in workflow_named("transcribe").steps:
        home = folder.path / step.folder
        home.mkdir()
        made = [one for one in step.stage.outputs(folder.job.options) if not one.optional]
        for artefact in made:
            path = home / artefact.file
            if artefact.name in stems:
                _write_tone(path, frames, stems[artefact.name])
            else:
                _write_other(path, artefact.name, frames, said)
        records = tuple(folder.record_of(artefact.name, home / artefact.file) for artefact in made)
        done = StageRecord("completed", "f" * 64, 1, seconds=1.5, artefacts=records)
        folder.manifest = folder.manifest.with_stage(step.stage.name, done)
    folder.log_path.write_text("[INFO] ✅ Stage export: COMPLETED (0.1s)\n", encoding="utf-8")
    return folder


def _write_tone(path: Path, frames: int, hertz: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)  # of whole waves: any second is like the first
    second = np.round(np.stack([tone, tone], axis=1) * 2**15).astype(np.int16)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for start in range(0, frames, RATE):
            file.write(second[: frames - start])


def _write_other(path: Path, name: str, frames: int, said: tuple[Segment, ...]) -> None:
    film = frames / RATE
    records: dict[str, object] = {
        "mix_info": replace(_mix_info(frames), offset=OFFSET),
        "separation": SeparationRecord(
            "htdemucs-onnx", "arithmetic", RATE, frames, 2, 343980, 85995, {}, (Treated("silent", 1, 1, 2.0, film),)
        ),
        "segments": Recognition(
            "en",
            None,
            "whisper-base",
            (),
            (),
            (HEARD,),
        ),
        "transcript": Transcript("en", said, "film", "whisper-base", "film.mkv"),
        "ledger": Ledger(0.9, 2.0, 1.5, 0.3, 0.2, 1, entries=(Entry(2.3, 2.5, "gap", "", "speech 0.9", 0.9, -3.0),)),
    }
    if name in records:
        write_record(path, records[name])
    else:
        path.write_text("{}")


def _mix_info(frames: int) -> MixInfo:
    return MixInfo(frames, RATE, 0.0, 0.35, 0.5, 1.0, 0, "eng", 0.0, 0, 0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def workspace(out: Path, tmp_path: Path) -> Workspace:
    return Workspace(Settings(out, tmp_path / "models", tmp_path / "venv"), ["false"])


@pytest.fixture
def visit(workspace: Workspace) -> Callable[..., TestClient]:
    """Gives a client that has come in, unless it is to have other headers."""

    def client(**headers: str) -> TestClient:
        app = create_app(workspace, TOKEN, {HOST})
        given = {"authorization": f"Bearer {TOKEN}"} | {key.replace("_", "-"): value for key, value in headers.items()}
        return TestClient(app, base_url=f"http://{HOST}", headers=given, raise_server_exceptions=True)

    return client


@pytest.fixture
def client(visit: Callable[..., TestClient]) -> TestClient:
    return visit()


@dataclass(frozen=True)
class Studio:
    """A studio that answers, in a process of its own; `entrance` has the token in it."""

    entrance: str
    out: Path
    pid: int

    @property
    def token(self) -> str:
        return self.entrance.partition("?token=")[2]

    @property
    def address(self) -> str:
        return self.entrance.partition("?")[0].rstrip("/")


@contextmanager
def opened(root: Path, **environment: str) -> Iterator[Studio]:
    """`stemscribe studio` as a user starts it."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "studio", "--port", "0"],
        cwd=root,
        env={**os.environ, "STEMSCRIBE_ROOT": str(root), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield Studio(process.stdout.readline().strip(), root / "out", process.pid)
    finally:
        process.terminate()
        process.wait(timeout=20)
