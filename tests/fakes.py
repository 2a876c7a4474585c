"""Stand-ins for what is slow: separators that are plain arithmetic, and films that are made in a moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass
class FakeSeparator:
    """Gives each stem as the mix times a gain; counts its windows."""

    gains: tuple[float, ...] = (1.0,)
    stems: tuple[str, ...] = ("vocals",)
    window_frames: int = 100
    sample_rate: int = 44100
    channels: int = 2
    runtime: str = "arithmetic"
    normalised: bool = True
    windows: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def load(self) -> None:
        """There is nothing to load."""

    def separate(self, mix: Array) -> Array:
        assert mix.shape == (self.channels, self.window_frames)
        with self.lock:
            self.windows += 1
        return np.stack([mix * np.float32(gain) for gain in self.gains])


def noise(frames: int, *, channels: int = 2, seed: int = 0, level: float = 0.1) -> Array:
    """Reproducible noise, `[channels, frames]`."""
    samples = np.random.default_rng(seed).standard_normal((channels, frames)) * level
    return samples.astype(np.float32)


def tone(seconds: float, *, rate: int = 48000, hertz: float = 440.0, channels: int = 2, level: float = 0.5) -> Array:
    """A sine, `[channels, frames]`."""
    time = np.arange(round(seconds * rate)) / rate
    return np.tile((level * np.sin(2 * np.pi * hertz * time)).astype(np.float32), (channels, 1))


def write_film(
    path: Path,
    tracks: list[tuple[Array, str]],
    *,
    rate: int = 48000,
    codec: str = "pcm_s16le",
    layout: str = "stereo",
    start: float = 0.0,
    with_video: bool = False,
    gap: tuple[float, float] | None = None,
    default: int | None = None,
    title: str = "",
) -> Path:
    """A film with the given audio tracks, each sound and language.

    Args:
        path: `.mkv`, `.mp4`, `.mov` or `.wav`.
        tracks: sound `[channels, frames]` and language tag of each.
        rate: of the sound.
        codec: of the audio tracks.
        layout: of the audio tracks.
        start: time of the first sound.
        with_video: whether to add a black picture.
        gap: from when on the sound is late by how much, both in seconds.
        default: number of the track that is marked as the default one.
        title: of every track.
    """
    with av.open(str(path), "w") as container:
        streams = [container.add_stream(codec, rate=rate, layout=layout) for _ in tracks]
        for number, (stream, (_, language)) in enumerate(zip(streams, tracks, strict=True)):
            stream.metadata["language"] = language
            if title:
                stream.metadata["title"] = title
            if default is not None:
                kind = type(stream.disposition)
                stream.disposition = kind.default if number == default else kind(0)
        video = container.add_stream("mpeg4", rate=10) if with_video else None
        if video is not None:
            video.width = video.height = 32
            longest = max(sound.shape[1] for sound, _ in tracks) / rate if tracks else 1.0
            for index in range(int(10 * (start + longest)) or 1):
                picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
                picture.pts, picture.time_base = index, Fraction(1, 10)
                container.mux(video.encode(picture))
            container.mux(video.encode(None))
        for stream, (sound, _) in zip(streams, tracks, strict=True):
            _encode(container, stream, sound, rate, layout, start, gap)
    return path


def _encode(container, stream, sound, rate, layout, start, gap) -> None:  # type: ignore[no-untyped-def]
    step = 1024
    for first in range(0, sound.shape[1], step):
        samples = np.ascontiguousarray(sound[:, first : first + step])
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        late = gap[1] if gap and first / rate >= gap[0] else 0.0
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = first + round((start + late) * rate)
        for converted in av.AudioResampler(stream.format or "s16", layout, rate).resample(frame):
            container.mux(stream.encode(converted))
    container.mux(stream.encode(None))


@dataclass
class FaultySeparator(FakeSeparator):
    """Spoils, in place, what it makes of some windows: of each, the first so many times that it is asked.

    Windows are told apart by what is in them, and numbered from 0 on as they come: with `in_turn`, in their order.
    """

    spoil: Callable[[Array], object] = lambda stems: None
    times: Mapping[int, int] = field(default_factory=dict)
    asked: dict[bytes, int] = field(default_factory=dict)

    def separate(self, mix: Array) -> Array:
        stems = super().separate(mix)
        with self.lock:
            content = mix.tobytes()
            self.asked[content] = self.asked.get(content, 0) + 1
            is_spoilt = self.asked[content] <= self.times.get(list(self.asked).index(content), 0)
        if is_spoilt:
            self.spoil(stems)
        return stems
