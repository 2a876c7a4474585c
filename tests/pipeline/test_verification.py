"""Every lie in a job is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from fakes import tone, write_film
from stemscribe.errors import NotAsRecorded
from stemscribe.jobs.folder import JobFolder
from stemscribe.jobs.manifest import Manifest, StageRecord
from stemscribe.models.sources import File
from stemscribe.models.spec import ModelFile, ModelSpec
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import runner, verification
from stemscribe.pipeline.verification import Checked
from stemscribe.records import sha256_of, to_json

from .conftest import NOWHERE, UNREHEARSED, Sums


@pytest.fixture
def done(stages: list[Sums], folder: JobFolder, models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> JobFolder:
    monkeypatch.setattr(verification, "workflow_named", runner.workflow_named)
    stages[1].depends_on = ("stems",)
    runner.run(folder, models, NOWHERE, rules=UNREHEARSED)
    return folder


def verify(folder: JobFolder, models: ModelStore) -> list[Checked]:
    return list(verification.verify(folder, models, NOWHERE))


def lie(folder: JobFolder, models: ModelStore) -> str:
    with pytest.raises(NotAsRecorded) as told:
        verify(folder, models)
    assert told.value.hint
    return told.value.message


def test_an_honest_job_is_what_its_receipts_say(done: JobFolder, models: ModelStore) -> None:
    found = verify(done, models)
    assert all(checked.known for checked in found)
    assert [checked.subject for checked in found] == [
        "manifest.json",
        *("one", "one_folder/one.txt", "two", "two_folder/two.txt", "three", "three_folder/three.txt"),
        "film.wav",
    ]


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip_a_bit, lambda path: path.write_text(""), lambda path: path.write_text("11 ")])
def test_a_changed_file_is_found(done: JobFolder, models: ModelStore, damage: Callable[[Path], None]) -> None:
    damage(done.path / "two_folder" / "two.txt")
    assert "two_folder/two.txt is not what two made: sha256 " in lie(done, models)


def test_a_missing_file_is_found(done: JobFolder, models: ModelStore) -> None:
    (done.path / "one_folder" / "one.txt").unlink()
    assert lie(done, models).endswith("one_folder/one.txt is missing; one had made it.")


def test_an_edited_manifest_is_found(done: JobFolder, models: ModelStore) -> None:
    path = done.path / "manifest.json"
    path.write_text(path.read_text().replace('"attempts": 1', '"attempts": 2', 1))
    assert "manifest.json was changed after stemscribe had written it" in lie(done, models)


def test_a_run_gives_an_edited_manifest_no_new_credit(
    done: JobFolder, stages: list[Sums], models: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    path = done.path / "manifest.json"
    path.write_text(path.read_text().replace('"attempts": 1', '"attempts": 2', 1))
    runner.run(done, models, NOWHERE, rules=UNREHEARSED)
    assert [stage.runs for stage in stages] == [1, 1, 1]
    assert "manifest.json was changed by somebody else" in caplog.text
    unknown = [checked for checked in verify(done, models) if not checked.known]
    assert unknown == [Checked(name, False, "has no receipt") for name in ("one", "two", "three")]


def sealed(folder: JobFolder, stage: str, change: Callable[[StageRecord], StageRecord]) -> None:
    """Lie as somebody would who knows how to make a seal."""
    manifest = folder.manifest
    folder.manifest = manifest.with_stage(stage, change(manifest.stage(stage)))


def other_dependencies(**changes: object) -> Callable[[StageRecord], StageRecord]:
    def change(record: StageRecord) -> StageRecord:
        assert record.receipt is not None
        dependencies = replace(record.receipt.dependencies, **changes)  # type: ignore[arg-type]
        receipt = replace(record.receipt, dependencies=dependencies)
        return replace(record, receipt=receipt, fingerprint=dependencies.fingerprint)

    return change


@pytest.mark.parametrize(
    ("stage", "change", "told"),
    [
        ("two", lambda record: replace(record, fingerprint="0" * 64), "The receipt of two does not fit"),
        ("two", other_dependencies(inputs={"one": "0" * 64}), "two was made from another one (sha256 0000"),
        ("two", other_dependencies(options={"stems": "four"}), "two was made with stems = 'four', and job.json asks"),
        ("one", other_dependencies(film="0" * 64), "one was made from another film than job.json asks for"),
        ("two", other_dependencies(stage="one"), "The receipt of two does not fit"),
        ("two", lambda record: replace(record, artefacts=()), "The record of two is without two"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_found(
    done: JobFolder, models: ModelStore, stage: str, change: Callable[[StageRecord], StageRecord], told: str
) -> None:
    sealed(done, stage, change)
    assert told in lie(done, models)


def test_a_file_in_a_foreign_folder_is_found(done: JobFolder, models: ModelStore) -> None:
    def change(record: StageRecord) -> StageRecord:
        return replace(record, artefacts=(replace(record.artefacts[0], path="one_folder/one.txt"),))

    sealed(done, "two", change)
    assert "The record of two has one_folder/one.txt in a foreign folder." in lie(done, models)


def test_another_film_is_found_and_a_missing_one_is_said(done: JobFolder, models: ModelStore) -> None:
    film = Path(done.job.media)
    write_film(film, [(tone(2), "eng")])
    assert "is not the film that" in lie(done, models)
    film.unlink()
    assert verify(done, models)[-1] == Checked("film.wav", False, "is not where it was")


def test_an_edited_request_is_found(done: JobFolder, models: ModelStore) -> None:
    path = done.path / "job.json"
    path.write_text(path.read_text().replace('"stems": "two"', '"stems": "four"'))
    assert "two was made with stems = 'two', and job.json asks for 'four'." in lie(done, models)


def test_what_is_not_completed_is_said(done: JobFolder, models: ModelStore) -> None:
    sealed(done, "three", lambda record: replace(record, status="failed", artefacts=()))
    assert Checked("three", False, "is failed") in verify(done, models)


def test_a_job_of_before_there_were_receipts_is_said_to_be_one(done: JobFolder, models: ModelStore) -> None:
    manifest = json.loads((done.path / "manifest.json").read_text())
    manifest["version"] = 1
    del manifest["seal"]
    for record in manifest["stages"].values():
        del record["receipt"]
    (done.path / "manifest.json").write_text(json.dumps(manifest))
    found = verify(done, models)
    assert found[0] == Checked("manifest.json", False, "is of the first form, which has neither receipts nor a seal")
    assert Checked("two", False, "has no receipt") in found
    flip_a_bit(done.path / "one_folder" / "one.txt")
    assert "one_folder/one.txt is not what one made" in lie(done, models)


@pytest.fixture
def with_model(stages: list[Sums], folder: JobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """The store of a model that the second stage needs."""
    weights = tmp_path / "models" / "small" / "weights.bin"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights" * 100)
    file = ModelFile(name=weights.name, sources=(File("nowhere"),), sha256=sha256_of(weights), size=700)
    spec = ModelSpec(
        name="small", engine="none", description="small", license="MIT", license_url="https://a.b", files=(file,)
    )
    monkeypatch.setattr(Sums, "models", lambda self, options: ("small",) if self.name == "two" else ())
    monkeypatch.setattr(verification, "workflow_named", runner.workflow_named)
    store = ModelStore(tmp_path / "models", {"small": spec}, offline=True)
    runner.run(folder, store, NOWHERE, rules=UNREHEARSED)
    return store


def test_a_swapped_model_is_found(folder: JobFolder, with_model: ModelStore) -> None:
    assert verify(folder, with_model)[-1] == Checked("model small", True, "is the one that was used")
    flip_a_bit(with_model.folder("small") / "weights.bin")
    assert "weights.bin is not the model that was used: sha256 " in lie(folder, with_model)


def test_a_model_that_is_not_here_or_has_changed_in_the_catalog_is_said(
    folder: JobFolder, with_model: ModelStore, tmp_path: Path
) -> None:
    file = ModelFile(name="weights.bin", sources=(File("nowhere"),), sha256="0" * 64, size=700)
    other = msgspec.structs.replace(with_model.spec("small"), files=(file,))
    changed = ModelStore(tmp_path / "models", {"small": other}, offline=True)
    assert verify(folder, changed)[-1] == Checked("model small", False, "is not in the catalog as it was then")
    (with_model.folder("small") / "weights.bin").unlink()
    assert verify(folder, with_model)[-1] == Checked("model small", False, "is not here")


def test_a_changed_environment_is_said(
    done: JobFolder, models: ModelStore, monkeypatch: pytest.MonkeyPatch, stages: list[Sums]
) -> None:
    stages[1].built_with, stages[1].version = {"core": ("click",)}, 2
    runner.run(done, models, NOWHERE, rules=UNREHEARSED)
    assert all(checked.known for checked in verify(done, models))
    monkeypatch.setattr(verification, "digest", lambda venv: "0" * 64)
    assert Checked("venv/core", False, "has changed since two was made in it") in verify(done, models)


def test_a_manifest_is_written_to_the_byte_as_its_seal_says(done: JobFolder) -> None:
    path = done.path / "manifest.json"
    assert path.read_bytes() == to_json(done.manifest)
    assert done.manifest.version == Manifest.version
