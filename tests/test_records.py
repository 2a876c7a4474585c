import errno
from dataclasses import dataclass
from pathlib import Path

import pytest

from stemscribe import records
from stemscribe.errors import RecordError, StorageError
from stemscribe.records import Lines, make_folder, read_record, replacing, sha256_of, write_record


@dataclass(frozen=True)
class Thing:
    name: str
    size: float


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file"
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text("newer")
        raise RuntimeError
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_a_folder_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with (
        pytest.raises(StorageError, match=r"Could not write .*file") as caught,
        replacing(tmp_path / "file") as temporary,
    ):
        temporary.write_text("new")
    assert caught.value.hint


def test_what_goes_wrong_elsewhere_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), replacing(tmp_path / "file"):
        raise BrokenPipeError
    with pytest.raises(PermissionError), replacing(tmp_path / "file"):
        raise PermissionError(errno.EACCES, "Permission denied", "/another/file")
    with pytest.raises(StorageError, match=r"file: No space left on device\."), replacing(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_record(tmp_path / "a.json", Thing("फ़िल्म", 1.5))
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "name": "फ़िल्म",\n  "size": 1.5\n}\n'
    assert read_record(tmp_path / "a.json", Thing) == Thing("फ़िल्म", 1.5)


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b'{"name": 3, "size": 1}', b'{"name": "a"}', b"\xff", b"[" * 100_000, b'{"x":' * 100_000],
)
def test_what_is_not_the_record_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RecordError, match="is not a valid Thing"):
        read_record(tmp_path / "a.json", Thing)


def test_a_record_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="Could not read"):
        read_record(tmp_path / "a.json", Thing)


def test_hashes_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def entries(path: Path, heading: bytes = b"heading") -> list[bytes]:
    with Lines(path, heading) as lines:
        return list(lines.entries)


def test_lines_are_kept_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for entry in (b"one", b"two", "drei ä".encode()):
        with Lines(path, b"heading") as lines:
            lines.append(entry)
    assert entries(path) == [b"one", b"two", "drei ä".encode()]


def test_lines_torn_anywhere_lose_only_what_was_torn(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with Lines(path, b"heading") as lines:
        for entry in (b"one", b"two", b"three"):
            lines.append(entry)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        found = entries(path)
        assert found == [b"one", b"two", b"three"][: max(0, whole[:cut].count(b"\n") - 1)]
        with Lines(path, b"heading") as lines:
            lines.append(b"more")
        assert entries(path) == [*found, b"more"]


def test_a_changed_line_and_all_after_it_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with Lines(path, b"heading") as lines:
        for entry in (b"one", b"two", b"three"):
            lines.append(entry)
    path.write_bytes(path.read_bytes().replace(b"two", b"twO"))
    assert entries(path) == [b"one"]


def test_lines_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with Lines(path, b"heading") as lines:
        for entry in (b"one", b"two", b"three", b"four"):
            lines.append(entry)
            assert (lines.entries[0], lines.entries[-1], lines.entries[0]) == (b"one", entry, b"one")
        assert (len(lines.entries), lines.entries[1:3], lines.entries[0]) == (4, [b"two", b"three"], b"one")
        with pytest.raises(IndexError):
            _ = lines.entries[4]
        lines.keep(2)
        lines.append(b"drei")
        assert list(lines.entries) == [b"one", b"two", b"drei"]
        path.write_bytes(path.read_bytes().replace(b"two", b"twO"))
        with pytest.raises(RecordError, match=r"lines changed on the disk: line 3 is not what was written\."):
            _ = lines.entries[1]


def test_lines_about_something_else_are_started_anew(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with Lines(path, b"heading") as lines:
        lines.append(b"one")
    assert entries(path, b"another heading") == []


def test_a_new_folder_is_made_known_to_the_disk_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(records, "flush_to_disk", flushed.append)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert flushed == [tmp_path, tmp_path / "a"]
    make_folder(tmp_path / "a" / "b")
    assert len(flushed) == 2
