"""The mix and the vocals as stages hear them: at the film's own level, whatever level they were written at."""

from __future__ import annotations

from stemscribe.audio.mix import MixInfo
from stemscribe.audio.source import AudioSource
from stemscribe.choices import AsrAudio
from stemscribe.pipeline.stage import StageContext
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.records import read_record

NEEDED = ("mix", "mix_info", "vocals", "separation")
"""The artefacts that a stage reads by asking for either."""


def open_at_film_level(context: StageContext, audio: AsrAudio) -> AudioSource:
    """The mix or the vocals of a job, opened.

    Raises:
        MediaError: the file is missing or is not a sound file.
        RecordError: what is known of its level cannot be read.
    """
    if audio == "mix":
        gain = read_record(context.inputs["mix_info"], MixInfo).gain
    else:
        gain = read_record(context.inputs["separation"], SeparationRecord).stems[audio]["gain"]
    return AudioSource(context.inputs[audio], gain=gain)
