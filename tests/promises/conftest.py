"""Real jobs in real processes, with the real models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

MAIN = "from stemscribe.cli.app import main; main()"


@dataclass
class Workplace:
    """A folder with an `out/`, and the command line in it."""

    root: Path
    models_dir: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """A process with its answers on stdout, which ignores SIGINT at first, like a background command of a
        script."""
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *map(str, arguments)],
            cwd=self.root,
            env={**os.environ, "STEMSCRIBE_ROOT": str(self.root), "STEMSCRIBE_MODELS_DIR": str(self.models_dir)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            preexec_fn=None if sys.platform == "win32" else _ignore_interrupts,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=900)
        assert process.returncode == code, err
        assert "Traceback" not in err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    @property
    def job(self) -> Path:
        """The only job there is."""
        (folder,) = (self.root / "out").glob("job-*")
        return folder


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What a process with `--json` tells, as it tells it."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


@pytest.fixture(scope="module")
def workplace(
    tmp_path_factory: pytest.TempPathFactory, model: Callable[[str], Path], models_dir: Path
) -> Iterator[Workplace]:
    for name in ("htdemucs-onnx", "spleeter", "silero-vad", "whisper-base"):
        model(name)
    place = Workplace(tmp_path_factory.mktemp("workplace"), models_dir)
    yield place
    for process in place.started:
        if process.poll() is None:
            process.kill()
