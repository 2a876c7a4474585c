import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from stemscribe.errors import JobLocked, JobNotFound, RecordError, StorageError
from stemscribe.jobs.folder import JobFolder, all_jobs, create, find
from stemscribe.jobs.job import Job, Options
from stemscribe.jobs.manifest import ArtefactRecord, Manifest, StageRecord

JOB = Job("", "/films/film.mkv", "abc", "transcribe", "hi", "2026-11-22T00:00:00+00:00", "0.1.0")


def test_jobs_are_numbered(tmp_path: Path) -> None:
    names = [create(tmp_path / "out", JOB).path.name for _ in range(3)]
    assert [name[-5:] for name in names] == ["-0001", "-0002", "-0003"]
    assert [folder.path.name for folder in all_jobs(tmp_path / "out")] == names
    assert [folder.job.id for folder in all_jobs(tmp_path / "out")] == names


def test_the_request_is_kept_as_it_was(tmp_path: Path) -> None:
    folder = create(tmp_path, JOB)
    assert folder.job.asks_the_same_as(JOB)
    assert not folder.job.asks_the_same_as(
        Job("", "/films/film.mkv", "abc", "transcribe", "hi", "", "", Options(model="x"))
    )


def _create(out: Path) -> str:
    return create(out, JOB).path.name


def test_two_at_once_get_two_numbers(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        names = list(pool.map(_create, [tmp_path] * 12))
    assert len(set(names)) == 12
    assert all(folder.job.id == folder.path.name for folder in all_jobs(tmp_path))


def test_a_job_is_found_by_its_id_and_by_its_folder(tmp_path: Path) -> None:
    folder = create(tmp_path, JOB)
    moved = folder.path.rename(tmp_path / "elsewhere")
    assert find(tmp_path, str(moved)).path == moved
    assert find(tmp_path, "elsewhere").path == moved


def test_a_name_that_no_file_can_have_is_that_of_no_job(tmp_path: Path) -> None:
    with pytest.raises(JobNotFound):
        find(tmp_path, "x" * 5000)


def test_a_job_that_is_not_there_is_said_with_the_latest_that_is(tmp_path: Path) -> None:
    with pytest.raises(JobNotFound, match="There is none yet"):
        find(tmp_path, "job-20260101-0001")
    latest = create(tmp_path, JOB).path.name
    with pytest.raises(JobNotFound, match=f"The latest is {latest}"):
        find(tmp_path, "job-20260101-0001")


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="root and Windows may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        create(tmp_path / "out", JOB)


def test_a_file_in_the_way_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(StorageError, match="Could not write"):
        create(tmp_path / "out", JOB)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def _hold(path: Path, ready: multiprocessing.Event) -> None:  # type: ignore[valid-type]
    with JobFolder(path).locked():
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_a_lock_keeps_others_off_and_goes_with_its_holder(tmp_path: Path) -> None:
    folder = create(tmp_path, JOB)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(folder.path, ready))
    holder.start()
    assert ready.wait(30)
    assert folder.is_locked()
    with pytest.raises(JobLocked, match="is being run by another process"), folder.locked():
        pass
    assert holder.pid is not None
    os.kill(holder.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    holder.join(30)
    with folder.locked():
        pass
    assert not folder.is_locked()


def test_looking_whether_a_job_runs_writes_nothing_and_disturbs_nobody(tmp_path: Path) -> None:
    folder = create(tmp_path, JOB)
    assert not folder.is_locked()
    assert [path.name for path in folder.path.iterdir()] == ["job.json"]
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            JobFolder(folder.path).is_locked()

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(50):
            with folder.locked():
                pass
    finally:
        stop.set()
        watcher.join()


def test_what_a_killed_run_left_half_written_is_swept_away(tmp_path: Path) -> None:
    folder = create(tmp_path, JOB)
    (folder.path / ".manifest.json.0badcafe.part").write_text("{")
    with folder.locked():
        folder.sweep()
    assert sorted(path.name for path in folder.path.iterdir()) in ([".lock", "job.json"], ["job.json"])


@pytest.mark.parametrize("name", ["job.json", "manifest.json"])
def test_records_of_a_newer_version_are_left_alone(tmp_path: Path, name: str) -> None:
    folder = create(tmp_path, JOB)
    folder.manifest = Manifest(folder.path.name)
    path = folder.path / name
    path.write_text(re.sub(r'"version": \d', '"version": 99', path.read_text()))
    with pytest.raises(RecordError, match="was written by a newer stemscribe"):
        assert folder.job if name == "job.json" else folder.manifest


def test_an_artefact_is_whole_only_byte_for_byte(tmp_path: Path) -> None:
    folder = create(tmp_path, JOB)
    path = folder.path / "01_demux" / "mix.flac"
    path.parent.mkdir()
    path.write_bytes(b"sound")
    record = folder.record_of("mix", path)
    assert (record.path, record.size) == ("01_demux/mix.flac", 5)
    assert folder.is_whole(record)
    path.write_bytes(b"sOund")
    assert not folder.is_whole(record)
    path.unlink()
    assert not folder.is_whole(record)


def test_the_manifest_is_kept(tmp_path: Path) -> None:
    folder = create(tmp_path, JOB)
    assert folder.manifest == Manifest(folder.path.name)
    folder.manifest = folder.manifest.with_stage("demux", StageRecord("completed", "f" * 64, 1))
    assert JobFolder(folder.path).manifest.stage("demux").status == "completed"
    assert JobFolder(folder.path).manifest.stage("asr").status == "pending"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"job": 1}', b'{"job": "x", "stages": {"demux": {}}}', b"\xff\xfe"]
)
def test_a_broken_manifest_is_said(tmp_path: Path, content: bytes) -> None:
    folder = create(tmp_path, JOB)
    (folder.path / "manifest.json").write_bytes(content)
    with pytest.raises(RecordError, match="is not a valid Manifest"):
        assert folder.manifest


