"""The main job, end to end: the clip that anyone may have, a film trailer, and a language with its own script."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import jiwer
import numpy as np
import pysubs2
import pytest
import soundfile

from .conftest import Workplace

pytestmark = [pytest.mark.models, pytest.mark.slow]


def words(text: str) -> list[str]:
    return re.sub(r"[^\w\s]", "", text.lower().replace("-", " ")).split()


def wer(reference: str, said: str) -> jiwer.WordOutput:
    return jiwer.process_words(" ".join(words(reference)), " ".join(words(said)))


@pytest.fixture(scope="module")
def clip_job(workplace: Workplace, clip: Path) -> Path:
    done = workplace.run("run", "--media", clip, "-s", "en")
    assert done.stdout.splitlines()[0].endswith("99_source_separation/vocals.wav")
    return workplace.job


def test_the_clip_says_what_kennedy_said(clip_job: Path) -> None:
    reference = (Path(__file__).parents[1] / "media" / "jfk_1961.txt").read_text(encoding="utf-8")
    said = (clip_job / "04_export" / "transcript.txt").read_text(encoding="utf-8")
    assert wer(reference, said).wer <= 0.10


def test_vocals_and_accompaniment_add_up_to_the_mix(clip_job: Path) -> None:
    stems = [
        soundfile.read(clip_job / "99_source_separation" / f"{name}.wav")[0] for name in ("vocals", "accompaniment")
    ]
    mix = soundfile.read(clip_job / "01_demux" / "mix.flac")[0]
    error = stems[0] + stems[1] - mix
    assert 10 * np.log10(np.sum(mix**2) / np.sum(error**2)) > 60


def test_the_log_has_the_lines_that_people_search_for(clip_job: Path) -> None:
    log = (clip_job / "pipeline.log").read_text(encoding="utf-8")
    for line in (
        r"\[INFO\] ▶️  Stage source_separation: STARTING$",
        r"\[INFO\] Running source separation\.\.\.$",
        r"\[INFO\] Processing audio with Demucs\.\.\.$",
        r"\[INFO\] ✓ Vocals extracted: out/job-\d{8}-\d{4}/99_source_separation/vocals\.wav$",
        r"\[INFO\] ✅ Stage source_separation: COMPLETED \(\d+\.\ds\)$",
    ):
        assert re.search(line, log, re.MULTILINE), line


def test_running_it_again_makes_nothing_again(workplace: Workplace, clip_job: Path, clip: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in clip_job.rglob("*.*") if path.suffix not in {".log", ".lock"}}
    done = workplace.run("run", "--media", clip, "-s", "en")
    assert done.stderr.count("SKIPPED (already completed)") == 5
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_second_workflow_on_the_same_film_does_not_separate_again(
    workplace: Workplace, clip_job: Path, clip: Path
) -> None:
    done = workplace.run("run", "--media", clip, "-s", "en", "--workflow", "separate")
    assert done.stderr.count(f"SKIPPED ({clip_job.name} made the same)") == 2
    assert "STARTING" not in done.stderr
    other = max((workplace.root / "out").glob("job-*"))
    assert other != clip_job
    for name in ("vocals.wav", "accompaniment.wav", "separation.json"):
        mine, theirs = (job / "99_source_separation" / name for job in (other, clip_job))
        assert mine.read_bytes() == theirs.read_bytes()
    shutil.rmtree(other)


def test_subtitles_can_be_played(clip_job: Path) -> None:
    for name in ("transcript.srt", "transcript.vtt"):
        cues = pysubs2.load(str(clip_job / "04_export" / name), encoding="utf-8")
        assert len(cues) >= 2
        for before, after in pairwise(cues):
            assert before.start < before.end <= after.start
        for cue in cues:
            assert cue.end - cue.start >= 700
            assert all(len(line) <= 42 for line in cue.plaintext.split("\n"))
            assert cue.plaintext.count("\n") <= 1


def test_a_start_time_moves_no_word(workplace: Workplace, clip_job: Path, clip: Path) -> None:
    done = workplace.run("run", "--media", clip, "-s", "en", "--start-time", "3.5", "--end-time", "0:16", "--json")
    last = json.loads(done.stdout.splitlines()[-1])
    folder = workplace.root / "out" / last["job"]
    info = json.loads((folder / "01_demux" / "mix.json").read_text())
    assert info["offset"] == pytest.approx(3.5, abs=0.03)
    assert info["frames"] == pytest.approx(12.5 * 44100, abs=0.03 * 44100)

    def times(job: Path) -> dict[str, float]:
        transcript = json.loads((job / "04_export" / "transcript.json").read_text(encoding="utf-8"))
        assert transcript["clock"] == "film"
        return {word["text"]: word["start"] for part in transcript["segments"] for word in part["words"]}

    whole, cut = times(clip_job), times(folder)
    shared = [text for text in whole if text in cut]
    assert len(shared) >= 8
    assert np.median([abs(whole[text] - cut[text]) for text in shared]) < 0.15


def test_all_lines_of_a_trailer_and_nothing_invented(workplace: Workplace, corpus: Path) -> None:
    film = corpus / "video" / "sintel_trailer.mp4"
    done = workplace.run("run", "--media", film, "-s", "en", "--new")
    said = (workplace.root / done.stdout.splitlines()[-1]).read_text(encoding="utf-8")
    found = wer((corpus / "video" / "sintel_trailer.txt").read_text(encoding="utf-8"), said)
    recall = found.hits / (found.hits + found.substitutions + found.deletions)
    assert recall >= 0.8
    assert found.insertions <= 3
    for phrase in ("land of the gatekeepers", "searching for someone", "dangerous quest", "as long as i can remember"):
        assert phrase in " ".join(words(said))


def test_hindi_runs_through_and_is_valid_utf_8(workplace: Workplace, corpus: Path) -> None:
    film = min((corpus / "speech" / "hi").glob("*.flac"), key=lambda path: path.stat().st_size)
    done = workplace.run("run", "--media", film, "-s", "hi", "--end-time", "20", "--new")
    exported = (workplace.root / done.stdout.splitlines()[-1]).parent
    for path in exported.glob("transcript.*"):
        assert path.read_bytes().decode("utf-8").strip()
    assert json.loads((exported / "transcript.json").read_text(encoding="utf-8"))["language"] == "hi"


def test_many_files_are_separated_into_folders(workplace: Workplace, clip: Path, tmp_path: Path) -> None:
    done = workplace.run(
        "separate", clip, "-o", tmp_path, "--end-time", "4", "--stems", "four", "--stem-format", "flac"
    )
    names = sorted(path.name for path in (tmp_path / "test").iterdir())
    assert names == ["bass.flac", "drums.flac", "other.flac", "separation.json", "vocals.flac"]
    assert len(done.stdout.splitlines()) == 5
