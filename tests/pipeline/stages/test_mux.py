"""The film with its subtitles, as a stage of a job."""

from __future__ import annotations

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import av
import pytest

from fakes import tone, write_film
from stemscribe.audio.probe import identity
from stemscribe.errors import MediaError, StageError, StorageError
from stemscribe.jobs.folder import create
from stemscribe.jobs.job import Job, Options
from stemscribe.models.spec import load_catalog
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import runner
from stemscribe.pipeline.engines import STEMS
from stemscribe.pipeline.prepare import Request, checked
from stemscribe.pipeline.receipt import dependencies
from stemscribe.pipeline.rehearsal import Rehearsal
from stemscribe.pipeline.stage import Artefact, Progress, StageContext
from stemscribe.pipeline.stages.mux import Mux
from stemscribe.pipeline.worker import Answer
from stemscribe.pipeline.workflows import Step, Workflow, workflow_named
from stemscribe.records import write_record
from stemscribe.transcript import Transcript

SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello.\n\n2\n00:00:07,000 --> 00:00:08,000\nGood-bye,\nthen.\n"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mkv", [(tone(10), "eng")], with_video=True)


def context(folder: Path, film: Path, *, srt: str = SRT, rehearsal: bool = False, **options: object) -> StageContext:
    """A stage's surroundings, in a job folder that has a transcript."""
    inputs = {"transcript": folder / "transcript.json", "srt": folder / "transcript.srt"}
    write_record(inputs["transcript"], Transcript("hi", (), "film", "whisper-base", film.name))
    inputs["srt"].write_text(srt, encoding="utf-8")
    home = folder / "job" / "mux"
    (home / ".draft").mkdir(parents=True)
    job = Job("job", str(film), identity(film), "subtitle", "hi", "", "", Options(**options))  # type: ignore[arg-type]
    (made,) = Mux().outputs(job.options)
    outputs = {"subtitled": home / ".draft" / made.file}
    told: list[Progress] = []
    return StageContext(job, inputs, outputs, {}, folder, folder, told.append, rehearsal)


def cues(path: Path) -> list[tuple[float, float, str]]:
    """Start on the film's clock, duration and text of what is shown."""
    with av.open(str(path)) as film:
        origin = (film.start_time or 0) / av.time_base
        return [
            (
                float(packet.pts * packet.time_base) - origin,
                float(packet.duration * packet.time_base),
                each.dialogue.decode().replace("\\N", "\n"),
            )
            for packet in film.demux(subtitles=0)
            if packet.size
            for each in packet.decode()
            if each.dialogue
        ]


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_the_cues_of_the_subtitle_file_are_in_the_film(tmp_path: Path, container: str) -> None:
    film = write_film(tmp_path / "film.mkv", [(tone(10), "eng")], codec="aac", start=5.0)
    surroundings = context(tmp_path, film, container=container)
    Mux().run(surroundings)
    made = surroundings.outputs["subtitled"]
    assert made.name == f"subtitled.{container}"
    (first, length, text), (second, _, other) = cues(made)
    assert (first, length, second) == pytest.approx((1.0, 1.5, 7.0), abs=0.001)
    assert (text, other) == ("Hello.", "Good-bye,\nthen.")
    with av.open(str(made)) as copy:
        stream = copy.streams.subtitles[0]
        assert stream.language == "hin"
        assert "Hindi (stemscribe)" in stream.metadata.values()


def test_no_cue_outlasts_the_film(tmp_path: Path, film: Path) -> None:
    late = "1\n00:00:09,000 --> 00:00:12,000\nHello.\n\n2\n00:00:12,100 --> 00:00:13,000\nToo late.\n"
    surroundings = context(tmp_path, film, srt=late)
    Mux().run(surroundings)
    ((start, length, text),) = cues(surroundings.outputs["subtitled"])
    assert (start, start + length, text) == (pytest.approx(9.0), pytest.approx(10.0, abs=0.03), "Hello.")


def test_progress_is_told_once_a_second(tmp_path: Path, film: Path) -> None:
    told: list[Progress] = []
    Mux().run(replace(context(tmp_path, film), progress=told.append))
    assert len(told) == 10
    assert [round(each.done) for each in told] == list(range(10))
    assert {(each.unit, round(each.total)) for each in told} == {("s", 10)}


def test_a_rehearsal_copies_its_own_seconds_only(tmp_path: Path, film: Path) -> None:
    surroundings = context(tmp_path, film, rehearsal=True, start_time=6.0, end_time=8.5)
    Mux().run(surroundings)
    with av.open(str(surroundings.outputs["subtitled"])) as part:
        times = [float(packet.pts * packet.time_base) for packet in part.demux(audio=0) if packet.size]
    assert 4.0 < min(times) < 6.1
    assert 8.0 < max(times) <= 8.5


def test_a_film_in_which_nobody_speaks_is_copied(tmp_path: Path, film: Path) -> None:
    surroundings = context(tmp_path, film, srt="")
    Mux().run(surroundings)
    assert cues(surroundings.outputs["subtitled"]) == []


