"""The mix, its centre and the vocals as stages hear them: at the film's own level, whatever level they were written
at.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from stemscribe.audio.mix import CentreInfo, MixInfo
from stemscribe.audio.source import AudioSource
from stemscribe.errors import MediaError
from stemscribe.pipeline.stage import StageContext
from stemscribe.pipeline.stages.source_separation import SeparationRecord
from stemscribe.records import read_record

NEEDED = ("mix", "mix_info", "vocals", "separation")
"""The artefacts that a stage reads by asking for the mix or the vocals."""
CENTRE: Final = "centre"
"""The artefact that it reads besides by asking for the centre; few films have one."""
Audible = Literal["mix", "vocals", "centre"]


def open_at_film_level(context: StageContext, audio: Audible) -> AudioSource:
    """The mix, the vocals or the centre channel of a job, opened. The centre is mono; all have equally many frames.

    Raises:
        MediaError: the file is missing or is not a sound file, or the film has no centre channel.
        RecordError: what is known of its level cannot be read.
    """
    if audio == "mix":
        gain = read_record(context.inputs["mix_info"], MixInfo).gain
    elif audio == "centre":
        gain = _centre(context).gain
    else:
        gain = read_record(context.inputs["separation"], SeparationRecord).stems[audio]["gain"]
    return AudioSource(context.inputs[audio], gain=gain)


def is_centre_audible(context: StageContext) -> bool:
    """Whether the film has a centre channel in which there is something to hear.

    Raises:
        RecordError: what is known of its level cannot be read.
    """
    return CENTRE in context.inputs and _centre(context).is_audible


def _centre(context: StageContext) -> CentreInfo:
    info = read_record(context.inputs["mix_info"], MixInfo).centre
    if isinstance(info, msgspec.UnsetType):
        raise MediaError(f"{context.job.media} has no centre channel.")
    return info
