import errno
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import Array, noise
from stemscribe.errors import StorageError
from stemscribe.separation.checks import Doubt
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.windows import Window, WindowPlan

LAYOUT = Layout(WindowPlan(470, 100, 25), ("vocals", "other"), 2)


def payload(window: Window) -> tuple[Array, Array]:
    finished, tail = LAYOUT.payload_frames(window)
    samples = noise((finished + tail) * 2, seed=window.index).reshape(2, 2, -1)
    return samples[..., :finished], samples[..., finished:]


def commit_all(folder: Path, *, until: int = len(LAYOUT.plan)) -> None:
    with Journal(folder, LAYOUT) as journal:
        for window in LAYOUT.plan.starting_at(journal.committed):
            if window.index < until:
                journal.commit(window, *payload(window))


def content(folder: Path) -> Array:
    with Journal(folder, LAYOUT) as journal:
        return np.concatenate([finished for _, finished in journal.finished()], -1)


def test_what_was_committed_is_given_back_bit_by_bit(tmp_path: Path) -> None:
    commit_all(tmp_path)
    expected = np.concatenate([payload(window)[0] for window in LAYOUT.plan], -1)
    np.testing.assert_array_equal(content(tmp_path), expected)
    assert expected.shape == (2, 2, 470)


@pytest.mark.parametrize("until", range(len(LAYOUT.plan) + 1))
def test_a_journal_goes_on_after_its_last_window(tmp_path: Path, until: int) -> None:
    commit_all(tmp_path, until=until)
    with Journal(tmp_path, LAYOUT) as journal:
        assert journal.committed == until
        if until:
            np.testing.assert_array_equal(journal.tail, payload(LAYOUT.plan[until - 1])[1])
        else:
            assert journal.tail is None


@pytest.mark.parametrize("file", ["windows.f32", "windows.jsonl"])
def test_a_file_torn_anywhere_costs_only_what_was_torn(tmp_path: Path, file: str) -> None:
    whole = tmp_path / "whole"
    commit_all(whole)
    size = (whole / file).stat().st_size
    for cut in [*range(0, size, max(1, size // 50)), size - 1]:
        torn = tmp_path / f"torn{cut}"
        torn.mkdir()
        for path in whole.iterdir():
            (torn / path.name).write_bytes(path.read_bytes()[: cut if path.name == file else None])
        with Journal(torn, LAYOUT) as journal:
            assert journal.committed < len(LAYOUT.plan)
        commit_all(torn)
        np.testing.assert_array_equal(content(torn), content(whole))


@pytest.mark.parametrize("file", ["windows.f32", "windows.jsonl"])
def test_a_flipped_bit_is_found(tmp_path: Path, file: str) -> None:
    commit_all(tmp_path)
    path = tmp_path / file
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with Journal(tmp_path, LAYOUT) as journal:
        assert journal.committed < len(LAYOUT.plan)
        for window, finished in journal.finished():
            np.testing.assert_array_equal(finished, payload(window)[0])


def test_a_bit_that_flips_after_opening_is_found_before_it_is_written_to_a_stem(tmp_path: Path) -> None:
    commit_all(tmp_path)
    with Journal(tmp_path, LAYOUT) as journal:
        with (tmp_path / "windows.f32").open("r+b") as file:
            file.seek(LAYOUT.position(LAYOUT.plan[2]) + 5)
            file.write(b"!")
        with pytest.raises(StorageError, match="window 2 is not what was written"):
            list(journal.finished())


def test_a_journal_of_something_else_is_started_anew(tmp_path: Path) -> None:
    commit_all(tmp_path)
    with Journal(tmp_path, Layout(LAYOUT.plan, ("drums", "bass"), 2)) as journal:
        assert journal.committed == 0
    assert (tmp_path / "windows.f32").stat().st_size == 0


def test_windows_that_were_treated_otherwise_are_not_gone_on_with(tmp_path: Path) -> None:
    commit_all(tmp_path, until=3)
    for gate, committed in (("one", 0), ("one", 1), ("other", 0), ("", 0)):
        with Journal(tmp_path, replace(LAYOUT, gate=gate)) as journal:
            assert journal.committed == committed
            if not committed:
                journal.commit(LAYOUT.plan[0], *payload(LAYOUT.plan[0]))


def test_windows_of_another_runtime_are_not_gone_on_with(tmp_path: Path) -> None:
    with Journal(tmp_path, replace(LAYOUT, runtime="openvino 1 on cpu")) as journal:
        journal.commit(LAYOUT.plan[0], *payload(LAYOUT.plan[0]))
        assert journal.committed_bytes == LAYOUT.payload_bytes(LAYOUT.plan[0])
    with Journal(tmp_path, replace(LAYOUT, runtime="onnxruntime 1 on cuda")) as journal:
        assert journal.committed == 0


def test_a_window_is_on_the_disk_before_its_line_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[tuple[int, int]] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        real(descriptor)
        flushed.append(tuple((tmp_path / name).stat().st_size for name in ("windows.f32", "windows.jsonl")))  # type: ignore[arg-type]

    with Journal(tmp_path, LAYOUT) as journal:
        lines_before = (tmp_path / "windows.jsonl").stat().st_size
        monkeypatch.setattr(os, "fsync", note)
        journal.commit(LAYOUT.plan[0], *payload(LAYOUT.plan[0]))
    size = LAYOUT.payload_bytes(LAYOUT.plan[0])
    assert flushed[0] == (size, lines_before)
    assert flushed[1][1] > lines_before


def test_windows_cannot_be_left_out(tmp_path: Path) -> None:
    with Journal(tmp_path, LAYOUT) as journal, pytest.raises(ValueError, match="window 1 cannot follow 0"):
        journal.commit(LAYOUT.plan[1], *payload(LAYOUT.plan[1]))


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="Could not write"):
        Journal(tmp_path / "file" / "journal", LAYOUT)


def doubt(window: int) -> Doubt:
    return Doubt(window, 0.1 + window, 1 / 3, "seam", "vocals", -5.55, "dB of the mix")


@pytest.mark.parametrize("until", range(len(LAYOUT.plan) + 1))
def test_doubts_are_kept_with_their_windows(tmp_path: Path, until: int) -> None:
    with Journal(tmp_path, LAYOUT) as journal:
        for window in LAYOUT.plan:
            doubts, healed = (doubt(window.index),) * (window.index % 3), (doubt(window.index),) * (window.index % 2)
            journal.commit(window, *payload(window), doubts, healed)
        assert [each.window for each in journal.doubts] == [1, 2, 2, 4, 5, 5]
        whole = journal.doubts, journal.healed
    lines = (tmp_path / "windows.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "windows.jsonl").write_bytes(b"".join(lines[: until + 1]))
    with Journal(tmp_path, LAYOUT) as journal:
        assert journal.committed == until
        assert (journal.doubts, journal.healed) == tuple(
            tuple(each for each in kind if each.window < until) for kind in whole
        )


def test_a_line_without_doubts_is_short(tmp_path: Path) -> None:
    commit_all(tmp_path, until=1)
    line = (tmp_path / "windows.jsonl").read_bytes().splitlines()[1].partition(b" ")[2]
    assert line.startswith(b'{"window":0,"end":1600,"crc32":')
    assert b"doubts" not in line


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"[]", b"7", b"\xff", b'{"window":0}', b'{"window":"0","end":1600,"crc32":1}', b"{" * 50_000],
)
def test_a_line_that_is_something_else_ends_the_journal_there(tmp_path: Path, line: bytes) -> None:
    commit_all(tmp_path, until=3)
    path = tmp_path / "windows.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"%08x %s\n" % (zlib.crc32(line), line)
    path.write_bytes(b"".join(lines))
    with Journal(tmp_path, LAYOUT) as journal:
        assert journal.committed == 1


def test_a_payload_shorter_than_its_line_says_and_bytes_after_the_last_one_are_cut_off(tmp_path: Path) -> None:
    commit_all(tmp_path, until=3)
    path = tmp_path / "windows.f32"
    whole = path.read_bytes()
    path.write_bytes(whole + b"more")
    with Journal(tmp_path, LAYOUT) as journal:
        assert journal.committed == 3
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-1])
    with Journal(tmp_path, LAYOUT) as journal:
        assert journal.committed == 2
    commit_all(tmp_path)
    np.testing.assert_array_equal(content(tmp_path), np.concatenate([payload(window)[0] for window in LAYOUT.plan], -1))


