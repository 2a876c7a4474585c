"""The golden task: what an environment is there for, done once for real.

    <venv>/bin/python -I -m stemscribe.pipeline.golden MODEL_FOLDER DEVICE

One window of noise is separated by the environment's engine, written by the writer that jobs use, and read back. An
environment that passes can do its work; one that has all the right versions may not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from stemscribe.arrays import Array
from stemscribe.audio.source import AudioSource
from stemscribe.audio.writer import StemWriter
from stemscribe.choices import Device
from stemscribe.environments.interpreter import python_in
from stemscribe.environments.profile import DEMUCS
from stemscribe.errors import EnvironmentBroken, StemscribeError, StorageError, UsageError
from stemscribe.models.store import ModelStore
from stemscribe.separation.base import Separator
from stemscribe.separation.engines.demucs_torch import DemucsTorch
from stemscribe.separation.engines.htdemucs_onnx import HTDemucsOnnx

ONNX_MODEL = "htdemucs-onnx"
TORCH_MODEL = "htdemucs-torch"
TIME_LIMIT_SECONDS = 300.0
_LEVEL = 0.1


@dataclass(frozen=True)
class Golden:
    """A golden task that was passed.

    Attributes:
        environment: which one.
        runtime: what computed, and on which device.
        model: the catalog's name of the model; empty where the weights were not there and a random one took their
            place, or nothing could be separated for want of them.
        seconds: how long it took, everything loaded anew.
    """

    environment: str
    runtime: str
    model: str
    seconds: float


def golden_task(environment: str, venv: Path, models: ModelStore, device: Device = "auto") -> Golden:
    """Do the golden task in an environment.

    Args:
        environment: its name; `demucs` works with torch, every other one with the ONNX graph.
        venv: its folder, which may have another name while it is being made.
        models: nothing is fetched; what is not there is done without.
        device: where to compute; one that only the other engine knows counts as `auto`.

    Raises:
        EnvironmentBroken: it failed, and the environment is to blame; the message says in what.
        StemscribeError: it failed for another reason.
    """
    started = time.monotonic()
    device = "auto" if device == ("coreml" if environment == DEMUCS else "mps") else device
    name = TORCH_MODEL if environment == DEMUCS else ONNX_MODEL
    present = models.present(name)
    folder = models.folder(name) if present else None
    if environment == DEMUCS:
        with DemucsTorch(python_in(venv), folder, stems=("vocals",), device=device) as separator:
            runtime = _separate_and_write(separator)
    else:
        runtime = _in(environment, venv, folder, device)
    return Golden(environment, runtime, name if present else "", round(time.monotonic() - started, 1))


def _in(environment: str, venv: Path, folder: Path | None, device: Device) -> str:
    """The golden task of the ONNX graph, under another environment's Python."""
    question = [str(python_in(venv).absolute()), "-I", "-m", __name__, str(folder.absolute()) if folder else "", device]
    try:
        done = subprocess.run(
            question, capture_output=True, encoding="utf-8", errors="replace", timeout=TIME_LIMIT_SECONDS
        )
        answer = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentBroken(
            f"venv/{environment} cannot do its work: {error}.",
            hint=f"Run `./bootstrap.sh --env {environment} --check`.",
        ) from error
    except ValueError as error:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise EnvironmentBroken(
            f"venv/{environment} cannot do its work: {last.rstrip('.')}.",
            hint=f"Run `./bootstrap.sh --env {environment} --check`.",
        ) from error
    if "message" in answer:
        kind = {each.__name__: each for each in (UsageError, StorageError)}.get(answer["kind"], EnvironmentBroken)
        raise kind(f"venv/{environment} cannot do its work: {answer['message']}", hint=answer["hint"])
    runtime: str = answer["runtime"]
    return runtime


def _separate_and_write(separator: Separator) -> str:
    """Separate a window of noise, write it, and read it back; returns what computed it."""
    noise = np.random.default_rng(0).standard_normal((separator.channels, separator.window_frames)) * _LEVEL
    (stem,) = separator.separate(noise.astype(np.float32))
    if not np.isfinite(stem).all():
        raise EnvironmentBroken("what was separated is not made of numbers.", hint="Try --device cpu.")
    with tempfile.TemporaryDirectory(prefix="stemscribe-") as place:
        path = Path(place) / "vocals.wav"
        with StemWriter(path, separator.sample_rate, separator.channels, stem.shape[-1], subtype="float") as writer:
            writer.write(stem)
        with AudioSource(path) as written:
            if not np.array_equal(written.read(0, written.frames), stem):
                raise EnvironmentBroken("what was written reads back as something else.", hint="Check the disk.")
    return separator.runtime


def main(folder: str, device: Device) -> None:
    """Do it here; prints a line of JSON, whatever libraries print going to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with answers:
        try:
            separator = HTDemucsOnnx(Path(folder), stems=("vocals",), device=device) if folder else _Louder()
            json.dump({"runtime": _separate_and_write(separator)}, answers)
        except StemscribeError as error:
            json.dump({"kind": type(error).__name__, "message": error.message, "hint": error.hint}, answers)


class _Louder:
    """Takes the place of a model that is not there, so that everything around it is tried."""

    stems, sample_rate, channels, window_frames, normalised = ("vocals",), 44100, 2, 343980, True
    runtime = "no model: the writer alone"

    def load(self) -> None:
        """There is nothing to load."""

    def separate(self, mix: Array) -> Array:
        louder: Array = mix[None] * np.float32(2)
        return louder


if __name__ == "__main__":
    main(sys.argv[1], cast("Device", sys.argv[2]))
