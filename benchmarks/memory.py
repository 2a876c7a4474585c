"""Peak memory of a job by stage and by length of film: `python -m benchmarks.memory --minutes 1 10 60`.

A film of any length is made in seconds: ten minutes of speech over noise are encoded once, and their packets repeated
on and on. It goes through the real runner in a process of its own, with the real decoder, journal, writers and speech
detector. Only the two large models are arithmetic here: what they need does not depend on the film, and would hide
what does. `--real` puts them back.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from platformdirs import user_cache_path

ROOT = Path(__file__).resolve().parents[1]
MODELS = Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or user_cache_path("stemscribe") / "models")
RATE = 44100
LOOP_MINUTES = 10
WORDS_A_SECOND = 3.0  # a lively conversation without a pause
VOCALS = np.float32(0.5)
CLEAR_PEAK = "5"  # what /proc/self/clear_refs takes to begin the high-water mark anew


@dataclass
class Figures:
    """What a job took: bytes and seconds by stage, and what it made."""

    minutes: float
    peak_bytes: int = 0
    stages: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


def write_long_film(path: Path, minutes: float, voice: Path = ROOT / "in" / "test.mp4") -> Path:
    """A film of any length whose sound is ten minutes of bursts of speech over noise, again and again.

    Args:
        path: the `.mkv` to make.
        minutes: its length.
        voice: a recording of somebody who speaks.
    """
    loop = path.with_name("loop.mka")
    if not loop.exists():
        _write_loop(loop, voice, min(minutes, LOOP_MINUTES))
    with av.open(str(loop)) as source, av.open(str(path), "w") as film:
        base = source.streams.audio[0].time_base
        packets = [(bytes(packet), packet.pts, packet.duration) for packet in source.demux(audio=0) if packet.size]
        stream = film.add_stream_from_template(source.streams.audio[0])
        length = packets[-1][1] + packets[-1][2] - packets[0][1]
        shift = 0
        while shift * base < minutes * 60:
            for content, pts, duration in packets:
                if (pts + shift) * base >= minutes * 60:
                    break
                packet = av.Packet(content)
                packet.stream, packet.time_base = stream, base
                packet.pts = packet.dts = pts + shift
                packet.duration = duration
                packet.is_keyframe = True
                film.mux(packet)
            shift += length
    return path


def _write_loop(path: Path, voice: Path, minutes: float) -> None:
    """Speech in bursts of a few seconds, at changing levels, over noise that comes and goes."""
    with av.open(str(voice)) as film:
        resampler = av.AudioResampler("fltp", "mono", RATE)
        decoded = [frame for packet in film.demux(audio=0) for frame in packet.decode()]
        parts = [part.to_ndarray()[0] for frame in decoded for part in resampler.resample(frame)]
    speech, random = np.concatenate(parts), np.random.default_rng(0)
    with av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=RATE, layout="stereo")
        stream.bit_rate = 64000
        pieces = av.AudioResampler("fltp", "stereo", RATE, frame_size=1024)  # what AAC encodes at a time
        at = 0
        for second in range(round(minutes * 60)):
            sound = random.standard_normal((1, RATE)) * 0.003 * (1 + np.sin(second / 7))
            if second % 13 < 11:  # talkative
                start = random.integers(len(speech) - RATE) if second % 13 == 0 else at
                at = (start + RATE) % (len(speech) - RATE)
                sound += speech[start : start + RATE] * random.uniform(0.3, 0.6)
            both = np.tile(np.clip(sound, -0.7, 0.7), (2, 1)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(both, format="fltp", layout="stereo")
            frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), second * RATE
            for piece in pieces.resample(frame):
                target.mux(stream.encode(piece))
        target.mux(stream.encode(None))


class Halves:
    """A separator of HTDemucs' shape: the voice is half of everything."""

    stems, sample_rate, channels, window_frames, runtime = ("vocals",), 44100, 2, 343980, "arithmetic"
    normalised = True

    def __init__(self, *arguments: Any, **named: Any) -> None: ...

    def load(self) -> None: ...

    def separate(self, mix: Any) -> Any:
        return mix[None] * VOCALS


