"""Decoded frames of any layout as stereo.

Mono goes to both sides as it is. Other layouts go through FFmpeg's downmix (ITU-R BS.775: centre and surrounds at −3
dB, no LFE), scaled so that it cannot exceed full scale: the dialogue of a 5.1 film is in its centre, which taking the
first two channels would lose. Layouts that FFmpeg has no downmix for are averaged.
"""

from __future__ import annotations

import logging
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.filter import Graph

from stemscribe.arrays import Array

log = logging.getLogger(__name__)

CHANNELS = 2
_LOUDEST = np.float32(8.0)  # 18 dB above full scale: what is louder is damage, and no sound


class Downmix:
    """A stream of decoded frames as stereo.

    Attributes:
        damaged_samples: how many samples were no numbers, or were absurdly loud; they are silent, or cut off.
    """

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._graph = Graph()
        self.damaged_samples = 0

    def push(self, frame: AudioFrame) -> Array:
        """One frame in, the same span of time out: `[2, frames]` float32, within ±1 for sound within full scale.

        Raises:
            av.FFmpegError: the frame is not sound that can be converted.
        """
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            self._graph, self._kind = _graph_for(frame), kind
        self._graph.push(frame)
        mixed = self._graph.pull()
        assert isinstance(mixed, AudioFrame)
        samples = np.asarray(mixed.to_ndarray(), np.float32)
        if mixed.format.is_packed:
            samples = samples.reshape(-1, mixed.layout.nb_channels).mean(axis=1)[None]
        return np.broadcast_to(self._mended(samples), (CHANNELS, mixed.samples))

    def _mended(self, samples: Array) -> Array:
        fine = np.abs(samples) <= _LOUDEST  # false for what is not a number
        if fine.all():
            return samples
        self.damaged_samples += int(samples.size - np.count_nonzero(fine))
        return np.clip(np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0), -_LOUDEST, _LOUDEST)


def _graph_for(frame: AudioFrame) -> Graph:
    if frame.layout.nb_channels == 1:
        return _graph(frame, "osf=fltp:ochl=mono")
    try:
        return _graph(frame, "osf=fltp:ochl=stereo:rematrix_maxval=1.0")
    except av.FFmpegError:
        log.warning("there is no downmix for %s: its channels are averaged", frame.layout.name)
        return _graph(frame, "osf=flt")  # packed: PyAV 18 reads beyond its planes where there are more than eight


def _graph(frame: AudioFrame, conversion: str) -> Graph:
    graph = Graph()
    chain = (
        graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=Fraction(1, frame.sample_rate),
        ),
        graph.add("aresample", conversion),
        graph.add("abuffersink"),
    )
    for before, after in pairwise(chain):
        before.link_to(after)
    graph.configure()
    return graph
