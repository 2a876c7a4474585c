"""What a request leaves open, and what becomes of it: once for each job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stemscribe.jobs.folder import JobFolder, create
from stemscribe.jobs.job import Job, Options
from stemscribe.jobs.manifest import StageRecord
from stemscribe.models.spec import Catalog, load_catalog
from stemscribe.pipeline.decisions import decided
from stemscribe.pipeline.receipt import dependencies, receipt
from stemscribe.pipeline.workflows import workflow_named

from .conftest import NOWHERE

ON_A_CPU = Options(engine="onnx")


@pytest.fixture
def catalog() -> Catalog:
    return load_catalog()


def job(out: Path, workflow: str = "transcribe", **options: Any) -> JobFolder:
    request = Job("", "/film.mkv", "the film", workflow, "hi", "2026-11-29T00:00:00+00:00", "0.1.0")
    return create(out, replace(request, options=replace(ON_A_CPU, **options)))


def decide(folder: JobFolder, catalog: Catalog, **rules: bool) -> Job:
    return decided(folder, folder.job, workflow_named(folder.job.workflow), catalog, NOWHERE, **rules).job


def quality(folder: JobFolder, catalog: Catalog, **rules: bool) -> str:
    return decide(folder, catalog, **rules).options.quality


def separated(folder: JobFolder, catalog: Catalog, **used: Any) -> None:
    """Say that a job has been separated so, and leave what came of it."""
    job = decide(folder, catalog)
    job, made = replace(job, options=replace(job.options, **used)), {}
    for step in workflow_named("separate").steps[:2]:
        (folder.path / step.folder).mkdir()
        artefacts = []
        for each in step.stage.outputs(job.options):
            (folder.path / step.folder / each.file).write_text(each.name)
            artefacts.append(folder.record_of(each.name, folder.path / step.folder / each.file))
        digests = {name: catalog[name].digest for name in step.stage.models(job.options)}
        depended = dependencies(step.stage, job, made, digests, NOWHERE)
        made = {artefact.name: artefact.sha256 for artefact in artefacts}
        record = StageRecord(
            "completed", depended.fingerprint, artefacts=tuple(artefacts), receipt=receipt(depended, NOWHERE)
        )
        folder.manifest = folder.manifest.with_stage(step.stage.name, record)


@pytest.mark.parametrize(
    ("workflow", "options", "expected"),
    [
        ("separate", {}, "exact"),
        ("transcribe", {}, "fast"),
        ("translate", {}, "fast"),
        ("subtitle", {}, "fast"),
        ("transcribe", {"stems": "four"}, "exact"),
        ("transcribe", {"quality": "exact"}, "exact"),
        ("separate", {"quality": "fast"}, "fast"),
    ],
)
def test_stems_that_are_asked_for_are_those_of_demucs(
    tmp_path: Path, catalog: Catalog, workflow: str, options: dict[str, Any], expected: str
) -> None:
    assert quality(job(tmp_path, workflow, **options), catalog) == expected


@pytest.mark.parametrize("workflow", ["separate", "transcribe"])
@pytest.mark.parametrize("there", [("exact",), ("balanced",), ("fast",), ("fast", "balanced"), ("fast", "exact")])
def test_stems_that_are_there_need_not_be_separated_again(
    tmp_path: Path, catalog: Catalog, workflow: str, there: tuple[str, ...]
) -> None:
    for each in there:
        separated(job(tmp_path), catalog, quality=each)
    assert quality(job(tmp_path, workflow), catalog) == there[-1]  # the best


@pytest.mark.parametrize(
    ("of_theirs", "used"),
    [
        ({"start_time": 60.0}, {}),
        ({"audio_track": "1"}, {}),
        ({}, {"gate": "off"}),
        ({}, {"separation_model": "spleeter"}),
    ],
)
def test_stems_of_something_else_do_not_count(
    tmp_path: Path, catalog: Catalog, of_theirs: dict[str, Any], used: dict[str, Any]
) -> None:
    separated(job(tmp_path, "separate", **of_theirs), catalog, **used)
    assert quality(job(tmp_path), catalog) == "fast"


def test_stems_that_may_not_be_taken_do_not_count(tmp_path: Path, catalog: Catalog) -> None:
    separated(job(tmp_path), catalog)
    assert quality(job(tmp_path, "separate"), catalog) == "fast"
    assert quality(job(tmp_path, "separate"), catalog, reuse=False) == "exact"


def test_stems_that_are_gone_do_not_count(tmp_path: Path, catalog: Catalog) -> None:
    beside = job(tmp_path)
    separated(beside, catalog)
    next(beside.path.glob("*/vocals.wav")).unlink()
    assert quality(job(tmp_path, "separate"), catalog) == "exact"


def test_stems_by_another_release_of_the_runtime_do_not_count(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    separated(job(tmp_path), catalog)
    monkeypatch.setattr("stemscribe.pipeline.receipt.version", lambda package: f"the next {package}")
    assert quality(job(tmp_path, "separate"), catalog) == "exact"


def test_stems_of_another_language_do_not_count(tmp_path: Path, catalog: Catalog) -> None:
    """It decides which track of a film is heard."""
    beside, request = job(tmp_path), job(tmp_path, "separate")
    separated(beside, catalog)
    assert (
        decided(
            request, replace(request.job, source_language="en"), workflow_named("separate"), catalog, NOWHERE
        ).job.options.quality
        == "exact"
    )


def test_a_broken_job_beside_it_does_not_matter(tmp_path: Path, catalog: Catalog) -> None:
    broken = job(tmp_path, "separate")
    separated(broken, catalog)
    (broken.path / "manifest.json").write_text('{"job": 3}')
    assert quality(job(tmp_path), catalog) == "fast"


def test_what_was_decided_stays_decided(tmp_path: Path, catalog: Catalog) -> None:
    """Stems that another job makes later are no reason to hear the film again."""
    begun = job(tmp_path)
    begun.manifest = replace(begun.manifest, quality="balanced")
    separated(job(tmp_path, "separate"), catalog)
    assert quality(begun, catalog) == "balanced"
    assert begun.is_manifest_as_written()


def test_a_manifest_without_it_is_as_it_always_was(tmp_path: Path) -> None:
    """Its seal is over every byte: one that was written before there was such a choice must still fit."""
    folder = job(tmp_path, "separate")
    folder.manifest = replace(folder.manifest, engine="onnx")
    assert "quality" not in (folder.path / "manifest.json").read_text()
