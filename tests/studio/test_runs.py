"""Jobs as processes of their own: they outlive the studio that has started them, and can be found again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from stemscribe.studio.runs import EVENTS, Runs

JOB = "job-20261122-0001"
WORKS = """
import json, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, but for our command
print(json.dumps({"event": "started", "argv": sys.argv[1:]}), flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print(json.dumps({"event": "interrupted"}), flush=True)
    sys.exit(130)
"""


def wait(until: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    made = Runs(tmp_path / "runs", [sys.executable, "-c", WORKS], ["--offline"])
    yield made
    made.cancel(JOB)


def events(runs: Runs) -> list[str]:
    return [event["event"] for event in runs.last_events(JOB)]


def test_a_job_runs_until_it_is_interrupted(runs: Runs) -> None:
    assert not runs.is_running(JOB)
    assert not runs.cancel(JOB)
    runs.start(JOB, "--live")
    wait(lambda: events(runs) == ["started"])
    assert runs.last_events(JOB)[0]["argv"] == ["run", "-j", JOB, "--json", "--offline", "--live"]
    assert runs.is_running(JOB)
    assert runs.cancel(JOB)
    wait(lambda: not runs.is_running(JOB))
    assert events(runs) == ["started", "interrupted"], "as by Ctrl-C, not by force"


def test_another_studio_finds_what_this_one_has_started(runs: Runs, tmp_path: Path) -> None:
    runs.start(JOB)
    wait(lambda: events(runs))
    other = Runs(tmp_path / "runs", ["false"])
    assert other.is_running(JOB)
    assert other.cancel(JOB)
    wait(lambda: not other.is_running(JOB))


def test_a_number_that_was_given_to_another_process_is_not_taken_for_the_job(runs: Runs, tmp_path: Path) -> None:
    place = tmp_path / "runs" / JOB
    place.mkdir(parents=True)
    own = psutil.Process()
    (place / "process.json").write_text(json.dumps({"pid": own.pid, "created": own.create_time() - 1000}))
    assert not runs.is_running(JOB)
    assert not runs.cancel(JOB)


def test_of_what_was_said_the_last_part_is_read(runs: Runs, tmp_path: Path) -> None:
    place = tmp_path / "runs" / JOB
    place.mkdir(parents=True)
    with (place / EVENTS).open("w") as file:
        for number in range(100_000):
            file.write(json.dumps({"event": "stage_progressed", "number": number}) + "\n")
        file.write('{"event": "cut')
    found = runs.last_events(JOB)
    assert found[-1]["number"] == 99_999
    assert len(found) < 1000
