"""Every kind of fault: what goes wrong, where, and what has to come of it.

A kind is a function over a `Trial`, registered with the variants in which it comes. It breaks something, notes how the
program ended, and asks the trial to finish the job; the trial asks the questions.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .injection import Fault, Point
from .place import JOB, Process, Run, Undisturbed, make_film
from .trial import NotHere, Trial

STAGES = ("demux", "source_separation", "finalising", "speech_detection", "asr", "export")
FOLDERS = {
    "demux": "01_demux",
    "source_separation": "99_source_separation",
    "speech_detection": "02_speech_detection",
    "asr": "03_asr",
    "export": "04_export",
}
RESUMED, REPAIRED = "resumed, identical", "repaired and said so, identical"
KILLED = -signal.SIGKILL
SAID = {
    "ENOSPC": r"No space left on device",
    "EDQUOT": r"Disk quota exceeded",
    "EIO": r"Input/output error",
    "EROFS": r"Read-only file system",
    "EFBIG": r"File too large",
}
DAY, DECADE = 86400.0, 10 * 365.25 * 86400.0
_SLOW = {"window": 0.02, "region": 0.1, "block": 0.01}


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: what the table calls it.
        group: under which heading.
        act: does it.
        variants: the keyword arguments that it comes with; `None` until the points of a run are known.
        of_points: makes the variants from those points.
    """

    name: str
    group: str
    act: Callable[..., None]
    variants: Sequence[dict[str, Any]] = ({},)
    of_points: Callable[[Sequence[Point]], list[dict[str, Any]]] | None = None

    def all_variants(self, reference: Undisturbed) -> list[dict[str, Any]]:
        return self.of_points(reference.points) if self.of_points else list(self.variants)


KINDS: dict[str, Kind] = {}


