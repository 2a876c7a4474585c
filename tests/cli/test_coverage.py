"""What a transcript accounts for, as `status` shows it and `run --min-coverage` judges it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fakes import tone, write_film
from stemscribe.audio.probe import identity
from stemscribe.cli import run as run_module
from stemscribe.cli import status as status_module
from stemscribe.errors import JobError
from stemscribe.jobs.folder import JobFolder, create
from stemscribe.jobs.job import Job
from stemscribe.jobs.manifest import StageRecord
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import runner
from stemscribe.pipeline.workflows import workflow_named
from stemscribe.records import write_record
from stemscribe.speech.ledger import Doubtful, Entry, totals

NOTHING = "probability of speech up to 0.97; nothing was heard"


def a_job(tmp_path: Path, gaps: int, *, doubtful: int = 0) -> JobFolder:
    """A completed job with an hour of transcript, and gaps of a second and a half, ten seconds from each other."""
    film = write_film(tmp_path / "film.wav", [(tone(1), "eng")])
    folder = create(tmp_path / "out", Job("", str(film), identity(film), "transcribe", "en", "", ""))
    spoken = Entry(0, 3600, "transcribed", "", "9000 words", 0.99, 0.0)
    missing = [Entry(3600 + 10 * n, 3601.5 + 10 * n, "gap", "", NOTHING, 0.97, 0.0) for n in range(gaps)]
    words = tuple(Doubtful(1.0, 2.0, "Thanks.") for _ in range(doubtful))
    path = folder.path / "04_export" / "ledger.json"
    path.parent.mkdir()
    write_record(path, replace(totals([spoken, *missing], words), entries=(spoken, *missing), doubtful=words))
    manifest = folder.manifest
    for step in workflow_named("transcribe").steps:
        manifest = manifest.with_stage(step.stage.name, StageRecord("completed"))
    artefacts = (folder.record_of("ledger", path),)
    folder.manifest = manifest.with_stage("export", StageRecord("completed", artefacts=artefacts))
    return folder


def status(folder: JobFolder, *more: str) -> str:
    out = str(folder.path.parent)
    done = CliRunner().invoke(
        status_module.command, [folder.path.name, "--out-dir", out, *more], catch_exceptions=False
    )
    assert done.exit_code == 0
    return done.output


def test_status_shows_what_a_transcript_accounts_for(tmp_path: Path) -> None:
    shown = status(a_job(tmp_path, 2, doubtful=3)).splitlines()[6:]
    assert shown == [
        "  voices               3603.0s  99.9 % are accounted for",
        "    transcribed        3600.0s",
        "    not speech            0.0s",
        "    gaps                  3.0s  2",
        f"      1:00:00.000 to 1:00:01.500  {NOTHING}",
        f"      1:00:10.000 to 1:00:11.500  {NOTHING}",
        "  doubtful words            3   where no voice was found",
    ]


def test_status_is_calm_about_a_film_without_gaps_and_one_with_many(tmp_path: Path) -> None:
    assert status(a_job(tmp_path, 0)).splitlines()[6:] == [
        "  voices               3600.0s  100.0 % are accounted for",
        "    transcribed        3600.0s",
        "    not speech            0.0s",
        "    gaps                  0.0s  none",
    ]
    (tmp_path / "more").mkdir()
    shown = status(a_job(tmp_path / "more", 27)).splitlines()
    assert sum(NOTHING in line for line in shown) == 20
    assert shown[-1] == "      and 7 more"


def test_status_tells_programs_of_every_gap(tmp_path: Path) -> None:
    told = json.loads(status(a_job(tmp_path, 27), "--json"))["ledger"]
    assert (told["gaps"], len(told["entries"])) == (27, 27)
    assert told["entries"][0] == {
        "start": 3600.0,
        "end": 3601.5,
        "kind": "gap",
        "what": "",
        "evidence": NOTHING,
        "speech": 0.97,
        "above_mix_db": 0.0,
    }


def run(folder: JobFolder, *flags: str) -> Result:
    arguments = ["-j", folder.path.name, "--out-dir", str(folder.path.parent), *flags]
    return CliRunner().invoke(run_module.command, arguments)


@pytest.fixture
def completed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Jobs are completed as soon as they are run; tells which were."""
    ran: list[str] = []

    def complete(folder: JobFolder, models: ModelStore, *others: object) -> runner.Outcome:
        ran.append(folder.path.name)
        records = folder.manifest.stage("export").artefacts
        return runner.Outcome(folder, {one.name: folder.path / one.path for one in records})

    monkeypatch.setattr(runner, "run", complete)
    return ran


@pytest.mark.parametrize("wanted", ["0.97", "97%", "97.0 %"])
def test_too_little_coverage_is_told_by_the_exit_code(tmp_path: Path, completed: list[str], wanted: str) -> None:
    folder = a_job(tmp_path, 100)
    done = run(folder, "--min-coverage", wanted)
    assert completed == [folder.path.name]
    assert isinstance(done.exception, JobError)
    assert done.exception.exit_code == 1
    assert done.exception.message == (
        "The transcript accounts for 96.0 % of the voices, and --min-coverage asks for 97.0 %:"
        " there are 100 gaps of 150.0 s in all."
    )
    assert "ledger.json" in done.exception.hint


@pytest.mark.parametrize("flags", [(), ("--min-coverage", "0.9"), ("--min-coverage", "95%")])
def test_enough_coverage_is_not_mentioned(tmp_path: Path, completed: list[str], flags: tuple[str, ...]) -> None:
    assert run(a_job(tmp_path, 100), *flags).exit_code == 0


@pytest.mark.parametrize("wanted", ["90", "1.01", "-0.5", "most", "101%", ""])
def test_what_is_no_share_is_wrong_usage(tmp_path: Path, completed: list[str], wanted: str) -> None:
    done = run(a_job(tmp_path, 1), "--min-coverage", wanted)
    assert (done.exit_code, completed) == (2, [])
    assert "is not a share: give a number up to 1 (0.9), or per cent (90%)." in done.output


def test_a_workflow_without_a_transcript_has_no_coverage(tmp_path: Path, completed: list[str]) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(1), "eng")])
    told = "Workflow separate makes no transcript: --min-coverage has nothing to measure."
    flags = ["--min-coverage", "0.9", "--out-dir", str(tmp_path / "new")]
    done = CliRunner().invoke(run_module.command, ["--media", str(film), "--workflow", "separate", *flags])
    assert (done.exit_code, told in done.output, (tmp_path / "new").exists()) == (2, True, False)
    folder = create(tmp_path / "out", Job("", str(film), identity(film), "separate", "en", "", ""))
    done = run(folder, "--min-coverage", "0.9")
    assert (done.exit_code, told in done.output, completed) == (2, True, [])
