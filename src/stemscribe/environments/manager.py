"""Environments that are there when they are needed: made, continued, mended, brought up to date, and proven.

There is one way through it, whatever was found: create, install, install the project, prove, leave the marker. Each
step does nothing where there is nothing to do, so a cut-off creation goes on, and an outdated environment is brought up
to date in place. What cannot be mended in place is built from empty, once.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stemscribe.environments.contents import contents
from stemscribe.environments.diagnosis import Attempt, Failure
from stemscribe.environments.drift import drifted
from stemscribe.environments.exclusive import exclusive
from stemscribe.environments.index import cpu_requirements, offers
from stemscribe.environments.installed import all_versions, normalised
from stemscribe.environments.installer import Installer
from stemscribe.environments.interpreter import Interpreter, base_of, choose, examine, is_there, python_in
from stemscribe.environments.marker import (
    Marker,
    claim,
    is_claimed,
    is_made_by_hand,
    made_from,
    read_marker,
    remove_marker,
    write_marker,
    written_at,
)
from stemscribe.environments.profile import EnvironmentProfile
from stemscribe.environments.replacement import clean_up, new_beside, old_beside, open_up, put_in_place, recover, remove
from stemscribe.environments.requirements import select
from stemscribe.environments.tool import ToolFailed, ToolRunner, led_right
from stemscribe.environments.tree import is_untouched, write_stamp
from stemscribe.errors import EnvironmentBroken, StorageError

PROOF = Path(__file__).with_name("proof.py")  # run there; to import it here would cost 20 ms at every start
PROOF_TIMEOUT_SECONDS = 600.0
NAMED = 3  # of many differences


@dataclass(frozen=True)
class EnvironmentManager:
    """Keeps the environments below one folder.

    Attributes:
        folder: holds an environment for each profile, and their logs.
        installer: fills them.
        environ: the user's environment variables, for the tools.
        requested_python: the Python that the user named, if any; see `interpreter.choose`.
        tell: called with a sentence at every turn.
        progress: called with each line that a tool writes.
    """

    folder: Path
    installer: Installer
    environ: Mapping[str, str]
    requested_python: str | None = None
    tell: Callable[[str], None] = lambda sentence: None
    progress: Callable[[str], None] = lambda line: None

    def path(self, profile: EnvironmentProfile) -> Path:
        """Where the environment of a profile is."""
        return self.folder / profile.environment

    def ready(self, profile: EnvironmentProfile) -> Marker | None:
        """The marker of the environment, when it is proven, up to date, in its place, and its interpreter starts."""
        venv = self.path(profile)
        marker = read_marker(venv)
        python = self._usable_python(profile, venv) if marker else None
        if marker is None or python is None:
            return None
        current = (profile.digest(python), profile.project_digest())
        return marker if (marker.digest, marker.project_digest) == current else None

    def ensure(self, profile: EnvironmentProfile, *, force: bool = False, check: bool = False) -> Marker:
        """The marker of an environment that works; it is made, mended or brought up to date when it does not.

        One that was made by hand is taken over when it is what it should be; else it is replaced, and stays until the
        new one works.

        Args:
            profile: the recipe.
            force: build it from empty, whatever is there.
            check: prove it again, even where its marker says that all is well.

        Raises:
            EnvironmentBroken: it could not be made, or does not work; the message says why.
            StorageError: its folder cannot be written.
        """
        marker = None if force or check else self.ready(profile)
        if marker is not None and is_untouched(self.path(profile)):
            return marker
        with self._building(profile) as lock:
            marker = None if force else self.ready(profile)
            if marker is None or ((check or self._was_touched(profile)) and self._find_faults(profile, marker)):
                marker = self._make(profile, force, lock)
            write_stamp(self.path(profile))
            return marker

    def replace(
        self, profile: EnvironmentProfile, golden: Callable[[Path], None], *, seen: float | None = None
    ) -> Marker:
        """Build the environment anew, and let it take the place of what is there once it works.

        The old one stays until then, whatever happens; when this is interrupted, `recover` leaves one of the two.

        Args:
            profile: the recipe.
            golden: called with the folder of the new environment, which is not in its place yet; raises a
                `StemscribeError` when it does not do its work.
            seen: when the marker was written of what is to be replaced, see `marker.written_at`. An environment that
                another process has made since, and that is ready, is left as it is.

        Raises:
            EnvironmentBroken: the new one could not be made, or does not work; the old one is where it was.
            StorageError: its folder cannot be written.
        """
        with self._building(profile) as lock:
            marker = self.ready(profile) if seen is not None else None
            if marker is not None and written_at(self.path(profile)) != seen:
                self.tell(f"venv/{profile.environment} was made anew by another process.")
                return marker
            return self._replace(profile, golden, lock)

    @contextmanager
    def _building(self, profile: EnvironmentProfile) -> Iterator[int]:
        """Keep others out while an environment changes, and clean up after those who were interrupted."""
        try:
            file = self.folder / f".{profile.environment}.lock"
            with exclusive(file, waiting=lambda: self._tell_waiting(profile)) as lock:
                recover(self.path(profile).resolve(), self.tell)
                yield lock
        except OSError as error:
            raise StorageError(
                f"venv/{profile.environment} could not be made: {error.strerror or error} "
                f"({error.filename or self.folder}).",
                hint="Free some space, or make the folder writable, then run the same command again.",
            ) from error

    def _make(self, profile: EnvironmentProfile, force: bool, lock: int) -> Marker:
        venv = self.path(profile)
        if not force and is_made_by_hand(venv):
            return self._take_over(profile, lock)
        present = None if force else self._base_python(profile, venv)
        if present and self._is_of_another_recipe(profile, venv):
            self.tell(f"venv/{profile.environment} is going to be made from the profile {profile.name} now.")
            return self._replace(profile, lambda path: None, lock)
        started = time.monotonic()
        attempt, tool = self._attempt(profile, present or self._choose(profile), lock)
        if not present:
            open_up(venv)
        remove_marker(venv)
        if present:
            marker = self._continue(profile, attempt, tool)
        else:
            marker = self._make_from_empty(profile, venv, attempt, tool)
        self._tell_works(profile, attempt, started)
        return marker

    def _replace(self, profile: EnvironmentProfile, golden: Callable[[Path], None], lock: int) -> Marker:
        venv = self.path(profile).resolve()
        if os.name == "nt" and Path(sys.prefix).resolve() == venv:
            raise EnvironmentBroken(
                f"venv/{profile.environment} cannot be replaced while it is at work: Windows keeps its files open.",
                hint=f"Run `.\\bootstrap.ps1 --env {profile.environment} --force`.",
            )
        old = old_beside(venv)
        if is_there(old):  # `recover` could not remove it, and what is there could not be renamed
            raise StorageError(
                f"venv/{profile.environment} cannot be replaced: {old} is in the way.", hint="Remove it."
            )
        started = time.monotonic()
        attempt, tool = self._attempt(profile, self._base_python(profile, venv) or self._choose(profile), lock)
        new = new_beside(venv)
        try:
            marker = self._make_from_empty(profile, new, attempt, tool)
            golden(new)
            put_in_place(new, venv, self.tell)
        finally:
            clean_up(new, self.tell)
        self._tell_works(profile, attempt, started)
        return marker

    def _take_over(self, profile: EnvironmentProfile, lock: int) -> Marker:
        """Accept an environment that was made by hand, or put another one in its place."""
        venv = self.path(profile)
        try:
            marker = self._adopt(profile, venv, lock)
        except NotAdopted as reason:
            self.tell(f"venv/{profile.environment} was made by hand, and {reason}; it is going to be replaced.")
            return self._replace(profile, lambda path: None, lock)
        self.tell(f"venv/{profile.environment} was made by hand, and is what it should be: taking it over.")
        return marker

    def _adopt(self, profile: EnvironmentProfile, venv: Path, lock: int) -> Marker:
        python = examine(python_in(venv))
        if python is None:
            raise NotAdopted("its Python does not start")
        if not profile.fits(python):
            raise NotAdopted(f"its {python} is none that the profile {profile.name} can be made with")
        if profile.project is not None:
            raise NotAdopted("stemscribe has to be installed into it")
        differences = [str(each) for each in drifted(profile, all_versions(venv), python.markers) if each.vital]
        if differences:
            more = f" (and {len(differences) - NAMED} more)" if len(differences) > NAMED else ""
            raise NotAdopted("; ".join(differences[:NAMED]) + more)
        attempt, _ = self._attempt(profile, python, lock)
        try:
            versions = self._prove(profile, venv, attempt)
        except Failure as failure:
            raise NotAdopted(failure.what) from failure
        marker = self._marker(profile, python, "hand", versions)
        claim(venv, profile.name)
        write_marker(venv, marker)
        return marker

    def _was_touched(self, profile: EnvironmentProfile) -> bool:
        """Whether a proven environment is not as it was proven; it is told, for to prove it again takes seconds."""
        if is_untouched(self.path(profile)):
            return False
        self.tell(f"venv/{profile.environment} was touched since it was proven; looking at it again.")
        return True

    def _find_faults(self, profile: EnvironmentProfile, marker: Marker) -> bool:
        """Prove an environment again that has its marker; says whether something is wrong with it, and tells what."""
        venv = self.path(profile)
        python = self._base_python(profile, venv)
        if python is None:
            return True
        attempt = Attempt(profile.environment, python, self._log(profile), profile.gigabytes)
        try:
            versions = self._prove(profile, venv, attempt)
        except Failure as failure:
            self.tell(f"venv/{profile.environment} is damaged ({failure.what}).")
            return True
        return versions != marker.versions

    def _attempt(self, profile: EnvironmentProfile, python: Interpreter, lock: int) -> tuple[Attempt, ToolRunner]:
        attempt = Attempt(profile.environment, python, self._log(profile), profile.gigabytes)
        attempt.log.write_text("", encoding="utf-8")
        return attempt, ToolRunner(attempt.log, self.environ, self.progress, hold=(lock,))

    def _log(self, profile: EnvironmentProfile) -> Path:
        return self.folder / f"{profile.environment}.log"

    def _continue(self, profile: EnvironmentProfile, attempt: Attempt, tool: ToolRunner) -> Marker:
        venv = self.path(profile)
        self.tell(f"Bringing venv/{profile.environment} up to date ({attempt.python}, {self.installer.name}).")
        try:
            try:
                return self._fill(profile, venv, attempt, tool)
            except Failure as failure:
                if failure.outside or not failure.damaged:
                    raise
                self._reinstall(profile, venv, failure.damaged, attempt, tool)
                return self._fill(profile, venv, attempt, tool)
        except Failure as failure:
            if failure.outside:
                raise
            self.tell(f"venv/{profile.environment} cannot be mended in place ({failure.what}).")
            return self._make_from_empty(profile, venv, attempt, tool)

    def _reinstall(
        self, profile: EnvironmentProfile, venv: Path, names: tuple[str, ...], attempt: Attempt, tool: ToolRunner
    ) -> None:
        """Install those distributions again of which files are missing: an installer believes that they are there."""
        wanted = {normalised(name) for name in names}
        lock = profile.requirements.read_text(encoding="utf-8")
        small = self._damaged_small_builds(profile, lock, venv, wanted, attempt)
        others = wanted - {requirement.partition("==")[0] for requirement in small}
        self.tell(f"Installing again: {', '.join(sorted(wanted))}.")
        with TemporaryDirectory() as folder:
            requirements = Path(folder) / "damaged.txt"
            requirements.write_text(select(lock, lambda name: name in others), encoding="utf-8")
            try:
                if others:
                    self.installer.reinstall(venv, requirements, tool)
                if small and profile.cpu is not None:
                    self.installer.install_from(venv, profile.cpu.index, small, tool, again=True)
            except ToolFailed as failure:
                raise attempt.failed(failure.output) from failure

    def _damaged_small_builds(
        self, profile: EnvironmentProfile, lock: str, venv: Path, damaged: set[str], attempt: Attempt
    ) -> tuple[str, ...]:
        """What is damaged of the builds that did not come from the lock's own index.

        Raises:
            Failure: their index cannot be reached; another build would not fit the rest.
        """
        if profile.cpu is None:
            return ()
        present, build = all_versions(venv), profile.cpu
        ours = [each.partition("==") for each in cpu_requirements(build, lock, attempt.python)]
        small = tuple(f"{name}=={version}" for name, _, version in ours if present.get(name) == version)
        small = tuple(each for each in small if each.partition("==")[0] in damaged)
        if small and not offers(build, small):
            what = f"{', '.join(small)} came from {build.index}, which cannot be reached"
            message = f"venv/{profile.environment} could not be mended: {what}. The log is {attempt.log}."
            hint = (
                "Check the network, then run the same command again; `--force` builds it from empty without that index."
            )
            raise Failure(message, hint=hint, what=what, outside=True)
        return small

    def _make_from_empty(self, profile: EnvironmentProfile, venv: Path, attempt: Attempt, tool: ToolRunner) -> Marker:
        what = f"{attempt.python}, {self.installer.name}"
        self.tell(f"Making venv/{profile.environment} ({what}); it takes a few minutes once.")
        empty(venv)
        claim(venv, profile.name)
        return self._fill(profile, venv, attempt, tool)

    def _usable_python(self, profile: EnvironmentProfile, venv: Path) -> Interpreter | None:
        """The interpreter of an environment that was made here, when it starts and is of a version that is wanted."""
        if not is_claimed(venv) or not is_there(venv / "pyvenv.cfg"):
            return None
        found = examine(python_in(venv))
        return found if found is not None and self._is_wanted(profile, found) else None

    def _base_python(self, profile: EnvironmentProfile, venv: Path) -> Interpreter | None:
        """The Python that a usable environment was made with."""
        found = self._usable_python(profile, venv)
        return examine(base_of(venv, found.path, found.minor)) if found else None

    def _choose(self, profile: EnvironmentProfile) -> Interpreter:
        return choose(self.requested_python, minors=profile.pythons)

    def _is_of_another_recipe(self, profile: EnvironmentProfile, venv: Path) -> bool:
        return made_from(venv) not in {"", profile.name}

    def _fill(self, profile: EnvironmentProfile, venv: Path, attempt: Attempt, tool: ToolRunner) -> Marker:
        try:
            # Where the folder is a link to a roomier disk, `venv` refuses to make it by the link's name.
            self.installer.create(venv.resolve(), attempt.python, tool)
            contents(profile, venv, attempt.python, self.tell).install(self.installer, venv, tool)
            if profile.project is not None:
                self.installer.install_project(venv, profile.project, tool)
        except ToolFailed as failure:
            raise attempt.failed(failure.output) from failure
        versions = self._prove(profile, venv, attempt)
        marker = self._marker(profile, attempt.python, self.installer.name, versions)
        write_marker(venv, marker)
        return marker

    def _marker(
        self, profile: EnvironmentProfile, python: Interpreter, installer: str, versions: dict[str, str]
    ) -> Marker:
        return Marker(
            profile=profile.name,
            digest=profile.digest(python),
            project_digest=profile.project_digest(),
            python=str(python),
            installer=installer,
            versions=versions,
        )

    def _prove(self, profile: EnvironmentProfile, venv: Path, attempt: Attempt) -> dict[str, str]:
        """The versions of what the environment is for, after all of it was imported there."""
        pairs = [f"{distribution}={module}" for distribution, module in profile.modules]
        command = [str(python_in(venv)), "-I", str(PROOF), *pairs]
        findings = self._findings(command, attempt)
        with attempt.log.open("a", encoding="utf-8") as log:
            log.write(f"proof: {json.dumps(findings)}\n")
        problems = [f"`{module}` cannot be imported: {reason}" for module, reason in findings["failures"].items()]
        problems += [f"{name} is not whole: {difference}" for name, difference in findings["damaged"].items()]
        if problems:
            raise attempt.failed(f"Error: {'; '.join(problems)}", damaged=tuple(findings["damaged"]))
        versions: dict[str, str] = findings["versions"]
        return versions

    def _findings(self, command: list[str], attempt: Attempt) -> dict[str, Any]:
        with attempt.log.open("a", encoding="utf-8") as log:
            log.write(f"$ {shlex.join(command)}\n")
            log.flush()
            try:
                answer = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    timeout=PROOF_TIMEOUT_SECONDS,
                    env=led_right(self.environ),
                    cwd=str(self.folder),
                )
                findings: dict[str, Any] = json.loads(answer.stdout)
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                raise attempt.failed(f"Error: its Python gave no answer ({type(error).__name__})") from error
        return findings

    def _is_wanted(self, profile: EnvironmentProfile, python: Interpreter) -> bool:
        """Whether an environment's Python will do: one of the recipe's, and of the version that the user named, if
        any.
        """
        if not profile.fits(python):
            return False
        return not self.requested_python or self._choose(profile).minor == python.minor

    def _tell_waiting(self, profile: EnvironmentProfile) -> None:
        self.tell(f"Another process is making venv/{profile.environment}; waiting for it.")

    def _tell_works(self, profile: EnvironmentProfile, attempt: Attempt, started: float) -> None:
        seconds = time.monotonic() - started
        self.tell(f"venv/{profile.environment} works ({attempt.python}, made in {seconds:.1f} s).")


class NotAdopted(Exception):
    """Why an environment that was made by hand cannot stay."""


def empty(venv: Path) -> None:
    """Remove what is in an environment's folder, but not the folder: it may be a link to a roomier disk."""
    if venv.exists() and not venv.is_dir():
        venv.unlink()
    venv.mkdir(parents=True, exist_ok=True)
    for entry in venv.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            remove(entry)
        else:
            entry.unlink()
