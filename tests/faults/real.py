"""A real film with the real models, killed at random from its first second to its last, and compared byte for byte."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .place import Run, hashes
from .report import Real

# What a run has to say before it is killed at random, and how often: in the rehearsal, anywhere after it (most of that
# is separation), and in the stages that come at the end, which are short.
MOMENTS = (
    *["Rehearsing"] * 4,
    *["STARTING"] * 11,
    "Stage speech_detection: STARTING",
    *["Stage asr: STARTING"] * 3,
    "Stage export: STARTING",
)
FILM = Path(__file__).parents[3] / "shared" / "corpus" / "video" / "sintel_trailer.mp4"
_MAIN = "from stemscribe.cli.app import main; main()"
_LIMIT = 1800.0


def killed_for_real(folder: Path, models: Path, seed: int, tell: Callable[[str], None]) -> Real:
    """Run the film undisturbed, then kill it until it has been killed often enough, then let it end.

    Args:
        folder: where to work; made, and removed when all is well.
        models: the fetched models.
        seed: of the moments.
        tell: told how far it is.
    """
    place, chance, started = _Real(folder, models), random.Random(seed), time.monotonic()
    (folder / "tmp").mkdir(parents=True)
    undisturbed = place.job("undisturbed")
    tell(f"{FILM.name}, undisturbed...")
    place.finish(undisturbed)
    whole = hashes(undisturbed)
    longest = _lengths(undisturbed)
    disturbed = place.job("disturbed")
    met: Counter[str] = Counter()
    differing: set[str] = set()
    again = committed = 0
    while (kills := sum(met.values())) < len(MOMENTS):
        run = place.killed(disturbed, MOMENTS[kills], chance.uniform(0.0, longest[MOMENTS[kills]]))
        if run.code == 0:  # it came to its end: another job, and the kills go on
            differing |= _differing(whole, disturbed)
            shutil.rmtree(disturbed)
            disturbed, committed = place.job("disturbed"), 0
            continue
        met[_moment(run)] += 1
        first, last = _windows(run)
        again += max(0, committed - first) if first is not None else 0
        committed = last if last is not None else committed
        tell(f"killed in {_moment(run)}, {sum(met.values())} of {len(MOMENTS)}")
    place.finish(disturbed)
    differing |= _differing(whole, disturbed)
    windows = json.loads((undisturbed / "99_source_separation" / "separation.json").read_bytes())["windows"]
    seconds = round(time.monotonic() - started, 1)
    if not differing:
        shutil.rmtree(folder, ignore_errors=True)
    return Real(FILM.name, len(MOMENTS), dict(met), windows, again, tuple(whole), tuple(sorted(differing)), seconds)


def _lengths(job: Path) -> dict[str, float]:
    """For each moment, how many seconds after it the kill comes at most."""
    stages = json.loads((job / "manifest.json").read_bytes())["stages"]
    (rehearsal,) = re.findall(r"rehearsed in ([\d.]+) s", (job / "pipeline.log").read_text(encoding="utf-8"))
    seconds = {f"Stage {name}: STARTING": stage["seconds"] for name, stage in stages.items()}
    # A sixth of it: the kills go through all of the film, and few of them come too late.
    return {"Rehearsing": float(rehearsal) / 2, "STARTING": sum(seconds.values()) / 6, **seconds}


def _differing(whole: dict[str, str], job: Path) -> set[str]:
    now = hashes(job)
    return {name for name in {*whole, *now} if whole.get(name) != now.get(name)}


@dataclass
class _Real:
    """A folder with an `out/` for each of two jobs, and fresh interpreters in it."""

    root: Path
    models: Path

    def job(self, name: str) -> Path:
        done = self._run(name, "prepare", "--media", str(FILM), "-s", "en")
        return self.root / name / done.stdout.split()[-1]

    def finish(self, job: Path) -> None:
        self._run(job.parent.name, "run", "-j", job.name)

    def killed(self, job: Path, says: str, seconds: float) -> Run:
        """A run that is killed so long after it has said something."""
        out, err = self.root / "out.txt", self.root / "err.txt"
        with out.open("w") as answers, err.open("w") as talk:
            started = time.monotonic()
            process = subprocess.Popen(
                self._command("run", "-j", job.name, "--json"),
                env=self._environment(job.parent.name),
                stdout=answers,
                stderr=talk,
            )
            while process.poll() is None and says not in err.read_text():
                time.sleep(0.02)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
            code = process.wait()
        return Run(code, out.read_text(), err.read_text(), time.monotonic() - started, 0, 0)

    def _run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self._command(*arguments),
            env=self._environment(name),
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", _MAIN, *arguments]

    def _environment(self, name: str) -> dict[str, str]:
        places = {"ROOT": self.root, "OUT_DIR": self.root / name, "MODELS_DIR": self.models}
        return {
            **os.environ,
            **{f"STEMSCRIBE_{variable}": str(path) for variable, path in places.items()},
            "TMPDIR": str(self.root / "tmp"),
        }


def _moment(run: Run) -> str:
    return "rehearsal" if run.moment == "start" and "Rehearsing" in run.err else run.moment


def _windows(run: Run) -> tuple[int | None, int | None]:
    """How many windows there were when a run began to separate, and when it ended."""
    done = [
        int(each["progress"]["done"])
        for each in run.events
        if each["event"] == "stage_progressed" and each["progress"]["unit"] == "windows"
    ]
    return (done[0], done[-1]) if done else (None, None)
