"""One trial: a job in a place of its own, things that go wrong, and a last run that has to put all right."""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from . import invariants
from .place import Place, Process, Run, Undisturbed, copy_place

_NEW_NAMESPACE = 0x00020000
SABOTAGE = ("flushes do nothing", "the journal is thrown away", "a stem is changed", "something is left behind")
ENDS = {0: "went on", 1: "failed, said why", 2: "refused, said why", 130: "interrupted", -9: "killed"}


class NotHere(Exception):
    """This machine, or this user, cannot break that."""


@dataclass
class Hit:
    """One thing that went wrong, and where the program was."""

    stage: str
    ended: str


@dataclass
class Trial:
    """A place with a job in it.

    Attributes:
        broken: every invariant that was found broken, in words.
        hits: what went wrong so far.
        beside: artefacts that are damaged on purpose just now.
        extra_windows: how many windows have to be computed again because what was kept of them was destroyed.
        sabotage: what is done behind the harness's back, one of `SABOTAGE`: then something has to be found broken.
    """

    reference: Undisturbed
    place: Place
    chance: random.Random
    job: str = ""
    broken: list[str] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    beside: set[str] = field(default_factory=set)
    extra_windows: int = 0
    extra_regions: int = 0
    ended: str = ""
    outside: dict[str, str] = field(default_factory=dict)
    clean_up: list[Callable[[], object]] = field(default_factory=list)
    sabotage: str = ""

    @property
    def folder(self) -> Path:
        """Of the job, wherever it is now."""
        return Path(self.job) if os.sep in self.job else self.place.out / self.job

    def begin(self) -> None:
        """Prepare the job; what lies outside of `out/` now has to lie there to the end."""
        self.job = self.place.prepare()
        self.note_outside()

    def note_outside(self) -> None:
        self.outside = invariants.contents(self.place.root)

    def arguments(self) -> tuple[str, ...]:
        return ("run", "-j", self.job, "--json")

    def start(self, **how: object) -> Process:
        return self.place.start(*self.arguments(), **how)  # type: ignore[arg-type]

    def run(self, **how: object) -> Run:
        return self.start(**how).result()

    def disturbed(self, run: Run, codes: Collection[int], *, says: str = "", stage: str = "") -> Run:
        """Note what a run came to in which something went wrong, and ask what has to hold at once.

        Args:
            run: what it did.
            codes: how it may end.
            says: what it has to say when it fails.
            stage: where it was, if its events do not tell.
        """
        self.hits.append(Hit(stage or run.moment, ENDS.get(run.code, f"exit {run.code}")))
        self.broken += invariants.ended_otherwise(run, codes)
        self.broken += invariants.unsaid(run, says if run.code > 0 else "", error=run.code in {1, 2})
        self._look()
        return run

    def met(self, stage: str, ended: str) -> None:
        """Something that goes wrong between two runs."""
        self.hits.append(Hit(stage, ended))

    def _look(self) -> None:
        self.broken += invariants.unwhole(self.folder, self.reference.files, self.beside)

    def completed(self) -> set[str]:
        """The stages that the manifest calls completed, and whose artefacts are whole."""
        try:
            stages = json.loads((self.folder / "manifest.json").read_bytes())["stages"]
        except (OSError, ValueError, KeyError):
            return set()
        return {
            name
            for name, stage in stages.items()
            if stage["status"] == "completed"
            and not any(artefact["path"] in self.beside for artefact in stage["artefacts"])
        }

    def finish(
        self,
        *,
        says: str = "",
        ended: str = "resumed, identical",
        meant: Collection[str] = (),
        other: Collection[str] = (),
    ) -> Run:
        """The last run: it has to complete the job, and to leave it as if nothing had happened.

        Args:
            says: what it has to say.
            ended: what the table calls this.
            meant: completed stages that have to be run again.
            other: artefacts that may differ.
        """
        completed = self.completed()
        if self.sabotage == "the journal is thrown away":
            shutil.rmtree(self.folder / "99_source_separation" / ".scratch")
        run = self.run()
        if self.sabotage == "a stem is changed":
            with (self.folder / "99_source_separation" / "vocals.wav").open("ab") as stem:
                stem.write(b"\0")
        if self.sabotage == "something is left behind":
            (self.folder / "03_asr" / ".draft").mkdir()
        self.ended = ended
        self.broken += invariants.ended_otherwise(run, {0})
        self.broken += invariants.unsaid(run, says)
        self.broken += invariants.done_again(completed, run, meant)
        self.broken += invariants.unwhole(self.folder, {} if other else self.reference.files)
        self.broken += invariants.differing(self.folder, self.reference.files, other)
        self.broken += invariants.left_over(self.folder)
        windows, regions = self.place.counts()
        self.broken += invariants.computed_again(
            windows,
            self.reference.windows + self.extra_windows,
            regions,
            self.reference.regions + self.extra_regions,
            len(self.hits),
        )
        self.broken += invariants.strays(self.place.root, self.outside)
        return run

    def mount(self, size: int) -> None:
        """Put a file system of its own under `out/`.

        Raises:
            NotHere: only an administrator of Linux may.
        """
        _alone()
        self.place.out.mkdir(exist_ok=True)
        kept = self.place.notes / "out"
        shutil.copytree(self.place.out, kept, symlinks=True)
        _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(self.place.out))
        self.clean_up.append(lambda: _mount_quietly("umount", "-l", str(self.place.out)))
        shutil.copytree(kept, self.place.out, symlinks=True, dirs_exist_ok=True)

    def remount(self, how: str) -> None:
        _mount("-o", f"remount,{how}", str(self.place.out))

    def close(self) -> None:
        for each in reversed(self.clean_up):
            each()


def new_trial(reference: Undisturbed, folder: Path, seed: int, sabotage: str = "") -> Trial:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    place = copy_place(reference.template, folder)
    place.asked = reference.asked
    place.flushes = sabotage != "flushes do nothing"
    return Trial(reference, place, random.Random(seed), sabotage=sabotage)


_own_mounts = False


def _alone() -> None:
    """Mounts of this process are seen by nobody else, and go with it."""
    global _own_mounts
    if _own_mounts:
        return
    if not hasattr(os, "geteuid") or os.geteuid():
        raise NotHere("only an administrator may mount a file system")
    try:
        failed = ctypes.CDLL(None, use_errno=True).unshare(_NEW_NAMESPACE)
    except (OSError, AttributeError):
        failed = -1
    if failed:
        raise NotHere("this system gives no mounts of one's own")
    _mount("--make-rprivate", "/")
    _own_mounts = True


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHere(f"mount: {done.stderr.strip()}")


def _mount_quietly(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=False)