class Chatterbox:
    """A recogniser that hears three words in every second."""

    at_once = 2

    def __init__(self, *arguments: Any, **named: Any) -> None: ...

    def hear(self, audio: Any, hearing: Any) -> list[Any]:
        from stemscribe.transcript import Segment, Word

        seconds = len(audio) / 16000
        spoken = np.frombuffer(hashlib.sha256(audio.tobytes()).digest(), np.uint8)
        words = [
            Word(index / WORDS_A_SECOND, (index + 0.8) / WORDS_A_SECOND, f" word{spoken[index % 32]}", 0.9)
            for index in range(int(seconds * WORDS_A_SECOND))
        ]
        sentences = [tuple(words[first : first + 9]) for first in range(0, len(words), 9)]
        return [
            Segment(
                sentence[0].start,
                sentence[-1].end,
                "".join(word.text for word in sentence).strip() + ".",
                hearing.language,
                sentence,
                average_log_probability=-0.3,
                no_speech_probability=0.1,
                compression_ratio=1.2,
            )
            for sentence in sentences
        ]

    def hear_together(self, sounds: Any, hearing: Any) -> dict[Any, list[Any]]:
        return {audio: self.hear(samples, replace(hearing, audio=audio)) for audio, samples in sounds.items()}


def run_job(film: Path, models_dir: Path, out_dir: Path, *, real: bool) -> Figures:
    """Run the whole job in this process, and tell what it took."""
    from stemscribe.audio.probe import identity
    from stemscribe.jobs.folder import create
    from stemscribe.jobs.job import Job, Options
    from stemscribe.models.spec import load_catalog
    from stemscribe.models.store import ModelStore
    from stemscribe.pipeline.reporter import Event, StageCompleted, StageStarted
    from stemscribe.pipeline.runner import Rules, run
    from stemscribe.pipeline.stages import asr, source_separation

    class Store(ModelStore):
        """Only the speech detector has to be there."""

        def fetch(self, name: str) -> Path:
            return super().fetch(name) if real or name == "silero-vad" else self.folder(name)

    if not real:
        source_separation.open_onnx = Halves  # type: ignore[assignment]
        asr.FasterWhisper = Chatterbox  # type: ignore[misc, assignment]
    figures = Figures(0.0)

    def watch(event: Event) -> None:
        if isinstance(event, StageStarted):
            _begin_peak_anew()
        elif isinstance(event, StageCompleted):
            figures.stages[event.stage] = _peak()
            figures.seconds[event.stage] = round(event.seconds, 2)

    folder = create(
        out_dir, Job("", str(film), identity(film), "transcribe", "en", "", "", Options(engine="onnx", device="cpu"))
    )
    made = run(
        folder, Store(models_dir, load_catalog(), offline=True), out_dir, watch, Rules(rehearse=False, reuse=False)
    ).artefacts
    figures.peak_bytes = max(figures.stages.values())
    figures.sizes = {name: path.stat().st_size for name, path in made.items()}
    return figures


def _begin_peak_anew() -> None:
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text(CLEAR_PEAK)


def _peak() -> int:
    """The most resident memory since the last `_begin_peak_anew`; elsewhere than on Linux since the start."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(folder: Path, minutes: float, models_dir: Path, *, real: bool = False) -> Figures:
    """Make a film of this length in a folder, and run a job on it there, in a process of its own."""
    film = write_long_film(folder / "film.mkv", minutes)
    command = [sys.executable, __file__, "--film", film, "--models-dir", models_dir, *(["--real"] if real else [])]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the job of {minutes} minutes failed:\n{done.stderr}")
    return Figures(**{**json.loads(done.stdout), "minutes": minutes})


def table(rows: list[Figures]) -> str:
    """The figures side by side: a row a stage, a column a length."""
    stages = list(rows[0].stages)
    lines = ["stage".ljust(20) + "".join(f"{row.minutes:>14g} min" for row in rows)]
    for stage in stages:
        cells = (f"{row.stages[stage] / 1e6:.1f} MB {row.seconds[stage]:.1f} s" for row in rows)
        lines.append(stage.ljust(20) + "".join(f"{cell:>18}" for cell in cells))
    lines.append("all".ljust(20) + "".join(f"{row.peak_bytes / 1e6:>15.1f} MB" for row in rows))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 60], help="lengths of film")
    parser.add_argument("--models-dir", type=Path, default=MODELS, help="folder of models, with silero-vad")
    parser.add_argument("--place", type=Path, help="folder for films and jobs; an hour takes 3.2 GB")
    parser.add_argument("--real", action="store_true", help="with the real HTDemucs and Whisper")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    parser.add_argument("--film", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.film:
        print(json.dumps(asdict(run_job(asked.film, asked.models_dir, asked.film.parent / "out", real=asked.real))))
        return
    rows = []
    for minutes in asked.minutes:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="memory-", dir=asked.place) as folder:
            rows.append(measure(Path(folder), minutes, asked.models_dir, real=asked.real))
        print(f"{minutes:g} min: {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(json.dumps([asdict(row) for row in rows], indent=2) if asked.json else table(rows))


if __name__ == "__main__":
    main()
