"""`run --live` is a flag of the run: refused where there is nothing to show, and no part of the job."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from fakes import tone, write_film
from stemscribe.audio.probe import identity
from stemscribe.cli import run as run_module
from stemscribe.jobs.folder import JobFolder, create
from stemscribe.jobs.job import Job
from stemscribe.pipeline import runner


def a_job(tmp_path: Path, workflow: str) -> JobFolder:
    film = write_film(tmp_path / "film.wav", [(tone(1), "eng")])
    return create(tmp_path / "out", Job("", str(film), identity(film), workflow, "en", "", ""))


def test_without_a_transcript_there_is_nothing_to_show(tmp_path: Path) -> None:
    folder = a_job(tmp_path, "separate")
    arguments = ["-j", folder.path.name, "--out-dir", str(tmp_path / "out"), "--live"]
    done = CliRunner().invoke(run_module.command, arguments)
    assert done.exit_code == 2
    assert "Workflow separate makes no transcript: --live has nothing to show." in done.output


@pytest.mark.parametrize("flags", [(), ("--live",)])
def test_it_goes_to_the_runner_and_not_into_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    folder = a_job(tmp_path, "transcribe")
    before, asked = (folder.path / "job.json").read_bytes(), []

    def run(of: JobFolder, models: object, environments: Path, report: object, rules: runner.Rules) -> runner.Outcome:
        asked.append(rules.live)
        return runner.Outcome(of, {})

    monkeypatch.setattr(runner, "run", run)
    arguments = ["-j", folder.path.name, "--out-dir", str(tmp_path / "out"), *flags]
    done = CliRunner().invoke(run_module.command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert asked == [bool(flags)]
    assert (folder.path / "job.json").read_bytes() == before