def kind(
    group: str,
    name: str,
    variants: Sequence[dict[str, Any]] = ({},),
    of_points: Callable[[Sequence[Point]], list[dict[str, Any]]] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a kind."""

    def register(act: Callable[..., None]) -> Callable[..., None]:
        KINDS[name] = Kind(name, group, act, variants, of_points)
        return act

    return register


def each(name: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    return [{name: value} for value in values]


# ---- moments


def reaches(process: Process, moment: str) -> bool:
    """Wait until a process is in a stage, or is finalising its stems."""
    if moment == "finalising":
        return process.until(lambda out: _windows(out) is True)
    return process.until(lambda out: f'"stage_started","stage":"{moment}"' in out)


def _windows(out: str) -> int | bool:
    """How many windows are done; true when all are."""
    found = re.findall(r'"stage":"source_separation","progress":\{"done":(\d+)[.\d]*,"total":(\d+)', out)
    return found[-1][0] == found[-1][1] or int(found[-1][0]) if found else False


def dwell(trial: Trial, moment: str) -> None:
    """A random while, as long as that moment lasts."""
    stage = "source_separation" if moment == "finalising" else moment
    time.sleep(trial.chance.uniform(0, trial.reference.seconds.get(stage, 1.0) * 1.2))


def at_windows(trial: Trial, count: int, *faults: Fault) -> Run:
    """A run that is killed when so many windows are done."""
    process = trial.start(orders=trial.place.orders(*faults, window=0.02))
    process.until(lambda out: _windows(out) is True or _windows(out) >= count)
    process.send(signal.SIGKILL)
    return trial.disturbed(process.result(), {KILLED})


def at_regions(trial: Trial, count: int) -> Run:
    """A run that is killed when so many regions are heard."""
    process = trial.start(orders=trial.place.orders(region=0.1))
    process.until(lambda out: f'"stage":"asr","progress":{{"done":{count}' in out)
    process.send(signal.SIGKILL)
    return trial.disturbed(process.result(), {KILLED})


# ---- kills


@kind("death", "SIGKILL at a random moment", [*each("moment", STAGES), {"moment": "anywhere"}])
def killed_at_random(trial: Trial, moment: str) -> None:
    trial.begin()
    for _ in range(3):
        process = trial.start(orders=trial.place.orders(**_SLOW))
        if moment == "anywhere":
            time.sleep(trial.chance.uniform(0, 1.5 * sum(trial.reference.seconds.values())))
        elif reaches(process, moment):
            dwell(trial, moment)
        process.send(signal.SIGKILL)
        trial.disturbed(process.result(), {KILLED, 0})
    trial.finish()


@kind("death", "SIGKILL in the rehearsal")
def killed_in_rehearsal(trial: Trial) -> None:
    trial.begin()
    _forget_rehearsals(trial)
    for _ in range(2):
        process = trial.start()
        time.sleep(trial.chance.uniform(0.1, 2.5))
        process.send(signal.SIGKILL)
        run = process.result()
        trial.disturbed(run, {KILLED, 0}, stage="rehearsal" if run.moment == "start" else "")
    trial.finish()


def _crash_points(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Before and after everything that happens to a file, and in the middle of every write."""
    return [
        {"point": asdict(point), "when": when}
        for point in points
        if point.op not in {"log", "window", "region"}
        for when in (("before", "middle", "after") if point.op in {"write", "rmtree"} else ("before", "after"))
    ]


@kind("death", "SIGKILL at a crash point", of_points=_crash_points)
def killed_at_point(trial: Trial, point: dict[str, Any], when: str) -> None:
    trial.begin()
    fault = Fault("kill", point["op"], point["name"], point["nth"], when=when)  # type: ignore[arg-type]
    trial.disturbed(trial.run(orders=trial.place.orders(fault)), {KILLED}, stage=point["stage"])
    trial.finish()


@kind("death", "power cut at a crash point", of_points=_crash_points)
def power_cut(trial: Trial, point: dict[str, Any], when: str) -> None:
    trial.begin()
    fault = Fault(
        "cut",
        point["op"],
        point["name"],
        point["nth"],
        when=when,
        seed=trial.chance.randrange(1 << 30),  # type: ignore[arg-type]
    )
    trial.disturbed(trial.run(orders=trial.place.orders(fault)), {KILLED}, stage=point["stage"])
    trial.finish()


@kind("signals", "SIGTERM", each("moment", STAGES))
def terminated(trial: Trial, moment: str) -> None:
    _signalled(trial, moment, [signal.SIGTERM])


@kind("signals", "Ctrl-C", each("moment", STAGES))
def interrupted(trial: Trial, moment: str) -> None:
    _signalled(trial, moment, [signal.SIGINT])


@kind("signals", "Ctrl-C twice, quickly", each("moment", STAGES))
def interrupted_twice(trial: Trial, moment: str) -> None:
    _signalled(trial, moment, [signal.SIGINT, signal.SIGINT])


@kind("signals", "the terminal is closed (SIGHUP)", each("moment", STAGES[1:3]))
def hung_up(trial: Trial, moment: str) -> None:
    _signalled(trial, moment, [signal.SIGHUP], codes={0, 130, -signal.SIGHUP})


def _signalled(trial: Trial, moment: str, signals: list[int], codes: set[int] | None = None) -> None:
    trial.begin()
    process = trial.start(orders=trial.place.orders(**_SLOW))
    if reaches(process, moment):
        dwell(trial, moment)
    for number in signals:
        process.send(number)
        time.sleep(trial.chance.uniform(0, 0.03))
    run = trial.disturbed(process.result(), codes or {0, 130}, says=r"\[WARNING\] Interrupted\. Nothing is lost")
    if run.code == 0 and run.moment != "end":
        trial.broken.append("it ended with 0 before its end")
    trial.finish()


@kind("signals", "stopped for a while and continued")
def stopped(trial: Trial) -> None:
    trial.begin()
    process = trial.start(orders=trial.place.orders(**_SLOW))
    reaches(process, trial.chance.choice(STAGES))
    process.send(signal.SIGSTOP)
    time.sleep(0.3)
    process.send(signal.SIGCONT)
    trial.disturbed(process.result(), {0})
    trial.finish(ended="completed, identical")


# ---- disks

WRITERS = (
    ("demux", "mix.flac"),
    ("demux", "mix.json"),
    ("source_separation", "windows.f32"),
    ("source_separation", "windows.jsonl"),
    ("source_separation", "vocals.wav"),
    ("source_separation", "accompaniment.wav"),
    ("source_separation", "separation.json"),
    ("speech_detection", "regions.json"),
    ("asr", "regions.jsonl"),
    ("asr", "segments.json"),
    ("export", "transcript.json"),
    ("export", "transcript.srt"),
    ("export", "transcript.vtt"),
    ("export", "transcript.txt"),
    ("export", "ledger.json"),
    ("job", "manifest.json"),
)
_FEW = WRITERS[::3]


def _at_writers(op: str, writers: Sequence[tuple[str, str]], **more: Any) -> list[dict[str, Any]]:
    return [{"stage": stage, "name": name, "op": op, **more} for stage, name in writers]


@kind("disk", "disk full (ENOSPC)", _at_writers("write", WRITERS) + _at_writers("open", [("demux", "stage.log")]))
def disk_full(trial: Trial, stage: str, name: str, op: str) -> None:
    _refused(trial, stage, name, op, "ENOSPC", lasting=True)


@kind("disk", "quota used up (EDQUOT)", _at_writers("write", _FEW))
def quota_used_up(trial: Trial, stage: str, name: str, op: str) -> None:
    _refused(trial, stage, name, op, "EDQUOT", lasting=True)


@kind("disk", "a flush fails (EIO)", _at_writers("fsync", WRITERS))
def flush_fails(trial: Trial, stage: str, name: str, op: str) -> None:
    _refused(trial, stage, name, op, "EIO", lasting=False)


@kind("disk", "the disk turns read-only (EROFS)", _at_writers("write", _FEW) + _at_writers("rename", WRITERS[1::3]))
def turns_read_only(trial: Trial, stage: str, name: str, op: str) -> None:
    _refused(trial, stage, name, op, "EROFS", lasting=True)


def _refused(trial: Trial, stage: str, name: str, op: str, code: str, *, lasting: bool) -> None:
    trial.begin()
    count = sum((point.op, point.name) == (op, name) for point in trial.reference.points)
    fault = Fault("raise", op, name, trial.chance.randint(1, max(1, count)), errno=code, lasting=lasting)
    # libsndfile tells no reason; that the disk is full is found by looking, and here it is not.
    says = r"\[ERROR\] Could not write " if name.endswith((".wav", ".flac")) and op == "write" else SAID[code]
    trial.disturbed(trial.run(orders=trial.place.orders(fault)), {1}, says=says, stage=stage)
    trial.finish()


@kind("disk", "the log cannot be written (ENOSPC)", each("name", ("pipeline.log", "stage.log")))
def log_fails(trial: Trial, name: str) -> None:
    trial.begin()
    fault = Fault("raise", "log", name, trial.chance.randint(1, 12))
    trial.disturbed(trial.run(orders=trial.place.orders(fault)), {0}, stage="any")
    trial.finish(ended="completed, identical")


@kind("disk", "a real disk fills up (tmpfs)", each("moment", STAGES))
def really_full(trial: Trial, moment: str) -> None:
    trial.mount(64 << 20)
    trial.begin()
    process = trial.start(orders=trial.place.orders(**_SLOW))
    if reaches(process, moment):
        dwell(trial, moment)
    ballast = trial.place.out / "ballast"
    _fill(ballast)
    run = trial.disturbed(
        process.result(), {0, 1}, says=r"No space left on device|no space is left on the disk|are free"
    )
    ballast.unlink(missing_ok=True)
    trial.finish(ended=RESUMED if run.code else "completed, identical")


@kind("disk", "a real disk is full from the start (tmpfs)")
def full_from_the_start(trial: Trial) -> None:
    trial.mount(64 << 20)
    trial.begin()
    ballast = trial.place.out / "ballast"
    _fill(ballast)
    trial.disturbed(trial.run(), {1}, says=r"No space left on device|are free", stage="start")
    ballast.unlink()
    trial.finish()


def _fill(ballast: Path) -> None:
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while os.write(descriptor, bytes(size)):
                    pass
            except OSError:
                continue
    finally:
        os.close(descriptor)


@kind("disk", "no file may grow further (RLIMIT_FSIZE)", each("limit", (300_000, 1_000_000, 4_000_000, 6_000_000)))
def limited(trial: Trial, limit: int) -> None:
    trial.begin()
    run = trial.run(limits={resource.RLIMIT_FSIZE: limit})
    trial.disturbed(run, {1}, says=r"\[ERROR\] Could not write ")
    trial.finish()


@kind("disk", "a stem may not grow further (RLIMIT_FSIZE)", each("name", ("vocals.wav", "accompaniment.wav")))
def limited_stem(trial: Trial, name: str) -> None:
    trial.begin()
    fault = Fault("quota", "write", name, trial.chance.randint(1, 20), amount=trial.chance.randint(0, 2_000_000))
    run = trial.run(orders=trial.place.orders(fault))
    trial.disturbed(run, {1}, says=r"\[ERROR\] Could not write ")
    trial.finish()


@kind("disk", "out/ is mounted read-only", each("fresh", (True, False)))
def read_only(trial: Trial, fresh: bool) -> None:
    trial.mount(64 << 20)
    trial.begin()
    if not fresh:
        at_windows(trial, 9)
    trial.remount("ro")
    trial.disturbed(trial.run(), {1}, says=SAID["EROFS"], stage="start")
    trial.remount("rw")
    trial.finish()


@kind("disk", "out/ may not be written (chmod)")
def forbidden(trial: Trial) -> None:
    if not os.geteuid():
        raise NotHere("an administrator may write everything")
    trial.begin()
    trial.folder.chmod(0o555)
    trial.clean_up.append(lambda: trial.folder.chmod(0o755))
    trial.disturbed(trial.run(), {1}, says=r"Permission denied", stage="start")
    trial.folder.chmod(0o755)
    trial.finish()


@kind("disk", "a log file is a folder", each("name", ("pipeline.log", "99_source_separation/stage.log")))
def log_is_a_folder(trial: Trial, name: str) -> None:
    trial.begin()
    (trial.folder / name).mkdir(parents=True)
    trial.disturbed(trial.run(), {1}, says=r"Is a directory", stage="start")
    (trial.folder / name).rmdir()
    trial.finish()


@kind("disk", "out/ is another file system")
def other_file_system(trial: Trial) -> None:
    trial.mount(64 << 20)
    trial.begin()
    at_windows(trial, 12)
    trial.finish()


@kind("disk", "out/ is a symbolic link")
def linked_out(trial: Trial) -> None:
    elsewhere = trial.place.notes / "elsewhere"
    trial.place.out.rename(elsewhere)
    trial.place.out.symlink_to(elsewhere)
    trial.begin()
    at_windows(trial, 12)
    trial.finish()


# ---- films


@kind("film", "the film vanishes", each("moment", ("before", "demux", "after")))
def film_vanishes(trial: Trial, moment: str) -> None:
    trial.begin()
    hidden = trial.place.notes / "film"
    if moment == "before":
        trial.place.film.rename(hidden)
        trial.disturbed(trial.run(), {1}, says=r"The film is not there any more: .*", stage="start")
    elif moment == "demux":
        process = trial.start(orders=trial.place.orders(block=0.05))
        reaches(process, "demux")
        trial.place.film.rename(hidden)
        trial.disturbed(process.result(), {0, 1}, says=r"\[ERROR\] .*film")
    else:
        at_windows(trial, 9)
        trial.place.film.rename(hidden)
        trial.disturbed(trial.run(), {0})  # it is not needed any more
    hidden.rename(trial.place.film)
    trial.finish()


@kind("film", "the film changes", each("moment", ("before", "demux", "between")))
def film_changes(trial: Trial, moment: str) -> None:
    trial.begin()
    kept = trial.place.notes / "film"
    shutil.copy2(trial.place.film, kept)
    if moment == "between":
        process = trial.start(orders=trial.place.orders(**_SLOW))
        reaches(process, "demux")
        time.sleep(0.02)
        process.send(signal.SIGKILL)
        trial.disturbed(process.result(), {KILLED})
    if moment == "demux":
        process = trial.start(orders=trial.place.orders(block=0.05))
        reaches(process, "demux")
        make_film(trial.place.film, seed=7)
        trial.disturbed(process.result(), {0, 1}, says=r"\[ERROR\] ")
    else:
        make_film(trial.place.film, seed=7)
        trial.disturbed(trial.run(), {1}, says=r"is not the file that job-\S+ was prepared for", stage="start")
    shutil.copy2(kept, trial.place.film)
    trial.finish()


# ---- time, and others


@kind(
    "time",
    "the clock jumps",
    [{"by": by, "stage": stage} for by in (-DAY, DECADE) for stage in STAGES[:2] + STAGES[4:]],
)
def clock_jumps(trial: Trial, by: float, stage: str) -> None:
    trial.begin()
    names = {
        "demux": "mix.flac",
        "source_separation": "windows.f32",
        "asr": "regions.jsonl",
        "export": "transcript.srt",
    }
    fault = Fault("clock", "write", names[stage], amount=by)
    trial.disturbed(trial.run(orders=trial.place.orders(fault)), {0}, stage=stage)
    trial.finish(ended="completed, identical")


@kind("time", "the clock jumps, then a kill", [{"by": by} for by in (-DAY, DECADE)])
def clock_jumps_and_kill(trial: Trial, by: float) -> None:
    trial.begin()
    nth = trial.chance.randint(3, 20)
    faults = Fault("clock", "write", "windows.f32", amount=by), Fault("kill", "fsync", "windows.f32", nth)
    trial.disturbed(trial.run(orders=trial.place.orders(*faults)), {KILLED})
    trial.finish()


@kind("others", "two runners of one job", each("moment", STAGES[:4]))
def two_runners(trial: Trial, moment: str) -> None:
    trial.begin()
    first = trial.start(orders=trial.place.orders(**_SLOW))
    reaches(first, moment)
    first.send(signal.SIGSTOP)  # so that it is there for as long as the other one asks
    trial.disturbed(trial.run(), {1}, says=r"job-\S+ is being run by another process", stage=moment)
    first.send(signal.SIGCONT)
    run = first.result()
    trial.broken += [f"the first one ended with {run.code}"] if run.code else []
    trial.finish(ended="the first completes, identical")


@kind("others", "two runners begin at once")
def two_at_once(trial: Trial) -> None:
    trial.begin()
    both = [trial.start(orders=trial.place.orders(**_SLOW)) for _ in range(2)]
    runs = [process.result() for process in both]
    if sorted(run.code for run in runs) not in ([0, 1], [0, 0]):
        trial.broken.append(f"they ended with {[run.code for run in runs]}")
    for run in runs:
        if run.code:
            trial.disturbed(run, {1}, says=r"is being run by another process", stage="start")
    trial.finish(ended="one completes, identical")


@kind("others", "a dead run left things behind")
def left_behind(trial: Trial) -> None:
    trial.begin()
    at_windows(trial, 9)
    home = trial.folder / FOLDERS["source_separation"]
    (home / ".draft").mkdir(exist_ok=True)
    (home / ".draft" / "vocals.wav").write_bytes(b"half")
    (home / ".draft" / ".vocals.wav.01234567.part").write_bytes(b"half")
    (home / ".scratch" / "0123456789abcdef").mkdir()
    (home / ".scratch" / "0123456789abcdef" / "windows.f32").write_bytes(b"other")
    (trial.folder / ".manifest.json.01234567.part").write_bytes(b"{")
    rehearsal = trial.folder / ".rehearsal-abcdefgh" / "01_demux" / ".draft"
    rehearsal.mkdir(parents=True)
    (rehearsal / "mix.flac").write_bytes(b"half")
    (trial.place.out / ".01234567.part").mkdir()
    (trial.folder / FOLDERS["asr"]).mkdir(exist_ok=True)
    (trial.folder / FOLDERS["asr"] / "segments.json").write_text("{}")  # named, and in nobody's record
    trial.beside = {f"{FOLDERS['asr']}/segments.json"}
    trial.met("between runs", "left behind")
    trial.finish(ended="swept, identical")


# ---- workers and memory


@kind("workers", "the rehearsal hangs")
def rehearsal_hangs(trial: Trial) -> None:
    trial.begin()
    _forget_rehearsals(trial)
    fault = Fault("hang", "window", where="worker")
    run = trial.run(orders=trial.place.orders(fault, time_limit=4.0))
    trial.disturbed(run, {1}, says=r"The rehearsal had not ended after 4 s, and was stopped", stage="rehearsal")
    trial.finish()


@kind("workers", "the rehearsal's process is killed")
def rehearsal_dies(trial: Trial) -> None:
    trial.begin()
    _forget_rehearsals(trial)
    run = trial.run(orders=trial.place.orders(Fault("kill", "window", where="worker")))
    trial.disturbed(run, {1}, says=r"The rehearsal was killed, most likely because memory ran out", stage="rehearsal")
    trial.finish()


@kind("workers", "a disk fills up in the rehearsal", each("name", ("mix.flac", "windows.f32", "segments.json")))
def rehearsal_fails(trial: Trial, name: str) -> None:
    trial.begin()
    _forget_rehearsals(trial)
    fault = Fault("raise", "write", name, lasting=True, where="worker")
    run = trial.run(orders=trial.place.orders(fault))
    trial.disturbed(run, {1}, says=r"The rehearsal failed in \w+: Could not write", stage="rehearsal")
    trial.finish()


@kind("workers", "a torch worker hangs")
def torch_hangs(trial: Trial) -> None:
    says = r"The torch worker has not answered for \d+ s, and was ended"
    _with_torch(trial, "hang", says)


@kind("workers", "a torch worker is killed (out of memory)")
def torch_dies(trial: Trial) -> None:
    _with_torch(trial, "die", r"The torch worker was killed, most likely because memory ran out")


def _with_torch(trial: Trial, what: str, says: str) -> None:
    """The job through engine torch, with a stand-in for its environment whose worker does the same arithmetic."""
    python = trial.place.root / "venv" / "demucs" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name('torch_worker.py')}\n")
    python.chmod(0o755)
    with (trial.place.root / "models.toml").open("a") as catalog:
        catalog.write(_TORCH_MODEL)
    model = trial.place.root / "models" / "arithmetic-torch"
    model.mkdir()
    (model / "arithmetic.safetensors").write_bytes(b"abc")
    done = trial.place.run(
        "prepare", "--media", trial.place.film, *(each if each != "onnx" else "torch" for each in JOB)
    )
    trial.job = done.out.split()[-1]
    trial.place.environment = {"STAND_IN": ""}
    trial.beside = set()
    first = trial.start(orders=trial.place.orders(window=0.02))
    first.until(lambda out: _windows(out) is True or _windows(out) >= 4)
    first.send(signal.SIGKILL)
    other = {f"{FOLDERS['source_separation']}/separation.json"}
    trial.beside = other
    trial.disturbed(first.result(), {KILLED})
    trial.note_outside()
    trial.place.environment = {"STAND_IN": f"{what}:{trial.chance.randint(1, 12)}"}
    trial.disturbed(trial.run(orders=trial.place.orders(patience=3.0)), {1}, says=says)
    trial.place.environment = {}
    trial.finish(other=other)


