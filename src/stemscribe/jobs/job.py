"""What a job was asked to do: written once at prepare, never changed after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from stemscribe.choices import (
    AsrAudio,
    ClipMode,
    ContainerChoice,
    Device,
    Engine,
    Gate,
    QualityChoice,
    Script,
    StemFormat,
    StemSet,
    StemSubtype,
)
from stemscribe.timebase import LONGEST, Seconds

_Point = Annotated[Seconds, msgspec.Meta(ge=0, le=LONGEST)]


@dataclass(frozen=True)
class Options:
    """Everything about a job that can be chosen; each stage depends on a few of them.

    Attributes:
        audio_track: number (from 0) or language of the audio track; empty for the best guess, which a job that is
            prepared has made.
        start_time: where to begin, on the film's clock.
        end_time: where to stop, on the film's clock; `None` for the end.
        engine: what computes the separation model.
        separation_model: its name.
        gate: whether windows that need no model are left out: those without a voice, and those with nothing else.
        quality: how much windows overlap; `exact` is as much as in Demucs, and `auto` is that for stems, and less where
            they are only heard by speech recognition.
        stems: `two` are vocals and accompaniment, `four` are drums, bass, other and vocals, `six` are these with guitar
            and piano.
        stem_format: file format of the stems.
        stem_subtype: sample format of the stems.
        clip_mode: what is done about a stem that exceeds full scale.
        device: what the models run on.
        model: name of the speech recognition model.
        asr_audio: what speech recognition hears; `auto` is whatever it understands best, span by span.
        script: in which letters it writes: those of the language, Latin ones, or as they come.
        container: of the film with subtitles; `prepare` decides what is left open.
        threads: for the models on a CPU; 0 leaves it to them.
    """

    audio_track: str = ""
    start_time: _Point = 0.0
    end_time: _Point | None = None
    engine: Engine = "auto"
    separation_model: str = "htdemucs"
    gate: Gate = "auto"
    quality: QualityChoice = "auto"
    stems: StemSet = "two"
    stem_format: StemFormat = "wav"
    stem_subtype: StemSubtype = "pcm16"
    clip_mode: ClipMode = "rescale"
    device: Device = "auto"
    model: str = "whisper-base"
    asr_audio: AsrAudio = "auto"
    script: Script = "native"
    container: ContainerChoice = "auto"
    threads: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0


@dataclass(frozen=True)
class Job:
    """A request, complete in itself.

    Attributes:
        id: unique below its `out/`.
        media: the film's path, absolute.
        media_identity: what the film is recognised by.
        workflow: name of the workflow.
        source_language: the spoken language, or `auto`.
        created_at: UTC, ISO 8601.
        stemscribe: the version that prepared it.
    """

    id: str
    media: str
    media_identity: str
    workflow: str
    source_language: str
    created_at: str
    stemscribe: str
    options: Options = field(default_factory=Options)
    version: int = 1

    def asks_the_same_as(self, other: Job) -> bool:
        """Whether both would make the same from the same."""
        return self._request == other._request

    @property
    def _request(self) -> tuple[object, ...]:
        return (self.media, self.media_identity, self.workflow, self.source_language, self.options, self.version)
