"""The rehearsal: what cannot work fails before the work, and what will not fit is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
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
    said = r"Model htdemucs alone takes 174\.3 MB of memory or more, and --max-ram allows 100\.0 MB\."
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
    folder = make(tmp_path, film, engine="torch", separation_model="own")
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
    (kept,) = (tmp_path / "out" / rehearsal.CACHE).glob("*.json")
    assert json.loads(kept.read_text())["disk_bytes"] == told.disk_bytes
    before = kept.stat().st_mtime_ns
    runner.run(again, models, tmp_path / "venv")
    assert [path.stat().st_mtime_ns for path in kept.parent.glob("*.json")] == [before], "it was rehearsed again"
    assert not list(folder.path.glob(".rehearsal-*"))


def test_a_worker_whose_asker_has_died_before_it_came_to_ask_ends(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    request = worker.Request(gone.pid, str(tmp_path / "job"), str(tmp_path / "models"), {}, str(tmp_path / "venv"))
    command = [sys.executable, "-I", "-m", "stemscribe.pipeline.worker"]
    done = subprocess.run(command, input=msgspec.json.encode(request), capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == b""