_TORCH_MODEL = """
[[models]]
name = "arithmetic-torch"
engine = "demucs_torch"
description = "Arithmetic in place of Demucs"
license = "MIT"
license_url = "https://example.org"
stems = ["vocals"]
[[models.files]]
name = "arithmetic.safetensors"
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
sources = [{ kind = "text", content = "abc" }]
"""


_CALLS = (
    {"op": "window", "name": "", "stage": "source_separation"},
    {"op": "region", "name": "", "stage": "asr"},
    {"op": "fsync", "name": "mix.flac", "stage": "demux"},
    {"op": "write", "name": "vocals.wav", "stage": "finalising"},
)


@kind("workers", "a call hangs (watchdog)", _CALLS)
def hangs(trial: Trial, op: str, name: str, stage: str) -> None:
    trial.begin()
    count = sum(point.op == op and name in ("", point.name) for point in trial.reference.points)
    fault = Fault("hang", op, name, trial.chance.randint(1, count))
    run = trial.run(orders=trial.place.orders(fault, patience=3.0))
    trial.disturbed(run, {1}, says=r"has shown no sign of life for \S+ minutes, and was ended", stage=stage)
    trial.finish()


@kind("workers", "a window hangs, and Ctrl-C")
def window_hangs(trial: Trial) -> None:
    trial.begin()
    process = trial.start(orders=trial.place.orders(Fault("hang", "window", nth=trial.chance.randint(2, 20))))
    reaches(process, "source_separation")
    time.sleep(1.0)
    process.send(signal.SIGINT)
    trial.disturbed(process.result(), {130}, says="Interrupted")
    trial.finish()