def test_a_copy_for_which_there_is_no_room_is_not_begun(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surroundings = context(tmp_path, film)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, film.stat().st_size - 1))
    with pytest.raises(StorageError, match=r"A copy of film\.mkv takes \d\.\d MB, and \d\.\d MB are free"):
        Mux().run(surroundings)
    assert not surroundings.outputs["subtitled"].exists()


def test_a_film_in_the_folder_of_its_own_copy_is_left_alone(tmp_path: Path, film: Path) -> None:
    surroundings = context(tmp_path, film)
    home = surroundings.outputs["subtitled"].parent.parent
    inside = film.rename(home / "subtitled.mkv")
    with pytest.raises(StageError, match="lies where its own copy is to be written"):
        Mux().run(replace(surroundings, job=replace(surroundings.job, media=str(inside))))


def test_another_film_or_container_is_another_result(tmp_path: Path, film: Path) -> None:
    job = context(tmp_path, film).job
    others = [job, replace(job, media_identity="another"), replace(job, options=Options(container="mp4"))]
    inputs = {"transcript": "a", "srt": "b"}
    assert len({dependencies(Mux(), each, inputs, {}, tmp_path).fingerprint for each in others}) == 3
    moved = replace(job, media="/elsewhere/film.mkv")
    assert len({dependencies(Mux(), each, inputs, {}, tmp_path).fingerprint for each in (job, moved)}) == 1


class Words:
    """Says what `export` would."""

    name, version, depends_on, inputs = "words", 1, (), ()
    parameters: dict[str, object] = {}  # noqa: RUF012

    def packages(self, options: Options) -> dict[str, tuple[str, ...]]:
        return {}

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return Artefact("transcript", "transcript.json"), Artefact("srt", "transcript.srt")

    def models(self, options: Options) -> tuple[str, ...]:
        return ()

    def run(self, context: StageContext) -> None:
        write_record(context.outputs["transcript"], Transcript("hi", (), "film"))
        context.outputs["srt"].write_text(SRT, encoding="utf-8")


def test_a_job_whose_film_has_gone_says_so_before_anything_else(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other stages need the film no more once it is decoded; this one does."""
    workflow = Workflow("subtitle", "", (Step(Words(), "words"), Step(Mux(), "mux")))
    monkeypatch.setattr(runner, "workflow_named", lambda name: workflow)
    folder = create(tmp_path / "out", Job("", str(film), identity(film), "subtitle", "hi", "", ""))
    models, rules = ModelStore(tmp_path / "models", {}), runner.Rules(rehearse=False)
    run = Mux.run
    monkeypatch.setattr(Mux, "run", lambda self, context: pytest.fail("interrupted"))
    with pytest.raises(BaseException, match="interrupted"):
        runner.run(folder, models, tmp_path, rules=rules)
    monkeypatch.setattr(Mux, "run", run)
    away = film.rename(tmp_path / "away.mkv")
    assert folder.manifest.stage("words").status == "completed"
    with pytest.raises(MediaError, match="The film is not there any more"):
        runner.run(folder, models, tmp_path, rules=rules)
    assert folder.manifest.stage("mux").attempts == 1
    away.rename(film)
    made = runner.run(folder, models, tmp_path, rules=rules).artefacts["subtitled"]
    assert made == folder.path / "mux" / "subtitled.mkv"
    film.unlink()
    assert runner.run(folder, models, tmp_path, rules=rules).artefacts["subtitled"] == made, "it is all there"


def test_a_prepared_job_knows_its_container(tmp_path: Path, film: Path) -> None:
    catalog = load_catalog()
    asked = checked(Request(film, "subtitle"), catalog, tmp_path)
    assert asked.options.container == "mkv"
    assert checked(Request(film, "subtitle", options=Options(container="mp4")), catalog, tmp_path) != asked
    plain = checked(Request(film, "transcribe", options=Options(container="mp4")), catalog, tmp_path)
    assert plain.options.container == "auto", "what no stage asks for makes no other job"


def test_the_disk_must_hold_the_copy_as_well(tmp_path: Path, film: Path) -> None:
    def needed(workflow: str) -> int:
        job = replace(checked(Request(film, workflow), load_catalog(), tmp_path), id="job")
        folder = create(tmp_path / "out", job)
        models = ModelStore(tmp_path / "models", load_catalog())
        rehearsal = Rehearsal(folder, job, workflow_named(workflow), models, tmp_path)
        return rehearsal._expect(Answer()).disk_bytes

    plain = needed("transcribe")
    with film.open("ab") as file:  # 50 MB of nothing that Matroska minds
        file.truncate(film.stat().st_size + 50_000_000)
    samples = 10 * 44100 * 2
    journal = samples * 4 * len(STEMS["two"]) * 4 / 3
    assert needed("transcribe") == plain
    assert needed("subtitle") == pytest.approx(plain - journal + film.stat().st_size, rel=0.02)
