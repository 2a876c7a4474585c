"""The command behind `./bootstrap.sh`: makes and mends environments, and locks their requirements.

It is a front door of its own, because the other one, `stemscribe`, is installed by it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from stemscribe.environments.installer import best_installer
from stemscribe.environments.manager import EnvironmentManager
from stemscribe.environments.profile import CORE, profiles
from stemscribe.environments.requirements import relock
from stemscribe.errors import StemscribeError

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
        if options.command == "lock":
            relock(ROOT, os.environ, upgrade=options.upgrade, tell=terminal.tell)
        else:
            ensure(options.env or [CORE], options.force, options.quiet, terminal)
    except StemscribeError as error:
        terminal.clear()
        print(f"[ERROR] {error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        terminal.clear()
        print("\nInterrupted. Run the same command again; it goes on where it stopped.", file=sys.stderr)
        return INTERRUPTED
    return 0


def ensure(names: list[str], force: bool, quiet: bool, terminal: Terminal) -> None:
    """Make sure of the environments with these names."""
    manager = EnvironmentManager(
        folder=ROOT / "venv",
        installer=best_installer(),
        environ=os.environ,
        requested_python=os.environ.get("STEMSCRIBE_PYTHON"),
        tell=terminal.tell,
        progress=terminal.progress,
    )
    for name in names:
        marker = manager.ensure(profiles(ROOT)[name], force=force)
        if not quiet:
            terminal.tell(f"venv/{name} is ready ({marker.python}, {len(marker.versions)} packages proven).")


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
    parser.add_argument("--env", action="append", choices=sorted(profiles(ROOT)), help="which one; default: core")
    parser.add_argument("--force", action="store_true", help="build it from empty")
    parser.add_argument("--quiet", action="store_true", help="say nothing when all is ready")
    parser.add_argument("--upgrade", action="store_true", help="with lock: take the newest versions")
    return parser


if __name__ == "__main__":
    sys.exit(main())