_OUT_OF_MEMORY = (
    {"op": "window", "name": "", "stage": "source_separation"},
    {"op": "region", "name": "", "stage": "asr"},
    {"op": "write", "name": "mix.flac", "stage": "demux"},
    {"op": "write", "name": "vocals.wav", "stage": "source_separation"},
    {"op": "write", "name": "windows.f32", "stage": "source_separation"},
    {"op": "write", "name": "transcript.srt", "stage": "export"},
)


@kind("workers", "out of memory", _OUT_OF_MEMORY)
def out_of_memory(trial: Trial, op: str, name: str, stage: str) -> None:
    trial.begin()
    count = sum(point.op == op and name in ("", point.name) for point in trial.reference.points)
    fault = Fault("memory", op, name, trial.chance.randint(1, count))
    run = trial.run(orders=trial.place.orders(fault))
    trial.disturbed(run, {1}, says=rf"\[ERROR\] {stage} ran out of memory\.", stage=stage)
    trial.finish()


def _forget_rehearsals(trial: Trial) -> None:
    shutil.rmtree(trial.place.out / ".rehearsals")


# ---- what is on the disk


def torn(path: Path, chance: Any) -> None:
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def flipped(path: Path, chance: Any) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def emptied(path: Path, chance: Any) -> None:
    path.write_bytes(b"")


