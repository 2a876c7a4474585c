"""The export, written word by word, is what would be written at once."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from random import Random

import pytest

from stemscribe.audio.mix import MixInfo
from stemscribe.jobs.job import Job
from stemscribe.pipeline.stage import StageContext
from stemscribe.pipeline.stages.export import Export
from stemscribe.pipeline.stages.speech_detection import Regions
from stemscribe.records import read_record, to_json, write_record
from stemscribe.rows import write_rows
from stemscribe.speech.ledger import Doubtful, Entry, Ledger
from stemscribe.speech.recognition import Dropped, Recognition
from stemscribe.speech.regions import Voiced
from stemscribe.subtitles import cues, srt, text, vtt
from stemscribe.subtitles.cues import cues_of
from stemscribe.transcript import Segment, Transcript, Word

OFFSET = 1.25
JOB = Job("job", "/films/a film.mkv", "", "transcribe", "en", "", "")


def talk(segments: int, pause: float = 3.0) -> tuple[Segment, ...]:
    """Segments that follow each other closely, some of them a little out of order, with a pause after every fourth."""
    random, time, said = Random(0), 0.0, []
    for _ in range(segments):
        words = []
        for _ in range(random.randint(1, 9)):
            words.append(Word(time, time + 0.3, random.choice([" well,", " the", " end.", " और", " क्षमा।"]), 0.9))
            time += random.choice([0.3, 0.35, 0.8])
        said.append(Segment(words[0].start, words[-1].end, "".join(word.text for word in words), "en", tuple(words)))
        time += random.choice([0.0, 0.2, -0.5, pause])
    for index in range(0, segments - 4, 7):  # some ten seconds later than they were said
        said[index], said[index + 4] = said[index + 4], said[index]
    return tuple(said)


def exported(folder: Path) -> dict[str, Path]:
    """What the stage makes of `segments.json`, `regions.json` and `mix.json` in a folder."""
    outputs = {name: folder / f"transcript.{name}" for name in ("transcript", "srt", "vtt", "text", "ledger")}
    inputs = {name: folder / f"{name}.json" for name in ("segments", "regions", "mix_info")}
    if not inputs["regions"].exists():
        write_record(inputs["regions"], Regions((), (), (Voiced(0.0, 1000.0, 0.9, -3.0),)))
    write_record(inputs["mix_info"], MixInfo(1, 44100, 0.0, 1.0, 1.0, 1.0, 0, "", OFFSET, 0, 0))
    Export().run(StageContext(JOB, inputs, outputs, {}, folder, folder, lambda progress: None))
    return outputs


@pytest.mark.parametrize("segments", [0, 1, 400])
@pytest.mark.parametrize("enough", [3, 500])
def test_one_by_one_equals_at_once(tmp_path: Path, segments: int, enough: int, monkeypatch: pytest.MonkeyPatch) -> None:
    said = talk(segments)
    found = Recognition("en", 0.9, "whisper-base", said, tuple(Dropped(one, "no words") for one in said[:3]))
    write_record(tmp_path / "segments.json", found)
    wanted = Transcript("en", said, model="whisper-base", media="a film.mkv").on_film_clock(OFFSET)
    shown = cues_of(wanted)
    monkeypatch.setattr(cues, "_ENOUGH", enough)
    made = exported(tmp_path)
    assert made["transcript"].read_bytes() == to_json(wanted)
    assert made["srt"].read_text(encoding="utf-8") == srt.render(shown)
    assert made["vtt"].read_text(encoding="utf-8") == vtt.render(shown)
    assert made["text"].read_text(encoding="utf-8") == text.render(wanted)


def test_memory_does_not_grow_with_what_is_said(tmp_path: Path) -> None:
    """As Python objects, a segment of these takes five thousand bytes."""

    def peak(segments: int) -> int:
        folder = tmp_path / f"{segments}"
        folder.mkdir()
        write_rows(folder / "segments.json", Recognition("en", None, "m", (), ()), segments=talk(segments, pause=0.4))
        tracemalloc.start()
        exported(folder)
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return taken

    peak(10)
    assert peak(500) <= peak(250) + 300_000


def test_every_voice_is_accounted_for_on_the_films_clock(tmp_path: Path) -> None:
    said = Segment(1.0, 3.0, " one two", "en", (Word(1.0, 2.0, " one", 0.9), Word(2.0, 3.0, " two", 0.9)))
    invented = Segment(40.0, 41.0, " Thanks.", "en", (Word(40.0, 41.0, " Thanks.", 0.4),))
    sung = Dropped(Segment(20.0, 22.0, " \u266a", "en"), "no words")
    write_record(tmp_path / "segments.json", Recognition("en", None, "whisper-base", (said, invented), (sung,)))
    voiced = (Voiced(1.0, 3.1, 0.98, -2.0), Voiced(10.0, 12.0, 0.97, -4.0), Voiced(20.0, 22.0, 0.3, -6.0))
    write_record(tmp_path / "regions.json", Regions((), (), voiced))
    path = exported(tmp_path)["ledger"]
    assert read_record(path, Ledger) == Ledger(
        coverage=0.672131,
        voiced_seconds=6.1,
        transcribed_seconds=2.1,
        not_speech_seconds=2.0,
        gap_seconds=2.0,
        gaps=1,
        doubtful_words=1,
        entries=(
            Entry(2.25, 4.35, "transcribed", "", "2 words", 0.98, -2.0),
            Entry(11.25, 13.25, "gap", "", "probability of speech up to 0.97; nothing was heard", 0.97, -4.0),
            Entry(
                21.25,
                23.25,
                "not_speech",
                "sung",
                "probability of speech at most 0.30; “\u266a” was heard, and dropped: no words",
                0.3,
                -6.0,
            ),
        ),
        doubtful=(Doubtful(41.25, 42.25, "Thanks."),),
    )
    assert path.read_bytes() == to_json(read_record(path, Ledger))
