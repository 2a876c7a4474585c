"""One audio track of a film as blocks of stereo sound, on the film's clock.

The film's clock is the time that players show: packet times counted from the container's start. Where packets are
missing, silence is put in, so that everything after a gap stays on the clock; where timestamps jump absurdly (files
joined together), the sound simply goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.filter import Graph

from stemscribe.audio.probe import opened
from stemscribe.audio.resample import Array, Resampler
from stemscribe.errors import NoAudioError
from stemscribe.timebase import Seconds, clock, to_frames

log = logging.getLogger(__name__)

CHANNELS = 2
_WARM_UP: Seconds = 1.0  # decoded before the start, because a decoder's first frames after a seek are not whole
_TOLERANCE: Seconds = 0.1  # smaller jumps of timestamps are rounding or jitter
_LONGEST_GAP: Seconds = 600.0  # larger jumps are broken timestamps, not missing sound
_SEEKABLE = ("mov", "matroska")  # containers with an index; elsewhere a seek lands on a guess


@dataclass
class _Clock:
    """Where the next sample belongs, and what to do when a frame says otherwise."""

    expected: Seconds | None = None
    shift: Seconds = 0.0

    def gap_before(self, time: Seconds | None, duration: Seconds) -> Seconds:
        """The silence to put before a frame, in seconds."""
        if self.expected is None:
            self.expected = time if time is not None else 0.0
        gap = 0.0 if time is None else time + self.shift - self.expected
        if gap < -_TOLERANCE or gap > _LONGEST_GAP:
            log.warning(
                "timestamps jump by %+.3f s at %s: the sound goes on without a break", gap, clock(self.expected)
            )
            self.shift -= gap
            gap = 0.0
        elif gap > _TOLERANCE:
            log.info("no sound for %.3f s at %s: silence takes its place", gap, clock(self.expected))
        else:
            gap = 0.0
        self.expected += gap + duration
        return gap


class TrackDecoder:
    """The sound of one track between two points on the film's clock.

    Args:
        path: the film.
        stream: the stream's index in the file.
        sample_rate: of the blocks, in Hz.
        start: where to begin, on the film's clock.
        end: where to stop, on the film's clock; `None` for the end.

    Attributes:
        offset: the time of the first frame on the film's clock; known after the first block.
        damaged_packets: how many packets could not be decoded.
    """

    def __init__(
        self, path: Path, stream: int, sample_rate: int, *, start: Seconds = 0.0, end: Seconds | None = None
    ) -> None:
        self._path, self._stream, self._rate = path, stream, sample_rate
        self._start, self._end = start, end
        self.offset: Seconds | None = None
        self.damaged_packets = 0

    def blocks(self) -> Iterator[Array]:
        """Blocks `[2, frames]` of float32 at the sample rate, in constant memory.

        Raises:
            NoAudioError: nothing could be decoded in that span.
        """
        resampler: Resampler | None = None
        rate = 0
        for block, block_rate in self._trimmed():
            if block_rate != rate:
                if resampler is not None:
                    yield resampler.push(block[:, :0], last=True)
                resampler, rate = Resampler(block_rate, self._rate, CHANNELS), block_rate
            assert resampler is not None
            yield resampler.push(block)
        if resampler is None:
            span = f"{clock(self._start)} to {clock(self._end) if self._end is not None else 'the end'}"
            raise NoAudioError(
                f"{self._path.name} has no sound that can be decoded from {span}.",
                hint="Check --start-time and --end-time against the film's length, and try another --audio-track.",
            )
        yield resampler.push(np.zeros((CHANNELS, 0), np.float32), last=True)

    def _trimmed(self) -> Iterator[tuple[Array, int]]:
        """Blocks at the source's own rate, cut to start and end, with gaps filled."""
        position, downmix = _Clock(), Downmix()
        with opened(self._path) as container:
            origin = (container.start_time or 0) / av.time_base
            for frame in self._frames(container):
                rate = frame.sample_rate
                time = None if frame.time is None else frame.time - origin
                gap = position.gap_before(time, frame.samples / rate)
                assert position.expected is not None
                block = _with_silence_before(downmix.push(frame), to_frames(gap, rate))
                block_start = position.expected - block.shape[1] / rate
                first = max(0, to_frames(self._start - block_start, rate))
                last = block.shape[1]
                if self._end is not None:
                    last = min(last, to_frames(self._end - block_start, rate))
                if first < last:
                    if self.offset is None:
                        self.offset = block_start + first / rate
                    yield block[:, first:last], rate
                if self._end is not None and position.expected >= self._end:
                    return

    def _frames(self, container: InputContainer) -> Iterator[AudioFrame]:
        stream = container.streams[self._stream]
        if self._start > _WARM_UP and container.format.name.startswith(_SEEKABLE):
            target = (container.start_time or 0) + int((self._start - _WARM_UP) * av.time_base)
            container.seek(target, backward=True)
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = packet.decode()
            except av.EOFError:
                return
            except av.FFmpegError as error:
                self.damaged_packets += 1
                if self.damaged_packets == 1:
                    log.warning("a packet could not be decoded (%s): silence takes its place", error.strerror)
                continue
            for frame in frames:
                if isinstance(frame, AudioFrame) and frame.samples and frame.sample_rate:
                    yield frame


class Downmix:
    """Decoded frames as stereo, `[2, frames]` float32, nominally within ±1.

    Mono goes to both sides as it is. Other layouts go through FFmpeg's downmix (ITU-R BS.775: centre and surrounds at
    −3 dB, no LFE), scaled so that it cannot exceed full scale: the dialogue of a 5.1 film is in its centre, which
    taking the first two channels would lose.
    """

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._graph = Graph()

    def push(self, frame: AudioFrame) -> Array:
        """One frame in, the same span of time out."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            self._graph, self._kind = _downmix_graph(frame), kind
        self._graph.push(frame)
        mixed = self._graph.pull()
        assert isinstance(mixed, AudioFrame)
        return np.broadcast_to(mixed.to_ndarray(), (CHANNELS, mixed.samples))


def _downmix_graph(frame: AudioFrame) -> Graph:
    graph = Graph()
    layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
    chain = (
        graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=Fraction(1, frame.sample_rate),
        ),
        graph.add("aresample", f"osf=fltp:ochl={layout}:rematrix_maxval=1.0"),
        graph.add("abuffersink"),
    )
    for before, after in pairwise(chain):
        before.link_to(after)
    graph.configure()
    return graph


def _with_silence_before(block: Array, frames: int) -> Array:
    if not frames:
        return block
    return np.concatenate([np.zeros((CHANNELS, frames), np.float32), block], axis=1)
