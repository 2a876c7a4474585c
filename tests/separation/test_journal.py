import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fakes import Array, noise
from stemscribe.errors import StorageError
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
