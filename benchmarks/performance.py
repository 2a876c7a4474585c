"""What was measured of our speed, part by part: `docs/explanation/performance.json`.

Each benchmark writes its own part, and leaves the others as they are; it does so after each round, so that little is
lost when it is stopped.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import psutil
import soundfile
from benchmarks.side_by_side import Run, Spread, ratios, taken

from stemscribe.evaluation.words import WordErrors
from stemscribe.records import read_record, write_record

EXCERPT_SECONDS = 5.0
QUICK_SECONDS = 20.0
PAIRS = 5
PART = "of that, "  # begins the name of what is a part of another program, and is compared with nothing


@dataclass(frozen=True)
class Conditions:
    """When, on what and with what something was measured."""

    date: str
    machine: str
    versions: dict[str, str]

    @classmethod
    def here(cls, versions: Mapping[str, str]) -> Conditions:
        memory = psutil.virtual_memory().total / 1e9
        machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{_processor()}, {memory:.0f} GB"
        return cls(str(date.today()), f"{machine}, Python {platform.python_version()}", dict(versions))

    def match(self, other: Conditions) -> bool:
        """Whether what was measured then and now may stand in one table: all is the same but for the day."""
        return replace(self, date=other.date) == other


def _processor() -> str:
    """The processor's name, where Linux tells it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f" ({names[0]})" if names else ""


@dataclass(frozen=True)
class Contest:
    """Programs side by side on one file.

    Attributes:
        media: its name.
        seconds: its length.
        rounds: what each program took, round by round.
        snr_db: by peer, how far the difference between its vocals and ours is below them, at least.
    """

    media: str
    seconds: float
    rounds: tuple[dict[str, Run], ...] = ()
    snr_db: dict[str, float] = field(default_factory=dict)

    def ratio(self, ours: str, peer: str, of: str = "seconds") -> Spread | None:
        return ratios(self.rounds, ours, peer, of)

    def taken(self, name: str, of: str = "seconds") -> Spread | None:
        return taken(self.rounds, name, of)


@dataclass(frozen=True)
class Separation:
    """`benchmarks.separation`: files, each separated by several programs."""

    conditions: Conditions
    contests: tuple[Contest, ...]


@dataclass(frozen=True)
class Gate:
    """What the gate does, in one round.

    Attributes:
        stage_seconds: of the separation stage, with the gate and without.
        words: the errors of the gated job's transcript, if the ungated one's is taken for what was said.
        separated_seconds: how much of the film was separated.
        snr_db: how far the difference between both jobs' vocals is there below them; `None` where nothing differs.
    """

    stage_seconds: tuple[float, float]
    words: WordErrors
    separated_seconds: float | None = None
    snr_db: float | None = None


@dataclass(frozen=True)
class Pipeline:
    """`benchmarks.pipeline`: whole jobs on a film, and what others do.

    Attributes:
        spoken: share of the film in which somebody speaks.
        words: by program, its errors, round by round.
        gate: round by round.
    """

    conditions: Conditions
    contest: Contest
    spoken: float
    words: dict[str, tuple[WordErrors, ...]]
    gate: tuple[Gate, ...] = ()


@dataclass(frozen=True)
class Scaling:
    """`benchmarks.scaling`: one engine on files of several lengths, beside Demucs on the shorter ones."""

    conditions: Conditions
    model: str
    contests: tuple[Contest, ...]


@dataclass(frozen=True)
class Shares:
    """`benchmarks.profile`: where the time of a separation goes.

    Attributes:
        seconds: from the beginning of the first stage to the end of the last, without loading the model.
        loading_seconds: what that takes.
        model_seconds: within the model.
        parts: seconds of everything else, by what it is.
    """

    conditions: Conditions
    media: str
    film_seconds: float
    seconds: float
    loading_seconds: float
    model_seconds: float
    parts: dict[str, float]

    @property
    def beside_the_model(self) -> float:
        """The share of the time in which the model does not run."""
        return 1 - self.model_seconds / self.seconds


