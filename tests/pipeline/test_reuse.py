"""What one job has made, another takes over: whole, unchanged, and only if it is the same."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from stemscribe.errors import StorageError
from stemscribe.jobs.folder import JobFolder, create
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import runner
from stemscribe.pipeline.reporter import Event, StageSkipped

from .conftest import NOWHERE, UNREHEARSED, Sums


def run(folder: JobFolder, models: ModelStore, rules: runner.Rules = UNREHEARSED) -> list[Event]:
    events: list[Event] = []
    runner.run(folder, models, NOWHERE, events.append, rules)
    return events


@pytest.fixture
def second(folder: JobFolder) -> JobFolder:
    return create(folder.path.parent, folder.job)


def test_what_another_job_has_made_is_not_made_again(
    stages: list[Sums], folder: JobFolder, second: JobFolder, models: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    run(folder, models)
    with caplog.at_level("INFO", logger="stemscribe"):
        events = run(second, models)
    assert [stage.runs for stage in stages] == [1, 1, 1]
    name = folder.path.name
    assert [event for event in events if isinstance(event, StageSkipped)] == [
        StageSkipped(stage, name) for stage in ("one", "two", "three")
    ]
    assert f"⏭  Stage two: SKIPPED ({name} made the same)" in caplog.messages
    ours, theirs = (one.path / "three_folder" / "three.txt" for one in (second, folder))
    assert ours.read_text() == "112"
    assert ours.stat().st_ino == theirs.stat().st_ino
    record = second.manifest.stage("three")
    assert record.receipt is not None
    assert record.receipt.origin == name
    assert replace(record.receipt, origin="") == folder.manifest.stage("three").receipt
    assert not list(second.path.rglob(".draft"))
    assert [type(event) for event in run(second, models)].count(StageSkipped) == 3


def test_it_is_taken_over_from_where_it_was_first_made(
    stages: list[Sums], folder: JobFolder, second: JobFolder, models: ModelStore
) -> None:
    run(folder, models)
    run(second, models)
    third = create(folder.path.parent, folder.job)
    run(third, models)
    record = third.manifest.stage("one")
    assert record.receipt is not None
    assert record.receipt.origin == folder.path.name


def test_only_what_is_the_same_is_taken_over(
    stages: list[Sums], folder: JobFolder, second: JobFolder, models: ModelStore
) -> None:
    run(folder, models)
    stages[1].version, stages[1].adds = 2, 20
    run(second, models)
    assert [stage.runs for stage in stages] == [1, 2, 2]
    assert (second.path / "three_folder" / "three.txt").read_text() == "122"


def test_nothing_is_taken_over_when_that_is_not_wanted(
    stages: list[Sums], folder: JobFolder, second: JobFolder, models: ModelStore
) -> None:
    run(folder, models)
    run(second, models, replace(UNREHEARSED, reuse=False))
    assert [stage.runs for stage in stages] == [2, 2, 2]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("12"), lambda path: path.write_text("1")])
def test_what_is_damaged_over_there_is_made_anew_here(
    stages: list[Sums],
    folder: JobFolder,
    second: JobFolder,
    models: ModelStore,
    damage,  # type: ignore[no-untyped-def]
) -> None:
    run(folder, models)
    damage(folder.path / "two_folder" / "two.txt")
    run(second, models)
    assert [stage.runs for stage in stages] == [1, 2, 1]
    assert (second.path / "two_folder" / "two.txt").read_text() == "11"


def test_a_broken_record_of_another_job_does_not_matter(
    stages: list[Sums], folder: JobFolder, second: JobFolder, models: ModelStore
) -> None:
    run(folder, models)
    (folder.path / "manifest.json").write_text("{")
    run(second, models)
    assert [stage.runs for stage in stages] == [2, 2, 2]


def test_a_manifest_that_somebody_has_changed_is_not_believed(
    stages: list[Sums], folder: JobFolder, second: JobFolder, models: ModelStore
) -> None:
    run(folder, models)
    path = folder.path / "manifest.json"
    path.write_text(path.read_text().replace('"attempts": 1', '"attempts": 2', 1))
    run(second, models)
    assert [stage.runs for stage in stages] == [2, 2, 2]


def test_a_record_that_contradicts_its_receipt_is_not_believed(
    stages: list[Sums], folder: JobFolder, second: JobFolder, models: ModelStore
) -> None:
    run(folder, models)
    record = folder.manifest.stage("one")
    assert record.receipt is not None
    wrong = replace(record.receipt, dependencies=replace(record.receipt.dependencies, film="another"))
    folder.manifest = folder.manifest.with_stage("one", replace(record, receipt=wrong))
    run(second, models)
    assert stages[0].runs == 2


def test_where_a_file_cannot_have_two_names_it_is_copied(
    stages: list[Sums],
    folder: JobFolder,
    second: JobFolder,
    models: ModelStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    run(folder, models)
    monkeypatch.setattr(os, "link", refuse)
    run(second, models)
    assert [stage.runs for stage in stages] == [1, 1, 1]
    ours, theirs = (one.path / "three_folder" / "three.txt" for one in (second, folder))
    assert ours.read_text() == "112"
    assert ours.stat().st_ino != theirs.stat().st_ino


def test_that_it_cannot_be_written_here_is_said(
    stages: list[Sums],
    folder: JobFolder,
    second: JobFolder,
    models: ModelStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run(folder, models)
    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr("stemscribe.pipeline.reuse.shutil.copyfile", full)
    with pytest.raises(StorageError, match="No space left on device"):
        run(second, models)
    assert [stage.runs for stage in stages] == [1, 1, 1]
