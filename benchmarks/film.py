"""Something like the sound of a film, of any length: `python -m benchmarks.film ../shared/corpus FILM.wav`.

Scenes of 15 to 60 s: people who speak one after the other, alone or over music; music without a word; rooms in which
nothing happens. About two fifths of the time somebody speaks. Beside the sound stand `FILM.txt`, what is said, a line
an utterance; `FILM.tsv`, when it is said; and `FILM.scenes.tsv`, what happens when. The same corpus and seed give the
same film. It is planned in whole frames first, and then written scene by scene: an hour takes no more memory than a
minute does.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from benchmarks.sounds import RATE, audible, crossfade_curves, decoded, looped, recordings, rms

from stemscribe.arrays import Array

Kind = Literal["dialogue", "music", "quiet"]

SEED = 20261128
SPOKEN = 0.4  # share of the time in which somebody speaks
SCENE_SECONDS = (15.0, 60.0)
PAUSE_SECONDS = (0.3, 1.5)
LEAD_SECONDS = (0.8, 2.0)  # before the first word of a scene and after the last: beyond what fades
FADE = RATE // 2
SPEECH_OVER_MUSIC_DB = (0.0, 10.0)
WITHOUT_MUSIC = 3  # every third dialogue
WORDLESS: tuple[Kind, ...] = ("music", "quiet", "music")  # in turn
VOICE_LEVEL, MUSIC_LEVEL = 0.06, 0.08  # root mean squares
ROOM_DB = -60.0
LOUDEST = 0.97


@dataclass(frozen=True)
class Line:
    """An utterance: which one, and from which frame of the film on, for how many frames."""

    utterance: int
    start: int
    frames: int


@dataclass(frozen=True)
class Scene:
    """One scene, in frames of the film.

    Attributes:
        lines: what is said in it.
        music: which piece is played, if any, from which frame of it on.
        over_music_db: level of speech against that of the music.
    """

    kind: Kind
    start: int
    frames: int
    lines: tuple[Line, ...] = ()
    music: tuple[int, int] | None = None
    over_music_db: float = 0.0


@dataclass(frozen=True)
class Corpus:
    """What films are made from: utterances with their texts, and music without voices."""

    utterances: tuple[Path, ...]
    texts: tuple[str, ...]
    music: tuple[Path, ...]

    @classmethod
    def of(cls, folder: Path) -> Corpus:
        """The English utterances that have a text beside them, and the music, in a folder like ../shared/corpus."""
        spoken = tuple(path for path in recordings(folder / "speech" / "en") if path.with_suffix(".txt").exists())
        texts = tuple(" ".join(path.with_suffix(".txt").read_text(encoding="utf-8").split()) for path in spoken)
        return cls(spoken, texts, tuple(recordings(folder / "music")))


class _Planner:
    """Puts scenes one after the other until the film is full.

    After each dialogue come scenes without words, as long as it takes to bring the share of speech back to `SPOKEN`.
    """

    def __init__(self, total: int, utterances: Sequence[int], music: Sequence[int], seed: int) -> None:
        self._total, self._utterances, self._music = total, utterances, music
        self._chance = random.Random(seed)
        self._kinds = cycle(WORDLESS)
        self._waiting: list[int] = []
        self._at = self._spoken = self._dialogues = 0

    def scenes(self) -> Iterator[Scene]:
        while self._at < self._total:
            if not self._fits():
                yield from self._wordless(self._total - self._at)
                return
            yield self._dialogue()
            owed, left = round(self._spoken / SPOKEN) - self._at, self._total - self._at
            yield from self._wordless(owed if left - owed >= self._frames(SCENE_SECONDS[0]) else left)

    def _fits(self) -> bool:
        """Whether one more dialogue leaves the share of speech nearer to what it should be than none."""
        first = self._next()
        budget = SPOKEN * self._total - self._spoken
        return first / 2 < budget and self._at + first + 2 * self._frames(LEAD_SECONDS[1]) < self._total

    def _dialogue(self) -> Scene:
        start = self._at
        wanted, longest = self._between(SCENE_SECONDS), self._frames(SCENE_SECONDS[1])
        end = min(start + longest, self._total)
        lines: list[Line] = []
        at = start + self._between(LEAD_SECONDS)
        while not lines or (at < start + wanted and self._has_room(at, end)):
            length = self._next()
            lines.append(Line(self._waiting.pop(), at, length))
            self._spoken += length
            at += length + self._between(PAUSE_SECONDS)
        stop = min(lines[-1].start + lines[-1].frames + self._between(LEAD_SECONDS), self._total)
        self._at, self._dialogues = stop, self._dialogues + 1
        music = None if self._dialogues % WITHOUT_MUSIC == 0 else self._piece()
        level = round(self._chance.uniform(*SPEECH_OVER_MUSIC_DB), 1)
        return Scene("dialogue", start, stop - start, tuple(lines), music, level if music else 0.0)

    def _has_room(self, at: int, end: int) -> bool:
        length = self._next()
        return at + length + self._frames(LEAD_SECONDS[0]) <= end and (self._spoken + length / 2 < SPOKEN * self._total)

    def _wordless(self, owed: int) -> Iterator[Scene]:
        """Scenes of so many frames together, each no longer than a scene may be."""
        shortest, longest = map(self._frames, SCENE_SECONDS)
        while owed > 0:
            frames = owed if owed <= longest else self._chance.randint(shortest, min(longest, owed - shortest))
            kind = next(self._kinds)
            yield Scene(kind, self._at, frames, music=self._piece() if kind == "music" else None)
            self._at += frames
            owed -= frames

    def _next(self) -> int:
        """The length of the utterance that comes next; all come before one comes again."""
        if not self._waiting:
            self._waiting = list(range(len(self._utterances)))
            self._chance.shuffle(self._waiting)
        return self._utterances[self._waiting[-1]]

    def _piece(self) -> tuple[int, int]:
        number = self._chance.randrange(len(self._music))
        return number, self._chance.randrange(self._music[number])

    def _between(self, seconds: tuple[float, float]) -> int:
        return self._frames(self._chance.uniform(*seconds))

    @staticmethod
    def _frames(seconds: float) -> int:
        return round(seconds * RATE)


def plan(total: int, utterances: Sequence[int], music: Sequence[int], seed: int = SEED) -> list[Scene]:
    """The scenes of a film.

    Args:
        total: its length, in frames.
        utterances: the lengths of what can be said, in frames.
        music: the lengths of what can be played, in frames.
        seed: another one gives another film.

    Returns:
        Scenes that follow each other from 0 to `total` without a gap.
    """
    return list(_Planner(total, utterances, music, seed).scenes())


def spoken_share(scenes: Sequence[Scene]) -> float:
    """The share of the time in which somebody speaks.

    >>> spoken_share([Scene("dialogue", 0, 60, (Line(0, 10, 40),)), Scene("quiet", 60, 40)])
    0.4
    """
    return sum(line.frames for scene in scenes for line in scene.lines) / sum(scene.frames for scene in scenes)


class _Studio:
    """Renders scenes, each with the frames in which it fades into the next."""

    def __init__(self, corpus: Corpus, seed: int) -> None:
        self._seed = seed
        self._utterance = lru_cache(maxsize=64)(lambda number: _at_level(decoded(corpus.utterances[number])))
        self._music = lru_cache(maxsize=8)(lambda number: looped(decoded(corpus.music[number]), RATE))

    def rendered(self, scene: Scene) -> Array:
        """`[2, scene.frames + FADE]`, before it fades."""
        frames = scene.frames + FADE
        noise = np.random.default_rng((self._seed, scene.start)).standard_normal((2, frames), np.float32)
        sound: Array = noise * np.float32(10 ** (ROOM_DB / 20))
        for line in scene.lines:
            at = line.start - scene.start
            sound[:, at : at + line.frames] += self._utterance(line.utterance)[:, : line.frames]
        if scene.music is not None:
            number, start = scene.music
            loop = self._music(number)
            music = loop[:, np.arange(start, start + frames) % loop.shape[1]]
            level = VOICE_LEVEL * 10 ** (-scene.over_music_db / 20) if scene.lines else MUSIC_LEVEL
            sound += music * np.float32(level / rms(music))
        sound *= np.float32(min(1.0, LOUDEST / float(np.abs(sound).max())))
        return sound


def _at_level(utterance: Array) -> Array:
    level: Array = utterance * np.float32(VOICE_LEVEL / rms(audible(utterance)))
    return level


def write_film(path: Path, corpus: Corpus, minutes: float, seed: int = SEED) -> list[Scene]:
    """Write a film's sound, 16 bit, with what is said, when, and what happens, beside it.

    Args:
        path: the `.wav` or `.flac` to make.
        corpus: what to make it from.
        minutes: its length.
        seed: another one gives another film.
    """
    lengths = [_length(path) for path in corpus.utterances]
    # A loop is shorter than its piece by what fades; where it begins may be anywhere in it.
    scenes = plan(round(minutes * 60 * RATE), lengths, [_length(path) for path in corpus.music], seed)
    studio, (rising, falling) = _Studio(corpus, seed), crossfade_curves(FADE)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        before = np.zeros((2, FADE), np.float32)
        for scene in scenes:
            sound = studio.rendered(scene)
            fading = min(FADE, scene.frames)
            sound[:, :fading] = sound[:, :fading] * rising[:fading] + before[:, :fading]
            file.write(np.clip(sound[:, : scene.frames], -1, 1).T)
            before = sound[:, scene.frames :] * falling
    _write_texts(path, corpus, scenes)
    return scenes


@lru_cache(maxsize=1024)
def _length(path: Path) -> int:
    return int(decoded(path).shape[1])


def _write_texts(path: Path, corpus: Corpus, scenes: Sequence[Scene]) -> None:
    lines = [line for scene in scenes for line in scene.lines]
    texts = [corpus.texts[line.utterance] for line in lines]
    times = [(line.start, line.start + line.frames, text) for line, text in zip(lines, texts, strict=True)]
    happening = [(scene.start, scene.start + scene.frames, _described(scene)) for scene in scenes]
    path.with_suffix(".txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    path.with_suffix(".tsv").write_text(_rows(times), encoding="utf-8")
    path.with_suffix(".scenes.tsv").write_text(_rows(happening), encoding="utf-8")


def _described(scene: Scene) -> str:
    over = f" at {scene.over_music_db:g} dB over music" if scene.lines and scene.music else ""
    return f"{scene.kind}{over}"


def _rows(rows: Sequence[tuple[int, int, str]]) -> str:
    return "".join(f"{start / RATE:.3f}\t{end / RATE:.3f}\t{text}\n" for start, end, text in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("film", type=Path, help=".wav or .flac")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    scenes = write_film(asked.film, Corpus.of(asked.corpus), asked.minutes, asked.seed)
    print(f"{asked.film}: {len(scenes)} scenes, {100 * spoken_share(scenes):.1f} % spoken")


if __name__ == "__main__":
    main()
