"""What windows that overlap less cost, and save: `python -m benchmarks.overlap ../shared/corpus --json FILE`.

The mixtures of the corpus, whose voices are known, separated by HTDemucs with each `--quality`, and by Spleeter. Time
goes with the number of windows, and is not measured here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from benchmarks.peers import CORE, MODELS, versions
from benchmarks.performance import Conditions, Overlap, Quality, arguments, write_part
from benchmarks.sounds import RATE, decoded

from stemscribe.arrays import Array
from stemscribe.evaluation.distortion import Distortion, distortion, mean_distortion
from stemscribe.separation.base import Separator
from stemscribe.separation.engines.onnx import open_onnx
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.stream import AS_IT_IS, OVERLAPS, Normalisation, plan_for, separate

VOCALS = "vocals"
ENGINES = {"htdemucs-onnx": tuple(OVERLAPS), "spleeter": ("exact",)}


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


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("corpus", type=Path)
    asked = parser.parse_args()
    folders = [path for path in sorted((asked.corpus / "mix").iterdir()) if path.is_dir()]
    mixtures = folders[:1] if asked.quick else folders
    part = Overlap(Conditions.here(versions(CORE, "stemscribe", "openvino")), len(mixtures), ())
    for model, qualities in ENGINES.items():
        separator = open_onnx(MODELS / model, stems=(VOCALS,), device="cpu")
        for quality in qualities:
            mean, windows = measured(mixtures, separator, OVERLAPS[quality])
            row = Quality(model.removesuffix("-onnx"), quality, OVERLAPS[quality], windows, mean.si_sdr, mean.sdr)
            part = replace(part, rows=(*part.rows, row))
            write_part(asked.json, overlap=part)
            print(row, flush=True)


if __name__ == "__main__":
    main()
