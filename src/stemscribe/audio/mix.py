"""The mix of a job: one audio track of the film, as every later stage hears it.

It is kept as 24 bit FLAC, in which nothing can exceed full scale, but lossy films often do, by up to 2 dB or so once
decoded. Such a mix is written again at half its level (or less: a power of two, so that no sample is rounded twice),
and `MixInfo.gain` says so: whoever reads it divides by that. Clipping instead would change what the separation model
hears, and its stems with it.

Where the track has a centre channel, that is kept beside the mix, frame by frame: films have their dialogue there.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from stemscribe.audio.decode import TrackDecoder
from stemscribe.audio.downmix import CHANNELS, LOUDEST
from stemscribe.audio.level import LevelMeter
from stemscribe.audio.probe import AudioTrack
from stemscribe.audio.resample import RATES
from stemscribe.audio.writer import StemWriter
from stemscribe.concurrency import made_ahead
from stemscribe.errors import NoAudioError
from stemscribe.timebase import Seconds, to_seconds

log = logging.getLogger(__name__)

# What a mix.json may say: one that came with somebody else's job may have been edited.
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
_Rate = Annotated[int, msgspec.Meta(ge=RATES[0], le=RATES[-1])]
_Level = Annotated[float, msgspec.Meta(ge=-1e3, le=1e3)]
_Gain = Annotated[float, msgspec.Meta(ge=2.0**-20, le=1.0)]
_Offset = Annotated[Seconds, msgspec.Meta(ge=-1e7, le=1e7)]
# An eighth holds all that is believed to be sound, so that the film need not be read again for a loud centre; what is
# left of 24 bit is more than anybody hears.
_CENTRE_GAIN = 1 / float(LOUDEST)
_SILENT_DB = -60.0


@dataclass(frozen=True)
class CentreInfo:
    """What is known of a centre channel; levels are those of the film, before `gain`.

    Attributes:
        std: unbiased standard deviation.
        peak: the largest absolute sample.
        gain: what the film's samples were multiplied by.
    """

    std: _Level
    peak: _Level
    gain: _Gain

    @property
    def is_audible(self) -> bool:
        """Whether there is anything to hear: a film that was made stereo may claim to have a centre.

        Six seconds of soft dialogue (−30 dBFS) in an hour and a half count.
        """
        return 20 * math.log10(max(self.std, 1e-10)) >= _SILENT_DB


@dataclass(frozen=True)
class MixInfo:
    """What is known of a mix; levels are those of the film, before `gain`.

    Attributes:
        frames: its length.
        sample_rate: in Hz.
        mean: of its mono mix.
        std: unbiased standard deviation of its mono mix.
        peak: the largest absolute sample of any channel.
        gain: what the film's samples were multiplied by.
        stream: index of the film's stream that it was decoded from.
        language: what that stream is tagged with, or empty.
        offset: the time of its first frame on the film's clock, in seconds.
        damaged_packets: how many packets could not be decoded; lost sound is silent.
        damaged_samples: how many samples were no numbers or absurdly loud; they are silent, or cut off.
        centre: of the centre channel beside it; unset, and not written, where the track has none, so that the mix of
            other films is described as it always was.
    """

    frames: _Count
    sample_rate: _Rate
    mean: _Level
    std: _Level
    peak: _Level
    gain: _Gain
    stream: _Count
    language: str
    offset: _Offset
    damaged_packets: _Count
    damaged_samples: _Count
    centre: CentreInfo | msgspec.UnsetType = msgspec.UNSET


def write_mix(
    film: Path,
    track: AudioTrack,
    target: Path,
    sample_rate: int,
    *,
    start: Seconds = 0.0,
    end: Seconds | None = None,
    centre: Path | None = None,
    progress: Callable[[Seconds], None] = lambda _: None,
) -> MixInfo:
    """Decode a track into `target`, in constant memory.

    Args:
        film: the media file.
        track: which of its tracks.
        target: the FLAC file to make.
        sample_rate: of the mix, in Hz.
        start: where to begin, on the film's clock.
        end: where to stop, on the film's clock; `None` for the end.
        centre: the FLAC file to make of its centre channel, mono, as many frames as the mix; `None` for none.
        progress: told how many seconds are done.

    Raises:
        NoAudioError: nothing could be decoded in that span.
        StorageError: the disk is full or cannot be written.
    """

    def decoded_at(gain: float) -> MixInfo:
        decoder = TrackDecoder(film, track.number, sample_rate, start=start, end=end, centre=centre is not None)
        return _decode_at(gain, decoder, film, track, target, sample_rate, centre, progress)

    info = decoded_at(1.0)
    if info.peak > 1.0:
        gain = 2.0 ** -math.ceil(math.log2(info.peak))
        log.info("the film peaks at %.2f times full scale: the mix is kept at %g of its level", info.peak, gain)
        info = decoded_at(gain)
    if info.damaged_packets:
        log.warning("%d packets of the film are damaged; what they held is silent in the mix", info.damaged_packets)
    if info.damaged_samples:
        log.warning("%d samples of the film were no numbers or absurdly loud", info.damaged_samples)
    return info


def _decode_at(
    gain: float,
    decoder: TrackDecoder,
    film: Path,
    track: AudioTrack,
    target: Path,
    sample_rate: int,
    centre: Path | None,
    progress: Callable[[Seconds], None],
) -> MixInfo:
    meter, centre_meter = LevelMeter(), LevelMeter()
    with ExitStack() as files:
        writer = files.enter_context(_writer(target, sample_rate, CHANNELS))
        beside = files.enter_context(_writer(centre, sample_rate, 1)) if centre is not None else None
        for block in made_ahead(decoder.blocks()):
            meter.add(block[:CHANNELS])
            writer.write(block[:CHANNELS] * np.float32(gain))
            if beside is not None:
                centre_meter.add(block[CHANNELS:])
                beside.write(block[CHANNELS:] * np.float32(_CENTRE_GAIN))
            progress(to_seconds(meter.frames, sample_rate))
        if not meter.frames:
            raise NoAudioError(f"{film.name} has less sound than one frame.", hint="Check --start-time and --end-time.")
    level, beside_it = meter.level, centre_meter.level
    return MixInfo(
        frames=level.frames,
        sample_rate=sample_rate,
        mean=level.mean,
        std=level.std,
        peak=level.peak,
        gain=gain,
        stream=track.stream,
        language=track.language,
        offset=decoder.offset or 0.0,
        damaged_packets=decoder.damaged_packets,
        damaged_samples=decoder.damaged_samples,
        centre=msgspec.UNSET if centre is None else CentreInfo(beside_it.std, beside_it.peak, _CENTRE_GAIN),
    )


def _writer(path: Path, sample_rate: int, channels: int) -> StemWriter:
    return StemWriter(path, sample_rate, channels, 0, form="flac", subtype="pcm24")
