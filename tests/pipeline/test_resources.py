"""What a process and its children have taken."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stemscribe.pipeline.resources import peak_memory, taken_memory

MB = 10**6
TAKE = "import sys; taken = b'x' * 200_000_000; print('taken', flush=True); sys.stdin.read()"


def test_children_count_while_they_live() -> None:
    before = taken_memory()
    with subprocess.Popen([sys.executable, "-c", TAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"taken"
        assert taken_memory() - before > 190 * MB
        child.communicate()
    assert taken_memory() - before < 100 * MB
    assert peak_memory() > before


FRAGMENTS = """
import psutil
from stemscribe.pipeline.resources import give_memory_back
if {given_back}:
    give_memory_back()
memory = lambda: psutil.Process().memory_info().rss
before = memory()
block = b"x" * 30_000_000
del block
block = b"x" * 20_000_000
kept = b"x" * 10_000
del block
print(memory() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that keeps what is freed")
def test_large_blocks_are_given_back() -> None:
    left = []
    for given_back in (False, True):
        command = [sys.executable, "-c", FRAGMENTS.format(given_back=given_back)]
        left.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert left[1] < 2 * MB < 10 * MB < left[0]


HOLES = """
import psutil
from stemscribe.pipeline.resources import give_memory_back, trim_memory
give_memory_back()
memory = lambda: psutil.Process().memory_info().rss
before = memory()
small = [bytearray(100_000) for _ in range(400)]
kept = small[::20]
del small
print(memory() - before)
trim_memory()
print(memory() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that keeps what is freed")
def test_holes_between_what_is_in_use_are_given_back_when_asked() -> None:
    told = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True).stdout
    left, trimmed = map(int, told.split())
    assert trimmed < 6 * MB < 30 * MB < left


REPEATED = """
import resource
from contextlib import nullcontext
import psutil
from stemscribe.pipeline.resources import give_memory_back, keeping_memory
give_memory_back()
memory = lambda: psutil.Process().memory_info().rss
before = memory()
with keeping_memory() if {kept} else nullcontext():
    for _ in range(10):
        block = b"x" * 40_000_000
        del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt, memory() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that keeps what is freed")
def test_blocks_that_are_wanted_again_and_again_are_kept_for_so_long_and_no_longer() -> None:
    faults, left = {}, {}
    for kept in (False, True):
        command = [sys.executable, "-c", REPEATED.format(kept=kept)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        faults[kept], left[kept] = map(int, told)
    assert faults[False] - faults[True] > 8 * 40 * MB / 4096 / 2  # in pages, half of which may be huge ones
    assert left[True] < 5 * MB


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS tells of children what they take now")
def test_what_was_taken_and_given_back_counts() -> None:
    script = (
        "from stemscribe.pipeline.resources import taken_memory\n"
        "taken = b'x' * 300_000_000\ndel taken\nprint(taken_memory())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 300 * MB


SPECTRA = """
import resource
from stemscribe.pipeline.resources import give_memory_back, keeping_memory
give_memory_back()
with keeping_memory():
    pass
def taken(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        block = b"x" * 1_000_000
        del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(taken(1), taken(100))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that gives back what is freed")
def test_small_blocks_are_recycled() -> None:
    told = subprocess.run([sys.executable, "-c", SPECTRA], capture_output=True, text=True, check=True).stdout
    first, others = map(int, told.split())
    assert others < first < 1000, "245 pages are a megabyte"
