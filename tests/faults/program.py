"""The command line with arithmetic in place of the two large models: everything else is the real thing.

Films are decoded, windows are journalled, stems are written, Silero listens, and the runner runs; but a window takes a
hundredth of a second and not four, so that hundreds of runs can be broken in minutes. What is to go wrong is told by
JSON in an environment variable (`injection.Orders`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sounds import OneByOne
from stemscribe.arrays import Array
from stemscribe.audio import writer
from stemscribe.cli import app
from stemscribe.pipeline import engines, rehearsal, runner, worker
from stemscribe.pipeline.stages import asr, demux, export, source_separation, speech_detection, translation
from stemscribe.pipeline.watchdog import Watchdog
from stemscribe.separation.engines import demucs_torch
from stemscribe.speech.faster_whisper import SAMPLE_RATE, Listening, known_languages
from stemscribe.transcript import Segment, Word

from .injection import NOTHING, VARIABLE, Breaker, Orders, Point, install

# Imported here once, so that a process that is forked from this one begins at once.
LOADED = (app, engines, runner, demux, export, speech_detection)
WORDS = (
    "the",
    "window",
    "seams",
    "were",
    "cut",
    "and",
    "nothing",
    "of",
    "it",
    "was",
    "lost",
    "again",
    "when",
    "all",
    "came",
)
WINDOW_FRAMES = 44100
CATALOG = """
[[models]]
name = "arithmetic"
engine = "htdemucs_onnx"
description = "Arithmetic in place of Demucs"
license = "MIT"
license_url = "https://example.org"
stems = ["vocals"]
[[models.files]]
name = "arithmetic.onnx"
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
sources = [{ kind = "text", content = "abc" }]

[[models]]
name = "whisper-arithmetic"
engine = "faster_whisper"
description = "Arithmetic in place of Whisper"
license = "MIT"
license_url = "https://example.org"
[[models.files]]
name = "model.bin"
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
sources = [{ kind = "text", content = "abc" }]
"""


class Arithmetic:
    """A separator whose stems depend on every sample of the window; counts its windows."""

    sample_rate, channels, window_frames, normalised, runtime = 44100, 2, WINDOW_FRAMES, True, "arithmetic"

    def __init__(self, folder: Path, *, stems: tuple[str, ...], **_: object) -> None:
        self.stems = stems

    def load(self) -> None:
        """There is nothing to load."""

    def separate(self, mix: Array) -> Array:
        assert mix.shape == (self.channels, self.window_frames)
        with _BREAKER.passing("window", _BELOW):
            _pause("window")
        _count("window")
        # The window's own mean: two windows differ a little about the same frame, so that overlap-add has work to do.
        own = np.float32(0.02) * mix * np.float32(abs(mix).mean())
        return np.stack([mix * np.float32(0.7 - 0.1 * index) + own for index in range(len(self.stems))])


class Reader(OneByOne):
    """A recogniser that reads words out of the samples, of two regions at a time; counts its regions."""

    at_once = 2

    def __init__(self, folder: Path, **_: object) -> None:
        self._folder = folder

    def language_of(self, audio: Array) -> dict[str, float]:
        return {"en": 0.75, "de": 0.25}

    def hear(self, audio: Array, listening: Listening) -> list[Segment]:
        with _BREAKER.passing("region", _BELOW):
            _pause("region")
        # The film's noise drowns its bursts: in the vocals every region is heard first, and once.
        if listening.audio == "vocals" and listening.task == "transcribe":
            _count("region")
        step = SAMPLE_RATE // 2
        sums = [zlib.crc32(audio[first : first + step].tobytes()) for first in range(0, len(audio) - step + 1, step)]
        words = tuple(
            Word(index / 2, index / 2 + 0.4, f" {WORDS[each % len(WORDS)]}", 0.9) for index, each in enumerate(sums)
        )
        text = "".join(word.text for word in words).strip()
        if not words:
            return []
        return [
            Segment(words[0].start, words[-1].end, text, listening.language, words, -0.2, 0.0, 1.0, listening.audio, "")
        ]


_ORDERS = Orders(below=os.devnull, counts="")
_BELOW = ""
_BREAKER = Breaker(_ORDERS, "runner")


def main() -> None:
    """The command line, with what was ordered going wrong."""
    _prepare("runner")
    _run_worker_with_this_program()
    try:
        app.main()
    finally:
        _tell_points()


def serve() -> None:
    """The process of the rehearsal, likewise."""
    os.environ["REHEARSAL"] = "1"  # for the torch worker that it may start
    _prepare("worker")
    worker.main()


def _prepare(where: str) -> None:
    global _ORDERS, _BELOW, _BREAKER
    _ORDERS = msgspec.json.decode(os.environ[VARIABLE], type=Orders)
    _BREAKER, _BELOW = Breaker(_ORDERS, where), str(Path(_ORDERS.below) / NOTHING)
    install(_BREAKER)
    rehearsal.TIME_LIMIT = _ORDERS.time_limit
    demucs_torch.LEAST_PATIENCE_SECONDS = _ORDERS.patience / 2  # or the watchdog would be first
    demucs_torch.PATIENCE = 0.0
    runner.Watchdog = _watchdog  # type: ignore[misc, assignment]
    source_separation.open_onnx = Arithmetic
    asr.FasterWhisper = Reader  # type: ignore[misc, assignment]
    translation.FasterWhisper = Reader  # type: ignore[misc, assignment]
    write: Callable[..., None] = writer.StemWriter.write

    def slowly(self: writer.StemWriter, block: Array) -> None:
        _pause("block")
        write(self, block)

    writer.StemWriter.write = slowly  # type: ignore[method-assign]


def _watchdog(patience: float, despair: Callable[[], None]) -> Watchdog:
    return Watchdog(min(patience, _ORDERS.patience), despair)


def _run_worker_with_this_program() -> None:
    run: Callable[..., Any] = subprocess.run

    def with_arithmetic(command: list[str], **named: Any) -> Any:
        if command[-1:] == ["stemscribe.pipeline.worker"]:
            command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
            named["env"] = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        return run(command, **named)

    rehearsal.subprocess.run = with_arithmetic


def _pause(what: str) -> None:
    if seconds := _ORDERS.pace.get(what, 0.0):
        time.sleep(seconds)


def _count(what: str) -> None:
    """A line that survives whatever comes after; what is computed in a rehearsal is meant to be."""
    if "REHEARSAL" not in os.environ:
        descriptor = os.open(_ORDERS.counts, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{what}\n".encode())
        os.close(descriptor)


def _tell_points() -> None:
    if _ORDERS.points:
        points: list[Point] = _BREAKER.points
        Path(_ORDERS.points).write_bytes(msgspec.json.encode(points))


known_languages()  # imported by what checks -s
if __name__ == "__main__":
    main()
