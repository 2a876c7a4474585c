"""The `stemscribe` command: names of commands here, each in a file of its own, imported when it is called."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from stemscribe import __version__
from stemscribe.cli import console
from stemscribe.cli.entry import damage
from stemscribe.errors import StemscribeError

COMMANDS = (
    "run",
    "prepare",
    "status",
    "report",
    "studio",
    "separate",
    "convert",
    "verify",
    "reproduce",
    "evaluate",
    "models",
    "doctor",
)
INTERRUPTED = 130
LEAVING_SECONDS = 60.0  # more than the windows take that are under way


class Commands(click.Group):
    """A group whose commands are modules, so that `--help` loads nothing that works."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"stemscribe.cli.{cmd_name}").command
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="stemscribe %(version)s")
def stemscribe() -> None:
    """Stems, then script: separate the voices of a film from its music, and write down what they say.

    \b
    stemscribe run --media film.mkv -s hi      prepare a job and run it
    stemscribe run -j job-20261122-0001        run or resume a job
    """  # noqa: D301 - \b is click's mark for lines that are not to be joined


def main() -> None:
    """Run the command line; exit with 0, 1 (failed), 2 (wrong usage) or 130 (interrupted)."""
    # SIGINT too: shells start the background commands of a script with it ignored, and Python would leave it so.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # films have names in every script, and pipes on Windows do not
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = _exit_code()
    except KeyboardInterrupt:  # again, while the first was being told
        code = INTERRUPTED
    for number in (signal.SIGINT, signal.SIGTERM):  # what ends the process anyway gets no traceback on its way out
        signal.signal(number, signal.SIG_IGN)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process when its threads have ended, but wait for none that hangs, in a read from a disk that is gone."""
    hurry = threading.Timer(LEAVING_SECONDS, os._exit, (code,))
    hurry.daemon = True
    hurry.start()
    sys.exit(code)


def _exit_code() -> int:
    try:
        stemscribe(standalone_mode=False)
    except click.exceptions.Exit as request:
        return request.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        console.interrupted()
        return INTERRUPTED
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001 - the last net: a user gets a sentence and a file, not a traceback
        return _told(error)
    return 0


def _told(error: Exception) -> int:
    """Tell what went wrong; returns the exit code."""
    damaged = damage(error)
    if damaged is not None:
        console.damaged(damaged)
        return 1
    if isinstance(error, StemscribeError):
        console.failed(error)
        return error.exit_code
    console.broken(error)
    return 1


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
