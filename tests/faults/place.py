"""A folder to break things in, and processes of the program in it.

A process is forked from this one, which has imported everything: it is as real as one that a shell starts, with its own
memory, signals and death, and two seconds sooner at its work.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fakes import write_film
from stemscribe.records import sha256_of

from .injection import VARIABLE, Fault, Orders, Point

JOB = ("--engine", "onnx", "--separation-model", "arithmetic", "--gate", "off", "--model", "arithmetic", "-s", "en")
PACE = {"window": 0.008, "region": 0.03, "block": 0.001}
BOUND = 60.0  # seconds within which every process has to end
FILM = "film.mkv"
_POLL = 0.002


@dataclass
class Run:
    """What a process of the program did."""

    code: int
    out: str
    err: str
    seconds: float
    windows: int
    regions: int
    ended: bool = True

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(_events(self.out))

    def stages(self, event: str) -> list[str]:
        """The stages of which this was told: `stage_started`, `stage_skipped`, …"""
        return [each["stage"] for each in self.events if each["event"] == event]

    @property
    def moment(self) -> str:
        """Where it was when it ended: a stage, `finalising` once all windows were done, or what comes before."""
        moment = "start"
        for each in self.events:
            name = each["event"]
            if name == "rehearsed":
                moment = "rehearsed"
            elif name in {"stage_started", "stage_skipped"}:
                moment = each["stage"]
            elif name == "stage_progressed" and each["progress"]["unit"] == "windows":
                done = each["progress"]["done"] >= each["progress"]["total"]
                moment = "finalising" if done else moment
            elif name == "job_completed":
                moment = "end"
        return moment


def _events(out: str) -> Iterator[dict[str, Any]]:
    for line in out.splitlines():
        with contextlib.suppress(ValueError):  # the last one may be torn
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                yield event


@dataclass
class Process:
    """A process of the program that may still be running."""

    pid: int
    place: Place
    started: float
    before: tuple[int, int]
    out: Path
    err: Path
    status: int | None = None

    def has_ended(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def send(self, number: int) -> None:
        """Send a signal, if there is still somebody to get it."""
        if not self.has_ended():
            os.kill(self.pid, number)

    def until(self, seen: Callable[[str], bool]) -> bool:
        """Wait until its answers show something, or it has ended; returns whether they did."""
        while True:
            ended = self.has_ended()
            if seen(self.out.read_text(encoding="utf-8", errors="replace")):
                return True
            if ended or time.monotonic() - self.started > BOUND:
                return False
            time.sleep(_POLL)

    def result(self) -> Run:
        """Wait for its end, and say what it did; one that does not end is killed."""
        ended = True
        while not self.has_ended():
            if time.monotonic() - self.started > BOUND:
                ended = False
                os.killpg(self.pid, signal.SIGKILL)
                self.status = os.waitpid(self.pid, 0)[1]
            time.sleep(_POLL)
        assert self.status is not None
        windows, regions = self.place.counts()
        return Run(
            os.waitstatus_to_exitcode(self.status),
            self.out.read_text(encoding="utf-8", errors="replace"),
            self.err.read_text(encoding="utf-8", errors="replace"),
            time.monotonic() - self.started,
            windows - self.before[0],
            regions - self.before[1],
            ended,
        )


@dataclass
class Place:
    """A workplace: `in/` with a film, `models/`, `out/`, and beside it what the harness writes itself.

    Attributes:
        root: where the program works.
        notes: beside it, for the harness: answers, talk, counts.
        asked: how jobs are prepared.
    """

    root: Path
    notes: Path
    out: Path
    runs: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    flushes: bool = True
    asked: tuple[str, ...] = JOB

    @property
    def film(self) -> Path:
        return self.root / "in" / FILM

    def counts(self) -> tuple[int, int]:
        """How many windows were separated and how many regions heard, in all runs so far."""
        try:
            lines = (self.notes / "counts").read_text().split()
        except FileNotFoundError:
            return 0, 0
        return lines.count("window"), lines.count("region")

    def orders(
        self, *faults: Fault, points: str = "", time_limit: float = 60.0, patience: float = 600.0, **pace: float
    ) -> Orders:
        """What the next process is told."""
        return Orders(
            below=str(self.out),
            counts=str(self.notes / "counts"),
            faults=faults,
            points=points,
            pace={**PACE, **pace},
            time_limit=time_limit,
            patience=patience,
            flushes=self.flushes,
        )

    def start(self, *arguments: object, orders: Orders | None = None, limits: dict[int, int] | None = None) -> Process:
        """A process of the program, forked."""
        self.runs += 1
        out, err = self.notes / f"{self.runs}.out", self.notes / f"{self.runs}.err"
        out.touch()
        before, started = self.counts(), time.monotonic()
        pid = os.fork()
        if not pid:
            self._become(list(map(str, arguments)), orders or self.orders(), limits or {}, out, err)
        return Process(pid, self, started, before, out, err)

    def run(self, *arguments: object, orders: Orders | None = None) -> Run:
        return self.start(*arguments, orders=orders).result()

    def prepare(self) -> str:
        """A new job for the film; returns its id."""
        done = self.run("prepare", "--media", self.film, *self.asked)
        assert done.code == 0, done.err
        return done.out.split()[-1]

    def variables(self, orders: Orders) -> dict[str, str]:
        """The environment of the program's processes."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("STEMSCRIBE_")},
            "STEMSCRIBE_ROOT": str(self.root),
            "STEMSCRIBE_MODELS_DIR": str(self.root / "models"),
            "STEMSCRIBE_VENV_DIR": str(self.root / "venv"),
            "STEMSCRIBE_OUT_DIR": str(self.out),
            "TMPDIR": str(self.root / "tmp"),
            "HOME": str(self.root / "home"),
            VARIABLE: msgspec.json.encode(orders).decode(),
            **self.environment,
        }

    def _become(
        self, arguments: list[str], orders: Orders, limits: dict[int, int], out: Path, err: Path
    ) -> None:  # pragma: no cover - in the child
        """Be the program; never returns."""
        code = 70
        try:
            os.setsid()
            os.chdir(self.root)
            for number, path in ((0, Path(os.devnull)), (1, out), (2, err)):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), number)
            variables = self.variables(orders)
            os.environ.clear()
            os.environ.update(variables)
            sys.argv = ["stemscribe", *arguments]
            sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", encoding="utf-8")
            for which, value in limits.items():
                resource.setrlimit(which, (value, resource.RLIM_INFINITY))
            from .program import main

            main()
            code = 0
        except SystemExit as request:
            code = request.code if isinstance(request.code, int) else int(request.code is not None)
        except BaseException as error:  # noqa: BLE001 - what Python itself does with it
            traceback.print_exc()
            code = 130 if isinstance(error, KeyboardInterrupt) else 1
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)


