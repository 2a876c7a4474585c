"""What goes on behind the end of a text; with a real model in test_faster_whisper.py."""

from __future__ import annotations

from typing import Any

import pytest
from faster_whisper import BatchedInferencePipeline

from stemscribe.speech.reading import Reader, _is_copy, _Part


def test_figures_are_those_of_all_that_was_read_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence that is said again and again is a loop, though each by itself would pass for speech."""
    loop: list[dict[str, Any]] = [{"text": " Thank you for watching.", "tokens": [1] * 5} for _ in range(20)]
    rest = {"text": " Who is there?", "tokens": [1] * 4}
    monkeypatch.setattr(BatchedInferencePipeline, "forward", lambda *_: [[*loop, rest]])
    reader = Reader(None, 16000)
    # Where a part ends with two times, the last of them is among the tokens of the next segment.
    reader._parts = [[_Part(0, [1] * 101, -0.2), _Part(0, [1] * 3, -0.9)]]
    reader.forward(None, None, None, None)
    assert min(segment["compression_ratio"] for segment in loop) > 10
    assert rest["compression_ratio"] < 1
    assert [segment["avg_logprob"] for segment in (loop[0], loop[-1], rest)] == [-0.2, -0.2, -0.9]


@pytest.mark.parametrize(
    ("text", "is_copy"),
    [
        (" Come in and sit down!", True),
        (" Come in and sit", True),
        (" Come in and sat down.", True),
        (" Come in.", False),  # so little may well be said twice
        (" Would you like some tea?", False),
        ("", False),
    ],
)
def test_a_sentence_that_was_written_already_is_known_for_a_copy(text: str, is_copy: bool) -> None:
    assert _is_copy(text, " Good evening. Come in, and sit down. Do.") is is_copy
