"""Whether there is a GPU that torch could use, found out without torch."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class NvidiaGpu:
    """A GPU whose driver answers.

    Attributes:
        name: as the driver calls it.
        driver: the driver's version, for example `535.183.01`.
    """

    name: str
    driver: str


def nvidia_gpu() -> NvidiaGpu | None:
    """The first NVIDIA GPU whose driver answers; a driver without a GPU, or a GPU without a driver, is none."""
    program = shutil.which("nvidia-smi")
    if program is None and os.name == "nt":
        program = shutil.which(str(Path(os.environ.get("SYSTEMROOT", "C:\\Windows")) / "System32" / "nvidia-smi.exe"))
    if program is None:
        return None
    question = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            question,
            capture_output=True,
            check=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=ANSWER_SECONDS,
        )
        name, _, driver = answer.stdout.splitlines()[0].rpartition(",")
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None
    return NvidiaGpu(name.strip(), driver.strip())


def gpu_for_torch() -> str | None:
    """What to call the GPU that torch could use here, or `None`: an NVIDIA GPU, or that of a Mac with Apple silicon."""
    if platform.system() == "Darwin":
        return "the GPU of this Mac" if platform.machine() == "arm64" else None
    gpu = nvidia_gpu()
    return gpu.name if gpu else None
