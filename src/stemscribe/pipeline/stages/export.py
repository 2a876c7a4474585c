"""Words in, files that people and players read out.

Each file is written while the words are read, again for each: a film of ten hours has a hundred thousand of them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import msgspec

from stemscribe.audio.mix import MixInfo
from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Artefact, StageContext
from stemscribe.records import read_record
from stemscribe.rows import read_head, read_rows, write_rows
from stemscribe.speech.recognition import Recognition
from stemscribe.speech.regions import RegionRules
from stemscribe.subtitles import srt, text, vtt
from stemscribe.subtitles.cues import DEFAULT_RULES, Draft, drafts, timed
from stemscribe.subtitles.rules import milliseconds
from stemscribe.subtitles.timing import Extent
from stemscribe.subtitles.tokens import stream
from stemscribe.transcript import Segment, Transcript

_DISORDER = milliseconds(2 * RegionRules().longest)  # regions are in order; within one, segments need not be


class Export:
    """Puts the transcript on the film's clock, and writes it as JSON, SRT, WebVTT and plain text."""

    name = "export"
    version = 1
    depends_on = ("media_name",)
    parameters: ClassVar[dict[str, object]] = asdict(DEFAULT_RULES)
    inputs = ("mix_info", "segments")

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        return {"core": ("pysubs2",)}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (
            Artefact("transcript", "transcript.json"),
            Artefact("srt", "transcript.srt", "Subtitles written"),
            Artefact("vtt", "transcript.vtt"),
            Artefact("text", "transcript.txt", "Transcript written"),
        )

    def models(self, options: Options) -> tuple[str, ...]:
        return ()

    def run(self, context: StageContext) -> None:
        heard = read_head(context.inputs["segments"], Recognition)
        transcript = Transcript(heard.language, (), "film", heard.model, Path(context.job.media).name)
        write_rows(context.outputs["transcript"], transcript, segments=_segments(context))
        tokens = stream(_segments(context), DEFAULT_RULES.line_length, _DISORDER)
        extent, kept = Extent(), context.scratch / "cues.jsonl"
        with kept.open("wb") as file:
            for draft in drafts(tokens):
                extent.add(draft.speech)
                file.write(msgspec.json.encode(draft) + b"\n")
        _write(context.outputs["srt"], srt.pieces(timed(_read(kept), extent)))
        _write(context.outputs["vtt"], vtt.pieces(timed(_read(kept), extent)))
        _write(context.outputs["text"], text.pieces(stream(_segments(context), sys.maxsize, _DISORDER)))


def _segments(context: StageContext) -> Iterator[Segment]:
    """What was said, on the film's clock, read one by one."""
    offset = read_record(context.inputs["mix_info"], MixInfo).offset
    found = read_rows(context.inputs["segments"], "segments", Segment)
    return (segment.on_film_clock(offset) for segment in found)


def _read(kept: Path) -> Iterator[Draft]:
    decoder = msgspec.json.Decoder(Draft)
    with kept.open("rb") as file:
        yield from map(decoder.decode, file)


def _write(path: Path, pieces: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(pieces)