@dataclass(frozen=True)
class Quality:
    """How well the voices of some mixtures are separated, in the mean.

    Attributes:
        model: what separated.
        quality: which overlap was asked for, by its name.
        overlap: the share of a window that it has in common with the next.
        windows: how many all mixtures took together.
        si_sdr: of the vocals, in dB.
        sdr: the same at their level as it is.
    """

    model: str
    quality: str
    overlap: float
    windows: int
    si_sdr: float | None
    sdr: float | None


@dataclass(frozen=True)
class Edge:
    """How well a window is separated near its ends.

    Attributes:
        start: how far from the nearer end, in seconds.
        end: up to how far.
        error_db: the power of what is wrong there, against that of the same sound in the middle of other windows.
    """

    start: float
    end: float
    error_db: float


@dataclass(frozen=True)
class Overlap:
    """`benchmarks.overlap`: the same mixtures with more and with less overlap, and what overlap is for."""

    conditions: Conditions
    mixtures: int
    rows: tuple[Quality, ...]
    edges: tuple[Edge, ...] = ()


@dataclass(frozen=True)
class Performance:
    """All parts; those that were not measured yet are missing."""

    separation: Separation | None = None
    pipeline: Pipeline | None = None
    scaling: Scaling | None = None
    shares: Shares | None = None
    overlap: Overlap | None = None


def read_performance(path: Path) -> Performance:
    """What was measured up to now."""
    return read_record(path, Performance) if path.exists() else Performance()


def write_part(path: Path, **parts: Separation | Pipeline | Scaling | Shares | Overlap) -> None:
    """Put a part in the place of what was measured of it before."""
    write_record(path, replace(read_performance(path), **parts))  # type: ignore[arg-type]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that benchmarks share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="write the figures here, after each round")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"how many rounds [{PAIRS}]")
    parser.add_argument("--quick", action="store_true", help=f"one round, and {QUICK_SECONDS:g} s of each file")
    parser.add_argument("--resume", action="store_true", help="keep the rounds that are in the file already")
    parser.add_argument("--work", type=Path, help="folder for what is made on the way [a temporary one]")
    return parser


@contextmanager
def workplace(asked: argparse.Namespace) -> Iterator[Path]:
    """A folder for everything that a benchmark makes; it is gone afterwards."""
    if asked.work:
        asked.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=asked.work) as folder:
        yield Path(folder).resolve()


def excerpt(media: Path, target: Path, seconds: float) -> Path:
    """The beginning of a sound file, sample by sample."""
    with soundfile.SoundFile(media) as source:
        rate, channels, subtype = source.samplerate, source.channels, source.subtype
        with soundfile.SoundFile(target, "w", rate, channels, subtype) as file:
            left = round(seconds * rate)
            while left and len(block := source.read(min(left, 1 << 20), dtype="float64")):
                file.write(block)
                left -= len(block)
    return target


def length(media: Path) -> float:
    """Seconds of a sound file."""
    return round(float(soundfile.info(str(media)).duration), 3)


def report(contest: Contest, ours: str) -> str:
    """A contest in lines: what each program took, and what ours took in relation to it.

    Args:
        contest: with at least one round.
        ours: the program that the others are compared with.
    """
    rounds = len(contest.rounds)
    lines = [f"{contest.media}, {contest.seconds:.1f} s, {rounds} {'round' if rounds == 1 else 'rounds'}"]
    for name in dict.fromkeys(name for one in contest.rounds for name in one):
        seconds, memory = contest.taken(name), contest.taken(name, "peak_bytes")
        assert seconds is not None
        assert memory is not None
        line = f"  {name:32} {seconds.median:8.1f} s {memory.median / 1e9:6.2f} GB"
        if name != ours and not name.startswith(PART):
            time, space = contest.ratio(ours, name), contest.ratio(ours, name, "peak_bytes")
            line += f"   time {shown(time)}   memory {shown(space)}"
        if name in contest.snr_db:
            line += f"   SNR {contest.snr_db[name]:.1f} dB"
        lines.append(line)
    return "\n".join(lines)


def shown(value: Spread | None) -> str:
    """A ratio as it is shown.

    >>> shown(Spread(0.5, 0.4, 0.61))
    '0.50 (0.40 to 0.61)'
    """
    return "" if value is None else f"{value.median:.2f} ({value.lowest:.2f} to {value.highest:.2f})"
