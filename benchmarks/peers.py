"""Who is run side by side: our command, Demucs' own, and plain faster-whisper; each as a user would run it.

All separate with the same weights. Demucs wants them in a form of its own, which is made in a temporary folder from the
file that our torch engine uses (`benchmarks.demucs_repository`).
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.demucs_repository import BAG
from benchmarks.side_by_side import ROOT, ProgramFailed, Run, measured
from platformdirs import user_cache_path

from stemscribe.environments.interpreter import python_in
from stemscribe.evaluation.distortion import distortion
from stemscribe.jobs.manifest import Manifest
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.records import read_record

VENV = Path(os.environ.get("STEMSCRIBE_VENV_DIR") or ROOT / "venv")
MODELS = Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or user_cache_path("stemscribe") / "models")
CORE, DEMUCS = python_in(VENV / "core"), python_in(VENV / "demucs")
STEMSCRIBE = CORE.with_name("stemscribe")
WEIGHTS = ("htdemucs-torch", "955717e8.safetensors")
WHISPER = "whisper-base"
LANGUAGE = "en"
VOCALS, ACCOMPANIMENT = "vocals", "accompaniment"
UNGATED = ("--gate", "off")
EQUAL_OUTPUT = ("--shifts", "0", "--float32")
"""Demucs without its random shift, which never makes it slower: it separates no window more, and copies nothing."""
_HEADROOM = 1.01  # of Demucs' way to avoid clipping

_VERSIONS = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"


def versions(python: Path, *packages: str) -> dict[str, str]:
    """Which releases an environment has of some packages.

    Raises:
        ProgramFailed: one of them is not there.
    """
    command = [str(python), "-c", _VERSIONS, *packages]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        raise ProgramFailed(f"{python} has not all of {', '.join(packages)}:\n{asked.stderr[-500:]}")
    return dict(zip(packages, (release.partition("+")[0] for release in asked.stdout.split()), strict=True))


@dataclass(frozen=True)
class Job:
    """What one of our jobs has left: its folder, and where its stems or its text are."""

    run: Run
    folder: Path
    answers: tuple[Path, ...]

    def answer(self, name: str) -> Path:
        """The file of that name among those that the command named on stdout."""
        return next(path for path in self.answers if path.name == name)

    def file(self, name: str) -> Path:
        """The file of that name that a stage has made."""
        (path,) = self.folder.glob(f"*/{name}")
        return path

    def stage_seconds(self, stage: str) -> float:
        """What a stage took."""
        return read_record(self.folder / "manifest.json", Manifest).stage(stage).seconds

    @property
    def separation(self) -> SeparationRecord:
        return read_record(self.file("separation.json"), SeparationRecord)

    @property
    def text(self) -> str:
        """The transcript."""
        return self.file("transcript.txt").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Stemscribe:
    """Our command, in `venv/core`.

    Attributes:
        jobs: the folder of job folders, the same for all runs, as users have it: rehearsals are remembered there.
    """

    jobs: Path
    command: Path = STEMSCRIBE

    def separate(self, media: Path, place: Path, *options: str) -> Job:
        """The stems of a file."""
        return self._job(place, "separate", media, "-o", place / "stems", *options)

    def transcribe(self, media: Path, place: Path, *options: str) -> Job:
        """The whole job, prepared and run."""
        return self._job(place, "run", "--media", media, "-s", LANGUAGE, "--model", WHISPER, *options)

    def _job(self, place: Path, *arguments: str | Path) -> Job:
        command = [self.command, *arguments, "--no-cache", "--out-dir", self.jobs]
        run, answer = measured(command, place / "stemscribe.log")
        (folder,) = self.jobs.glob("job-*")
        made = (ROOT / line for line in answer.splitlines() if line.strip())
        kept = place / folder.name  # a job is complete in itself, and the next one has the folder to itself
        here = tuple(kept / path.relative_to(folder) if path.is_relative_to(folder) else path for path in made)
        return Job(run, folder.rename(kept), here)


@dataclass(frozen=True)
class Demucs:
    """Demucs' own command, in some environment.

    Attributes:
        python: of the environment.
        repository: the folder of `benchmarks.demucs_repository`.
    """

    python: Path
    repository: Path

    def separate(self, media: Path, place: Path, *options: str) -> tuple[Run, Path]:
        """Vocals and everything else of a file; returns what it took, and the vocals."""
        own = ["--repo", str(self.repository), "-n", BAG, "--two-stems", VOCALS, "-o", str(place), *options]
        run, _ = measured([self.python, "-m", "demucs", *own, media], place / "demucs.log")
        return run, place / BAG / media.stem / f"{VOCALS}.wav"


def demucs_repository(folder: Path) -> Path:
    """The folder that Demucs' command takes its weights from, made from our verified ones."""
    name, file = WEIGHTS
    _, fetched = measured([STEMSCRIBE, "models", "fetch", name], folder.with_name("fetch.log"))
    weights = ROOT / fetched.split("\n", maxsplit=1)[0] / file
    measured([DEMUCS, "-m", "benchmarks.demucs_repository", weights, folder], folder.with_name("demucs_repository.log"))
    return folder


def whisper(sound: Path, place: Path) -> tuple[Run, str]:
    """Plain faster-whisper on a recording: what it took, and what it wrote."""
    text = place / "plain.txt"
    files = [str(sound), str(MODELS / WHISPER), str(text)]
    run, _ = measured([CORE, "-m", "benchmarks.plain_whisper", *files, "--language", LANGUAGE], place / "whisper.log")
    return run, text.read_text(encoding="utf-8")


def snr_db(job: Job, theirs: Path) -> float:
    """How far the difference between our vocals and Demucs' is below them.

    Both keep a stem from clipping by bringing it down as a whole, ours together with the accompaniment; that is known,
    and taken back.

    Args:
        job: ours, with float stems.
        theirs: Demucs' vocals, in float.
    """
    written = job.separation.stems[VOCALS]
    level = written["gain"] * max(_HEADROOM * written["peak"], 1.0)
    return round(distortion(theirs, job.answer(f"{VOCALS}.wav"), level=level).sdr or 0.0, 1)
