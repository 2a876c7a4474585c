"""What people mend: every change does what it says, and the machine's transcript stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemscribe.editing.changes import Add, Change, Merge, Remove, Retime, Rewrite, Split, edited, with_changes
from stemscribe.editing.record import FILE, Edits, read_edits, write_edits
from stemscribe.errors import RecordError, UsageError
from stemscribe.transcript import Segment, Transcript, Word


def segment(start: float, text: str) -> Segment:
    """A segment whose words take half a second each."""
    words = tuple(
        Word(start + place / 2, start + place / 2 + 0.4, f" {word}", 0.4) for place, word in enumerate(text.split())
    )
    return Segment(start, start + len(words) / 2, text, "en", words, doubts=("quiet",))


TRANSCRIPT = Transcript("en", (segment(1, "ask nut what"), segment(4, "your country"), segment(6, "can do")), "film")


def texts(changes: Sequence[Change]) -> list[tuple[str, str]]:
    return [(one.name, one.segment.text) for one in edited(TRANSCRIPT, changes)]


def test_without_changes_nothing_is_changed() -> None:
    assert [one.segment for one in edited(TRANSCRIPT, ())] == list(TRANSCRIPT.segments)
    assert not any(one.is_edited for one in edited(TRANSCRIPT, ()))
    assert with_changes(TRANSCRIPT, ()) == TRANSCRIPT


def test_another_text_keeps_the_times_of_the_words_that_stay() -> None:
    first, *others = edited(TRANSCRIPT, [Rewrite("0", "  ask   not what ")])
    assert first.segment.text == "ask not what"
    words = first.segment.words
    assert [word.text for word in words] == [" ask", " not", " what"]
    assert words[0] is TRANSCRIPT.segments[0].words[0]
    assert (words[1].start, words[1].end, words[1].probability) == (1.5, 1.9, 1.0)
    assert (first.is_edited, first.segment.doubts) == (True, ())
    assert not any(one.is_edited for one in others)


def test_new_words_share_the_time_that_is_free_for_them() -> None:
    words = edited(TRANSCRIPT, [Rewrite("0", "ask nobody ever what you")])[0].segment.words
    assert [(word.text, word.start, word.end) for word in words] == [
        (" ask", 1, 1.4),
        (" nobody", 1.5, 1.74),
        (" ever", 1.74, 1.9),
        (" what", 2, 2.4),
        (" you", 2.4, 2.5),
    ]


def test_a_split_parts_text_words_and_times() -> None:
    found = edited(TRANSCRIPT, [Split("0", len("ask nut"))])
    assert [(one.name, one.segment.text) for one in found[:2]] == [("0", "ask nut"), ("0/0", "what")]
    first, second = found[0].segment, found[1].segment
    assert (first.start, first.end, second.start, second.end) == (1, 1.9, 2, 2.5)
    assert [word.text for word in (*first.words, *second.words)] == [" ask", " nut", " what"]


def test_a_split_in_the_middle_of_a_word_parts_the_word() -> None:
    first, second, *_ = edited(TRANSCRIPT, [Split("0", len("ask n"))])
    assert (first.segment.text, second.segment.text) == ("ask n", "ut what")
    assert first.segment.end <= second.segment.start


def test_merged_segments_are_one() -> None:
    assert texts([Merge("0")]) == [("0", "ask nut what your country"), ("2", "can do")]
    merged = edited(TRANSCRIPT, [Merge("0")])[0].segment
    assert (merged.start, merged.end, len(merged.words)) == (1, 5, 5)
    assert texts([Split("0", 3), Merge("0")]) == texts([])


def test_other_times_take_the_words_with_them_and_may_change_the_order() -> None:
    moved = edited(TRANSCRIPT, [Retime("0", 4.5, 5.0)])
    assert [one.name for one in moved] == ["1", "0", "2"]
    assert all(4.5 <= word.start <= word.end <= 5.0 for word in moved[1].segment.words)


def test_segments_are_removed_and_added() -> None:
    changes = [Remove("1"), Add(2.6, 3.6, "fellow Americans")]
    assert texts(changes) == [("0", "ask nut what"), ("+1", "fellow Americans"), ("2", "can do")]
    words = edited(TRANSCRIPT, changes)[1].segment.words
    assert (words[0].start, words[-1].end) == (2.6, 3.6)
    assert texts([*changes, Rewrite("+1", "my fellow Americans")])[1] == ("+1", "my fellow Americans")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Rewrite("9", "a"), "There is no segment 9 any more"),
        (Rewrite("0", "  "), "A segment cannot be empty"),
        (Split("0", 0), "Nothing would be left of one half"),
        (Split("0", 999), "Nothing would be left of one half"),
        (Split("0", -4), "Nothing would be left of one half"),
        (Merge("2"), "There is no segment after this one"),
        (Retime("0", 3, 3), "A segment cannot last from 3.000 s to 3.000 s"),
        (Add(5, 4, "a"), "A segment cannot last from 5.000 s to 4.000 s"),
    ],
)
def test_what_cannot_be_done_is_said(change: Change, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        edited(TRANSCRIPT, [change])


@pytest.mark.parametrize(
    "json",
    [
        b'{"change": "burn", "segment": "0"}',
        b'{"change": "merge", "segment": "0", "more": 1}',
        b'{"change": "merge", "segment": "../0"}',
        b'{"change": "retime", "segment": "0", "start": 1e99, "end": 2e99}',
        b'{"change": "rewrite", "segment": "0", "text": "%s"}' % (b"a" * 6000),
    ],
)
def test_what_is_no_change_is_not_taken_for_one(json: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json, type=Change)


NAMES = st.sampled_from(["0", "1", "2", "0/0", "1/1", "+0", "+1"])
TIMES = st.floats(0, 10, allow_nan=False)
TEXTS = st.text(st.sampled_from("ab हि 你\u0301 \n"), max_size=20)
CHANGES = st.one_of(
    st.builds(Rewrite, NAMES, TEXTS),
    st.builds(Split, NAMES, st.integers(-3, 20)),
    st.builds(Merge, NAMES),
    st.builds(Retime, NAMES, TIMES, TIMES),
    st.builds(Remove, NAMES),
    st.builds(Add, TIMES, TIMES, TEXTS),
)


@given(st.lists(CHANGES, max_size=8))
def test_whatever_is_mended_stays_a_transcript(wanted: list[Change]) -> None:
    changes: list[Change] = []
    for change in wanted:
        try:
            edited(TRANSCRIPT, [*changes, change])
        except UsageError:
            continue
        changes.append(change)
    found = edited(TRANSCRIPT, changes)
    assert len({one.name for one in found}) == len(found)
    assert [one.segment.start for one in found] == sorted(one.segment.start for one in found)
    for one in found:
        assert one.segment.start <= one.segment.end
        assert one.segment.text.split() == [word.text.strip() for word in one.segment.words]
        assert all(word.start <= word.end for word in one.segment.words)
    written = msgspec.json.encode(changes)
    assert msgspec.json.decode(written, type=list[Change]) == changes


def test_changes_are_kept_beside_the_transcript(tmp_path: Path) -> None:
    assert read_edits(tmp_path, "a" * 64) == Edits("a" * 64)
    edits = Edits("a" * 64, (Rewrite("0", "one"), Merge("0")))
    write_edits(tmp_path, edits)
    assert read_edits(tmp_path, "a" * 64) == edits
    assert edits.revision != Edits("a" * 64).revision


def test_changes_to_another_transcript_are_kept_and_not_made_to_this_one(tmp_path: Path) -> None:
    before = Edits("a" * 64, (Rewrite("0", "one"),))
    write_edits(tmp_path, before)
    assert read_edits(tmp_path, "b" * 64) == Edits("b" * 64)
    write_edits(tmp_path, Edits("b" * 64, (Merge("0"),)))
    assert msgspec.json.decode((tmp_path / f"edits-{'a' * 16}.json").read_bytes(), type=Edits) == before
    assert read_edits(tmp_path, "b" * 64).changes == (Merge("0"),)


def test_when_a_transcript_is_there_again_its_changes_are_as_well(tmp_path: Path) -> None:
    first, second = Edits("a" * 64, (Rewrite("0", "one"),)), Edits("b" * 64, (Merge("0"),))
    for edits in (first, second):
        write_edits(tmp_path, edits)
    assert read_edits(tmp_path, "a" * 64) == first
    more = Edits("a" * 64, (*first.changes, Remove("1")))
    write_edits(tmp_path, more)
    assert read_edits(tmp_path, "b" * 64) == second
    write_edits(tmp_path, second)
    assert read_edits(tmp_path, "a" * 64) == more


def test_what_is_no_record_of_changes_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"transcript": "a", "changes": [{"change": "burn"}]}')
    with pytest.raises(RecordError, match=FILE):
        read_edits(tmp_path, "a")


def test_a_revision_is_that_of_one_transcript() -> None:
    """Whoever looks at one that is not there any more changes nothing in the one that is."""
    change = Rewrite("0", "ask not")
    revisions = {Edits(transcript, changes).revision for transcript in "ab" for changes in ((), (change,))}
    assert len(revisions) == 4
