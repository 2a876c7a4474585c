"""Words in, files that people and players read out, and a ledger of what became of every voice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict
from typing import ClassVar

from stemscribe.audio.mix import MixInfo
from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Artefact, StageContext
from stemscribe.pipeline.stages.texts import Texts, write_texts
from stemscribe.records import read_record
from stemscribe.rows import read_head, read_rows, write_rows
from stemscribe.speech.ledger import Doubtful, Entry, LedgerRules, account, doubtful_words, totals
from stemscribe.speech.recognition import Dropped, Recognition
from stemscribe.speech.regions import Voiced
from stemscribe.subtitles.cues import DEFAULT_RULES
from stemscribe.transcript import Segment
from stemscribe.wording import counted, percent

log = logging.getLogger(__name__)

_FORMS = Texts("transcript", "srt", "vtt", "text")


class Export:
    """Puts the transcript on the film's clock, writes it as JSON, SRT, WebVTT and plain text, and accounts for it."""

    name = "export"
    version = 3
    depends_on = ("media_name",)
    parameters: ClassVar[dict[str, object]] = asdict(DEFAULT_RULES) | {"ledger": asdict(LedgerRules())}
    inputs = ("mix_info", "regions", "segments")

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        return {"core": ("pysubs2",)}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (
            Artefact(_FORMS.json, "transcript.json"),
            Artefact(_FORMS.srt, "transcript.srt", "Subtitles written"),
            Artefact(_FORMS.vtt, "transcript.vtt"),
            Artefact(_FORMS.text, "transcript.txt", "Transcript written"),
            Artefact("ledger", "ledger.json"),
        )

    def models(self, options: Options) -> tuple[str, ...]:
        return ()

    def run(self, context: StageContext) -> None:
        write_texts(context, "segments", read_head(context.inputs["segments"], Recognition), _FORMS)
        _account(context)


def _account(context: StageContext) -> None:
    """Write the ledger, in which the totals come before what they are the totals of."""
    ledger = totals(_entries(context), _doubtful(context))
    write_rows(context.outputs["ledger"], ledger, entries=_entries(context), doubtful=_doubtful(context))
    log.info(
        "%s of %.1f s with voices are accounted for; %s (%.1f s), %s",
        percent(ledger.coverage),
        ledger.voiced_seconds,
        counted(ledger.gaps, "gap"),
        ledger.gap_seconds,
        counted(ledger.doubtful_words, "doubtful word"),
    )


def _entries(context: StageContext) -> Iterator[Entry]:
    offset = read_record(context.inputs["mix_info"], MixInfo).offset
    segments, dropped = (
        read_rows(context.inputs["segments"], "segments", Segment),
        read_rows(context.inputs["segments"], "dropped", Dropped),
    )
    return (entry.on_film_clock(offset) for entry in account(_voiced(context), segments, dropped))


def _doubtful(context: StageContext) -> Iterator[Doubtful]:
    offset = read_record(context.inputs["mix_info"], MixInfo).offset
    segments = read_rows(context.inputs["segments"], "segments", Segment)
    return (word.on_film_clock(offset) for word in doubtful_words(_voiced(context), segments))


def _voiced(context: StageContext) -> Iterator[Voiced]:
    return read_rows(context.inputs["regions"], "voiced", Voiced)
