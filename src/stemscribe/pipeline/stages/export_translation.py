"""A translation in, files that people and players read out."""

from __future__ import annotations

from dataclasses import asdict
from typing import ClassVar

from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Artefact, StageContext
from stemscribe.pipeline.stages.texts import Texts, write_texts
from stemscribe.rows import read_head
from stemscribe.speech.translation import ENGLISH, Translation
from stemscribe.subtitles.cues import DEFAULT_RULES

_FORMS = Texts("translation_json", "translation_srt", "translation_vtt", "translation_text")
_STEM = f"translation.{ENGLISH}"  # by such a name a player knows the language of a subtitle file


class ExportTranslation:
    """Puts the translation on the film's clock, and writes it in the forms of the transcript."""

    name = "export_translation"
    version = 1
    depends_on = ("media_name",)
    parameters: ClassVar[dict[str, object]] = asdict(DEFAULT_RULES)
    inputs = ("mix_info", "translation")

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        return {"core": ("pysubs2",)}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (
            Artefact(_FORMS.json, f"{_STEM}.json"),
            Artefact(_FORMS.srt, f"{_STEM}.srt", "Translated subtitles written"),
            Artefact(_FORMS.vtt, f"{_STEM}.vtt"),
            Artefact(_FORMS.text, f"{_STEM}.txt", "Translation written"),
        )

    def models(self, options: Options) -> tuple[str, ...]:
        return ()

    def run(self, context: StageContext) -> None:
        write_texts(context, "translation", read_head(context.inputs["translation"], Translation), _FORMS)