def completed(path: str) -> StageRecord:
    return StageRecord("completed", "f" * 64, 1, seconds=1.5, artefacts=(ArtefactRecord("mix", path, 3, "0" * 64),))


def test_a_manifest_tells_whether_it_is_as_it_was_written(tmp_path: Path) -> None:
    folder = create(tmp_path, JOB)
    assert folder.is_manifest_as_written()
    folder.manifest = folder.manifest.with_stage("demux", completed("01_demux/mix.flac"))
    assert folder.is_manifest_as_written()
    path = folder.path / "manifest.json"
    written = path.read_text()
    for before, after in (
        ('"seconds": 1.5', '"seconds": 2.5'),
        ("completed", "failed"),
        ("{", '{ "more": 1,'),
        ("\n", ""),
    ):
        path.write_text(written.replace(before, after, 1))
        assert not folder.is_manifest_as_written(), after
    path.write_text(written)
    assert folder.is_manifest_as_written()


def test_a_manifest_of_the_first_form_is_read_and_gets_a_seal_when_it_is_written_again(tmp_path: Path) -> None:
    folder = create(tmp_path, JOB)
    path = folder.path / "manifest.json"
    path.write_text('{"job": "x", "stages": {"demux": {"status": "completed", "fingerprint": "f"}}, "version": 1}')
    assert folder.is_manifest_as_written()
    assert folder.manifest.stage("demux").receipt is None
    folder.manifest = folder.manifest.with_stage("asr", StageRecord("failed"))
    assert folder.manifest.version == 2
    assert folder.manifest.seal
    assert folder.manifest.stage("demux").fingerprint == "f"


@pytest.mark.parametrize(
    "named", ["/etc/hosts", "../job-2/mix.flac", "a/../../mix.flac", "", "C:/mix.flac", "..\\mix.flac"]
)
def test_a_manifest_that_names_files_outside_of_its_job_is_refused(tmp_path: Path, named: str) -> None:
    folder = create(tmp_path, JOB)
    folder.manifest = Manifest(folder.path.name).with_stage("demux", completed(named))
    with pytest.raises(RecordError, match="which is no file of this job"):
        _ = folder.manifest