def removed(path: Path, chance: Any) -> None:
    path.unlink()


def lengthened(path: Path, chance: Any) -> None:
    with path.open("ab") as file:
        file.write(chance.randbytes(chance.randrange(1, 5000)))


def zeroed(path: Path, chance: Any) -> None:
    """The last block turns to zeros, as file systems leave it after a power cut."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(max(0, (size - 1) // 4096 * 4096))
        file.write(bytes(size - file.tell()))


DAMAGES: dict[str, Callable[[Path, Any], None]] = {
    "cut short": torn,
    "a bit flipped": flipped,
    "emptied": emptied,
    "removed": removed,
    "lengthened": lengthened,
    "its last block zeroed": zeroed,
}
JOURNALS = (("source_separation", "windows.f32"), ("source_separation", "windows.jsonl"), ("asr", "regions.jsonl"))


@kind(
    "on the disk",
    "a damaged journal",
    [{"stage": stage, "name": name, "damage": damage} for stage, name in JOURNALS for damage in DAMAGES],
)
def damaged_journal(trial: Trial, stage: str, name: str, damage: str) -> None:
    trial.begin()
    if stage == "asr":
        at_regions(trial, 3)
    else:
        at_windows(trial, trial.chance.randint(6, 18))
    (path,) = (trial.folder / FOLDERS[stage]).rglob(name)
    DAMAGES[damage](path, trial.chance)
    trial.met(stage, f"{name} {damage}")
    # What was destroyed has to be computed again, and nothing tells from outside how much that is.
    trial.extra_windows, trial.extra_regions = trial.place.counts()
    trial.finish()


@kind(
    "on the disk",
    "a torn tail of the journal",
    [{"name": name, "by": by} for _, name in JOURNALS[:2] for by in (1, 7, 100, 4096)],
)
def torn_tail(trial: Trial, name: str, by: int) -> None:
    """Less than the last window is gone, and no more than that window is computed again."""
    trial.begin()
    at_windows(trial, trial.chance.randint(6, 18))
    (path,) = (trial.folder / FOLDERS["source_separation"]).rglob(name)
    content = path.read_bytes()
    last = len(content.splitlines()[-1]) if name.endswith("l") else by
    path.write_bytes(content[: -min(by, last)])
    trial.met("source_separation", f"{name} {by} bytes short")
    trial.finish()


ARTEFACTS = tuple(each for each in WRITERS if each[1] in {
    "mix.flac", "mix.json", "vocals.wav", "accompaniment.wav", "separation.json", "regions.json", "segments.json",
    "transcript.json", "transcript.srt", "transcript.vtt", "transcript.txt", "ledger.json",
})  # fmt: skip


@kind(
    "on the disk",
    "a damaged artefact",
    [{"stage": stage, "name": name, "damage": damage} for stage, name in ARTEFACTS for damage in DAMAGES],
)
def damaged_artefact(trial: Trial, stage: str, name: str, damage: str) -> None:
    trial.begin()
    run = trial.run()
    trial.broken += [f"an undisturbed run ended with {run.code}"] if run.code else []
    path = trial.folder / FOLDERS[stage] / name
    before = path.read_bytes()
    DAMAGES[damage](path, trial.chance)
    trial.beside = {f"{FOLDERS[stage]}/{name}"}
    trial.met(stage, damage)
    if path.is_file() and path.read_bytes() == before:  # zeros in place of zeros
        trial.beside = set()
        trial.finish(ended="nothing was damaged")
        return
    trial.extra_windows = trial.reference.windows if stage == "source_separation" else 0
    trial.extra_regions = trial.reference.regions if stage == "asr" else 0
    trial.finish(says=rf"{re.escape(name)} changed or vanished since it was made", ended=REPAIRED, meant={stage})


@kind("on the disk", "a damaged artefact in an unfinished job", each("name", ("mix.flac", "mix.json")))
def damaged_midway(trial: Trial, name: str) -> None:
    trial.begin()
    at_windows(trial, 9)
    flipped(trial.folder / FOLDERS["demux"] / name, trial.chance)
    trial.beside = {f"{FOLDERS['demux']}/{name}"}
    trial.met("demux", "a bit flipped")
    trial.finish(says=rf"{re.escape(name)} changed or vanished since it was made", ended=REPAIRED)


@kind("on the disk", "the manifest is gone", each("moment", ("midway", "at the end")))
def manifest_gone(trial: Trial, moment: str) -> None:
    trial.begin()
    _come_to(trial, moment)
    (trial.folder / "manifest.json").unlink()
    trial.met("between runs", "removed")
    if moment == "at the end":
        trial.extra_windows, trial.extra_regions = trial.reference.windows, trial.reference.regions
    trial.finish()


@kind(
    "on the disk", "a damaged manifest", each("damage", ("cut short", "emptied", "a field of another type", "no JSON"))
)
def manifest_damaged(trial: Trial, damage: str) -> None:
    trial.begin()
    at_windows(trial, 9)
    path = trial.folder / "manifest.json"
    whole = path.read_bytes()
    {
        "cut short": lambda: torn(path, trial.chance),
        "emptied": lambda: path.write_bytes(b""),
        "a field of another type": lambda: path.write_bytes(whole.replace(b'"stages": {', b'"stages": [{', 1)),
        "no JSON": lambda: path.write_bytes(trial.chance.randbytes(500)),
    }[damage]()
    trial.disturbed(trial.run(), {1}, says=r"manifest\.json is not a valid Manifest", stage="start")
    path.unlink()  # as it says
    trial.finish()


@kind("on the disk", "a manifest as an older version wrote it", each("moment", ("midway", "at the end")))
def manifest_older(trial: Trial, moment: str) -> None:
    trial.begin()
    _come_to(trial, moment)
    path = trial.folder / "manifest.json"
    path.write_text(json.dumps(as_version_1(json.loads(path.read_bytes())), indent=2))
    trial.met("between runs", "version 1")
    # It has no receipts: what it calls completed may be taken, or be made again, but never be lost or other.
    trial.extra_windows, trial.extra_regions = trial.reference.windows, trial.reference.regions
    trial.finish(ended="read, identical", meant=FOLDERS)


@kind("on the disk", "a manifest of a newer version")
def manifest_newer(trial: Trial) -> None:
    trial.begin()
    at_windows(trial, 9)
    path = trial.folder / "manifest.json"
    whole = path.read_bytes()
    path.write_text(json.dumps({**json.loads(whole), "version": 99}))
    trial.disturbed(trial.run(), {1}, says=r"was written by a newer stemscribe", stage="start")
    path.write_bytes(whole)
    trial.finish()


def as_version_1(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest with the fields of the first version alone."""
    stage_fields = ("status", "fingerprint", "attempts", "started_at", "finished_at", "seconds", "artefacts", "error")
    artefact_fields = ("name", "path", "size", "sha256")
    stages = {
        name: {
            **{field: stage[field] for field in stage_fields if field in stage},
            "artefacts": [{field: one[field] for field in artefact_fields} for one in stage["artefacts"]],
        }
        for name, stage in manifest["stages"].items()
    }
    return {"job": manifest["job"], "stages": stages, "engine": manifest["engine"], "version": 1}


