"""Make the clip that everybody may have: `in/test.mp4`, a famous sentence over music of our own.

    python tests/media/make_test_clip.py [SPEECH] [CLIP]

The speech is from President Kennedy's inaugural address of 20 January 1961, a work of the United States government
and so in the public domain; `jfk_1961.flac` beside this file is 11 s of it (16 kHz, mono), `jfk_1961.txt` its exact
words. The music and the picture are synthesised here and free for any use. The same inputs and the same versions of
NumPy, soxr and PyAV give the same file, byte for byte.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

Audio = npt.NDArray[np.float64]  # [channels, frames], or [frames] for one voice
Picture = npt.NDArray[np.uint8]  # [height, width, 3]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

SAMPLE_RATE = 48_000
BEAT = 0.625  # seconds: 96 beats a minute
BAR = 4 * BEAT
BARS = 8
DURATION = BARS * BAR
SPEECH_START = 4.0
SPEECH_LEVEL = 0.1  # root mean square
SPEECH_TO_MUSIC = 3.0  # dB, while both are heard
HIGHEST_PEAK = 0.65  # leaves AAC, which overshoots a little, below 0.7

# One bar each, as MIDI notes: bass, then the chord. C major 7, G over B, A minor 7, F major 9.
CHORDS = [(36, 64, 67, 71, 76), (35, 62, 67, 71, 74), (33, 64, 67, 72, 76), (41, 60, 64, 69, 79)]
ARPEGGIO = (0, 2, 1, 3, 2, 1, 3, 2)  # which note of the chord on each half beat

FRAME_RATE = 12
HEIGHT, WIDTH = 180, 320
SHOWN = 2.0  # seconds of waveform in the picture
BACKGROUND, WAVE, NOW = (18, 22, 34), (232, 176, 84), (120, 132, 160)
AUDIO_FRAME = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Make in/test.mp4 from a recording of speech and synthesised music.")
    parser.add_argument("speech", nargs="?", type=Path, default=HERE / "jfk_1961.flac")
    parser.add_argument("clip", nargs="?", type=Path, default=ROOT / "in" / "test.mp4")
    arguments = parser.parse_args()
    arguments.clip.parent.mkdir(parents=True, exist_ok=True)
    write_clip(arguments.clip, mix(read_speech(arguments.speech), music()))


def read_speech(path: Path) -> Audio:
    """The recording as one voice at `SAMPLE_RATE` and `SPEECH_LEVEL`."""
    samples, sample_rate = soundfile.read(path, always_2d=True)
    voice = soxr.resample(samples.mean(axis=1), sample_rate, SAMPLE_RATE, quality="VHQ")
    return np.asarray(voice) * (SPEECH_LEVEL / root_mean_square(voice))


def mix(speech: Audio, band: Audio) -> Audio:
    """Both together, the speech in the middle; quieter as a whole if its peak would pass `HIGHEST_PEAK`."""
    start = round(SPEECH_START * SAMPLE_RATE)
    stop = start + speech.size
    level = SPEECH_LEVEL / 10 ** (SPEECH_TO_MUSIC / 20)
    together = band * (level / root_mean_square(band[:, start:stop]))
    together[:, start:stop] += speech
    return together * min(1.0, HIGHEST_PEAK / np.abs(together).max())


def root_mean_square(samples: Audio) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


def music() -> Audio:
    """Eight bars for electric piano, bass and a light drum kit: [2, `DURATION` x `SAMPLE_RATE`]."""
    band = np.zeros((2, round(DURATION * SAMPLE_RATE)))
    noise = np.random.default_rng(1961)
    for bar in range(BARS):
        start, (bass, *chord) = bar * BAR, CHORDS[bar % len(CHORDS)]
        play_chord(band, start, chord)
        play_bass(band, start, bass)
        if bar:
            play_drums(band, start, noise)
    return faded(band + 0.25 * room(band, noise))


def play_chord(band: Audio, start: float, chord: list[int]) -> None:
    """The chord softly at the beginning of the bar, and its notes in turn."""
    for index, note in enumerate(chord):
        add(band, start + 0.012 * index, 0.16 * piano(note, 2.4), pan=-0.5 + index / 3)
    for step, index in enumerate(ARPEGGIO):
        add(band, start + step * BEAT / 2, 0.13 * piano(chord[index] + 12, 0.9), pan=0.6 if step % 2 else -0.6)


def play_bass(band: Audio, start: float, note: int) -> None:
    for beat, pitch in ((0.0, note), (1.5, note), (2.0, note + 7), (3.5, note + 12)):
        add(band, start + beat * BEAT, 0.42 * plucked(pitch, 0.7))


def play_drums(band: Audio, start: float, noise: np.random.Generator) -> None:
    for beat in (0.0, 2.0, 2.5):
        add(band, start + beat * BEAT, 0.5 * kick())
    for beat in (1.0, 3.0):
        add(band, start + beat * BEAT, 0.16 * brush(noise))
    for half in range(8):
        add(band, start + half * BEAT / 2, (0.05 if half % 2 else 0.03) * hat(noise), pan=0.35)


def add(band: Audio, start: float, voice: Audio, pan: float = 0.0) -> None:
    """Mix a voice into both channels, `pan` -1 (left) to 1 (right), at constant power, up to the end of the band."""
    first = round(start * SAMPLE_RATE)
    voice = voice[: band.shape[1] - first]
    angle = (pan + 1) * np.pi / 4
    band[:, first : first + voice.size] += np.outer((np.cos(angle), np.sin(angle)), voice)


def piano(note: int, duration: float) -> Audio:
    """A tine with a soft bell: partials that fade the faster the higher they are, and a slow tremolo."""
    now = times(duration)
    partials = ((1, 1.0, 2.2), (2, 0.35, 3.5), (3, 0.12, 5.0), (7, 0.05, 14.0))
    tone = sum(weight * np.exp(-now * fade) * sine(pitch(note) * k, now) for k, weight, fade in partials)
    return attacked(tone * (1 + 0.12 * sine(4.5, now)), 0.006)


def plucked(note: int, duration: float) -> Audio:
    now = times(duration)
    tone = sum(np.exp(-now * (2 + 2.5 * k)) / k**1.4 * sine(pitch(note) * k, now) for k in range(1, 7))
    return attacked(tone, 0.004)


def kick() -> Audio:
    """A drum whose pitch falls from 130 to 48 Hz: the phase is the integral of the frequency."""
    now = times(0.3)
    phase = 48 * now + (130 - 48) * (1 - np.exp(-now * 35)) / 35
    return attacked(np.sin(2 * np.pi * phase) * np.exp(-now * 12), 0.002)


def brush(noise: np.random.Generator) -> Audio:
    now = times(0.22)
    return attacked(bright(noise.standard_normal(now.size), 1200) * np.exp(-now * 22), 0.006)


def hat(noise: np.random.Generator) -> Audio:
    now = times(0.06)
    return bright(noise.standard_normal(now.size), 6500) * np.exp(-now * 70)


def room(band: Audio, noise: np.random.Generator) -> Audio:
    """What a small room answers: 0.5 s of decaying noise, another for each ear."""
    now = times(0.5)
    answer = noise.standard_normal((2, now.size)) * np.exp(-now * 11)
    answer /= np.sqrt(np.sum(np.square(answer), axis=1, keepdims=True))
    length = band.shape[1] + now.size
    wet = np.fft.irfft(np.fft.rfft(band, length) * np.fft.rfft(answer, length), length)
    return wet[:, : band.shape[1]]


def times(duration: float) -> Audio:
    return np.arange(round(duration * SAMPLE_RATE)) / SAMPLE_RATE


def pitch(note: int) -> float:
    """The frequency of a MIDI note, in Hz."""
    return float(440 * 2 ** ((note - 69) / 12))


def sine(frequency: float, now: Audio) -> Audio:
    return np.sin(2 * np.pi * frequency * now)


def attacked(voice: Audio, rise: float) -> Audio:
    """The voice without clicks: it rises within `rise` seconds and ends within 30 ms."""
    now = np.arange(voice.size) / SAMPLE_RATE
    return voice * np.minimum(1, now / rise) * np.minimum(1, now[::-1] / 0.03)


def bright(samples: Audio, lowest: float) -> Audio:
    """What lies above a frequency (Hz), with a gentle edge."""
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(samples.size, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum / (1 + (lowest / np.maximum(frequencies, 1)) ** 6), samples.size)


def faded(band: Audio) -> Audio:
    """The band with half a second of fade-in and two of fade-out."""
    now = np.arange(band.shape[1]) / SAMPLE_RATE
    return band * np.minimum(1, now / 0.5) * np.minimum(1, (DURATION - now) / 2.0)


def write_clip(path: Path, audio: Audio) -> None:
    """An MP4 with AAC and H.264 (MPEG-4 part 2 where FFmpeg has no x264); one thread, so that no run differs."""
    with av.open(path, "w", format="mp4", options={"movflags": "faststart", "fflags": "+bitexact"}) as container:
        picture = container.add_stream(*video_codec(), options={"crf": "30", "threads": "1"})
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo", bit_rate=160_000)
        sound.metadata["language"] = "eng"
        for frame in frames(audio):
            container.mux((picture if isinstance(frame, av.VideoFrame) else sound).encode(frame))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))


def video_codec() -> tuple[str, int]:
    return ("libx264" if "libx264" in av.codecs_available else "mpeg4", FRAME_RATE)


def frames(audio: Audio) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Pictures and sound in the order in which a player needs them."""
    shown = 0
    for start in range(0, audio.shape[1], AUDIO_FRAME):
        while shown * SAMPLE_RATE <= start * FRAME_RATE:
            yield picture_frame(audio, shown)
            shown += 1
        yield audio_frame(audio, start)


