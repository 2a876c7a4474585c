"""The rehearsal: what cannot work fails before the work, and what will not fit is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest

from fakes import tone, write_film
from stemscribe.audio.probe import identity
from stemscribe.errors import MediaError, StageError, StemscribeError, StorageError
from stemscribe.jobs.folder import JobFolder, create
from stemscribe.jobs.job import Job, Options
from stemscribe.jobs.manifest import StageRecord
from stemscribe.models.sources import File
from stemscribe.models.spec import ModelFile, ModelSpec, load_catalog
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import rehearsal, runner, worker
from stemscribe.pipeline.engines import STEMS
from stemscribe.pipeline.rehearsal import Expectation, Rehearsal, check_fits
from stemscribe.pipeline.reporter import Event, JobFailed, Rehearsed, StageProgressed, StageStarted
from stemscribe.pipeline.resources import available_memory, peak_memory
from stemscribe.pipeline.stage import Progress
from stemscribe.pipeline.workflows import workflow_named
from stemscribe.records import sha256_of

Usage = namedtuple("Usage", "total used free")
GB = 10**9
posix = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mkv", [(tone(12), "eng")])


def make(tmp_path: Path, film: Path, **options: object) -> JobFolder:
    job = Job("", str(film), identity(film), "separate", "en", "", "", Options(**options))  # type: ignore[arg-type]
    return create(tmp_path / "out", job)


@pytest.fixture
def folder(tmp_path: Path, film: Path) -> JobFolder:
    return make(tmp_path, film)


def rehearse(folder: JobFolder, models: ModelStore, venvs: Path) -> tuple[list[Event], StemscribeError | None]:
    """Run a job that is to fail before its first stage; what was told, and the error."""
    events: list[Event] = []
    try:
        runner.run(folder, models, venvs, events.append)
    except StemscribeError as error:
        return events, error
    return events, None


def test_what_will_not_fit_on_the_disk_is_refused_with_numbers(
    folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Expectation(7200.0, 3600.0, 1, 5 * GB)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9 * GB, 0, 2 * GB))
    with pytest.raises(StorageError, match=r"This job needs 5\.0 GB on the disk of .*out, and 2\.0 GB are free\."):
        check_fits(folder, expected)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9 * GB, 0, 5 * GB))
    check_fits(folder, expected)


def test_what_a_job_has_on_the_disk_already_is_not_asked_for_again(
    folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9 * GB, 0, 400_000))
    with (folder.path / "windows.f32").open("wb") as file:
        file.truncate(600_000)
    check_fits(folder, Expectation(60.0, 60.0, 1, 1_000_000))


def test_once_there_are_stems_no_space_is_asked_for(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9 * GB, 0, 0))
    done = StageRecord("completed", "", 1, "")
    folder.manifest = folder.manifest.with_stage("source_separation", done)
    check_fits(folder, Expectation(60.0, 60.0, 1, 1_000_000))


def test_a_job_without_its_film_is_rehearsed_on_its_mix(
    tmp_path: Path, folder: JobFolder, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing needs the film once it is decoded, so it may stay behind when the job is handed to another machine."""
    mix = folder.path / "01_demux" / "mix.wav"
    mix.parent.mkdir()
    shutil.copyfile(write_film(tmp_path / "mix.wav", [(tone(9), "eng")]), mix)
    record = StageRecord("completed", "", 1, "", artefacts=(folder.record_of("mix", mix),))
    folder.manifest = folder.manifest.with_stage("demux", record)
    seen: list[Job] = []

    def in_process(self: Rehearsal, place: Path) -> rehearsal.Answer:
        seen.append(JobFolder(place).job)
        return rehearsal.Answer(pace={"windows": 1.0}, stride=6.0)

    monkeypatch.setattr(Rehearsal, "_in_process", in_process)
    models = ModelStore(tmp_path / "models", load_catalog())
    job = replace(folder.job, options=replace(folder.job.options, engine="onnx", start_time=3.0))
    for change in (lambda: None, lambda: film.write_bytes(b"another"), film.unlink):
        change()
        expected = Rehearsal(folder, job, workflow_named("separate"), models, tmp_path).expectation(fresh=True)
        assert expected.film == pytest.approx(9.0, abs=0.1)
    assert [Path(each.media).name for each in seen] == ["film.mkv", "mix.wav", "mix.wav"]
    assert seen[0].options.start_time >= 3.0


