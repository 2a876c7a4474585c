"""The command behind `./bootstrap.sh`: makes and mends environments, and locks their requirements.

It is a front door of its own, because the other one, `stemscribe`, is installed by it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from stemscribe.environments.choice import choose_profile
from stemscribe.environments.installer import best_installer
from stemscribe.environments.interpreter import SUPPORTED, examine, in_words, python_in
from stemscribe.environments.manager import EnvironmentManager
from stemscribe.environments.profile import CORE, DEMUCS, TESTS, EnvironmentProfile, base_profiles, torch_profiles
from stemscribe.environments.requirements import relock
from stemscribe.errors import EnvironmentBroken, StemscribeError

ROOT = Path(__file__).resolve().parents[3]
INTERRUPTED = 130


class Terminal:
    """Says things on stderr; on a terminal, the last line shows what a tool is doing."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def tell(self, sentence: str) -> None:
        """One line that stays."""
        self.clear()
        print(f"[INFO] {sentence}", file=sys.stderr, flush=True)

    def progress(self, line: str) -> None:
        """One line that is written over."""
        if self._live and line:
            width = shutil.get_terminal_size().columns - 3
            print(f"\r\x1b[K  {line[:width]}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away that would be written over."""
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    options = parser().parse_args(arguments)
    terminal = Terminal()
    try:
        if options.command == "lock" and not can_read_toml():
            return lock_with_core(options, terminal)
        if options.command == "lock":
            relock(ROOT, os.environ, upgrade=options.upgrade, tell=terminal.tell)
        else:
            return ensure(options, terminal)
    except StemscribeError as error:
        terminal.clear()
        print(f"[ERROR] {error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        terminal.clear()
        print("\nInterrupted. Run the same command again; it goes on where it stopped.", file=sys.stderr)
        return INTERRUPTED
    return 0


def ensure(options: argparse.Namespace, terminal: Terminal) -> int:
    """Make sure of the environments that the command line names; returns the exit code."""
    names = options.env or [CORE, DEMUCS]
    if DEMUCS in names and not can_read_toml():
        return ensure_with_core(options, names, terminal)
    managers = {name: manager_for(terminal, requested_python(name, names, terminal)) for name in names}
    for name, profile in [(name, recipe(name, options, managers[name], terminal)) for name in names]:
        if profile is not None:
            marker = managers[name].ensure(profile, force=options.force, check=options.check)
            if not options.quiet:
                terminal.tell(f"venv/{name} is ready ({marker.python}, {len(marker.versions)} packages proven).")
    return 0


def recipe(
    name: str, options: argparse.Namespace, manager: EnvironmentManager, terminal: Terminal
) -> EnvironmentProfile | None:
    """The recipe for an environment; `None` for one that cannot be had here and that nobody asked for by name."""
    if name != DEMUCS:
        return base_profiles(ROOT)[name]
    recipes = torch_profiles(ROOT)
    asked = {"requested": options.profile, "requested_python": manager.requested_python}
    try:
        return choose_profile(recipes, manager.folder / DEMUCS, **asked)
    except EnvironmentBroken as error:
        if options.env or options.profile:
            raise
        terminal.tell(f"{error.message} {error.hint}")
        return None


def ensure_with_core(options: argparse.Namespace, names: list[str], terminal: Terminal) -> int:
    """Make `venv/core` first, whose Python can read the other recipes, and let it do the rest."""
    core = base_profiles(ROOT)[CORE]
    manager = manager_for(terminal, requested_python(CORE, names, terminal))
    marker = manager.ensure(core, force=options.force and CORE in names, check=options.check)
    if CORE in names and not options.quiet:
        terminal.tell(f"venv/{CORE} is ready ({marker.python}, {len(marker.versions)} packages proven).")
    rest = [part for name in names if name != CORE for part in ("--env", name)]
    rest += ["--profile", options.profile] if options.profile else []
    rest += [f"--{flag}" for flag in ("force", "quiet", "check") if getattr(options, flag)]
    return hand_over(python_in(manager.path(core)), *rest)


def lock_with_core(options: argparse.Namespace, terminal: Terminal) -> int:
    """Make `venv/core`, and let its Python lock."""
    core = base_profiles(ROOT)[CORE]
    manager = manager_for(terminal, requested_python(CORE, [CORE, DEMUCS], terminal))
    manager.ensure(core)
    return hand_over(python_in(manager.path(core)), "lock", *(["--upgrade"] if options.upgrade else []))


def hand_over(python: Path, *arguments: str) -> int:
    """Let another Python do what this one cannot; returns its exit code."""
    command = [str(python), "-m", "stemscribe.environments", *arguments]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}).returncode


def requested_python(name: str, names: list[str], terminal: Terminal) -> str | None:
    """The Python that the user named for an environment.

    `venv/demucs` can be made with Pythons that the others cannot. One of these is not used for the others then.
    """
    requested = os.environ.get("STEMSCRIBE_PYTHON") or None
    if requested is None or name == DEMUCS or DEMUCS not in names:
        return requested
    path = shutil.which(requested)
    found = examine(Path(path)) if path else None
    if found is None or found.supported or found.implementation != "cpython":
        return requested
    terminal.tell(
        f"STEMSCRIBE_PYTHON names {found}, which venv/{name} cannot be made with (it needs {in_words(SUPPORTED)}): "
        f"another one is looked for, and {found} is used for venv/{DEMUCS} only."
    )
    return None


def can_read_toml() -> bool:
    """Whether this Python can read the recipes for `venv/demucs`: 3.11 and newer, and where tomli is."""
    try:
        torch_profiles(ROOT)
    except ImportError:
        return False
    return True


def manager_for(terminal: Terminal, requested_python: str | None) -> EnvironmentManager:
    """What makes the environments of this project, with the Python that the user named, if any."""
    return EnvironmentManager(
        folder=ROOT / "venv",
        installer=best_installer(),
        environ=os.environ,
        requested_python=requested_python,
        tell=terminal.tell,
        progress=terminal.progress,
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bootstrap.sh",
        description="Make the environments that stemscribe works in, or mend them; nothing is done twice. "
        "STEMSCRIBE_PYTHON may name the Python to use.",
    )
    parser.add_argument(
        "command", nargs="?", choices=["make", "lock"], default="make", help="lock: resolve requirements/ anew, with uv"
    )
    parser.add_argument(
        "--env", action="append", choices=[CORE, DEMUCS, TESTS], help="which one; default: core and demucs"
    )
    parser.add_argument(
        "--profile", metavar="NAME", help="what demucs is made from: pinned or modern; default: what fits"
    )
    parser.add_argument("--check", action="store_true", help="look at every file again, and mend what is damaged")
    parser.add_argument("--force", action="store_true", help="build it from empty")
    parser.add_argument("--quiet", action="store_true", help="say nothing when all is ready")
    parser.add_argument("--upgrade", action="store_true", help="with lock: take the newest versions")
    return parser


if __name__ == "__main__":
    sys.exit(main())