def audio_frame(audio: Audio, start: int) -> av.AudioFrame:
    block = np.ascontiguousarray(audio[:, start : start + AUDIO_FRAME], dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
    return frame


def picture_frame(audio: Audio, index: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(draw(audio, index / FRAME_RATE), format="rgb24")
    frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
    return frame


def draw(audio: Audio, now: float) -> Picture:
    """The waveform around a moment, which stands in the middle, and below it how much of the clip is over."""
    picture = np.full((HEIGHT, WIDTH, 3), BACKGROUND, dtype=np.uint8)
    heights = np.ceil(envelope(audio, now) * HEIGHT / 2)
    rows = np.abs(np.arange(HEIGHT) - HEIGHT // 2)[:, None]
    picture[rows <= heights] = WAVE
    picture[20:-20, WIDTH // 2] = NOW
    picture[-6:-3, : round(WIDTH * now / DURATION)] = NOW
    return picture


def envelope(audio: Audio, now: float) -> Audio:
    """The peak of the audio in each column of the picture, 0 to 1; nothing before its beginning and after its end."""
    edges = np.round((now + SHOWN * (np.arange(WIDTH + 1) / WIDTH - 0.5)) * SAMPLE_RATE).astype(int)
    edges = np.clip(edges, 0, audio.shape[1])
    columns = [audio[:, start:stop] for start, stop in pairwise(edges)]
    return np.array([np.abs(column).max(initial=0.0) for column in columns])


if __name__ == "__main__":
    main()
