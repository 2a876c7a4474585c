"""Nothing computed is lost: jobs are killed at random, and end as if they never had been."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from fakes import write_film

from .conftest import Workplace, events

pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")]

KILLS = 5


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kennedy four times, with pauses between that make several regions, over a little noise."""
    speech, rate = soundfile.read(
        Path(__file__).parents[1] / "media" / "jfk_1961.flac", dtype="float32", always_2d=True
    )
    pause = np.zeros((3 * rate, speech.shape[1]), np.float32)
    sound = np.concatenate([part for _ in range(4) for part in (speech, pause)]).mean(axis=1)
    hiss = np.random.default_rng(0).standard_normal((2, len(sound))).astype(np.float32) * 0.003
    path = tmp_path_factory.mktemp("film") / "film.wav"
    return write_film(path, [(sound * 0.6 + hiss, "eng")], rate=rate)


@pytest.fixture(scope="module")
def undisturbed(workplace: Workplace, film: Path) -> Path:
    workplace.run("run", "--no-cache", "--media", film, "-s", "en", "--new")
    return workplace.root / "out" / sorted(path.name for path in (workplace.root / "out").iterdir())[-1]


def progress(event: dict[str, Any], stage: str) -> int | None:
    """How many windows or regions are done, if an event tells that of a stage; the look before it counts in seconds."""
    is_about_it = event["event"] == "stage_progressed" and event["stage"] == stage and event["progress"]["unit"] != "s"
    return int(event["progress"]["done"]) if is_about_it else None


def test_killed_at_random_it_ends_as_if_it_never_had_been(workplace: Workplace, film: Path, undisturbed: Path) -> None:
    job = workplace.run("prepare", "--media", film, "-s", "en").stdout.split()[-1]
    chance = random.Random(20261122)
    total = json.loads((undisturbed / "99_source_separation" / "separation.json").read_text())["windows"]
    assert total >= 8
    for stage, moments in (
        ("source_separation", sorted(chance.sample(range(1, total - 2), KILLS))),
        ("asr", (1, 2, 3)),
    ):
        committed = 0
        for moment in moments:
            process = workplace.start("run", "--no-cache", "-j", job, "--json")
            first = last = None
            for event in events(process):
                done = progress(event, stage)
                if done is None:
                    continue
                last = done
                if first is None:
                    first = done
                    # What was committed when it was killed is not computed again, and at most one more had been.
                    assert committed <= first <= committed + 1
                if done >= moment and process.returncode is None:
                    time.sleep(chance.uniform(0, 2.0 if stage == "source_separation" else 0.2))  # within the next one
                    process.kill()
                    process.wait()  # what it still told comes out of the pipe
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            assert last is not None
            committed = last
    workplace.run("run", "--no-cache", "-j", job)
    disturbed = workplace.root / "out" / job
    for path in ("99_source_separation/vocals.wav", "99_source_separation/accompaniment.wav", "03_asr/segments.json"):
        assert (disturbed / path).read_bytes() == (undisturbed / path).read_bytes(), path
    assert (disturbed / "04_export/transcript.srt").read_bytes() == (
        undisturbed / "04_export/transcript.srt"
    ).read_bytes()
    assert not list(disturbed.rglob(".scratch"))
    assert not list(disturbed.rglob("*.part"))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_says_so_and_can_go_on(workplace: Workplace, film: Path, sent: signal.Signals) -> None:
    process = workplace.start("run", "--no-cache", "--media", film, "-s", "en", "--workflow", "separate", "--json")
    for event in events(process):
        if (progress(event, "source_separation") or 0) >= (1 if sent is signal.SIGINT else 2):
            process.send_signal(sent)
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "[WARNING] Interrupted. Nothing is lost: run the same command again to go on." in err
    assert "Traceback" not in err
    status = json.loads(workplace.run("status", "--json").stdout)
    assert status[-1]["state"] == "interrupted"


def test_a_job_that_is_run_twice_at_once_is_run_once(workplace: Workplace, film: Path) -> None:
    job = workplace.run("prepare", "--media", film, "--workflow", "separate").stdout.split()[-1]
    process = workplace.start("run", "--no-cache", "-j", job, "--json")
    next(events(process))
    second = workplace.run("run", "--no-cache", "-j", job, code=1)
    assert f"[ERROR] {job} is being run by another process." in second.stderr
    process.kill()
    process.communicate()
