"""Guards environments/marker.py."""

from __future__ import annotations

import pytest

from stemscribe.environments.marker import (
    MARKER_NAME,
    Marker,
    claim,
    is_claimed,
    read_marker,
    remove_marker,
    write_marker,
)

MARKER = Marker("core", "d1", "d2", "Python 3.11.7", "uv", {"numpy": "2.4.6"})


def test_a_marker_comes_back_as_it_was_written(tmp_path):
    write_marker(tmp_path, MARKER)
    assert read_marker(tmp_path) == MARKER
    assert [path.name for path in tmp_path.iterdir()] == [MARKER_NAME]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"profile": "core"}', '{"unknown": 1}'])
def test_what_is_no_marker_counts_as_none(tmp_path, text):
    (tmp_path / MARKER_NAME).write_text(text)
    assert read_marker(tmp_path) is None


def test_removing_a_marker_twice_is_fine(tmp_path):
    write_marker(tmp_path, MARKER)
    remove_marker(tmp_path)
    remove_marker(tmp_path)
    assert read_marker(tmp_path) is None


def test_a_claim_holds_for_one_place(tmp_path):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    assert not is_claimed(here)
    claim(here)
    assert is_claimed(here)
    here.rename(elsewhere)
    assert not is_claimed(elsewhere)
