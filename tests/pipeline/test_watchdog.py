"""What hangs is ended, and what goes on is left alone."""

from __future__ import annotations

import subprocess
import sys
import time

HANGS = """
import time
from stemscribe.pipeline.watchdog import Watchdog
with Watchdog(0.5, lambda: print("hung", flush=True)) as watchdog:
    for _ in range(10):
        time.sleep(0.1)
        watchdog.alive()
    print("alive", flush=True)
    {then}
print("done")
"""


def run(then: str) -> tuple[int, str, float]:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", HANGS.format(then=then)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, time.monotonic() - started


def test_what_shows_no_sign_of_life_is_ended() -> None:
    code, said, seconds = run("time.sleep(50)")
    assert (code, said) == (1, "alive\nhung\n")
    assert seconds < 30


def test_what_shows_signs_of_life_or_has_ended_is_left_alone() -> None:
    assert run("pass")[:2] == (0, "alive\ndone\n")
    assert run("watchdog.__exit__(None, None, None); time.sleep(1)")[:2] == (0, "alive\ndone\n")


def test_that_nobody_can_be_told_does_not_keep_it_from_ending() -> None:
    code, _, seconds = run("watchdog._despair = lambda: 1 / 0; time.sleep(50)")
    assert code == 1
    assert seconds < 30
