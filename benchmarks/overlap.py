"""What windows that overlap less cost, and save: `python -m benchmarks.overlap ../shared/corpus --json FILE`.

The mixtures of the corpus, whose voices are known, separated by HTDemucs with each `--quality`, and by Spleeter. Time
goes with the number of windows, and is not measured here.

And what overlap is for: windows of HTDemucs are laid all over the mixtures, so that the same sound lies near the end of
some and in the middle of others; how much more is wrong near an end, by the distance to it?
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from benchmarks.peers import CORE, MODELS, versions
from benchmarks.performance import Conditions, Edge, Overlap, Quality, arguments, write_part
from benchmarks.sounds import RATE, decoded

from stemscribe.arrays import Array
from stemscribe.evaluation.distortion import Distortion, distortion, mean_distortion
from stemscribe.separation.base import Separator
from stemscribe.separation.engines.onnx import open_onnx
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.stream import AS_IT_IS, OVERLAPS, Normalisation, plan_for, separate

VOCALS = "vocals"
HTDEMUCS = "htdemucs-onnx"
ENGINES = {HTDEMUCS: tuple(OVERLAPS), "spleeter": ("exact",)}
BLOCK = RATE // 10  # what is compared
APART = 13  # blocks from one window to the next
DISTANCES = (0, 1, 2, 4, 8, 15)  # from the nearer end of a window, in blocks; beyond the last is the middle


def vocals_of(mix: Array, separator: Separator, overlap: float, place: Path) -> tuple[Array, int]:
    """The vocals of a whole recording, `[2, frames]`, and how many windows that took."""
    mono = mix.mean(axis=0, dtype=np.float64)
    level = Normalisation(float(mono.mean()), float(mono.std(ddof=1))) if separator.normalised else AS_IT_IS
    plan = plan_for(separator, mix.shape[1], overlap)
    with Journal(place, Layout(plan, separator.stems, 2)) as journal:
        for _ in separate(lambda start, stop: mix[:, start:stop], separator, plan, level, journal):
            pass
        return np.concatenate([finished[0] for _, finished in journal.finished()], axis=-1), len(plan)


def measured(mixtures: list[Path], separator: Separator, overlap: float) -> tuple[Distortion, int]:
    """The mean over all mixtures, and how many windows they took together."""
    found, windows = [], 0
    for folder in mixtures:
        with TemporaryDirectory(prefix="overlap-") as place:
            vocals, count = vocals_of(decoded(folder / "mixture.flac"), separator, overlap, Path(place))
            stem = Path(place) / "vocals.wav"
            soundfile.write(stem, vocals.T, RATE, subtype="FLOAT")
            found.append(distortion(folder / "speech.flac", stem, folder / "mixture.flac"))
        windows += count
    return mean_distortion(found), windows


def edges(mixtures: list[Path], separator: Separator) -> tuple[Edge, ...]:
    """How much more is wrong near the ends of windows than in the middle of others, where both have the same sound.

    Nothing, where no sound is in both.
    """
    errors, expected = np.zeros(DISTANCES[-1]), np.zeros(DISTANCES[-1])
    for folder in mixtures:
        for block in _errors(decoded(folder / "mixture.flac"), decoded(folder / "speech.flac"), separator):
            middle = [error for distance, error in block if distance >= DISTANCES[-1]]
            for distance, error in block if middle else ():
                if distance < DISTANCES[-1]:
                    errors[distance] += error
                    expected[distance] += np.mean(middle)
    return tuple(
        Edge(first / 10, stop / 10, float(10 * np.log10(errors[first:stop].sum() / expected[first:stop].sum())))
        for first, stop in pairwise(DISTANCES)
        if expected[first:stop].any()
    )


def _errors(mix: Array, speech: Array, separator: Separator) -> list[list[tuple[int, float]]]:
    """For each block of a mixture, what each window that holds it makes wrong of it, and how far from its end.

    Args:
        mix: `[2, frames]`.
        speech: `[1 or 2, frames]`: what its vocals are.
        separator: of the vocals alone.
    """
    mono = mix.mean(axis=0, dtype=np.float64)
    level = Normalisation(float(mono.mean()), float(mono.std(ddof=1)))
    blocks, each = mix.shape[1] // BLOCK, separator.window_frames // BLOCK
    found: list[list[tuple[int, float]]] = [[] for _ in range(blocks)]
    for first in range(0, blocks - each + 1, APART):
        span = slice(first * BLOCK, first * BLOCK + separator.window_frames)
        vocals = level.undo(separator.separate(level.apply(mix[:, span])))[0]
        wrong = np.square(vocals - speech[:, span]).sum(axis=0)[: each * BLOCK].reshape(each, BLOCK).sum(axis=1)
        for block, error in enumerate(wrong):
            found[first + block].append((min(block, each - 1 - block), float(error)))
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("corpus", type=Path)
    asked = parser.parse_args()
    folders = [path for path in sorted((asked.corpus / "mix").iterdir()) if path.is_dir()]
    mixtures = folders[:1] if asked.quick else folders
    part = Overlap(Conditions.here(versions(CORE, "stemscribe", "openvino")), len(mixtures), ())
    for model, qualities in ENGINES.items():
        separator = open_onnx(MODELS / model, stems=(VOCALS,), device="cpu")
        if model == HTDEMUCS:
            part = replace(part, edges=edges(mixtures, separator))
        for quality in qualities:
            mean, windows = measured(mixtures, separator, OVERLAPS[quality])
            row = Quality(model.removesuffix("-onnx"), quality, OVERLAPS[quality], windows, mean.si_sdr, mean.sdr)
            part = replace(part, rows=(*part.rows, row))
            write_part(asked.json, overlap=part)
            print(row, flush=True)


if __name__ == "__main__":
    main()