@kind("on the disk", "a damaged job.json", each("damage", ("cut short", "emptied", "no JSON")))
def job_damaged(trial: Trial, damage: str) -> None:
    trial.begin()
    at_windows(trial, 9)
    path = trial.folder / "job.json"
    whole = path.read_bytes()
    path.write_bytes(trial.chance.randbytes(300) if damage == "no JSON" else whole[: 0 if damage == "emptied" else 99])
    trial.disturbed(trial.run(), {1}, says=r"job\.json is not a valid Job", stage="start")
    path.write_bytes(whole)
    trial.finish()


@kind("on the disk", "an edited job.json")
def job_edited(trial: Trial) -> None:
    """What was asked is another thing now: it is done as asked, and asked as before it is as before."""
    trial.begin()
    at_windows(trial, 9)
    path = trial.folder / "job.json"
    whole = path.read_bytes()
    assert b'"pcm16"' in whole
    path.write_bytes(whole.replace(b'"pcm16"', b'"pcm24"'))
    trial.beside = set(trial.reference.files)
    trial.disturbed(trial.run(), {0, 1}, stage="start")
    trial.beside = set()
    path.write_bytes(whole)
    trial.extra_windows, trial.extra_regions = 3 * trial.reference.windows, 3 * trial.reference.regions
    trial.finish(meant=FOLDERS)


