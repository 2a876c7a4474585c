"""The mix of a job: one audio track of the film, as every later stage hears it.

It is kept as 24 bit FLAC, in which nothing can exceed full scale, but lossy films often do, by up to 2 dB or so once
decoded. Such a mix is written again at half its level (or less: a power of two, so that no sample is rounded twice),
and `MixInfo.gain` says so: whoever reads it divides by that. Clipping instead would change what the separation model
hears, and its stems with it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from stemscribe.audio.decode import CHANNELS, TrackDecoder
from stemscribe.audio.level import LevelMeter
from stemscribe.audio.probe import AudioTrack
from stemscribe.audio.resample import Array
from stemscribe.audio.source import AudioSource
from stemscribe.audio.writer import StemWriter
from stemscribe.timebase import Seconds, to_seconds

log = logging.getLogger(__name__)


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
        damaged_packets: how many packets could not be decoded, and are silent.
    """

    frames: int
    sample_rate: int
    mean: float
    std: float
    peak: float
    gain: float
    stream: int
    language: str
    offset: Seconds
    damaged_packets: int

    @property
    def duration(self) -> Seconds:
        return to_seconds(self.frames, self.sample_rate)


class MixReader:
    """An open mix at the film's own level.

    Args:
        path: `mix.flac`.
        info: its `mix.json`.

    Raises:
        MediaError: the file is missing or is not a sound file.
    """

    def __init__(self, path: Path, info: MixInfo) -> None:
        self._source = AudioSource(path)
        self._level = np.float32(1 / info.gain)

    def __enter__(self) -> MixReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.__exit__(kind, error, trace)

    def read(self, start: int, stop: int) -> Array:
        """The frames `start` ≤ n < `stop`, `[2, stop - start]`, silent beyond both ends."""
        block: Array = self._source.read(start, stop) * self._level
        return block


def write_mix(
    film: Path,
    track: AudioTrack,
    target: Path,
    sample_rate: int,
    *,
    start: Seconds = 0.0,
    end: Seconds | None = None,
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
        progress: told how many seconds are done.

    Raises:
        NoAudioError: nothing could be decoded in that span.
        StorageError: the disk is full or cannot be written.
    """
    info = _decode_at(1.0, film, track, target, sample_rate, start, end, progress)
    if info.peak > 1.0:
        gain = 2.0 ** -math.ceil(math.log2(info.peak))
        log.info("the film peaks at %.2f times full scale: the mix is kept at %g of its level", info.peak, gain)
        info = _decode_at(gain, film, track, target, sample_rate, start, end, progress)
    if info.damaged_packets:
        log.warning("%d damaged packets of the film are silent in the mix", info.damaged_packets)
    return info


def _decode_at(
    gain: float,
    film: Path,
    track: AudioTrack,
    target: Path,
    sample_rate: int,
    start: Seconds,
    end: Seconds | None,
    progress: Callable[[Seconds], None],
) -> MixInfo:
    decoder = TrackDecoder(film, track.stream, sample_rate, start=start, end=end)
    meter = LevelMeter()
    with StemWriter(target, sample_rate, CHANNELS, 0, form="flac", subtype="pcm24") as writer:
        for block in decoder.blocks():
            meter.add(block)
            writer.write(block * np.float32(gain))
            progress(to_seconds(meter.level.frames, sample_rate))
    level = meter.level
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
    )
