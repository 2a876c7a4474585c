"""Demucs on torch, in a process of its own that has nothing else to do.

torch lives in an environment apart, and that environment is asked for one thing: the stems of a window. Film, journal
and writers stay in the process that calls. So nothing that is installed beside torch can lose what was computed; a
crash, an interruption and a lack of memory on the other side end as an error on this one.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from stemscribe.arrays import Array
from stemscribe.choices import Device
from stemscribe.errors import EnvironmentBroken, ModelError, StageError, StemscribeError, UsageError
from stemscribe.wording import ending

log = logging.getLogger(__name__)

WORKER = Path(__file__).with_name("demucs_torch_worker.py")
LOADING_SECONDS = 600.0
PATIENCE = 20.0  # a window may take this many times as long as the slowest before it
LEAST_PATIENCE_SECONDS = 600.0
LEAVING_SECONDS = 5.0
REMEMBERED_LINES = 20
REPAIR = "Run `stemscribe doctor --env demucs --fix`, or use --engine onnx."


@dataclass(frozen=True)
class _Answer:
    """What the worker said: facts, and the samples that came with them."""

    header: dict[str, Any]
    payload: bytes


class DemucsTorch:
    """A Demucs model, or a bag of them, in a worker process; to be closed, or used as a context.

    Args:
        python: the interpreter of an environment with torch, Demucs and safetensors.
        folder: the fetched model; `None` for a small random one, which shows that all is in working order.
        stems: which stems are wanted; models that have no part in them are not loaded.
        device: where to compute; `auto` takes CUDA, else MPS, else the CPU.
        threads: for the CPU; 0 leaves it to torch.

    Raises:
        EnvironmentBroken: the worker cannot be started, or a package that it needs cannot be imported.
        UsageError: the device is not to be had.
        ModelError: the model cannot be loaded.
    """

    normalised = True

    def __init__(
        self, python: Path, folder: Path | None, *, stems: Sequence[str], device: Device = "auto", threads: int = 0
    ) -> None:
        self.stems = tuple(stems)
        self._worker = _Worker(python)
        model = str(folder.absolute()) if folder else None
        request = {"model": model, "stems": self.stems, "device": device, "threads": threads}
        try:
            ready = self._worker.ask(json.dumps(request).encode() + b"\n", LOADING_SECONDS).header["ready"]
        except BaseException:
            self.close()
            raise
        self.sample_rate: int = ready["sample_rate"]
        self.channels: int = ready["channels"]
        self.window_frames: int = ready["window_frames"]
        self.device: str = ready["device"]
        self.batch: int = ready["batch"]
        self.runtime = f"torch {ready['torch']} with demucs {ready['demucs']} on {self.device}"
        self._slowest, self._lock = 0.0, threading.Lock()
        if self.device == "cuda":
            log.info("%s (%s, %d windows at once)", self.runtime, ready["device_name"], self.batch)
        else:
            log.info("%s (%d threads)", self.runtime, ready["threads"])

    def load(self) -> None:
        """Nothing: the worker loads its model when it starts."""

    def separate(self, mix: Array) -> Array:
        """The stems of one window.

        Raises:
            StageError: the worker ended, ran out of memory, or does not answer any more.
        """
        stems: Array = self.separate_batch([mix])[0]
        return stems

    def separate_batch(self, mixes: Sequence[Array]) -> Array:
        """The stems of several windows, `[windows, stems, channels, window_frames]`.

        Args:
            mixes: `[channels, window_frames]` each.

        Raises:
            StageError: the worker ended, ran out of memory, or does not answer any more.
        """
        request = json.dumps({"windows": len(mixes)}).encode() + b"\n"
        with self._lock:
            started = time.monotonic()
            patience = max(LEAST_PATIENCE_SECONDS, PATIENCE * self._slowest)
            answer = self._worker.ask(request + np.ascontiguousarray(mixes, "<f4").tobytes(), patience)
            self._slowest = max(self._slowest, time.monotonic() - started)
        stems = np.frombuffer(answer.payload, "<f4").astype(np.float32)
        return stems.reshape(len(mixes), len(self.stems), self.channels, self.window_frames)

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

    def __enter__(self) -> DemucsTorch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def working_device(python: Path) -> str:
    """The best device on which the torch of an environment can compute: `cuda`, `mps` or `cpu`.

    Raises:
        EnvironmentBroken: its torch cannot be used at all.
    """
    worker = _Worker(python)
    try:
        device: str = worker.ask(b'{"only": "device"}\n', LOADING_SECONDS).header["device"]
    finally:
        worker.close()
    return device


class _Worker:
    """The process on the other side.

    A thread reads what it answers, so that waiting has an end and can be interrupted on every system; another one
    carries what its libraries print to the log. The worker gets a process group of its own: Ctrl-C is for us, and we
    end it.
    """

    def __init__(self, python: Path) -> None:
        own_group: dict[str, Any] = (
            {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
            if os.name == "nt"
            else {"start_new_session": True}
        )
        try:
            self._process = subprocess.Popen(
                [str(python.absolute()), "-I", str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **own_group,
            )
        except OSError as error:
            raise EnvironmentBroken(
                f"{python} cannot be started: {error.strerror or error}.",
                hint="Run `./bootstrap.sh --env demucs`, or use --engine onnx.",
            ) from error
        assert self._process.stdin is not None
        self._requests = self._process.stdin
        self._answers: queue.Queue[_Answer | None] = queue.Queue()
        self._said: deque[str] = deque(maxlen=REMEMBERED_LINES)
        self._threads = [
            threading.Thread(target=self._read_answers, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_talk, args=(self._process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, request: bytes, patience: float) -> _Answer:
        """Send a request, and wait up to `patience` seconds for the answer."""
        try:
            self._requests.write(request)
            self._requests.flush()
        except OSError:
            raise self._ended() from None
        try:
            answer = self._answers.get(timeout=patience)
        except queue.Empty:
            self._process.kill()
            raise StageError(
                f"The torch worker has not answered for {patience:.0f} s, and was ended.",
                hint="Run the job again: it goes on from the last window. If it hangs again, use --device cpu.",
            ) from None
        if answer is None:
            raise self._ended()
        if error := answer.header.get("error"):
            raise _failure(error["kind"], error["message"])
        return answer

    def close(self) -> None:
        """Let the process go, and make sure that it does."""
        with suppress(OSError):  # it has gone before us
            self._requests.close()
        try:
            self._process.wait(0 if self._process.poll() is not None else LEAVING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        except BaseException:
            self._process.kill()
            raise
        for thread in self._threads:
            thread.join(LEAVING_SECONDS)

    def _read_answers(self, stream: IO[bytes]) -> None:
        try:
            with stream, suppress(ValueError):  # of a header that was cut off: it has died
                while line := stream.readline():
                    header = json.loads(line)
                    payload = stream.read(header.get("bytes", 0))
                    if len(payload) == header.get("bytes", 0):
                        self._answers.put(_Answer(header, payload))
        finally:
            self._answers.put(None)

    def _read_talk(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                text = line.decode(errors="replace").rstrip()
                self._said.append(text)
                log.debug("torch worker: %s", text)

    def _ended(self) -> StemscribeError:
        """Why the process is not there any more."""
        self.close()
        code = self._process.returncode
        if code in {-9, 137}:
            return StageError(
                "The torch worker was killed, most likely because memory ran out.",
                hint="Close other programs, and run the job again: it goes on from the last window.",
            )
        if code < 0:
            return EnvironmentBroken(
                f"The torch worker {ending(code)}: a compiled library in its environment is damaged.",
                hint=REPAIR,
            )
        last = next((line for line in reversed(self._said) if line.strip()), "it said nothing")
        return EnvironmentBroken(f"The torch worker {ending(code)}: {last.rstrip('.')}.", hint=REPAIR)


def _failure(kind: str, message: str) -> StemscribeError:
    """The error that stands for what went wrong on the other side."""
    if kind == "import":
        return EnvironmentBroken(f"The environment of torch is damaged: {message}.", hint=REPAIR)
    if kind == "device":
        return UsageError(f"The device is not to be had: {_said(message)}.", hint="Leave out --device, or use cpu.")
    if kind == "model":
        return ModelError(f"Demucs cannot load the model: {_said(message)}.", hint="Choose another --separation-model.")
    if kind == "memory":
        return StageError(
            f"torch ran out of memory: {message}.",
            hint="Close other programs, or use --device cpu, and run the job again: it goes on from the last window.",
        )
    return StageError(f"torch failed: {message.rstrip('.')}.", hint=REPAIR)


def _said(message: str) -> str:
    return message.removeprefix("Refused: ").rstrip(".")
