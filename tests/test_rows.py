"""Long records read and written an entry at a time are those that are read and written at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemscribe.errors import RecordError
from stemscribe.records import read_record, to_json, write_record
from stemscribe.rows import read_head, read_rows, write_rows


@dataclass(frozen=True)
class Row:
    text: str
    parts: tuple[str, ...] = ()
    inner: dict[str, int] | None = None


@dataclass(frozen=True)
class Table:
    name: str
    rows: tuple[Row, ...] = ()
    others: tuple[Row, ...] = ()
    size: float | None = None


texts = st.text(max_size=8) | st.sampled_from(['"', "\n", "  }", "    }\n", '  "rows": [\n', "[", "],", "\\", "फ़िल्म"])
rows = st.lists(
    st.builds(
        Row, texts, st.lists(texts, max_size=3).map(tuple), st.none() | st.dictionaries(texts, st.integers(0, 9))
    ),
    max_size=4,
).map(tuple)
tables = st.builds(Table, texts, rows, rows, st.none() | st.floats(allow_nan=False, allow_infinity=False))


@settings(deadline=None)
@given(tables)
def test_one_at_a_time_equals_at_once(tmp_path_factory: pytest.TempPathFactory, table: Table) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.json"
    write_rows(path, Table(table.name, size=table.size), rows=iter(table.rows), others=iter(table.others))
    assert path.read_bytes() == to_json(table)
    assert tuple(read_rows(path, "rows", Row)) == table.rows
    assert tuple(read_rows(path, "others", Row)) == table.others
    assert read_head(path, Table) == Table(table.name, size=table.size)
    assert read_record(path, Table) == table


def test_what_fails_while_it_is_written_leaves_what_was_there(tmp_path: Path) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield Row("one")
        raise KeyboardInterrupt

    write_record(tmp_path / "a.json", Table("older"))
    with pytest.raises(KeyboardInterrupt):
        write_rows(tmp_path / "a.json", Table("newer"), rows=broken())
    assert read_record(tmp_path / "a.json", Table) == Table("older")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "content", [b"", b"null", b'{\n  "name": 3\n}\n', b"\xff", b'{\n  "rows": [\n    {\n    }\n  ]\n}\n']
)
def test_what_is_not_the_record_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RecordError, match="is not a valid Table"):
        read_head(tmp_path / "a.json", Table)


def test_an_entry_that_is_not_what_was_asked_for_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(to_json({"rows": [{"text": "one"}, {"text": 2}]}))
    found = read_rows(tmp_path / "a.json", "rows", Row)
    assert next(found) == Row("one")
    with pytest.raises(RecordError, match="is not a valid Row"):
        next(found)


@pytest.mark.parametrize("lines", [1, 2, 3, 5, 6, 9])
def test_a_file_that_is_cut_off_is_said(tmp_path: Path, lines: int) -> None:
    """Or the end of a film would be missing without a word."""
    whole = to_json(Table("name", (Row("one"), Row("two")))).splitlines(keepends=True)
    (tmp_path / "a.json").write_bytes(b"".join(whole[:lines]))
    with pytest.raises(RecordError, match="is cut off, or was laid out by another program"):
        list(read_rows(tmp_path / "a.json", "rows", Row))


@pytest.mark.parametrize("indent", [-1, 0, 4])
def test_a_file_that_another_program_laid_out_is_said(tmp_path: Path, indent: int) -> None:
    content = msgspec.json.encode(Table("name", (Row("one"),)))
    (tmp_path / "a.json").write_bytes(msgspec.json.format(content, indent=indent))
    with pytest.raises(RecordError, match="is cut off, or was laid out by another program"):
        list(read_rows(tmp_path / "a.json", "rows", Row))


def test_a_record_that_is_missing_is_said(tmp_path: Path) -> None:
    for read in (lambda: read_head(tmp_path / "a", Table), lambda: next(read_rows(tmp_path / "a", "rows", Row))):
        with pytest.raises(RecordError, match="Could not read"):
            read()
