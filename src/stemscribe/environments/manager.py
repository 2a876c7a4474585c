"""Environments that are there when they are needed: made, continued, mended, brought up to date, and proven.

There is one way through it, whatever was found: create, install, install the project, prove, leave the marker. Each
step does nothing where there is nothing to do, so a cut-off creation goes on, and an outdated environment is brought up
to date in place. What cannot be mended in place is built from empty, once.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemscribe.environments.diagnosis import Attempt, Failure
from stemscribe.environments.exclusive import exclusive
from stemscribe.environments.installer import Installer
from stemscribe.environments.interpreter import Interpreter, base_of, choose, examine, python_in
from stemscribe.environments.marker import Marker, claim, is_claimed, read_marker, remove_marker, write_marker
from stemscribe.environments.profile import EnvironmentProfile
from stemscribe.environments.tool import ToolFailed, ToolRunner, led_right
from stemscribe.errors import StorageError

PROOF = Path(__file__).with_name("proof.py")  # run there; to import it here would cost 20 ms at every start
PROOF_TIMEOUT_SECONDS = 600.0


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
        return self.folder / profile.name

    def ready(self, profile: EnvironmentProfile) -> Marker | None:
        """The marker of the environment, when it is proven, up to date, in its place, and its interpreter starts."""
        venv = self.path(profile)
        marker = read_marker(venv)
        python = self._usable_python(venv) if marker else None
        if marker is None or python is None:
            return None
        current = (profile.digest(python), profile.project_digest())
        return marker if (marker.digest, marker.project_digest) == current else None

    def ensure(self, profile: EnvironmentProfile, *, force: bool = False) -> Marker:
        """The marker of an environment that works; it is made, mended or brought up to date when it does not.

        Args:
            profile: the recipe.
            force: build it from empty, whatever is there.

        Raises:
            EnvironmentBroken: it could not be made, or does not work; the message says why.
            StorageError: its folder cannot be written.
        """
        marker = None if force else self.ready(profile)
        if marker is not None:
            return marker
        try:
            with exclusive(self.folder / f".{profile.name}.lock", waiting=lambda: self._tell_waiting(profile)) as lock:
                marker = None if force else self.ready(profile)
                return marker or self._make(profile, force, lock)
        except OSError as error:
            raise StorageError(
                f"venv/{profile.name} could not be made: {error.strerror or error} ({error.filename or self.folder}).",
                hint="Free some space, or make the folder writable, then run the same command again.",
            ) from error

    def _make(self, profile: EnvironmentProfile, force: bool, lock: int) -> Marker:
        started = time.monotonic()
        present = None if force else self._base_python(self.path(profile))
        python = present or choose(self.requested_python)
        attempt = Attempt(profile.name, python, self.folder / f"{profile.name}.log")
        attempt.log.write_text("", encoding="utf-8")
        tool = ToolRunner(attempt.log, self.environ, self.progress, hold=(lock,))
        remove_marker(self.path(profile))
        marker = self._continue(profile, attempt, tool) if present else self._make_from_empty(profile, attempt, tool)
        self.tell(f"venv/{profile.name} works ({python}, made in {time.monotonic() - started:.1f} s).")
        return marker

    def _continue(self, profile: EnvironmentProfile, attempt: Attempt, tool: ToolRunner) -> Marker:
        self.tell(f"Bringing venv/{profile.name} up to date ({attempt.python}, {self.installer.name}).")
        try:
            return self._fill(profile, attempt, tool)
        except Failure as failure:
            if failure.outside:
                raise
            self.tell(f"venv/{profile.name} cannot be mended in place ({failure.what}).")
            return self._make_from_empty(profile, attempt, tool)

    def _make_from_empty(self, profile: EnvironmentProfile, attempt: Attempt, tool: ToolRunner) -> Marker:
        self.tell(f"Making venv/{profile.name} ({attempt.python}, {self.installer.name}); it takes a few minutes once.")
        empty(self.path(profile))
        claim(self.path(profile))
        return self._fill(profile, attempt, tool)

    def _usable_python(self, venv: Path) -> Interpreter | None:
        """The interpreter of an environment that was made here, when it starts and is of a version that is wanted."""
        if not is_claimed(venv) or not (venv / "pyvenv.cfg").is_file():
            return None
        found = examine(python_in(venv))
        return found if found is not None and self._is_wanted(found) else None

    def _base_python(self, venv: Path) -> Interpreter | None:
        """The Python that a usable environment was made with."""
        found = self._usable_python(venv)
        return examine(base_of(venv, found.path, found.minor)) if found else None

    def _fill(self, profile: EnvironmentProfile, attempt: Attempt, tool: ToolRunner) -> Marker:
        venv = self.path(profile)
        try:
            self.installer.create(venv, attempt.python, tool)
            self.installer.install(venv, profile.requirements, tool)
            if profile.project is not None:
                self.installer.install_project(venv, profile.project, tool)
        except ToolFailed as failure:
            raise attempt.failed(failure.output) from failure
        marker = Marker(
            profile=profile.name,
            digest=profile.digest(attempt.python),
            project_digest=profile.project_digest(),
            python=str(attempt.python),
            installer=self.installer.name,
            versions=self._prove(profile, attempt),
        )
        write_marker(venv, marker)
        return marker

    def _prove(self, profile: EnvironmentProfile, attempt: Attempt) -> dict[str, str]:
        """The versions of what the environment is for, after all of it was imported there."""
        pairs = [f"{distribution}={module}" for distribution, module in profile.modules]
        command = [str(python_in(self.path(profile))), "-I", str(PROOF), *pairs]
        findings = self._findings(command, attempt)
        with attempt.log.open("a", encoding="utf-8") as log:
            log.write(f"proof: {json.dumps(findings)}\n")
        problems = [f"`{module}` cannot be imported: {reason}" for module, reason in findings["failures"].items()]
        problems += [f"{name} is not whole: {difference}" for name, difference in findings["damaged"].items()]
        if problems:
            raise attempt.failed(f"Error: {'; '.join(problems)}")
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

    def _is_wanted(self, python: Interpreter) -> bool:
        """Whether an environment's Python will do: a supported one, and of the version that the user named, if any."""
        if not python.supported:
            return False
        return not self.requested_python or choose(self.requested_python).minor == python.minor

    def _tell_waiting(self, profile: EnvironmentProfile) -> None:
        self.tell(f"Another process is making venv/{profile.name}; waiting for it.")


def empty(venv: Path) -> None:
    """Remove what is in an environment's folder, but not the folder: it may be a link to a roomier disk."""
    if venv.exists() and not venv.is_dir():
        venv.unlink()
    venv.mkdir(parents=True, exist_ok=True)
    for entry in venv.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
