"""How the rules of arbitration were found: `python -m benchmarks.arbitration ../shared/corpus --cache FOLDER`.

Speech and music of a corpus are mixed at several levels, every second mixture with music in one half only; with the
corpus' own mixtures they are separated and heard in the mix, in the vocals and in three blends, region by region. Then
every rule chooses from the same hearings, and the word error rates stand side by side: what is measured is the choice,
not the noise of recognition. Sound and hearings are kept in the cache: the first run takes about an hour on two cores,
the next ones a few seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import soundfile
from benchmarks.sounds import RATE, decoded, recordings, rms
from platformdirs import user_cache_path

from stemscribe.audio.level import LevelMeter
from stemscribe.audio.resample import Resampler
from stemscribe.evaluation.words import word_errors
from stemscribe.separation.engines.htdemucs_onnx import HTDemucsOnnx
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.stream import Normalisation, plan_for, separate
from stemscribe.speech.activity import SpeechDetector, detect
from stemscribe.speech.arbitration import ArbitrationRules, arbitrate, chosen
from stemscribe.speech.faster_whisper import FasterWhisper, Listening
from stemscribe.speech.regions import find_regions
from stemscribe.speech.sound import SAMPLE_RATE, Sound
from stemscribe.transcript import Audio, Segment

MODELS = Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or user_cache_path("stemscribe") / "models")
SEED = 7
AUDIOS: tuple[Audio, ...] = ("mix", "vocals", "blend-10", "blend-20", "blend-35")
LEVELS_DB = (-8, -5, -3, 0, 3, 6, 10, -5, -3, 0, -3)  # of speech against music, a mixture each
Array = np.ndarray


@dataclass(frozen=True)
class Mixture:
    """A recording, what is said in it, and how to get at its sound."""

    name: str
    language: str
    reference: str
    load: Callable[[], Array]


@dataclass(frozen=True)
class HeardRegion:
    """One region in all hearings; `voices_over_music_db` as arbitration measures it."""

    voices_over_music_db: float
    hearings: dict[Audio, tuple[Segment, ...]]


def mixtures(corpus: Path) -> Iterator[Mixture]:
    """The corpus' own mixtures, then those made here, always the same."""
    for folder in sorted((corpus / "mix").iterdir()):
        sound = folder / "mixture.flac"
        text = (folder / "transcript.txt").read_text(encoding="utf-8")
        yield Mixture(folder.name, folder.name[:2], text, lambda sound=sound: decoded(sound))  # type: ignore[misc]
    chance = random.Random(SEED)
    english = recordings(corpus / "speech" / "en")
    chance.shuffle(english)
    groups = [("en", english[first::8]) for first in range(8)]
    for code in ("de", "fr", "es"):
        groups.append((code, [each for each in recordings(corpus / "speech" / code) if each.suffix == ".ogg"]))
    music = recordings(corpus / "music")
    for number, ((code, spoken), level) in enumerate(zip(groups, LEVELS_DB, strict=True)):
        text = " ".join(each.with_suffix(".txt").read_text(encoding="utf-8").strip() for each in spoken)
        sound = _mixed(spoken, music[number % len(music)], level, half=bool(number % 2), chance=chance)
        yield Mixture(f"{code}_{number}_{level}", code, text, lambda sound=sound: sound)  # type: ignore[misc]