def _come_to(trial: Trial, moment: str) -> None:
    if moment == "midway":
        at_windows(trial, 9)
    else:
        run = trial.run()
        trial.broken += [f"an undisturbed run ended with {run.code}"] if run.code else []


# ---- moves


@kind("moves", "the job is copied elsewhere", each("film", ("there", "gone")))
def moved(trial: Trial, film: str) -> None:
    trial.begin()
    at_windows(trial, trial.chance.randint(3, 20))
    elsewhere = trial.place.out / "elsewhere" / trial.folder.name
    shutil.copytree(trial.folder, elsewhere)
    shutil.rmtree(trial.folder)
    trial.job = str(elsewhere)
    if film == "gone":
        trial.place.film.unlink()
        trial.note_outside()
    trial.met("source_separation", "moved")
    trial.finish()


@kind("moves", "a finished job is copied elsewhere")
def moved_when_done(trial: Trial) -> None:
    trial.begin()
    _come_to(trial, "at the end")
    elsewhere = trial.place.out / "elsewhere" / trial.folder.name
    shutil.copytree(trial.folder, elsewhere)
    trial.job = str(elsewhere)
    trial.place.film.unlink()
    trial.note_outside()
    trial.met("end", "moved")
    trial.finish(ended="nothing to do, identical")


@kind("moves", "the models folder is moved")
def models_moved(trial: Trial) -> None:
    trial.begin()
    at_windows(trial, trial.chance.randint(3, 20))
    moved_to = trial.place.root / "models-elsewhere"
    (trial.place.root / "models").rename(moved_to)
    trial.place.environment = {"STEMSCRIBE_MODELS_DIR": str(moved_to)}
    trial.note_outside()
    trial.met("between runs", "moved")
    trial.finish()


@kind("moves", "the models are gone, and offline")
def models_gone(trial: Trial) -> None:
    trial.begin()
    at_windows(trial, trial.chance.randint(3, 20))
    hidden = trial.place.notes / "silero"
    (trial.place.root / "models" / "silero-vad").rename(hidden)
    trial.place.environment = {"STEMSCRIBE_OFFLINE": "1"}
    trial.disturbed(trial.run(), {1}, says=r"silero-vad", stage="start")
    shutil.rmtree(trial.place.root / "models" / "silero-vad", ignore_errors=True)
    hidden.rename(trial.place.root / "models" / "silero-vad")
    trial.place.environment = {}
    (trial.place.root / "models" / ".silero-vad.lock").unlink(missing_ok=True)
    trial.finish()
