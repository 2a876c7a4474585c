"""Guards cli/doctor.py: whole reports, as a person and as a program see them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from stemscribe.cli import doctor
from stemscribe.environments.facts import EnvironmentFacts, FolderFacts, HostFacts, ModelFacts
from stemscribe.environments.rules import findings, host_findings
from stemscribe.errors import EnvironmentBroken, UsageError
from stemscribe.models.spec import load_catalog
from stemscribe.pipeline import compatibility
from stemscribe.pipeline import doctor as practice
from stemscribe.pipeline.doctor import Examination, Mending, Report, Trial

ROOMY = HostFacts(folders=(FolderFacts("the out folder", Path("out"), "--out-dir", 64 * 10**9),))
CORE = EnvironmentFacts("core", Path("venv/core"), made_at="/x/venv/core", python="3.11.7")
FOUNDING = EnvironmentFacts(
    "demucs",
    Path("venv/demucs"),
    made_at="/x/venv/demucs",
    distributions={"torch": "2.9.1", "torchaudio": "2.9.1"},
)
WORKED = Trial("well", "paper 1.0 on cpu", "htdemucs", 3.21)


def examined(facts, trial=WORKED):
    return Examination(facts.name, findings(facts, HostFacts()), trial, facts)


def report(*environments, host=ROOMY):
    about = host_findings(host)
    healthy = all(one.healthy for one in environments) and all(each.severity != "error" for each in about)
    return Report(healthy, environments, about, host)


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Calls the command, which then finds these reports one after the other."""

    def run(*arguments, reports, tried=()):
        left = list(reports)
        calls = []

        def examine(names, *rest, asked):
            calls.append((tuple(names), tuple(asked)))
            return left.pop(0)

        monkeypatch.setenv("STEMSCRIBE_ROOT", str(tmp_path))
        monkeypatch.setattr(doctor, "_practice", lambda *anything: None)
        monkeypatch.setattr(practice, "examine", examine)
        monkeypatch.setattr(practice, "look_at_host", lambda *anything: ROOMY)
        monkeypatch.setattr(practice, "mend", lambda *anything: list(tried))
        done = CliRunner().invoke(doctor.command, arguments)
        assert left == []
        return done, calls

    return run


def test_a_healthy_report_is_short(call):
    done, calls = call(reports=[report(examined(CORE))])
    assert (done.exit_code, done.exception) == (0, None)
    assert done.stdout == (
        "✓ venv/core: did its golden task in 3.2 s (paper 1.0 on cpu; htdemucs)\n"
        "✓ this machine: 64 GB free in the out folder; the models are whole\n"
    )
    assert calls == [(("core", "demucs"), ("core",))]


def test_the_founding_bug_is_told_with_what_why_and_what_to_do(call):
    done, calls = call("--env", "demucs", reports=[report(examined(FOUNDING))])
    assert isinstance(done.exception, EnvironmentBroken)
    assert str(done.exception) == (
        "Something is wrong with venv/demucs. "
        "Run `stemscribe doctor --fix` with the same options to mend what can be mended."
    )
    assert done.stdout == (
        "✗ venv/demucs: did its golden task in 3.2 s (paper 1.0 on cpu; htdemucs), but is not sound\n"
        "  ✗ venv/demucs has torchaudio 2.9.1 without torchcodec: `torchaudio.save` raises ImportError.\n"
        "      From 2.9 on torchaudio neither reads nor writes by itself, so Demucs' own command separates a whole "
        "film and loses it in the last step; stemscribe's writer does not use torchaudio, and saves its stems even "
        "so.\n"
        "      Run `stemscribe doctor --env demucs --fix`.\n"
        "✓ this machine: 64 GB free in the out folder; the models are whole\n"
    )
    assert calls == [(("demucs",), ("demucs",))]


def test_a_warning_is_no_failure(call):
    host = HostFacts(folders=(FolderFacts("the out folder", Path("out"), "--out-dir", 3 * 10**9),))
    done, _ = call(reports=[report(examined(CORE), host=host)])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1:] == [
        "⚠ 3.0 GB are free where the out folder is (out).",
        "    An hour of film takes about 5 GB while it is worked on, most of it until its stems are written.",
        "    Make room, or choose another folder with --out-dir.",
    ]


def test_what_cannot_be_fixed_is_not_said_to_be(call):
    host = HostFacts(folders=(FolderFacts("the out folder", Path("out"), "--out-dir", 0, "Permission denied"),))
    done, _ = call(reports=[report(examined(CORE), host=host)])
    assert str(done.exception) == "Something is wrong with this machine. What to do is told with each finding."


def test_fix_mends_and_examines_again(call):
    done, calls = call(
        "--fix",
        reports=[report(examined(FOUNDING)), report(examined(CORE))],
        tried=[Mending("venv/demucs"), Mending("model tiny", EnvironmentBroken("no network.", hint="Find one."))],
    )
    assert len(calls) == 2
    assert done.exit_code == 0
    assert done.stderr == (
        "[INFO] venv/demucs is mended.\n"
        "[INFO] model tiny could not be mended.\n"
        "[ERROR] no network.\n"
        "        Find one.\n"
    )


def test_fix_does_nothing_where_nothing_is_to_mend(call):
    done, calls = call("--fix", reports=[report(examined(CORE))])
    assert (done.exit_code, len(calls)) == (0, 1)


def test_json_is_the_whole_report(call):
    host = HostFacts(models=(ModelFacts("htdemucs", "damaged", ("htdemucs.onnx",)),))
    done, _ = call("--json", reports=[report(examined(FOUNDING, Trial("skipped", why="because")), host=host)])
    answer = json.loads(done.stdout)
    assert answer["healthy"] is False
    assert [finding["rule"] for finding in answer["environments"][0]["findings"]] == ["torchaudio-without-torchcodec"]
    assert answer["environments"][0]["facts"]["path"] == "venv/demucs"
    assert answer["environments"][0]["trial"]["why"] == "because"
    assert answer["findings"][0]["rule"] == "model-damaged"


@pytest.mark.parametrize(("option", "said"), [(["--fix"], "--fix"), (["--matrix", "x.json"], "--matrix")])
def test_what_downloads_is_refused_offline(call, monkeypatch, option, said):
    monkeypatch.setattr(compatibility, "measure", lambda *anything: pytest.fail("it was measured"))
    done, calls = call("--offline", *option, reports=[])
    assert isinstance(done.exception, UsageError)
    assert done.exception.message == (f"`{said}` downloads packages, and no connection may be opened (offline).")
    assert calls == []


def test_what_a_job_needs_is_what_will_run(tmp_path: Path) -> None:
    wanted = doctor._wanted(load_catalog(), tmp_path)
    assert wanted == ["htdemucs-onnx", "spleeter", "silero-vad", "whisper-base"]
