"""What was said, on the film's clock, in the forms that programs, players and people read.

Each file is written while the words are read, again for each: a film of ten hours has a hundred thousand of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stemscribe.audio.mix import MixInfo
from stemscribe.pipeline.stage import StageContext
from stemscribe.records import read_record
from stemscribe.rows import read_rows, write_rows
from stemscribe.speech.recognition import Recognition
from stemscribe.speech.regions import RegionRules
from stemscribe.speech.translation import Translation
from stemscribe.subtitles import srt, text, vtt
from stemscribe.subtitles.cues import DEFAULT_RULES, Draft, drafts, timed
from stemscribe.subtitles.rules import milliseconds
from stemscribe.subtitles.timing import Extent
from stemscribe.subtitles.tokens import stream
from stemscribe.transcript import Segment, Transcript

_DISORDER = milliseconds(2 * RegionRules().longest)  # regions are in order; within one, segments need not be


@dataclass(frozen=True)
class Texts:
    """One text in four forms, each by the name of its artefact."""

    json: str
    srt: str
    vtt: str
    text: str


def write_texts(context: StageContext, record: str, head: Recognition | Translation, forms: Texts) -> None:
    """Write the segments of a record as JSON, SRT, WebVTT and plain text.

    Args:
        context: of a stage that has the record and `mix_info` among its inputs, and the forms among its outputs.
        record: the name of the artefact that has the segments.
        head: what else is in it.
        forms: what to write.

    Raises:
        RecordError: the record cannot be read.
        StorageError: the disk is full or the folder cannot be written.
    """
    media = Path(context.job.media).name
    transcript = Transcript(head.language, (), "film", head.model, media)
    write_rows(context.outputs[forms.json], transcript, segments=_segments(context, record))
    tokens = stream(_segments(context, record), DEFAULT_RULES.line_length, _DISORDER)
    extent, kept = Extent(), context.scratch / "cues.jsonl"
    with kept.open("wb") as file:
        for draft in drafts(tokens):
            extent.add(draft.speech)
            file.write(msgspec.json.encode(draft) + b"\n")
    _write(context.outputs[forms.srt], srt.pieces(timed(_read(kept), extent)))
    _write(context.outputs[forms.vtt], vtt.pieces(timed(_read(kept), extent)))
    _write(context.outputs[forms.text], text.pieces(stream(_segments(context, record), sys.maxsize, _DISORDER)))


def _segments(context: StageContext, record: str) -> Iterator[Segment]:
    """What was said, on the film's clock, read one by one."""
    offset = read_record(context.inputs["mix_info"], MixInfo).offset
    return (segment.on_film_clock(offset) for segment in read_rows(context.inputs[record], "segments", Segment))


def _read(kept: Path) -> Iterator[Draft]:
    decoder = msgspec.json.Decoder(Draft)
    with kept.open("rb") as file:
        yield from map(decoder.decode, file)


def _write(path: Path, pieces: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(pieces)
