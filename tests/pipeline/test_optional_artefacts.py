"""What not every film has: it is used where it is there, missed nowhere, and nothing is taken for it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from stemscribe.errors import NotAsRecorded, StorageError
from stemscribe.jobs.folder import JobFolder, create
from stemscribe.jobs.job import Options
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import reproduction, runner, verification
from stemscribe.pipeline.reproduction import Compared, reproduce
from stemscribe.pipeline.stage import Artefact, StageContext
from stemscribe.pipeline.verification import verify
from stemscribe.pipeline.workflows import Step, Workflow

from .conftest import NOWHERE, UNREHEARSED, Sums


@dataclass
class Extras(Sums):
    """Makes a second file of some films."""

    extra: int | None = 5

    def outputs(self, options: Options) -> tuple[Artefact, ...]:
        return (*super().outputs(options), Artefact("extra", "extra.txt", "Extra added", optional=True))

    def run(self, context: StageContext) -> None:
        super().run(context)
        if self.extra is not None:
            context.outputs["extra"].write_text(str(self.extra))


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[Sums]:
    made = [Extras("one"), Sums("two", ("one", "extra"), adds=10), Sums("three", ("two",), adds=100)]
    workflow = Workflow("sums", "", tuple(Step(stage, f"{stage.name}_folder") for stage in made))
    for module in (runner, verification, reproduction):
        monkeypatch.setattr(module, "workflow_named", lambda name: workflow)
    return made


def run(folder: JobFolder, models: ModelStore) -> int:
    runner.run(folder, models, NOWHERE, rules=UNREHEARSED)
    return int((folder.path / "three_folder" / "three.txt").read_text())


def made_by_the_first(folder: JobFolder) -> list[str]:
    kept = sorted(path.name for path in (folder.path / "one_folder").iterdir() if path.suffix == ".txt")
    assert sorted(Path(one.path).name for one in folder.manifest.stage("one").artefacts) == kept
    return kept


def inputs_of_the_second(folder: JobFolder) -> set[str]:
    receipt = folder.manifest.stage("two").receipt
    assert receipt is not None
    return set(receipt.dependencies.inputs)


def without(stages: list[Sums], version: int = 1) -> None:
    assert isinstance(stages[0], Extras)
    stages[0].extra, stages[0].version = None, version


def test_what_is_there_is_handed_on(
    stages: list[Sums], folder: JobFolder, models: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="stemscribe"):
        assert run(folder, models) == 116
    assert made_by_the_first(folder) == ["extra.txt", "one.txt"]
    assert inputs_of_the_second(folder) == {"one", "extra"}
    assert f"✓ Extra added: {folder.path}/one_folder/extra.txt" in caplog.messages


def test_what_is_not_there_is_missed_by_nobody(
    stages: list[Sums], folder: JobFolder, models: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    without(stages)
    with caplog.at_level("INFO", logger="stemscribe"):
        assert run(folder, models) == 111
        assert run(folder, models) == 111
    assert [stage.runs for stage in stages] == [1, 1, 1]
    assert made_by_the_first(folder) == ["one.txt"]
    assert inputs_of_the_second(folder) == {"one"}
    assert "Extra added" not in caplog.text
    assert all(checked.known for checked in verify(folder, models, NOWHERE))


def test_an_artefact_that_must_be_there_is_missed(
    stages: list[Sums], folder: JobFolder, models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Extras, "run", lambda stage, context: None)
    with pytest.raises(StorageError, match="No such file or directory"):
        run(folder, models)


def test_it_comes_and_goes_with_the_stage_and_reaches_what_depends_on_it(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    run(folder, models)
    without(stages, version=2)
    assert run(folder, models) == 111
    assert made_by_the_first(folder) == ["one.txt"], "what was made once is not left for somebody to find"
    assert [stage.runs for stage in stages] == [2, 2, 2]
    assert isinstance(stages[0], Extras)
    stages[0].extra, stages[0].version = 7, 3
    assert run(folder, models) == 118


def test_one_that_is_damaged_or_gone_is_made_again(stages: list[Sums], folder: JobFolder, models: ModelStore) -> None:
    run(folder, models)
    for damage in (Path.unlink, lambda path: path.write_text("6")):
        damage(folder.path / "one_folder" / "extra.txt")
        assert run(folder, models) == 116
    assert [stage.runs for stage in stages] == [3, 1, 1]


@pytest.mark.parametrize("there", [True, False])
def test_a_job_takes_over_what_another_has_and_no_more(
    stages: list[Sums], folder: JobFolder, models: ModelStore, there: bool
) -> None:
    if not there:
        without(stages)
    total = run(folder, models)
    second = create(folder.path.parent, folder.job)
    (second.path / "one_folder").mkdir()
    (second.path / "one_folder" / "extra.txt").write_text("of before")
    assert run(second, models) == total == (116 if there else 111)
    assert made_by_the_first(second) == made_by_the_first(folder)
    assert [stage.runs for stage in stages] == [1, 1, 1]


def lie(folder: JobFolder, models: ModelStore) -> str:
    with pytest.raises(NotAsRecorded) as found:
        list(verify(folder, models, NOWHERE))
    return found.value.message


def test_a_record_without_what_is_there_is_found(stages: list[Sums], folder: JobFolder, models: ModelStore) -> None:
    run(folder, models)
    record = folder.manifest.stage("one")
    (folder.path / "one_folder" / "extra.txt").unlink()
    fewer = tuple(one for one in record.artefacts if one.name != "extra")
    folder.manifest = folder.manifest.with_stage("one", replace(record, artefacts=fewer))
    assert lie(folder, models) == "two was made from extra, and there is none of this film."


def test_a_result_that_was_made_without_what_is_there_is_found(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    without(stages)
    run(folder, models)
    other = create(folder.path.parent, folder.job)
    assert isinstance(stages[0], Extras)
    stages[0].extra = 5
    runner.run(other, models, NOWHERE, rules=replace(UNREHEARSED, reuse=False))
    shutil.copy(other.path / "one_folder" / "extra.txt", folder.path / "one_folder")
    folder.manifest = folder.manifest.with_stage("one", other.manifest.stage("one"))
    assert lie(folder, models) == "two was made without extra, which there is of this film."


def test_files_of_another_version_of_a_stage_are_not_missed(
    stages: list[Sums], folder: JobFolder, models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, models)
    more = (Artefact("three", "three.txt"), Artefact("ledger", "ledger.json"))
    monkeypatch.setattr(stages[2], "outputs", lambda options: more, raising=False)
    assert lie(folder, models) == "The record of three is without ledger."
    stages[2].version = 2
    assert all(checked.known for checked in verify(folder, models, NOWHERE))


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [(5, 5, ""), (None, None, ""), (5, None, "was not made again"), (None, 5, "was not made then")],
)
def test_a_reproduction_tells_of_it(
    stages: list[Sums],
    folder: JobFolder,
    models: ModelStore,
    tmp_path: Path,
    then: int | None,
    now: int | None,
    told: str,
) -> None:
    assert isinstance(stages[0], Extras)
    stages[0].extra = then
    run(folder, models)
    stages[0].extra = now
    film = Path(folder.job.media)
    results = reproduce(folder, film, tmp_path / "again", models, NOWHERE, UNREHEARSED)
    extra = [result for result in results if result.path == "one_folder/extra.txt"]
    there = then is not None or now is not None
    assert extra == ([Compared("one_folder/extra.txt", not told, told)] if there else [])


def test_a_workflow_knows_what_comes_of_it(stages: list[Sums]) -> None:
    workflow = runner.workflow_named("sums")
    assert workflow.makes("extra")
    assert workflow.makes("three")
    assert not workflow.makes("ledger")
    assert workflow.optional(Options()) == {"extra"}