def test_what_two_stages_do_with_each_region_takes_the_time_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, answer = [0.0], worker.Answer()
    monkeypatch.setattr(worker.time, "monotonic", lambda: clock[0])
    watch = worker._Watch(answer)
    for stage, unit, seconds in (
        ("separation", "windows", 4.0),
        ("asr", "regions", 3.0),
        ("translation", "regions", 2.0),
    ):
        watch(StageStarted(stage, 0, 3))
        for done in range(3):
            watch(StageProgressed(stage, Progress(done, 2, unit, 0.0)))
            clock[0] += seconds
    assert answer.pace == {"windows": 4.0, "regions": 5.0}


def test_what_will_not_fit_in_memory_is_refused_with_numbers(
    folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "available_memory", lambda: GB)
    with pytest.raises(StageError, match=r"This job needs 3\.0 GB of memory, and 1\.0 GB are available\."):
        check_fits(folder, Expectation(60.0, 60.0, 3 * GB, 1))


def test_what_is_more_than_the_job_may_take_is_refused_with_both_numbers(folder: JobFolder) -> None:
    needs = Expectation(60.0, 60.0, 3 * GB, 1)
    check_fits(folder, needs, 3 * GB)
    with pytest.raises(
        StageError, match=r"This job needs 3\.0 GB of memory, and --max-ram allows 2\.0 GB\."
    ) as refused:
        check_fits(folder, needs, 2 * GB)
    assert "--engine onnx" in refused.value.hint
    assert "--force" in refused.value.hint


