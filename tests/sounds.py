"""Regions of sound made up for tests: voices and music as plain numbers at 16 kHz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from stemscribe.arrays import Array
from stemscribe.speech.faster_whisper import Listening
from stemscribe.speech.sound import SAMPLE_RATE, Sound
from stemscribe.transcript import Audio, Segment, Word


class OneByOne:
    """What hears in one sound after the other what is to be heard in several; and in one region after the other, unless
    it says otherwise.
    """

    at_once = 1

    def hear(self, audio: Array, listening: Listening) -> list[Segment]:
        raise NotImplementedError

    def hear_together(self, sounds: Mapping[Audio, Array], listening: Listening) -> dict[Audio, list[Segment]]:
        return {audio: self.hear(samples, replace(listening, audio=audio)) for audio, samples in sounds.items()}


def sound(
    duration: float,
    voices: Sequence[tuple[float, float]],
    *,
    music: float = 0.0,
    start: float = 0.0,
    centre: bool = False,
) -> Sound:
    """A region with voices in these spans (in seconds of the mix) at a level of 0.1, and music all through it."""
    frames = round(duration * SAMPLE_RATE)
    chance = np.random.default_rng(5)
    vocals = np.zeros(frames, np.float32)
    for opened, closed in voices:
        span = slice(round((opened - start) * SAMPLE_RATE), round((closed - start) * SAMPLE_RATE))
        vocals[span] = 0.1 * chance.standard_normal(len(vocals[span])).astype(np.float32)
    band: Array = (music * chance.standard_normal(frames)).astype(np.float32)
    return Sound(start, vocals + band, vocals, vocals if centre else None)


def said(
    text: str,
    start: float = 0.0,
    *,
    pace: float = 0.4,
    sure: float = 0.9,
    confidence: float = -0.3,
    heard: Audio = "vocals",
    language: str = "en",
    ratio: float = 1.0,
) -> Segment:
    """A segment whose words follow each other at a pace, each as sure as the others."""
    words = tuple(
        Word(start + index * pace, start + (index + 1) * pace, f" {word}", sure)
        for index, word in enumerate(text.split())
    )
    end = words[-1].end if words else start + 1.0
    return Segment(start, end, text, language, words, confidence, 0.0, ratio, heard)