@dataclass(frozen=True)
class Undisturbed:
    """The job as it is when nothing goes wrong.

    Attributes:
        template: a place with nothing but the rehearsal in its `out/`.
        job: a finished job folder.
        files: by path below the job's folder, the SHA-256 of everything but logs and records of times.
        windows: how many there are.
        regions: how many there are.
        seconds: how long each stage takes, by name.
        points: every point that a run passes.
        asked: how it was prepared.
    """

    template: Path
    job: Path
    files: dict[str, str]
    windows: int
    regions: int
    seconds: dict[str, float]
    points: tuple[Point, ...]
    asked: tuple[str, ...] = JOB


def undisturbed(folder: Path, silero: Path, asked: tuple[str, ...] = JOB) -> Undisturbed:
    """Make a template of all places, and the job that all others are compared with.

    Args:
        folder: where to; empty.
        silero: the fetched model `silero-vad`.
        asked: how the job is prepared.
    """
    template = new_place(folder / "template", folder / "notes")
    _furnish(template, silero)
    place = replace(copy_place(template, folder / "undisturbed"), asked=asked)
    points = folder / "points.json"
    job = place.prepare()
    done = place.run("run", "-j", job, "--json", orders=place.orders(points=str(points)))
    assert done.code == 0, done.err
    assert "Traceback" not in done.err, done.err
    shutil.copytree(place.out / ".rehearsals", template.out / ".rehearsals")
    shutil.copytree(place.root / "models", template.root / "models", dirs_exist_ok=True)
    path = place.out / job
    seconds = {each["stage"]: each["seconds"] for each in done.events if each["event"] == "stage_completed"}
    passed = tuple(msgspec.json.decode(points.read_bytes(), type=list[Point]))
    return Undisturbed(template.root, path, hashes(path), done.windows, done.regions, seconds, passed, asked)


def hashes(job: Path) -> dict[str, str]:
    """What a job has made, by path: everything but logs, the lock, and the two records of what was asked and when."""
    return {
        path.relative_to(job).as_posix(): sha256_of(path)
        for path in sorted(job.rglob("*"))
        if path.is_file() and path.suffix != ".log" and path.name not in {"job.json", "manifest.json", ".lock"}
    }


def new_place(root: Path, notes: Path) -> Place:
    for folder in (root / "in", root / "out", root / "tmp", root / "home", notes):
        folder.mkdir(parents=True, exist_ok=True)
    return Place(root, notes, root / "out")


def copy_place(template: Place | Path, folder: Path) -> Place:
    """A fresh place like the template, with the rehearsal remembered."""
    source = template if isinstance(template, Path) else template.root
    root, notes = folder / "place", folder / "notes"
    shutil.copytree(source, root, symlinks=True)  # keeps the times by which fetched models are known
    notes.mkdir()
    return Place(root, notes, root / "out")


def _furnish(place: Place, silero: Path) -> None:
    from .program import CATALOG

    (place.root / "models.toml").write_text(CATALOG)
    (place.root / "stemscribe.toml").write_text('catalog = "models.toml"\n')
    shutil.copytree(silero, place.root / "models" / silero.name)
    make_film(place.film)


def make_film(path: Path, seed: int = 0) -> None:
    """Five bursts of shaped noise with pauses between: 18 s of stereo, 25 windows, five regions."""
    rate, chance = 44100, np.random.default_rng(seed)
    parts = []
    for _ in range(5):
        time_axis = np.arange(int(0.9 * rate)) / rate
        burst = chance.standard_normal((2, len(time_axis))) * np.sin(np.pi * time_axis / 0.9) * 0.2
        parts += [burst, chance.standard_normal((2, int(2.9 * rate))) * 1e-4]
    write_film(path, [(np.concatenate(parts, axis=1).astype(np.float32), "eng")], rate=rate)
