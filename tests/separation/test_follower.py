"""A journal that grows is followed: what is committed is read, what is torn is not, and nothing is written."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from fakes import Array, noise
from stemscribe.records import Lines
from stemscribe.separation.follower import Follower
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.windows import Window, WindowPlan

LAYOUT = Layout(WindowPlan(470, 100, 25), ("vocals", "other"), 2, "arithmetic", "some gate")


def payload(window: Window) -> tuple[Array, Array]:
    finished, tail = LAYOUT.payload_frames(window)
    samples = noise((finished + tail) * 2, seed=window.index).reshape(2, 2, -1)
    return samples[..., :finished], samples[..., finished:]


def commit(folder: Path, until: int) -> None:
    with Journal(folder, LAYOUT) as journal:
        for window in LAYOUT.plan.starting_at(journal.committed):
            if window.index < until:
                journal.commit(window, *payload(window))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def whole(stem: int) -> Array:
    return np.concatenate([payload(window)[0][stem] for window in LAYOUT.plan], -1)


def test_what_is_committed_while_it_is_followed_is_read_bit_by_bit(tmp_path: Path) -> None:
    with Journal(tmp_path, LAYOUT) as journal, Follower(tmp_path) as follower:
        assert follower.layout == LAYOUT
        assert (follower.look(), follower.frames) == (0, 0)
        for window in LAYOUT.plan:
            journal.commit(window, *payload(window))
            assert follower.look() == window.index + 1
            assert follower.frames == LAYOUT.plan.finished(window)
            for number, stem in enumerate(LAYOUT.stems):
                read = follower.read(stem, 0, follower.frames)
                np.testing.assert_array_equal(read, whole(number)[:, : follower.frames])


@pytest.mark.parametrize("span", [(0, 0), (0, 1), (74, 76), (75, 150), (10, 460), (469, 470), (470, 470)])
def test_any_span_of_what_is_finished_can_be_read(tmp_path: Path, span: tuple[int, int]) -> None:
    commit(tmp_path, len(LAYOUT.plan))
    with Follower(tmp_path) as follower:
        follower.look()
        np.testing.assert_array_equal(follower.read("other", *span), whole(1)[:, slice(*span)])


def test_what_is_not_finished_is_refused(tmp_path: Path) -> None:
    commit(tmp_path, 2)
    with Follower(tmp_path) as follower:
        with pytest.raises(ValueError, match="are not finished"):
            follower.read("vocals", 0, 1)  # it has not looked
        follower.look()
        follower.read("vocals", 0, 150)
        with pytest.raises(ValueError, match="only those up to 150"):
            follower.read("vocals", 149, 151)


@pytest.mark.parametrize("file", ["windows.f32", "windows.jsonl"])
def test_a_torn_tail_is_not_read_until_it_is_whole_and_nothing_is_written(tmp_path: Path, file: str) -> None:
    commit(tmp_path / "whole", 3)
    commit(tmp_path / "before", 2)
    before, after = bytes_of(tmp_path / "before"), bytes_of(tmp_path / "whole")
    torn = tmp_path / "torn"
    torn.mkdir()
    for cut in range(len(before[file]), len(after[file])):
        for name, content in after.items():
            (torn / name).write_bytes(content[:cut] if name == file else content)
        there = bytes_of(torn)
        with Follower(torn) as follower:
            assert follower.look() == 2
            assert bytes_of(torn) == there
            (torn / file).write_bytes(after[file])
            assert follower.look() == 3


def test_a_payload_that_is_not_what_its_line_says_is_not_read(tmp_path: Path) -> None:
    commit(tmp_path, 3)
    content = bytearray((tmp_path / "windows.f32").read_bytes())
    content[LAYOUT.position(LAYOUT.plan[1]) + 5] ^= 1
    (tmp_path / "windows.f32").write_bytes(content)
    with Follower(tmp_path) as follower:
        assert follower.look() == 1


@pytest.mark.parametrize("heading", [b"", b"null", b"{}", b'{"regions":3}', LAYOUT.heading().replace(b":1", b":2", 1)])
def test_what_is_no_journal_is_refused(tmp_path: Path, heading: bytes) -> None:
    (tmp_path / "windows.f32").touch()
    Lines(tmp_path / "windows.jsonl", heading).close()
    with pytest.raises(ValueError, match="journal"):
        Follower(tmp_path)


def test_half_a_heading_is_refused_and_so_is_a_folder_without_any(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Follower(tmp_path)
    (tmp_path / "windows.f32").touch()
    line = b"%08x %s\n" % (zlib.crc32(LAYOUT.heading()), LAYOUT.heading())
    for cut in (0, 5, len(line) - 1):
        (tmp_path / "windows.jsonl").write_bytes(line[:cut])
        with pytest.raises(ValueError, match="no heading yet"):
            Follower(tmp_path)
    (tmp_path / "windows.jsonl").write_bytes(line)
    with Follower(tmp_path) as follower:
        assert follower.look() == 0
