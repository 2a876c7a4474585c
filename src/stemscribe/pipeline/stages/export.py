"""Words in, files that people and players read out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from stemscribe.audio.mix import MixInfo
from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Artefact, StageContext
from stemscribe.records import read_record, write_record
from stemscribe.speech.recognition import Recognition
from stemscribe.subtitles import srt, text, vtt
from stemscribe.subtitles.cues import DEFAULT_RULES, cues_of
from stemscribe.transcript import Transcript


class Export:
    """Puts the transcript on the film's clock, and writes it as JSON, SRT, WebVTT and plain text."""

    name = "export"
    version = 1
    depends_on = ()
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
        recognition = read_record(context.inputs["segments"], Recognition)
        heard = Transcript(
            language=recognition.language,
            segments=recognition.segments,
            model=recognition.model,
            media=Path(context.job.media).name,
        )
        transcript = heard.on_film_clock(read_record(context.inputs["mix_info"], MixInfo).offset)
        cues = cues_of(transcript)
        write_record(context.outputs["transcript"], transcript)
        for name, content in (
            ("srt", srt.render(cues)),
            ("vtt", vtt.render(cues)),
            ("text", text.render(transcript)),
        ):
            context.outputs[name].write_text(content, encoding="utf-8", newline="\n")
