"""The cheap look at a film that tells where the separation model is needed: what a rough separation leaves to be heard.

It costs a twentieth of what the model does, and is not taken where the mix alone tells enough. Once it is complete it
is kept beside the journal, so that a run that is resumed decides as the first one did.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from stemscribe.arrays import Array
from stemscribe.audio.resample import Resampler
from stemscribe.audio.source import AudioSource, to_mono
from stemscribe.concurrency import made_ahead, one_ahead
from stemscribe.jobs.job import Options
from stemscribe.pipeline.stage import Progress, StageContext
from stemscribe.records import replacing
from stemscribe.separation.base import Separator
from stemscribe.separation.engines.spleeter_onnx import SpleeterOnnx
from stemscribe.separation.gate import Evidence, Mask, MixEvidence, open_questions
from stemscribe.separation.windows import WindowPlan
from stemscribe.speech.activity import HOP, SAMPLE_RATE, SpeechDetector
from stemscribe.timebase import to_frames, to_seconds

log = logging.getLogger(__name__)

ROUGH, DETECTOR = LOOKERS = ("spleeter", "silero-vad")
"""The models that take part: what separates roughly, and what hears speech."""
_BINS = 768  # of 1024 that the rough model knows: up to 8.3 kHz, where what the detector hears ends as well


def is_gated(options: Options) -> bool:
    """Whether a look is taken: what drums are, nobody can say beforehand, and the rough model needs none for itself."""
    return options.gate == "auto" and options.stems == "two" and options.separation_model != ROUGH


def look(context: StageContext, mix: AudioSource, plan: WindowPlan) -> Evidence:
    """What there is to decide by; what was found by an earlier run of the job is not looked for again.

    Args:
        context: of a stage that asks for the models; in a rehearsal, they look everywhere.
        mix: the film's sound at its own level.
        plan: the windows that are to be decided about.

    Raises:
        StorageError: the disk is full or cannot be written.
        StemscribeError: what is loaded meanwhile cannot be.
    """
    rough = SpleeterOnnx(
        context.models[ROUGH], stems=("vocals",), bins=_BINS, device="cpu", threads=context.options.threads
    )
    key = f"{plan} {rough.window_frames} {_BINS} {rough.runtime}"
    kept = context.scratch / f"look-{hashlib.sha256(key.encode()).hexdigest()[:8]}.npy"
    if not kept.exists():
        started = time.monotonic()
        film = to_seconds(mix.frames, mix.sample_rate)

        def seen(frames: int) -> None:
            if context.begun is not None and context.begun.done():
                context.begun.result()  # what could not be loaded is told before the look is complete
            done = min(to_seconds(frames, mix.sample_rate), film)
            context.progress(Progress(done, film, "s", done))

        asked = None if context.rehearsal else plan
        facts = _found(mix, rough, lambda: SpeechDetector(context.models[DETECTOR]), asked, seen)
        with replacing(kept) as temporary, temporary.open("wb") as file:
            np.save(file, facts)
        log.info("looked for voices in %.1f s in %.1f s with %s", film, time.monotonic() - started, rough.runtime)
    return Evidence(HOP, *np.load(kept))


def _found(
    mix: AudioSource,
    rough: Separator,
    detector: Callable[[], SpeechDetector],
    plan: WindowPlan | None,
    seen: Callable[[int], None],
) -> Array:
    """All facts of each hop, `[facts, hops]`; without a plan, nothing is left to the mix alone."""
    seen(0)
    mix_speech, (mix_db,) = _heard(detector(), made_ahead(mix.mono_blocks(SAMPLE_RATE)), 1)
    is_open = np.ones(len(mix_db), np.bool_)
    if plan is not None:
        is_open = open_questions(plan, mix.sample_rate, MixEvidence(HOP, mix_speech, mix_db))
        share = 100 * is_open.sum() / max(len(is_open), 1)
        log.info("looking for voices in %.0f %% of the sound; of the rest the mix tells that somebody speaks", share)
    vocals_speech, (vocals_db, others_db) = _heard(detector(), _parts(mix, rough, is_open, seen), 2)
    facts = (mix_speech, vocals_speech, mix_db, vocals_db, others_db)
    hops = min(len(fact) for fact in facts)
    return np.stack([fact[:hops] for fact in facts])


def _heard(detector: SpeechDetector, blocks: Iterator[Array], channels: int) -> tuple[Array, Array]:
    """Probabilities, `[hops]`, and levels, `[channels, hops]`, of a whole stream."""
    nothing = (np.zeros(0, np.float32), np.zeros((channels, 0), np.float32))  # of a frame, at 16 kHz, none is left
    speech, levels = zip(nothing, *detector.hear(blocks), strict=True)
    return np.concatenate(speech), np.concatenate(levels, axis=-1)


def _parts(mix: AudioSource, rough: Separator, is_open: Mask, seen: Callable[[int], None]) -> Iterator[Array]:
    """The rough vocals and everything else, both mono at 16 kHz, `[2, frames]`.

    Where no question is open, all of the mix is everything else. The detector remembers: after such silence it takes
    what it hears for speech sooner than it would have, which is the safe side.
    """
    resampler = Resampler(mix.sample_rate, SAMPLE_RATE, 2)
    longest = rough.window_frames
    blocks = (
        (piece, mix.read(piece.start, piece.start + longest if piece.is_open else piece.stop))
        for piece in _pieces(is_open, mix.frames, mix.sample_rate, longest)
    )

    def separated(piece_and_block: tuple[_Piece, Array]) -> Array:
        piece, block = piece_and_block
        own = block[:, : piece.stop - piece.start]  # what is behind a short piece only lets the model hear more
        vocals = rough.separate(block)[0][:, : own.shape[1]] if piece.is_open else np.zeros_like(own)
        return np.concatenate([to_mono(vocals), to_mono(own - vocals)])

    # One at a time: two of them take 80 MB more at some moments, or do not, which is no memory that is flat.
    for (piece, _), parts in one_ahead(separated, blocks):
        yield resampler.push(parts)
        seen(piece.stop)
    yield resampler.push(np.zeros((2, 0), np.float32), last=True)


class _Piece(NamedTuple):
    """The frames `start` ≤ n < `stop` of the mix, and whether any question is open there."""

    start: int
    stop: int
    is_open: bool


def _pieces(is_open: Mask, frames: int, sample_rate: int, longest: int) -> Iterator[_Piece]:
    """All of the mix in pieces of at most so many frames: what is open begins with one, and shares none."""
    changes = np.flatnonzero(np.diff(is_open)) + 1
    edges = [0, *(to_frames(hop * HOP, sample_rate) for hop in changes.tolist()), frames]
    states = is_open[[0, *changes]] if len(is_open) else [False]
    for (first, last), state in zip(pairwise(edges), states, strict=True):
        for start in range(first, last, longest):
            yield _Piece(start, min(start + longest, last), bool(state))