def _mixed(spoken: list[Path], band: Path, level: int, *, half: bool, chance: random.Random) -> Array:
    """Recordings one after the other at one level, over a piece of music; with `half`, that is in the second half
    only.
    """
    parts = [np.zeros((2, int(1.5 * RATE)), np.float32)]
    for path in spoken:
        sound = decoded(path)
        pause = chance.uniform(0.4, 3.0)
        parts += [sound * (0.08 / rms(sound)), np.zeros((2, int(pause * RATE)), np.float32)]
    speech = np.concatenate(parts, axis=1)
    music = decoded(band)
    music = np.tile(music, (1, speech.shape[1] // music.shape[1] + 1))
    start = chance.randrange(music.shape[1] - speech.shape[1] + 1)
    music = music[:, start : start + speech.shape[1]]
    gain = rms(speech[:, np.abs(speech).max(axis=0) > 1e-4]) / rms(music) * 10 ** (-level / 20)
    if half:
        music[:, : music.shape[1] // 2] = 0
    mixture: Array = speech + gain * music
    return mixture / max(1.0, 1.01 * float(np.abs(mixture).max()))


def heard(mixture: Mixture, cache: Path) -> list[HeardRegion]:
    """All hearings of all regions of a mixture, from the cache or made now."""
    kept = cache / f"{mixture.name}.json"
    if not kept.exists():
        kept.write_bytes(msgspec.json.encode(_hear(mixture, cache)))
    return msgspec.json.decode(kept.read_bytes(), type=list[HeardRegion])


def _hear(mixture: Mixture, cache: Path) -> list[HeardRegion]:
    mix, vocals = (_at_speech_rate(sound) for sound in _separated(mixture, cache))
    with tempfile.TemporaryDirectory() as folder:
        activity = detect(SpeechDetector(MODELS / "silero-vad"), [mix[None]], [vocals[None]], Path(folder))
        regions = find_regions(activity)
    whisper = FasterWhisper(MODELS / "whisper-base")
    found = []
    for region in regions:
        span = slice(int(region.start * SAMPLE_RATE), int(region.end * SAMPLE_RATE))
        sound = Sound(region.start, mix[span], vocals[span])
        hearings = {
            audio: tuple(
                segment.moved(region.start)
                for segment in whisper.hear(
                    np.ascontiguousarray(sound.heard_as(audio)), Listening(mixture.language, audio)
                )
            )
            for audio in AUDIOS
        }
        found.append(HeardRegion(sound.voices_over_music_db, hearings))
    return found


def _separated(mixture: Mixture, cache: Path) -> tuple[Array, Array]:
    """The mix and its vocals at 44.1 kHz, by HTDemucs."""
    folder = cache / "stems" / mixture.name
    if not (folder / "vocals.flac").exists():
        folder.mkdir(parents=True, exist_ok=True)
        mix = mixture.load()
        meter = LevelMeter()
        meter.add(mix)
        model = HTDemucsOnnx(MODELS / "htdemucs-onnx", stems=("vocals",))
        plan = plan_for(model, mix.shape[1])
        level = Normalisation(meter.level.mean, meter.level.std)
        with tempfile.TemporaryDirectory() as work, Journal(Path(work), Layout(plan, ("vocals",), 2)) as journal:
            for _ in separate(lambda start, stop: mix[:, start:stop], model, plan, level, journal):
                pass
            vocals = np.concatenate([block[0] for _, block in journal.finished()], axis=1)
        gain = 1 / max(1.0, 1.01 * float(np.abs(mix).max()), 1.01 * float(np.abs(vocals).max()))
        for name, sound in (("mix", mix), ("vocals", vocals)):
            soundfile.write(folder / f"{name}.flac", (sound * gain).T, RATE, subtype="PCM_24")
    mix, vocals = (soundfile.read(folder / f"{name}.flac", dtype="float32")[0].T for name in ("mix", "vocals"))
    return mix, vocals


def rules_to_compare() -> dict[str, ArbitrationRules]:
    """The rules as they are, and others beside them."""
    rules = ArbitrationRules()
    never_clear = replace(rules, clear_db=float("inf"))
    return {
        "auto": rules,
        "auto, 15 dB": replace(rules, clear_db=15.0),
        "auto, 5 dB": replace(rules, clear_db=5.0),
        "always all": never_clear,
        "no pauses": replace(never_clear, pause=float("inf")),
        "agreement only": replace(never_clear, confidence=0.0),
        "confidence first": replace(never_clear, confidence=1.0),
        "three blends": replace(never_clear, others=AUDIOS[2:]),
        "vocals, 20 %": replace(never_clear, others=("vocals", "blend-20")),
    }


def text_by(region: HeardRegion, rules: ArbitrationRules) -> str:
    """What a rule makes of a region's hearings."""
    first = region.hearings["mix"]
    surest = min((segment.average_log_probability or 0.0 for segment in first), default=0.0)
    if region.voices_over_music_db >= rules.clear_db and surest >= rules.unsure:
        return _text(first)
    hearings = {audio: region.hearings[audio] for audio in rules.others}
    return _text(chosen(hearings, arbitrate(hearings, rules)))


def table(found: Mapping[str, tuple[Mixture, list[HeardRegion]]]) -> list[dict[str, float | str]]:
    """Word error rates in per cent: a row a mixture, a column an audio or a rule."""
    rows: list[dict[str, float | str]] = []
    for name, (mixture, regions) in found.items():
        texts = {audio: " ".join(_text(region.hearings[audio]) for region in regions) for audio in AUDIOS}
        for rule, rules in rules_to_compare().items():
            texts[rule] = " ".join(text_by(region, rules) for region in regions)
        rates = {column: 100 * (word_errors(mixture.reference, text).wer or 0.0) for column, text in texts.items()}
        rows.append({"mixture": name, **rates})
    return rows


def _text(segments: tuple[Segment, ...]) -> str:
    return " ".join(segment.text for segment in segments)


def _at_speech_rate(sound: Array) -> Array:
    return Resampler(RATE, SAMPLE_RATE, 1).push(sound.mean(axis=0, keepdims=True), last=True)[0].astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--cache", type=Path, required=True, help="where sound and hearings are kept")
    parser.add_argument("--json", type=Path, help="write the table here")
    asked = parser.parse_args()
    asked.cache.mkdir(parents=True, exist_ok=True)
    found = {}
    for mixture in mixtures(asked.corpus):
        found[mixture.name] = mixture, heard(mixture, asked.cache)
        print(f"{mixture.name}: {len(found[mixture.name][1])} regions", flush=True)
    rows = table(found)
    columns = [column for column in rows[0] if column != "mixture"]
    means = {column: sum(float(row[column]) for row in rows) / len(rows) for column in columns}
    for row in [*rows, {"mixture": "mean", **means}]:
        print(f"{row['mixture']!s:22}", "  ".join(f"{column} {float(row[column]):.1f}" for column in columns))
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
