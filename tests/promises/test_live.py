"""`--live` with the real models: subtitles grow while the film is separated, and the result is what it would be."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pysubs2
import pytest

from fakes import write_film
from stemscribe.audio.decode import TrackDecoder

from .conftest import Workplace, events
from .test_killed import progress

pytestmark = [pytest.mark.models, pytest.mark.slow]

RATE = 44100
JOB = ("run", "--no-cache", "-s", "en", "--engine", "onnx", "--device", "cpu")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    """The clip three times, with pauses in which a region may end."""
    sound = np.concatenate(list(TrackDecoder(clip, 0, RATE).blocks()), axis=1)[:2]
    pause = np.zeros((2, 3 * RATE), np.float32)
    path = tmp_path_factory.mktemp("film") / "film.wav"
    return write_film(path, [(np.concatenate([sound, pause] * 3, axis=1), "eng")], rate=RATE)


@pytest.fixture(scope="module")
def plain(workplace: Workplace, film: Path) -> dict[str, bytes]:
    """What a run without --live makes."""
    return result(finished(workplace, workplace.start(*JOB, "--new", "--media", film, "--json")))


def finished(
    workplace: Workplace, process: subprocess.Popen[str], seen: Callable[[dict[str, Any], Path], object] | None = None
) -> Path:
    """The job's folder, once it has run to its end; meanwhile something may look at its events."""
    folder = Path()
    for event in events(process):
        if event["event"] == "job_started":
            folder = workplace.root / event["folder"]
        if seen is not None:
            seen(event, folder)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return folder


def result(folder: Path) -> dict[str, bytes]:
    """All artefacts, byte for byte; logs tell times, and are none."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.glob("*_*/*")
        if path.is_file() and path.suffix != ".log"
    }


def companion_of(process: subprocess.Popen[str]) -> psutil.Process | None:
    for child in psutil.Process(process.pid).children(recursive=True):
        if "stemscribe.pipeline.live" in child.cmdline():
            return child
    return None


def killed_at(process: subprocess.Popen[str], windows: int) -> None:
    """Kill a job as soon as so many windows of it are committed."""
    for event in events(process):
        if (progress(event, "source_separation") or 0) >= windows:
            process.kill()
            break
    process.communicate()


def job_of(workplace: Workplace, film: Path) -> str:
    return workplace.run("prepare", "--media", film, "-s", "en", "--engine", "onnx", "--device", "cpu").stdout.split()[
        -1
    ]


def test_subtitles_grow_while_the_film_is_separated_and_the_result_is_the_same(
    workplace: Workplace, film: Path, plain: dict[str, bytes]
) -> None:
    process = workplace.start(*JOB, "--live", "--new", "--media", film, "--json")
    told: list[dict[str, Any]] = []
    texts: list[tuple[str, str]] = []
    companions: list[psutil.Process] = []

    def look(event: dict[str, Any], folder: Path) -> None:
        told.append(event)
        stage = event.get("stage", "")
        if event["event"] == "stage_progressed" and stage == "source_separation":
            companions.extend([one] if (one := companion_of(process)) else [])
            assert companions, "there is no companion"
            for _ in range(20):
                poll(folder, stage)
                time.sleep(0.02)

    def poll(folder: Path, stage: str) -> None:
        path = folder / "live.srt"
        if path.exists():
            content = path.read_text(encoding="utf-8")
            subtitles = pysubs2.SSAFile.from_string(content, format_="srt")
            assert len(subtitles) == content.count("-->")
            texts.append((stage, " ".join(one.plaintext for one in subtitles)))

    folder = finished(workplace, process, look)
    early = [text for _, text in texts]
    assert early, "no subtitles before the film was separated"
    assert "ask not what your country" in " ".join(early[-1].lower().split())
    assert len(set(early)) > 1, "they did not grow"
    assert result(folder) == plain
    assert not (folder / "live.srt").exists(), "it gives way to the transcript"
    assert not list(folder.rglob(".ahead"))
    assert not companions[0].is_running()
    log = (folder / "pipeline.log").read_text(encoding="utf-8")
    assert "had been heard while the film was separated" in log
    if sys.platform != "win32":
        assert "WARNING" not in log


def test_killed_with_it_and_resumed_without_it_ends_the_same(
    workplace: Workplace, film: Path, plain: dict[str, bytes]
) -> None:
    job = job_of(workplace, film)
    process = workplace.start("run", "--no-cache", "-j", job, "--live", "--json")
    found = None
    for event in events(process):
        if (progress(event, "source_separation") or 0) >= 6:
            found = companion_of(process)
            process.kill()
            break
    process.communicate()
    assert found is not None
    found.wait(timeout=10)  # nobody ended it
    folder = finished(workplace, workplace.start("run", "--no-cache", "-j", job, "--json"))
    assert result(folder) == plain
    assert not (folder / "live.srt").exists()


def test_killed_without_it_and_resumed_with_it_and_its_companion_killed_ends_the_same(
    workplace: Workplace, film: Path, plain: dict[str, bytes]
) -> None:
    job = job_of(workplace, film)
    killed_at(workplace.start("run", "--no-cache", "-j", job, "--json"), 2)
    process = workplace.start("run", "--no-cache", "-j", job, "--live", "--json")
    killed: list[int] = []

    def kill(event: dict[str, Any], folder: Path) -> None:
        if (progress(event, "source_separation") or 0) >= 6 and not killed:
            companion = companion_of(process)
            assert companion is not None
            companion.kill()
            killed.append(companion.pid)

    folder = finished(workplace, process, kill)
    assert killed
    assert result(folder) == plain
    said = (folder / "pipeline.log").read_text(encoding="utf-8")
    assert said.count("[WARNING]") == 1
    assert "--live died of SIGKILL" in said or sys.platform == "win32"
    assert json.loads((folder / "manifest.json").read_text())["stages"]["source_separation"]["status"] == "completed"
