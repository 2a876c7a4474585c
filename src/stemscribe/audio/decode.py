"""One audio track of a film as blocks of stereo sound, and its centre where wanted, on the film's clock.

The film's clock is the time that players show: packet times counted from the container's start. Where sound is
missing for longer than a tenth of a second, silence is put in, and where packets overlap by more, what is there
already is dropped, so that everything after stays on the clock. Only timestamps that lead out of the film (files
joined together) are not
believed: there the sound goes on without a break.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from stemscribe.arrays import Array
from stemscribe.audio.downmix import Downmix
from stemscribe.audio.probe import SEEKABLE, film_duration, opened
from stemscribe.audio.resample import RATES, Resampler
from stemscribe.errors import MediaError, NoAudioError
from stemscribe.timebase import Seconds, clock, to_frames, to_seconds

log = logging.getLogger(__name__)

_WARM_UP: Seconds = 1.0  # decoded before the start, because a decoder's first frames after a seek are not whole
_TOLERANCE: Seconds = 0.1  # smaller jumps of timestamps are rounding or jitter
_LONGEST_GAP: Seconds = 600.0  # where the film's length is not known
_LONGEST_OVERLAP: Seconds = 10.0
_SILENCE_BLOCK: Seconds = 1.0
_REMARKS = 3
_MOST_FAILURES = 20  # of the demuxer, one after the other


@dataclass
class _Clock:
    """Where the next sample belongs, and what to do when a frame says otherwise."""

    film_end: Seconds | None
    expected: Seconds | None = None
    shift: Seconds = 0.0
    remarks: int = 0

    def place(self, time: Seconds | None) -> Seconds:
        """The silence before a frame (positive), or how much of its beginning is there already (negative)."""
        if self.expected is None:
            self.expected = time if time is not None else 0.0
        gap = 0.0 if time is None else time + self.shift - self.expected
        if abs(gap) <= _TOLERANCE:
            return 0.0
        if not self._is_believable(gap):
            self._remark("timestamps jump by %+.3f s at %s: the sound goes on without a break", gap)
            self.shift -= gap
            return 0.0
        if gap > 0:
            self._remark("no sound for %.3f s at %s: silence takes its place", gap)
        return gap

    def _remark(self, text: str, gap: Seconds) -> None:
        """Say it, unless that was said often enough: a damaged film may have thousands of gaps."""
        assert self.expected is not None
        self.remarks += 1
        log.log(logging.WARNING if self.remarks <= _REMARKS else logging.DEBUG, text, gap, clock(self.expected))

    def _is_believable(self, gap: Seconds) -> bool:
        assert self.expected is not None
        if gap < 0:
            return gap > -_LONGEST_OVERLAP
        return gap <= _LONGEST_GAP if self.film_end is None else self.expected + gap <= self.film_end


class TrackDecoder:
    """The sound of one track between two points on the film's clock.

    Args:
        path: the film.
        track: the number of the track, counted from 0.
        sample_rate: of the blocks, in Hz.
        start: where to begin, on the film's clock.
        end: where to stop, on the film's clock; `None` for the end.
        centre: whether the centre channel is wanted too.

    Attributes:
        offset: the time of the first frame on the film's clock; known after the first block.
        damaged_packets: how many packets could not be read or decoded.
        damaged_samples: how many samples were no numbers, or were absurdly loud.
    """

    def __init__(
        self,
        path: Path,
        track: int,
        sample_rate: int,
        *,
        start: Seconds = 0.0,
        end: Seconds | None = None,
        centre: bool = False,
    ) -> None:
        self._path, self._number, self._rate = path, track, sample_rate
        self._start, self._end = start, end
        self._downmix = Downmix(centre=centre)
        self.offset: Seconds | None = None
        self.damaged_packets = 0

    @property
    def damaged_samples(self) -> int:
        return self._downmix.damaged_samples

    def blocks(self) -> Iterator[Array]:
        """Blocks `[2, frames]` of float32 at the sample rate, of about a second, in constant memory.

        With the centre they are `[3, frames]`: left, right, centre, of which the first two are as without it.

        Raises:
            NoAudioError: nothing could be decoded in that span.
            MediaError: the film cannot be read any further.
        """
        resampler: Resampler | None = None
        rate = 0
        for block, block_rate in _gathered(self._placed()):
            if block_rate != rate:
                if resampler is not None:
                    yield resampler.push(block[:, :0], last=True)
                resampler, rate = Resampler(block_rate, self._rate, self._downmix.channels), block_rate
            assert resampler is not None
            yield resampler.push(block)
        if resampler is None:
            span = f"{clock(self._start)} to {clock(self._end) if self._end is not None else 'the end'}"
            raise NoAudioError(
                f"{self._path.name} has no sound that can be decoded from {span}.",
                hint="Check --start-time and --end-time against the film's length, and try another --audio-track.",
            )
        yield resampler.push(np.zeros((self._downmix.channels, 0), np.float32), last=True)

    def _placed(self) -> Iterator[tuple[Array, int]]:
        """Blocks at the source's own rate: one after the other on the film's clock, cut to start and end."""
        with self._ready() as container:
            origin = (container.start_time or 0) / av.time_base
            position = _Clock(film_duration(container))
            for frame in self._frames(container):
                rate = frame.sample_rate
                gap = position.place(None if frame.time is None else frame.time - origin)
                block = self._downmix.push(frame)
                if gap < 0:
                    block = block[:, min(to_frames(-gap, rate), block.shape[1]) :]
                for piece in chain(_silence(gap, rate, block.shape[0]), (block,)):
                    assert position.expected is not None
                    yield from self._cut(piece, position.expected, rate)
                    position.expected += to_seconds(piece.shape[1], rate)
                    if self._end is not None and position.expected >= self._end:
                        return

    def _cut(self, block: Array, start: Seconds, rate: int) -> Iterator[tuple[Array, int]]:
        """What of a block that begins at `start` is wanted."""
        first = max(0, to_frames(self._start - start, rate))
        last = block.shape[1]
        if self._end is not None:
            last = min(last, to_frames(self._end - start, rate))
        if first < last:
            if self.offset is None:
                self.offset = start + to_seconds(first, rate)
            yield block[:, first:last], rate

    @contextmanager
    def _ready(self) -> Iterator[InputContainer]:
        """The open film, shortly before the start where it can be sought, else at its beginning."""
        with opened(self._path) as container:
            seeks = self._start > _WARM_UP and container.format.name.startswith(SEEKABLE)
            if not seeks or self._sought(container):
                yield container
                return
        with opened(self._path) as container:  # anew: a seek that failed leaves it anywhere
            yield container

    def _sought(self, container: InputContainer) -> bool:
        try:
            self._seek(container)
        except av.FFmpegError as error:
            log.warning("%s cannot be sought in (%s): it is read from its beginning", self._path.name, error.strerror)
            return False
        return True

    def _seek(self, container: InputContainer) -> None:
        target = (container.start_time or 0) + int((self._start - _WARM_UP) * av.time_base)
        container.seek(target, backward=True)

    def _frames(self, container: InputContainer) -> Iterator[AudioFrame]:
        for packet in self._packets(container):
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                self._note_damage(error.strerror)
                continue
            for frame in frames:
                if frame.sample_rate in RATES and frame.samples:
                    yield frame
                elif frame.samples:
                    self._note_damage(f"{frame.sample_rate} Hz")

    def _packets(self, container: InputContainer) -> Iterator[Packet[AudioStream]]:
        """The track's packets; where the demuxer stumbles over damage, it is asked again.

        Raises:
            MediaError: it cannot go on: what follows would be lost without a word.
        """
        failures = 0
        while True:
            try:
                for packet in container.demux(container.streams.audio[self._number]):
                    failures = 0
                    yield packet
                return
            except IndexError:
                # PyAV 18 trips over its own flush where streams appeared in mid-film (MPEG-TS); all packets were read.
                return
            except av.InvalidDataError as error:
                self._note_damage(error.strerror)
                failures += 1
                if failures >= _MOST_FAILURES:
                    raise self._unreadable(error) from error
            except av.FFmpegError as error:
                raise self._unreadable(error) from error

    def _note_damage(self, reason: str | None) -> None:
        self.damaged_packets += 1
        if self.damaged_packets == 1:
            log.warning("a packet could not be decoded (%s): silence takes the place of lost sound", reason)

    def _unreadable(self, error: av.FFmpegError) -> MediaError:
        return MediaError(
            f"{self._path.name} cannot be read to its end: {error.strerror}.",
            hint="Check the disk or the network drive it is on, then run the job again.",
        )


def _gathered(pieces: Iterator[tuple[Array, int]]) -> Iterator[tuple[Array, int]]:
    """Pieces of the same rate joined to blocks of about a second: codecs decode a fiftieth of that at a time."""
    waiting: list[Array] = []
    waiting_rate = 0
    for piece, rate in pieces:
        if waiting and (rate != waiting_rate or sum(part.shape[1] for part in waiting) >= waiting_rate):
            yield np.concatenate(waiting, axis=1), waiting_rate
            waiting = []
        waiting.append(piece)
        waiting_rate = rate
    if waiting:
        yield np.concatenate(waiting, axis=1), waiting_rate


def _silence(duration: Seconds, rate: int, channels: int) -> Iterator[Array]:
    """Silence in blocks, so that a long gap needs no memory."""
    left, block = max(0, to_frames(duration, rate)), to_frames(_SILENCE_BLOCK, rate)
    while left > 0:
        yield np.zeros((channels, min(left, block)), np.float32)
        left -= block
