"""Separating twenty minutes needs no more memory than two: measured with the real journal and writers, and the real
model's window."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from fakes import noise

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs getrusage")]

SEPARATE = """
import sys
from pathlib import Path
import numpy as np
from stemscribe.audio.source import AudioSource
from stemscribe.pipeline.resources import give_memory_back, peak_memory
from stemscribe.separation.finish import StemFiles, write_stems
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.stream import Normalisation, plan_for, separate

class Halves:
    stems, sample_rate, channels, window_frames, runtime = ("vocals",), 44100, 2, 343980, "arithmetic"
    def separate(self, mix):
        return mix[None] * np.float32(0.5)

give_memory_back()  # as every run does
mix, frames = Path(sys.argv[1]), int(sys.argv[2])
reader, plan = AudioSource(mix), plan_for(Halves(), frames)
layout = Layout(plan, ("vocals",), 2)
with Journal(mix.parent / "journal", layout) as journal:
    for window in separate(reader.read, Halves(), plan, Normalisation(0.0, 0.1), journal):
        pass
    paths = {name: mix.parent / f"{name}.wav" for name in ("vocals", "accompaniment")}
    write_stems(journal, layout, reader.read, StemFiles(paths, 44100))
print(peak_memory())
"""


def peak(folder: Path, minutes: int) -> int:
    folder.mkdir()
    with soundfile.SoundFile(folder / "mix.flac", "w", 44100, 2, subtype="PCM_24") as file:
        for minute in range(minutes):
            file.write(noise(60 * 44100, seed=minute).T)
    command = [sys.executable, "-c", SEPARATE, str(folder / "mix.flac"), str(minutes * 60 * 44100)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_memory_is_flat_in_the_length_of_the_film(tmp_path: Path) -> None:
    peak(tmp_path / "warm", 1)  # cold libraries take up less: the system maps more of a file that it has in memory
    short, long = peak(tmp_path / "short", 2), peak(tmp_path / "long", 20)
    assert long <= 1.05 * short


REAL = """
import sys
from pathlib import Path
import numpy as np
from stemscribe.pipeline.resources import peak_memory
from stemscribe.separation.engines.htdemucs_onnx import HTDemucsOnnx
separator = HTDemucsOnnx(Path(sys.argv[1]), stems=("vocals",))
window = np.random.default_rng(0).standard_normal((2, separator.window_frames)).astype(np.float32)
peaks = []
for _ in range(4):
    separator.separate(window)
    peaks.append(peak_memory())
print(*peaks)
"""


@pytest.mark.models
def test_the_real_model_stays_within_its_bounds(model: Callable[[str], Path]) -> None:
    pytest.importorskip("openvino", reason="the bound is that of OpenVINO")
    command = [sys.executable, "-c", REAL, str(model("htdemucs-onnx"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, *_, last = map(int, done.stdout.split())
    assert last <= 1.8e9
    assert last <= 1.05 * first
