"""The docs say what is."""

import re
from pathlib import Path

import click
import pytest
from benchmarks.quality import Quality

from faults.report import Report
from stemscribe.cli.app import COMMANDS, stemscribe
from stemscribe.pipeline.compatibility import Matrix, rows
from stemscribe.records import read_record

from . import cli_reference, compatibility_page, quality_page, reliability_page

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


def test_the_cli_reference_is_what_the_commands_say() -> None:
    written = cli_reference.PAGE.read_text(encoding="utf-8")
    assert written == cli_reference.page(), "run: python tests/docs/cli_reference.py"


def test_the_compatibility_page_is_what_was_measured() -> None:
    written = compatibility_page.PAGE.read_text(encoding="utf-8")
    matrix = read_record(compatibility_page.DATA, Matrix)
    assert written == compatibility_page.page(matrix), "run: python tests/docs/compatibility_page.py"
    assert [trial.name for trial in matrix.trials] == [row.name for row in rows()], "a row without a run"


def test_the_quality_page_is_what_was_measured() -> None:
    quality = read_record(quality_page.DATA, Quality)
    written = quality_page.PAGE.read_text(encoding="utf-8")
    assert written == quality_page.page(quality, quality_page.rows()), (
        "run: PYTHONPATH=tests python -m docs.quality_page"
    )


def test_arbitration_keeps_what_the_page_promises() -> None:
    """Never much worse than the better of mix and vocals, better than both on average, and hardly a word invented."""
    parts = read_record(quality_page.DATA, Quality).parts
    under_music = {(one.reference, one.setting): one.words for one in parts["music under speech"].measured}
    rates = {key: words.wer for key, words in under_music.items() if words is not None and words.wer is not None}
    names = {reference for reference, _ in rates}
    assert len(names) == 4
    for name in names:
        assert rates[name, "auto"] <= min(rates[name, "mix"], rates[name, "vocals"]) + 0.01
    means = {each: sum(rates[name, each] for name in names) for each in ("auto", "mix", "vocals")}
    assert means["auto"] < min(means["mix"], means["vocals"])
    silent = [one for one in parts["music alone"].measured if one.setting == "auto"]
    assert sum(one.invented or 0 for one in silent) <= sum(one.seconds for one in silent) / 60


def test_the_reliability_page_is_what_the_harness_saw() -> None:
    report = read_record(reliability_page.DATA, Report)
    written = reliability_page.PAGE.read_text(encoding="utf-8")
    assert written == reliability_page.page(report), "run: (cd tests && python -m docs.reliability_page)"
    assert report.faults >= 500
    assert report.broken == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_is_mentioned(name: str) -> None:
    command = stemscribe.get_command(click.Context(stemscribe), name)
    assert command is not None
    assert command.help
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"stemscribe {name}\b|--{name}\b", readme), f"README.md does not mention {name}"
    assert all(option.opts for option in options)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_that_are_mentioned_exist(page: Path) -> None:
    known = {
        option
        for command in (stemscribe.get_command(click.Context(stemscribe), name) for name in COMMANDS)
        for leaf in ([command, *getattr(command, "commands", {}).values()] if command else [])
        for parameter in leaf.params
        for option in parameter.opts
    }
    # Options of other programs, and of the scripts that set up.
    others = {
        "--help",
        "--version",
        "--env",
        "--force",
        "--quiet",
        "--upgrade",
        "--check",
        "--profile",
        "--require-hashes",
        "--shifts",
        "--float32",
        "--int24",
        "--mp3",
        "--overlap",
        "--two-stems",
        "--force-reinstall",
        "--faults",
        "--real",
        "--work",
        "--cache",
        "--minutes",
        "--modern-python",
    }
    text = page.read_text(encoding="utf-8")
    if page.name == "0002-model-sources.md":
        pytest.skip("tells of the options of pip and npm")
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text)) <= known | others
