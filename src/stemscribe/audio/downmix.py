"""Decoded frames of any layout as stereo, and their centre channel.

Mono goes to both sides as it is. Other layouts go through FFmpeg's downmix (ITU-R BS.775: centre and surrounds at −3
dB, no LFE), scaled so that it cannot exceed full scale: the dialogue of a 5.1 film is in its centre, which taking the
first two channels would lose. Layouts that FFmpeg has no downmix for are averaged.

The centre can be had beside it, as it is. It is where films have their dialogue, with little of the music, which stands
left and right.
"""

from __future__ import annotations

import logging
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.filter import Graph

from stemscribe.arrays import Array

log = logging.getLogger(__name__)

CHANNELS = 2
_FRONT = {"FL", "FR", "FC"}
# What FFmpeg's downmix takes channels for whose places nobody has named, by their number.
_GUESSED = {f"{channels} channels": layout for channels, layout in enumerate(("4.0", "5.0", "5.1", "6.1", "7.1"), 4)}
LOUDEST = np.float32(8.0)  # 18 dB above full scale: what is louder is damage, and no sound


class Downmix:
    """A stream of decoded frames as stereo.

    Args:
        centre: whether the centre channel is wanted as a third one; it is silent where a frame has none.

    Attributes:
        channels: of what comes out: 2, with the centre 3.
        damaged_samples: how many samples of the stereo sound were no numbers, or were absurdly loud; they are silent,
            or cut off.
    """

    def __init__(self, *, centre: bool = False) -> None:
        self.channels = CHANNELS + centre
        self._with_centre = centre
        self._kind: tuple[str, str, int] | None = None
        self._graph = Graph()
        self._centre: Graph | None = None
        self.damaged_samples = 0

    def push(self, frame: AudioFrame) -> Array:
        """One frame in, the same span of time out: `[channels, frames]` float32, within ±1 for sound within full scale.

        Raises:
            av.FFmpegError: the frame is not sound that can be converted.
        """
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            self._graph, self._kind = _graph_for(frame), kind
            self._centre = _centre_graph(frame) if self._with_centre else None
        self._graph.push(frame)
        mixed = self._graph.pull()
        assert isinstance(mixed, AudioFrame)
        samples = np.asarray(mixed.to_ndarray(), np.float32)
        if mixed.format.is_packed:
            samples = samples.reshape(-1, mixed.layout.nb_channels).mean(axis=1)[None]
        samples, damaged = _mended(samples)
        self.damaged_samples += damaged
        stereo: Array = np.broadcast_to(samples, (CHANNELS, mixed.samples))
        return np.concatenate([stereo, self._centre_of(frame)]) if self._with_centre else stereo

    def _centre_of(self, frame: AudioFrame) -> Array:
        """The centre channel of the frame, `[1, frames]`; what is damaged in it was counted in the stereo sound."""
        if self._centre is None:
            return np.zeros((1, frame.samples), np.float32)
        self._centre.push(frame)
        centre = self._centre.pull()
        assert isinstance(centre, AudioFrame)
        return _mended(np.asarray(centre.to_ndarray(), np.float32))[0]


def has_centre(layout: str) -> bool:
    """Whether sound of that layout has a centre channel between a left and a right one.

    >>> has_centre("5.1(side)"), has_centre("6 channels"), has_centre("stereo"), has_centre("mono")
    (True, True, False, False)
    """
    return _centre_channel(layout) is not None


def _centre_channel(layout: str) -> int | None:
    """The number of the centre channel; `None` where there is none between a left and a right one."""
    try:
        names = [channel.name for channel in AudioLayout(_GUESSED.get(layout, layout)).channels]
    except ValueError:
        return None
    return names.index("FC") if set(names) >= _FRONT else None


def _mended(samples: Array) -> tuple[Array, int]:
    """Sound without what cannot be sound, and how many samples that were."""
    fine = np.abs(samples) <= LOUDEST  # false for what is not a number
    if fine.all():
        return samples, 0
    mended = np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -LOUDEST, LOUDEST)
    return mended, int(samples.size - np.count_nonzero(fine))


def _graph_for(frame: AudioFrame) -> Graph:
    if frame.layout.nb_channels == 1:
        return _graph(frame, "osf=fltp:ochl=mono")
    try:
        return _graph(frame, "osf=fltp:ochl=stereo:rematrix_maxval=1.0")
    except av.FFmpegError:
        log.warning("there is no downmix for %s: its channels are averaged", frame.layout.name)
        return _graph(frame, "osf=flt")  # packed: PyAV 18 reads beyond its planes where there are more than eight


def _centre_graph(frame: AudioFrame) -> Graph | None:
    """What takes the centre out of frames like this one, without changing it; `None` where there is none."""
    channel = _centre_channel(frame.layout.name)
    return None if channel is None else _graph(frame, "osf=fltp", ("pan", f"mono|c0=c{channel}"))


def _graph(frame: AudioFrame, conversion: str, *more: tuple[str, str]) -> Graph:
    graph = Graph()
    chain = (
        graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=Fraction(1, frame.sample_rate),
        ),
        graph.add("aresample", conversion),
        *(graph.add(name, arguments) for name, arguments in more),
        graph.add("abuffersink"),
    )
    for before, after in pairwise(chain):
        before.link_to(after)
    graph.configure()
    return graph
