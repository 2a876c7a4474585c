"""Where voices might be, hop by hop: what a detector says, and how much energy the vocals have.

Silero VAD (snakers4/silero-vad, v6, MIT) gives a probability of speech for every 32 ms. It is asked about the mix and
about the vocals: on film sound it misses whole lines of the mix that it hears well in the vocals. Of a film with a
centre channel it hears that as well: there dialogue is nearly alone, whatever separation made of it. It was trained on
speech, so that it is silent about most singing; the energy of the vocals knows of that. Everything is streamed: a
film becomes two numbers a hop for each of them, which wait in files, because those of ten hours are 9 MB each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from stemscribe.arrays import Array
from stemscribe.inference import Runtime, load_graph
from stemscribe.timebase import Seconds

SAMPLE_RATE = 16000
HOP_FRAMES = 512
HOP: Seconds = HOP_FRAMES / SAMPLE_RATE
MODEL_FILE = "silero_vad_v6.onnx"
_CONTEXT_FRAMES = 64  # what the model sees of the hop before
_SILENCE_DB = -100.0
_FACTS = np.dtype([("speech", "<f4"), ("level", "<f4")])


class Activities(Protocol):
    """What is known of each hop of a film, to be looked at a span at a time."""

    def __len__(self) -> int:
        """How many hops there are."""
        ...

    def between(self, start: int, stop: int) -> Activity:
        """The hops `start` ≤ n < `stop`, as far as there are any."""
        ...


@dataclass(frozen=True)
class Activity:
    """What is known of each hop of 32 ms of a span. All arrays are `[hops]`.

    Attributes:
        mix_speech: probability of speech in the mix.
        vocals_speech: probability of speech in the vocals.
        mix_db: level of the mix in dBFS.
        vocals_db: level of the vocals in dBFS.
        centre_speech: probability of speech in the centre channel; `None` for a film without one.
    """

    mix_speech: Array
    vocals_speech: Array
    mix_db: Array
    vocals_db: Array
    centre_speech: Array | None = None

    @property
    def speech(self) -> Array:
        """The probability of speech, whichever of them knows it."""
        best: Array = np.maximum(self.mix_speech, self.vocals_speech)
        return best if self.centre_speech is None else np.maximum(best, self.centre_speech)

    def __len__(self) -> int:
        return len(self.vocals_db)

    def between(self, start: int, stop: int) -> Activity:
        span = slice(start, stop)
        centre = None if self.centre_speech is None else self.centre_speech[span]
        return Activity(
            self.mix_speech[span], self.vocals_speech[span], self.mix_db[span], self.vocals_db[span], centre
        )


class RecordedActivity:
    """The activity of a whole film in files, as `detect` leaves it.

    Args:
        mix: probabilities and levels of the mix, in turn.
        vocals: those of the vocals.
        centre: those of the centre channel; `None` for a film without one.
    """

    def __init__(self, mix: Path, vocals: Path, centre: Path | None = None) -> None:
        self._files = (mix, vocals) if centre is None else (mix, vocals, centre)
        self._hops = min(path.stat().st_size for path in self._files) // _FACTS.itemsize

    def __len__(self) -> int:
        return self._hops

    def between(self, start: int, stop: int) -> Activity:
        count = max(0, min(stop, self._hops) - start)
        mix, vocals, *centre = (
            np.fromfile(path, _FACTS, count, offset=start * _FACTS.itemsize) for path in self._files
        )
        heard = centre[0]["speech"] if centre else None
        return Activity(mix["speech"], vocals["speech"], mix["level"], vocals["level"], heard)


class SpeechDetector:
    """Silero VAD over a stream.

    Args:
        folder: the fetched model `silero-vad`.
    """

    def __init__(self, folder: Path) -> None:
        # On onnxruntime everywhere: the graph is tiny, and its loops suit it.
        self._graph = load_graph(folder / MODEL_FILE, Runtime("onnxruntime", "cpu"), threads=1)

    def hear(self, blocks: Iterable[Array]) -> Iterator[tuple[Array, Array]]:
        """Probabilities of speech, `[hops]`, and levels in dBFS, `[channels, hops]`, as blocks come in.

        Args:
            blocks: sound at 16 kHz, `[channels, frames]`, of which the first channel is listened to, and of the others
                only the level is wanted; the last hop is filled up with silence.
        """
        state = np.zeros((1, 1, 128), np.float32)
        cell = np.zeros((1, 1, 128), np.float32)
        before = np.zeros((1, _CONTEXT_FRAMES), np.float32)
        for hops in _in_hops(blocks):
            heard = hops[0]
            context = np.concatenate([before, heard[:-1, -_CONTEXT_FRAMES:]])
            before = heard[-1:, -_CONTEXT_FRAMES:]
            seen = np.concatenate([context, heard], axis=1)
            speech, state, cell = self._graph.run({"input": seen, "h": state, "c": cell})
            yield speech.reshape(-1), level_db(hops)


def level_db(hops: Array) -> Array:
    """The level along the last axis in dBFS, never below −100."""
    power = np.mean(np.square(hops), axis=-1)
    level: Array = 10 * np.log10(np.maximum(power, 10 ** (_SILENCE_DB / 10))).astype(np.float32)
    return level


def detect(
    detector: SpeechDetector,
    mix: Iterable[Array],
    vocals: Iterable[Array],
    folder: Path,
    centre: Iterable[Array] | None = None,
) -> RecordedActivity:
    """The activity of a whole film from streams of mono blocks at 16 kHz.

    Args:
        detector: what tells speech.
        mix: blocks of the mix, `[1, frames]`.
        vocals: blocks of the vocals, `[1, frames]`.
        folder: where the files go that hold it.
        centre: blocks of the centre channel, `[1, frames]`; `None` for a film without one.
    """
    heard = {"mix": mix, "vocals": vocals} | ({} if centre is None else {"centre": centre})
    files = [folder / f"{name}.hops" for name in heard]
    for path, blocks in zip(files, heard.values(), strict=True):
        with path.open("wb") as file:
            for speech, level in detector.hear(blocks):
                file.write(recorded(speech, level[0]))
    return RecordedActivity(*files)


def recorded(speech: Array, level: Array) -> bytes:
    """Probabilities and levels of hops in a row, `[hops]` each, as they stand in the files of `RecordedActivity`."""
    facts = np.empty(len(speech), _FACTS)
    facts["speech"], facts["level"] = speech, level
    return facts.tobytes()


def _in_hops(blocks: Iterable[Array]) -> Iterator[Array]:
    """Blocks of any length as rows of one hop, `[channels, hops, 512]`."""
    rest: Array | None = None
    for block in blocks:
        samples = block if rest is None else np.concatenate([rest, block], axis=-1)
        whole = samples.shape[-1] // HOP_FRAMES * HOP_FRAMES
        if whole:
            yield samples[:, :whole].reshape(len(samples), -1, HOP_FRAMES)
        rest = samples[:, whole:]
    if rest is not None and rest.size:
        yield np.pad(rest, ((0, 0), (0, HOP_FRAMES - rest.shape[-1])))[:, None]
