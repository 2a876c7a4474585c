"""The report: one file that needs nothing else, and shows what a name in it says as text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from stemscribe.cli.report import command
from stemscribe.errors import JobNotFound

from .conftest import SAID, finished_job


def written(out: Path, *arguments: str) -> str:
    done = CliRunner().invoke(command, [*arguments, "--out-dir", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    return Path(done.output.strip()).read_text(encoding="utf-8")


def test_a_report_shows_sounds_voices_doubts_and_stages(out: Path) -> None:
    doubtful = (replace(SAID[0], doubts=("quiet",)), SAID[1])
    page = written(out, finished_job(out, said=doubtful).path.name)
    assert page.count("<polygon") == 3
    assert "90.0 %" in page
    assert "50 % of 2 windows" in page
    for kind in ("silent", "gap", "mix", "vocals"):
        assert f'class="{kind}" x="' in page
    assert re.search(r"<td[^>]*>ask nut</td><td>quiet</td>", page)
    assert page.count("no receipt") == 5


def test_a_report_needs_nothing_else_and_runs_nothing(out: Path) -> None:
    page = written(out, finished_job(out, media="<script>x.mkv").path.name)
    assert not re.search(r"(?:src|href)=|url\(|@import|<script|<link", page)
    assert "&lt;script&gt;" in page


def test_a_report_is_written_where_it_is_wanted(out: Path, tmp_path: Path) -> None:
    job = finished_job(out).path.name
    assert "<html" in written(out, job, "-o", str(tmp_path / "other.html"))
    assert not (out / job / "report.html").exists()


def test_of_what_is_not_there_is_no_report(out: Path) -> None:
    with pytest.raises(JobNotFound):
        CliRunner().invoke(command, ["job-20261122-0001", "--out-dir", str(out)], catch_exceptions=False)
