"""With torch in a process of its own, nothing computed is lost either."""

from __future__ import annotations

import json
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile

from fakes import noise, write_film
from stemscribe.records import sha256_of

from .conftest import Workplace, events

pytestmark = [pytest.mark.torch, pytest.mark.slow]
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

KILLS = 6
SECONDS = 60
CATALOG = """
[[models]]
name = "small"
engine = "demucs_torch"
description = "A small random HTDemucs"
license = "MIT"
license_url = "https://example.org"
stems = ["drums", "bass", "other", "vocals"]
[[models.files]]
name = "small.safetensors"
size = {size}
sha256 = "{sha256}"
sources = [{{ kind = "file", path = {path} }}]
"""
JOB = (
    *("--workflow", "separate", "--engine", "torch", "--separation-model", "small", "--gate", "off"),
    *("--stem-subtype", "float"),
)


@pytest.fixture(scope="module")
def small(
    tmp_path_factory: pytest.TempPathFactory, make_model: Callable[..., Path], venv_dir: Path
) -> Iterator[Workplace]:
    """A workplace whose Demucs is quick: a window is a second of the film."""
    root = tmp_path_factory.mktemp("small")
    weights = make_model(root / "weights" / "small.safetensors") / "small.safetensors"
    text = CATALOG.format(size=weights.stat().st_size, sha256=sha256_of(weights), path=json.dumps(str(weights)))
    (root / "models.toml").write_text(text)
    (root / "stemscribe.toml").write_text(
        f'catalog = "models.toml"\nvenv_dir = {json.dumps(str(venv_dir.absolute()))}\n'
    )
    place = Workplace(root, root / "models")
    yield place
    for process in place.started:
        if process.poll() is None:
            process.kill()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.wav", [(noise(SECONDS * 44100), "eng")], rate=44100)


@pytest.fixture(scope="module")
def undisturbed(small: Workplace, film: Path) -> Path:
    small.run("run", "--no-cache", "--media", film, *JOB)
    return small.job


def separated(event: dict[str, Any]) -> int:
    """How many windows are done, if an event tells that; else less than none."""
    is_about_it = event["event"] == "stage_progressed" and event["progress"]["unit"] == "windows"
    return int(event["progress"]["done"]) if is_about_it else -1


def stems(job: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (job / "99_source_separation").glob("*.wav")}


@posix
def test_killed_at_random_it_ends_as_if_it_never_had_been(small: Workplace, film: Path, undisturbed: Path) -> None:
    job = small.run("prepare", "--media", film, *JOB).stdout.split()[-1]
    chance = random.Random(20261123)
    total = json.loads((undisturbed / "99_source_separation" / "separation.json").read_text())["windows"]
    assert total > SECONDS
    committed = 0
    for moment in sorted(chance.sample(range(1, total - 2), KILLS)):
        process = small.start("run", "--no-cache", "-j", job, "--json")
        for event in events(process):
            done = separated(event)
            assert done < 0 or done >= committed
            if done >= moment:
                time.sleep(chance.uniform(0, 0.1))
                workers = psutil.Process(process.pid).children()
                process.kill()
                committed = done
                break
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        psutil.wait_procs(workers, timeout=20)
        assert not any(worker.is_running() for worker in workers), "the worker outlived its caller"
    small.run("run", "--no-cache", "-j", job)
    assert stems(small.root / "out" / job) == stems(undisturbed)
    assert len(stems(undisturbed)) == 2


@posix
def test_a_worker_that_is_killed_costs_no_more_than_its_window(small: Workplace, film: Path, undisturbed: Path) -> None:
    job = small.run("prepare", "--media", film, *JOB).stdout.split()[-1]
    process = small.start("run", "--no-cache", "-j", job, "--json")
    for event in events(process):
        if separated(event) >= 20:
            psutil.Process(process.pid).children()[0].kill()
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "[ERROR] The torch worker was killed, most likely because memory ran out." in err
    assert "Traceback" not in err
    done = small.run("run", "--no-cache", "-j", job)
    assert re.search(r"\[INFO\] 2\d of \d+ windows were already separated", done.stderr)
    assert stems(small.root / "out" / job) == stems(undisturbed)


@posix
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_at_once(small: Workplace, film: Path, sent: signal.Signals) -> None:
    process = small.start("run", "--no-cache", "--media", film, *JOB, "--new", "--json")
    for event in events(process):
        if separated(event) >= 5:
            process.send_signal(sent)
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Nothing is lost" in err


@pytest.mark.models
def test_the_real_model_separates_the_clip(
    tmp_path: Path, model: Callable[[str], Path], models_dir: Path, clip: Path, venv_dir: Path
) -> None:
    model("htdemucs-torch")
    (tmp_path / "stemscribe.toml").write_text(f"venv_dir = {json.dumps(str(venv_dir.absolute()))}\n")
    place = Workplace(tmp_path, models_dir)
    place.run("run", "--no-cache", "--media", clip, "--workflow", "separate", "--engine", "torch", "--end-time", "12")
    log = (place.job / "pipeline.log").read_text(encoding="utf-8")
    for line in (
        r"\[INFO\] Running source separation\.\.\.$",
        r"\[INFO\] Processing audio with Demucs\.\.\.$",
        r"\[INFO\] ✓ Vocals extracted: out/job-\d{8}-\d{4}/99_source_separation/vocals\.wav$",
        r"\[INFO\] ✅ Stage source_separation: COMPLETED \(\d+\.\ds\)$",
        r"\[INFO\] engine torch: as asked$",
    ):
        assert re.search(line, log, re.MULTILINE), line
    torch = soundfile.read(place.job / "99_source_separation" / "vocals.wav")[0]
    place.run("run", "--no-cache", "--media", clip, "--workflow", "separate", "--engine", "onnx", "--end-time", "12")
    other = max((tmp_path / "out").glob("job-*"))
    onnx = soundfile.read(other / "99_source_separation" / "vocals.wav")[0]
    assert 10 * np.log10(np.sum(onnx**2) / np.sum((onnx - torch) ** 2)) >= 60
