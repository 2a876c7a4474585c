"""The forms in which a transcript is handed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stemscribe.errors import UsageError
from stemscribe.records import to_json
from stemscribe.subtitles import srt, text, vtt
from stemscribe.subtitles.cues import Cue, cues_of
from stemscribe.subtitles.reading import LATEST
from stemscribe.transcript import Transcript

Form = Literal["srt", "vtt", "txt", "json"]


def in_form(form: Form, transcript: Transcript, name: str, cues: Sequence[Cue] | None = None) -> bytes:
    """What to write into a file of some form.

    Args:
        form: which.
        transcript: what was said.
        name: what it is called when it is too long.
        cues: how it was laid out, where somebody has done so; else cues are made.

    Raises:
        UsageError: it is too long for subtitles.
    """
    if form == "json":
        return to_json(transcript)
    if form == "txt":
        return text.render(transcript).encode()
    cues = cues_of(transcript) if cues is None else tuple(cues)
    if any(cue.end >= LATEST for cue in cues):
        raise UsageError(f"{name} goes on after 99:59:59, which no .{form} can say.", hint="Write .txt or .json.")
    return (srt.render(cues) if form == "srt" else vtt.render(cues)).encode()