def test_a_model_that_alone_is_too_large_is_refused_before_it_is_fetched(
    folder: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(ModelStore, "fetch", lambda self, name: fetched.append(name) or tmp_path)
    monkeypatch.setattr(Rehearsal, "_run", lambda self, start: pytest.fail("it was rehearsed"))
    models = ModelStore(tmp_path / "models", load_catalog())
    said = r"Model htdemucs-onnx alone takes 187\.0 MB of memory or more, and --max-ram allows 100\.0 MB\."
    with pytest.raises(StageError, match=said):
        runner.run(folder, models, tmp_path, rules=runner.Rules(max_memory=10**8))
    assert fetched == []


def test_a_rehearsal_stays_within_what_the_job_may_take_unless_somebody_insists(
    folder: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int | None] = []

    def in_process(self: Rehearsal, place: Path) -> rehearsal.Answer:
        limits.append(self.max_memory)
        return rehearsal.Answer(peak_bytes=takes)

    monkeypatch.setattr(Rehearsal, "_in_process", in_process)
    monkeypatch.setattr(ModelStore, "fetch", lambda self, name: tmp_path)
    models = ModelStore(tmp_path / "models", load_catalog())
    takes, rules = GB, runner.Rules(max_memory=2 * GB)
    assert runner.rehearse(folder, models, tmp_path, rules=rules).memory_bytes > GB
    takes = 3 * GB
    with pytest.raises(StageError, match=r"needs 3\.\d GB of memory, and --max-ram allows 2\.0 GB"):
        runner.rehearse(folder, models, tmp_path, rules=rules)
    assert runner.rehearse(folder, models, tmp_path, rules=replace(rules, force=True)).memory_bytes > takes
    assert limits == [2 * GB, 2 * GB, None]


def test_a_container_has_no_more_memory_than_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 200000\n")
    assert available_memory(tmp_path) == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(tmp_path) > 10**8
    assert peak_memory() > 10**7


def test_the_key_follows_what_a_rehearsal_depends_on(tmp_path: Path, film: Path, folder: JobFolder) -> None:
    models, venvs = ModelStore(tmp_path / "models", load_catalog()), tmp_path / "venv"

    def key(job: Job) -> str:
        return Rehearsal(folder, job, workflow_named(job.workflow), models, venvs).key()

    job = replace(folder.job, options=replace(folder.job.options, engine="onnx"))
    with_torch = replace(job, options=replace(job.options, engine="torch", separation_model="htdemucs-torch"))
    same = key(job)
    assert key(replace(job, id="other", media="elsewhere")) == same
    (venvs / "demucs" / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    assert key(job) == same, "an environment that is not used does not count"
    before = key(with_torch)
    (venvs / "demucs" / "lib" / "python3.11" / "site-packages" / "numpy.py").touch()
    different = {
        same,
        before,
        key(with_torch),
        key(replace(job, media_identity="another film")),
        key(replace(job, options=replace(job.options, stem_format="mp3"))),
    }
    assert len(different) == 5


@posix
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("kill -9 $$", r"The rehearsal was killed, most likely because memory ran out \([\d.]+ GB are available\)\."),
        ("echo boom >&2; exit 7", r"The rehearsal ended with exit code 7: boom\."),
        ("exec sleep 60", r"The rehearsal had not ended after 1 s, and was stopped\."),
    ],
)
def test_a_rehearsal_that_crashes_takes_nothing_with_it(
    folder: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(rehearsal, "TIME_LIMIT", 1.0)
    monkeypatch.setattr(ModelStore, "fetch", lambda self, name: tmp_path)
    events, error = rehearse(folder, ModelStore(tmp_path / "models", load_catalog()), tmp_path / "venv")
    with pytest.raises(StageError, match=message):
        raise error or AssertionError("it ran")
    assert not [event for event in events if isinstance(event, StageStarted)]
    assert isinstance(events[-1], JobFailed)
    assert not list(folder.path.glob(".rehearsal*"))
    assert folder.manifest.stages == {}


def test_a_torch_environment_without_torch_fails_before_the_first_stage(tmp_path: Path, film: Path) -> None:
    """The worker is real, and so is the Python that it runs under; only torch is not there."""
    weights = tmp_path / "weights"
    weights.write_bytes(b"never read")
    file = ModelFile(name="a.safetensors", sources=(File(str(weights)),), sha256=sha256_of(weights), size=10)
    spec = ModelSpec("own", "demucs_torch", "One", "MIT", "https://example.org", (file,), stems=STEMS["four"])
    models = ModelStore(tmp_path / "models", {"own": spec})
    place = tmp_path / "venv" / "demucs" / "bin"
    place.mkdir(parents=True)
    (place / "python").symlink_to(sys.executable)
    (place.parent / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    folder = make(tmp_path, film, engine="torch", separation_model="own", gate="off")
    events, error = rehearse(folder, models, tmp_path / "venv")
    assert error is not None
    assert error.message.startswith("The rehearsal failed in source_separation: The environment of torch is damaged: ")
    assert "No module named" in error.message
    assert "stemscribe doctor --env demucs --fix" in error.hint
    assert not [event for event in events if isinstance(event, StageStarted)]


def rehearsed_at(monkeypatch: pytest.MonkeyPatch, *works: float) -> list[float]:
    """Lets the rehearsal work at these times of the film only; returns the list of those that will be tried."""
    tried: list[float] = []

    def run(self: Rehearsal, start: float) -> rehearsal.Answer:
        tried.append(start)
        fails = rehearsal.Answer(failed_stage="demux", message="There is no sound.")
        return rehearsal.Answer() if any(start == pytest.approx(time, abs=0.1) for time in works) else fails

    monkeypatch.setattr(Rehearsal, "_run", run)
    return tried


def prepared(tmp_path: Path, film: Path, **options: object) -> Rehearsal:
    folder = make(tmp_path, film, engine="onnx", **options)
    models = ModelStore(tmp_path / "models", load_catalog())
    return Rehearsal(folder, folder.job, workflow_named("separate"), models, tmp_path)


def test_a_film_without_sound_in_the_middle_is_rehearsed_where_sound_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: Path
) -> None:
    tried = rehearsed_at(monkeypatch, 0.0)
    prepared(tmp_path, film).expectation()
    assert tried == pytest.approx([4.0, 0.0], abs=0.05)


def test_a_film_whose_sound_begins_late_is_rehearsed_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it decoded up to its middle, where its container could not seek."""
    late = write_film(tmp_path / "late.ts", [(tone(8), "eng")], codec="mp2", start=4.0, with_video=True)
    tried = rehearsed_at(monkeypatch, 4.0)
    prepared(tmp_path, late).expectation()
    assert tried == pytest.approx([0.0, 4.0], abs=0.1)


def test_a_film_without_any_sound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: Path) -> None:
    rehearsed_at(monkeypatch)
    with pytest.raises(MediaError, match=r"The rehearsal failed in demux: There is no sound\."):
        prepared(tmp_path, film).expectation()


def test_an_end_beyond_the_film_needs_no_more_than_the_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, film: Path
) -> None:
    rehearsed_at(monkeypatch, 4.0)
    assert prepared(tmp_path, film, end_time=10_000.0).expectation().film == pytest.approx(12.0, abs=0.1)


def test_a_rehearsal_that_fails_does_not_keep_those_who_insist(
    folder: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rehearsal, "_run", lambda self, start: rehearsal.Answer(message="It is broken."))
    monkeypatch.setattr(ModelStore, "fetch", lambda self, name: tmp_path)
    models, events = ModelStore(tmp_path / "models", load_catalog()), []
    with pytest.raises(StageError, match=r"It is broken\."):
        runner.run(folder, models, tmp_path, events.append)
    assert not [event for event in events if isinstance(event, StageStarted)]
    with pytest.raises(StemscribeError):  # its model is not there, but it began
        runner.run(folder, models, tmp_path, events.append, runner.Rules(force=True))
    assert [event for event in events if isinstance(event, StageStarted)]


@pytest.mark.models
@pytest.mark.slow
def test_a_job_is_rehearsed_once_and_told_what_it_needs(tmp_path: Path, film: Path, models_dir: Path) -> None:
    models = ModelStore(models_dir, load_catalog(), offline=True)
    folder = make(tmp_path, film, engine="onnx")
    events: list[Event] = []
    runner.run(folder, models, tmp_path / "venv", events.append)
    (told,) = [event for event in events if isinstance(event, Rehearsed)]
    assert told.film == pytest.approx(12.0, abs=0.1)
    assert 1.0 < told.seconds < 120.0
    assert 5e8 < told.memory_bytes < 6e9
    samples = 12 * 44100 * 2
    assert told.disk_bytes == pytest.approx(samples * (3 + 4 * 4 / 3 + 2 * 2), rel=0.01)
    on_disk = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
    assert on_disk < told.disk_bytes
    again = make(tmp_path, film, engine="onnx")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / rehearsal.CACHE).glob("*.json")}
    by_film, by_kind = sorted((json.loads(path.read_text()) for path in kept), key=lambda record: "pace" in record)
    assert by_film["disk_bytes"] == told.disk_bytes
    assert by_kind["pace"].keys() == {"s", "windows"}
    runner.run(again, models, tmp_path / "venv")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "it was rehearsed again"
    assert not list(folder.path.glob(".rehearsal-*"))


def test_a_worker_whose_asker_has_died_before_it_came_to_ask_ends(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    request = worker.Request(gone.pid, str(tmp_path / "job"), str(tmp_path / "models"), {}, str(tmp_path / "venv"))
    command = [sys.executable, "-I", "-m", "stemscribe.pipeline.worker"]
    done = subprocess.run(command, input=msgspec.json.encode(request), capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == b""


HOUR = 3600.0


@dataclass
class Rehearsals:
    """Rehearsals that find out this, and their number."""

    answer: rehearsal.Answer
    times: int = 0


@pytest.fixture
def rehearsals(monkeypatch: pytest.MonkeyPatch) -> Rehearsals:
    """All take two seconds a window of six seconds: a second of film takes a third of one, and a little more."""
    made = Rehearsals(rehearsal.Answer(pace={"windows": 2.0}, stride=6.0, peak_bytes=10**6))

    def run(self: Rehearsal, start: float) -> rehearsal.Answer:
        made.times += 1
        return made.answer

    monkeypatch.setattr(Rehearsal, "_run", run)
    return made


def lasting(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Films that are taken to be so long."""
    monkeypatch.setattr(rehearsal, "_length", lambda film, job: seconds)


def another(tmp_path: Path) -> Path:
    path = tmp_path / "another.mkv"
    return path if path.exists() else write_film(path, [(tone(5, hertz=300), "eng")])


def test_a_second_short_job_of_a_kind_is_measured_by_the_first_one(
    tmp_path: Path,
    film: Path,
    rehearsals: Rehearsals,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    lasting(monkeypatch, 600.0)
    first = prepared(tmp_path, film).expectation()
    assert (rehearsals.times, first.seconds) == (1, pytest.approx(206.0))
    lasting(monkeypatch, 60.0)
    caplog.clear()
    with caplog.at_level("INFO", logger="stemscribe"):
        second = prepared(tmp_path, another(tmp_path)).expectation()
    assert rehearsals.times == 1
    assert (second.film, second.seconds) == (60.0, pytest.approx(20.6))
    assert second.memory_bytes == first.memory_bytes
    assert second.disk_bytes == pytest.approx(first.disk_bytes / 10)
    assert caplog.messages == [f"not rehearsed, because another job like it was a while ago: {second}"]


@pytest.mark.parametrize(("film_seconds", "times"), [(870.0, 1), (880.0, 2), (0.0, 2)])
def test_a_long_job_is_rehearsed_whatever_was_before_and_so_is_one_of_unknown_length(
    tmp_path: Path,
    film: Path,
    rehearsals: Rehearsals,
    monkeypatch: pytest.MonkeyPatch,
    film_seconds: float,
    times: int,
) -> None:
    """870 s of film are expected to take 299 s."""
    prepared(tmp_path, film).expectation()
    lasting(monkeypatch, film_seconds)
    prepared(tmp_path, another(tmp_path)).expectation()
    assert rehearsals.times == times


@pytest.mark.parametrize(
    ("options", "times"),
    [
        ({"start_time": 1.0, "end_time": 3.0}, 1),  # another part of the film
        ({"gate": "off"}, 2),
        ({"quality": "fast"}, 2),
        ({"stems": "four"}, 2),
        ({"stem_format": "flac"}, 2),
        ({"threads": 1}, 2),
        ({"device": "cpu"}, 2),
    ],
)
def test_another_kind_of_job_is_rehearsed(
    tmp_path: Path, film: Path, rehearsals: Rehearsals, options: dict[str, object], times: int
) -> None:
    prepared(tmp_path, film).expectation()
    prepared(tmp_path, another(tmp_path), **options).expectation()
    assert rehearsals.times == times


def test_another_workflow_another_model_and_other_code_are_of_another_kind(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = prepared(tmp_path, film)
    kinds = {one.kind(), replace(one, job=replace(one.job, workflow="transcribe")).kind()}
    assert replace(one, job=replace(one.job, media_identity="another")).kind() in kinds
    kinds.add(replace(one, job=replace(one.job, source_language="de")).kind())  # English is not translated
    subtitle = replace(one, workflow=workflow_named("subtitle"))  # which may fail over the film itself, in the end
    kinds |= {subtitle.kind(), replace(subtitle, job=replace(one.job, media_identity="another")).kind()}
    specs = dict(one.models.catalog)
    (file,) = specs["htdemucs"].files
    changed = msgspec.structs.replace(file, sha256="0" * 64)
    specs["htdemucs"] = msgspec.structs.replace(specs["htdemucs"], files=(changed,))
    kinds.add(replace(one, models=ModelStore(tmp_path / "models", specs)).kind())
    monkeypatch.setattr(rehearsal, "stamp_of", lambda path: "newer")
    kinds.add(one.kind())
    assert len(kinds) == 7


@pytest.mark.parametrize(("age", "times"), [(23.9 * HOUR, 1), (24.1 * HOUR, 2), (-1 * HOUR, 2)])
def test_what_was_found_out_more_than_a_day_ago_is_found_out_again(
    tmp_path: Path, film: Path, rehearsals: Rehearsals, age: float, times: int
) -> None:
    """Nor does a time in the future count: a clock that was set back is no reason to believe it for years."""
    one = prepared(tmp_path, film)
    one.expectation()
    kept = tmp_path / "out" / rehearsal.CACHE / f"{one.kind()}.json"
    os.utime(kept, (time.time() - age,) * 2)
    prepared(tmp_path, another(tmp_path)).expectation()
    assert rehearsals.times == times


def test_who_asks_for_a_rehearsal_gets_one(tmp_path: Path, film: Path, rehearsals: Rehearsals) -> None:
    for _ in range(2):
        prepared(tmp_path, film).expectation(fresh=True)
        prepared(tmp_path, another(tmp_path)).expectation(fresh=True)
    assert rehearsals.times == 4


def test_what_was_kept_in_another_form_is_found_out_again(tmp_path: Path, film: Path, rehearsals: Rehearsals) -> None:
    one = prepared(tmp_path, film)
    one.expectation()
    (tmp_path / "out" / rehearsal.CACHE / f"{one.kind()}.json").write_text('{"pace": 3}')
    prepared(tmp_path, another(tmp_path)).expectation()
    assert rehearsals.times == 2


def test_a_rehearsal_that_failed_is_remembered_by_nobody(tmp_path: Path, film: Path, rehearsals: Rehearsals) -> None:
    works, rehearsals.answer = rehearsals.answer, rehearsal.Answer(message="It is broken.")
    with pytest.raises(StageError, match="It is broken"):
        prepared(tmp_path, film).expectation()
    rehearsals.answer = works
    prepared(tmp_path, another(tmp_path)).expectation()
    assert rehearsals.times == 2


def test_a_job_that_is_not_rehearsed_is_still_told_of_and_refused_where_it_will_not_fit(
    tmp_path: Path, film: Path, rehearsals: Rehearsals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelStore, "fetch", lambda self, name: tmp_path)
    models = ModelStore(tmp_path / "models", load_catalog())
    rehearsals.answer = replace(rehearsals.answer, peak_bytes=GB)
    runner.rehearse(make(tmp_path, film, engine="onnx"), models, tmp_path)
    second = make(tmp_path, another(tmp_path), engine="onnx")
    events: list[Event] = []
    with pytest.raises(StageError, match=r"needs 1\.\d GB of memory, and --max-ram allows 500\.0 MB") as refused:
        runner.run(second, models, tmp_path, events.append, runner.Rules(max_memory=GB // 2))
    assert [type(event) for event in events[-2:]] == [Rehearsed, JobFailed]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9 * GB, 0, 1000))
    with pytest.raises(StorageError, match=r"This job needs 5\.\d MB on the disk of .*out, and 0\.0 MB are free\."):
        runner.run(second, models, tmp_path, events.append)
    assert not [event for event in events if isinstance(event, StageStarted)]
    assert rehearsals.times == 1
    assert refused.value.hint
