"""Running other people's tools (pip, uv, venv), with all that they say kept in a log."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemscribe.wording import without_credentials

REMEMBERED_LINES = 400

# What would make a tool work on another environment than the one it is told to.
MISLEADING = (
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "__PYVENV_LAUNCHER__",
    "PIP_PREFIX",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_ROOT",
    "PIP_TARGET",
    "PIP_USER",
)


class ToolFailed(Exception):
    """A tool ended with another exit code than 0.

    Attributes:
        command: what was run.
        output: the last lines that it wrote.
    """

    def __init__(self, command: Sequence[str], returncode: int, output: str) -> None:
        super().__init__(f"{command[0]} ended with exit code {returncode}")
        self.command = tuple(command)
        self.returncode = returncode
        self.output = output


@dataclass(frozen=True)
class ToolRunner:
    """Runs tools, one after the other.

    Attributes:
        log: gets every command and all that it writes.
        environ: the environment of the user, mirrors and proxies included.
        progress: called with each line as it is written.
        hold: file descriptors that a tool inherits; on Windows none is.
    """

    log: Path
    environ: Mapping[str, str]
    progress: Callable[[str], None]
    hold: Sequence[int] = ()

    def run(self, *command: str) -> None:
        """Run a command to its end.

        Raises:
            ToolFailed: it could not be started, or ended with another exit code than 0.
        """
        recent: deque[str] = deque(maxlen=REMEMBERED_LINES)
        with self.log.open("a", encoding="utf-8") as log:
            log.write(without_credentials(f"$ {shlex.join(command)}\n"))
            log.flush()
            try:
                process = self._start(command)
            except OSError as error:
                raise ToolFailed(command, -1, str(error)) from error
            with process:
                assert process.stdout is not None
                for line in map(without_credentials, process.stdout):  # an index may have been given with a password
                    log.write(line)
                    log.flush()
                    recent.append(line)
                    self.progress(line.strip())
        if process.returncode:
            raise ToolFailed(command, process.returncode, "".join(recent))

    def _start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=led_right(self.environ),
            cwd=str(self.log.parent),
            pass_fds=() if os.name == "nt" else tuple(self.hold),
        )


def led_right(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would lead a tool to another place; mirrors, proxies and caches stay."""
    return {name: value for name, value in environ.items() if name not in MISLEADING}