def test_a_line_that_is_true_of_half_a_payload_does_not_count(tmp_path: Path) -> None:
    commit_all(tmp_path, until=2)
    half = (tmp_path / "windows.f32").read_bytes()[:-800]
    (tmp_path / "windows.f32").write_bytes(half)
    path = tmp_path / "windows.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    line = b'{"window":1,"end":%d,"crc32":%d}' % (len(half), zlib.crc32(half[1600:]))
    path.write_bytes(b"".join(lines[:2]) + b"%08x %s\n" % (zlib.crc32(line), line))
    with Journal(tmp_path, LAYOUT) as journal:
        assert journal.committed == 1


@pytest.mark.parametrize("name", ["windows.f32", "windows.jsonl"])
def test_a_folder_in_the_place_of_a_file_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(StorageError, match=f"Could not write .*{name}"):
        Journal(tmp_path, LAYOUT)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_once_and_the_windows_before_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written stays in Python's buffer, and closing the file tries it again: that fails, too."""
    commit_all(tmp_path, until=2)
    with pytest.raises(StorageError, match="No space left on device"), Journal(tmp_path, LAYOUT) as journal:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, journal._payloads.fileno())
        os.close(full)
        journal.commit(LAYOUT.plan[2], *payload(LAYOUT.plan[2]))
    with Journal(tmp_path, LAYOUT) as journal:
        assert journal.committed == 2


def test_a_line_that_cannot_be_written_leaves_its_window_uncommitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(entry: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError), Journal(tmp_path, LAYOUT) as journal:
        journal.commit(LAYOUT.plan[0], *payload(LAYOUT.plan[0]))
        monkeypatch.setattr(journal._lines, "_append", full)
        journal.commit(LAYOUT.plan[1], *payload(LAYOUT.plan[1]), (doubt(1),))
    assert (journal.committed, journal.doubts) == (1, ())
    with Journal(tmp_path, LAYOUT) as journal:
        assert journal.committed == 1


def test_a_journal_of_before_there_were_doubts_is_gone_on_with(tmp_path: Path) -> None:
    """What is told here was copied from a journal of that time: a film of hours may be waiting to be gone on with."""
    plan = '{"total_frames":470,"window_frames":100,"overlap_frames":25}'
    heading = f'{{"journal":1,"plan":{plan},"stems":["vocals","other"],"channels":2,"runtime":""}}'
    first = LAYOUT.plan[0]
    content = b"".join(np.ascontiguousarray(part, "<f4").tobytes() for part in payload(first))
    line = f'{{"window":0,"end":{len(content)},"crc32":{zlib.crc32(content)}}}'
    (tmp_path / "windows.f32").write_bytes(content)
    lines = (f"{zlib.crc32(text.encode()):08x} {text}\n" for text in (heading, line))
    (tmp_path / "windows.jsonl").write_text("".join(lines))
    with Journal(tmp_path, LAYOUT) as journal:
        assert journal.committed == 1
        np.testing.assert_array_equal(journal.tail, payload(first)[1])
