"""Hostile and damaged files of every kind: read, or refused in words. `run.py` does this for hours."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import mutations, seeds
from fuzz.tally import Tally
from fuzz.targets import TARGETS, Target

REGRESSIONS = Path(__file__).with_name("regressions")
KEPT = sorted(path for path in REGRESSIONS.glob("*/*") if path.is_file())
FILMS = ("mp4", "mkv", "wav", "ogg", "flac", "stream")
targets = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@targets
def test_whole_files_are_read(target: Target, tmp_path: Path) -> None:
    for data in target.seeds():
        assert not target.survives(data, tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_read_or_refused(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=80 if name in FILMS else 60, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, 1 << 32))
    def survives(number: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            target.survives(target.mutated(random.Random(number)), Path(folder))

    survives()


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_broke_it_does_not_any_more(path: Path, tmp_path: Path) -> None:
    assert path.stat().st_size < 20_000
    before = _peak()
    TARGETS[path.parent.name].survives(path.read_bytes(), tmp_path)
    assert _peak() - before < 300 << 20


def _peak() -> int:
    """The most memory that this process ever had; 0 where that is not told."""
    if sys.platform != "linux":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_every_kind_of_file_has_something_to_begin_with() -> None:
    assert all(target.seeds() for target in TARGETS.values())
    assert {Path(name).suffix for name in seeds.films()} >= {".mp4", ".mkv", ".wav", ".ogg", ".flac", ".ts"}


@pytest.mark.parametrize(
    "mutation", sorted({m for t in TARGETS.values() for m in t.mutations}, key=lambda m: m.__name__)
)
def test_every_mutation_changes_something_and_none_fails(mutation: mutations.Mutation) -> None:
    changed = 0
    for name, data in seeds.films().items():
        for number in range(5):
            damaged = bytearray(data)
            mutation(damaged, random.Random(f"{name}{number}"))
            changed += damaged != data
    assert changed
    mutation(bytearray(), random.Random(0))


def test_an_ogg_page_gets_the_checksum_that_its_reader_expects() -> None:
    data = bytearray(seeds.films()["vorbis.ogg"])
    expected = bytes(data)
    for place in mutations._found(data, (b"OggS",)):
        mutations._check_page(data, place)
    assert bytes(data) == expected


def test_what_breaks_a_target_is_kept_in_its_smallest_form(tmp_path: Path) -> None:
    child = pytest.importorskip("fuzz.child", exc_type=ImportError)  # it needs the module resource

    def feed(data: bytes, folder: Path) -> None:
        1 // len(data.strip(b"!"))

    (tmp_path / "crashes").mkdir()
    fuzzer = child.Fuzzer(Target("none", feed, list, ()), tmp_path, tmp_path)
    for data in (b"fine", b"!!!", b"!", b"!!"):
        fuzzer.feed(data)
    kept = [path for path in (tmp_path / "crashes").iterdir() if path.suffix != ".txt"]
    assert [path.read_bytes() for path in kept] == [b"!"]
    fuzzer.say()
    told = Tally(**json.loads((tmp_path / "round.json").read_text()))
    assert (told.files, told.read, list(told.crashes.values())) == (4, 1, [3])


@pytest.mark.slow
def test_the_fuzzer_runs(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    script = Path(__file__).with_name("run.py")
    command = [sys.executable, script, "--minutes", "0.1", "--folder", tmp_path, "regions"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no crash" in done.stdout
