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

KILLS = 20
IN_REHEARSAL = 4  # the first ones; what a rehearsal has done counts only when it has ended
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
    manifest = json.loads((undisturbed / "manifest.json").read_bytes())
    work = sum(stage["seconds"] for stage in manifest["stages"].values())
    log = (undisturbed / "pipeline.log").read_text(encoding="utf-8")
    rehearsal = float(re.findall(r"rehearsed in ([\d.]+) s", log)[0])
    disturbed = place.job("disturbed")
    met: Counter[str] = Counter()
    differing: set[str] = set()
    again = committed = 0
    while (kills := sum(met.values())) < KILLS:
        if kills < IN_REHEARSAL:
            run = place.killed(disturbed, chance.uniform(0.0, rehearsal))
        else:
            # Long enough that the kills go through all of the film, short enough that few of them come too late.
            run = place.killed(disturbed, chance.uniform(0.0, work / 6), after_rehearsal=True)
        if run.code == 0:  # it came to its end: another job, and the kills go on
            differing |= _differing(whole, disturbed)
            shutil.rmtree(disturbed)
            disturbed, committed = place.job("disturbed"), 0
            continue
        met[_moment(run)] += 1
        first, last = _windows(run)
        again += max(0, committed - first) if first is not None else 0
        committed = last if last is not None else committed
        tell(f"killed in {_moment(run)}, {sum(met.values())} of {KILLS}")
    place.finish(disturbed)
    differing |= _differing(whole, disturbed)
    windows = json.loads((undisturbed / "99_source_separation" / "separation.json").read_bytes())["windows"]
    seconds = round(time.monotonic() - started, 1)
    if not differing:
        shutil.rmtree(folder, ignore_errors=True)
    return Real(FILM.name, KILLS, dict(met), windows, again, tuple(whole), tuple(sorted(differing)), seconds)


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

    def killed(self, job: Path, seconds: float, *, after_rehearsal: bool = False) -> Run:
        """A run that is killed after so long, counted from its start or from its first stage."""
        out, err = self.root / "out.txt", self.root / "err.txt"
        with out.open("w") as answers, err.open("w") as talk:
            started = time.monotonic()
            process = subprocess.Popen(
                self._command("run", "-j", job.name, "--json"),
                env=self._environment(job.parent.name),
                stdout=answers,
                stderr=talk,
            )
            while after_rehearsal and process.poll() is None and '"event":"stage_' not in out.read_text():
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
        if each["event"] == "stage_progressed" and each["stage"] == "source_separation"
    ]
    return (done[0], done[-1]) if done else (None, None)
