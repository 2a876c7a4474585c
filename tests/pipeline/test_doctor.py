"""Guards pipeline/doctor.py, with environments and golden tasks that are made up."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from stemscribe.environments.facts import EnvironmentFacts, HostFacts, ModelFacts, look
from stemscribe.environments.interpreter import python_in
from stemscribe.environments.marker import Marker, claim, write_marker, written_at
from stemscribe.environments.profile import EnvironmentProfile
from stemscribe.errors import EnvironmentBroken, ModelError
from stemscribe.models.sources import File, Npm
from stemscribe.models.spec import ModelFile, ModelSpec, load_catalog
from stemscribe.models.store import ModelStore
from stemscribe.pipeline.doctor import Practice, examine, look_at_folder, look_at_host, look_at_models, mend


@dataclass(frozen=True)
class Passed:
    runtime: str = "paper 1.0 on cpu"
    model: str = "tiny"
    seconds: float = 0.5


@dataclass
class Surgery:
    """What was done to which environment, and in which order."""

    root: Path
    models: ModelStore
    failing: dict[str, Exception] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    @property
    def practice(self) -> Practice:
        return Practice(self.root, self.look, self.golden, self.replace, self.models)

    def look(self, name, venv):
        return look(name, venv, EnvironmentProfile(name, self.root / "no.txt", (("json", "json"),)), os.environ)

    def golden(self, name, venv):
        self.done.append(f"golden {venv.name}")
        if name in self.failing:
            raise self.failing[name]
        return Passed()

    def replace(self, name, proof, seen):
        assert seen == written_at(self.root / name)
        self.done.append(f"build {name}")
        proof(self.root / f".{name}.new")
        self.make(name)

    def make(self, name):
        """An environment with nothing in it but Python."""
        venv = self.root / name
        subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", str(venv)], check=True)
        claim(venv)
        write_marker(venv, Marker(name, "digest", "", "Python 3", "pip", {}))

    def examine(self, *names, host=None, asked=()):
        return examine(names, self.practice, host or HostFacts(), asked=asked)


@pytest.fixture
def catalog(tmp_path):
    source = tmp_path / "source.bin"
    source.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    file = ModelFile("a.bin", (File(str(source)), Npm("a", "1", "a.bin")), digest, 7)
    spec = ModelSpec("tiny", "none", "A model", "MIT", "https://example.org", (file,))
    other = ModelSpec("other", "none", "A model", "MIT", "https://example.org", (file,))
    return {"tiny": spec, "other": other}


@pytest.fixture
def surgery(tmp_path, catalog):
    (tmp_path / "venv").mkdir()
    return Surgery(tmp_path / "venv", ModelStore(tmp_path / "models", catalog))


def test_what_works_is_healthy(surgery):
    surgery.make("core")
    report = surgery.examine("core", asked=["core"])
    (core,) = report.environments
    assert report.healthy
    assert [finding.rule for finding in core.findings if finding.severity != "note"] == []
    assert (core.trial.went, core.trial.runtime, core.trial.model) == ("well", "paper 1.0 on cpu", "tiny")


def test_an_environment_that_nobody_asked_for_may_be_absent(surgery):
    surgery.make("core")
    report = surgery.examine("core", "demucs", asked=["core"])
    assert report.healthy
    assert [(finding.rule, finding.severity) for finding in report.environments[1].findings] == [
        ("environment-missing", "note")
    ]
    assert mend(report, surgery.practice) == []


def test_one_that_was_asked_for_may_not(surgery):
    report = surgery.examine("demucs", asked=["demucs"])
    assert not report.healthy
    assert (report.environments[0].trial.went, surgery.done) == ("skipped", [])


def test_the_golden_task_is_not_tried_where_it_is_pointless(surgery):
    surgery.make("demucs")
    python_in(surgery.root / "demucs").unlink()
    (demucs,) = surgery.examine("demucs").environments
    assert demucs.trial.went == "skipped"
    assert demucs.trial.why == "The Python of venv/demucs cannot be started: bin/python is missing."
    assert surgery.done == []


def test_a_golden_task_that_fails_is_a_finding(surgery):
    surgery.make("demucs")
    surgery.failing["demucs"] = EnvironmentBroken("no torch.", hint="x")
    report = surgery.examine("demucs")
    finding = report.environments[0].findings[-1]
    assert (finding.rule, finding.fixable, report.healthy) == ("golden-task", True, False)
    assert finding.what == "The golden task does not work in venv/demucs: no torch."


def test_what_a_new_environment_would_not_change_is_not_rebuilt(surgery):
    surgery.make("demucs")
    surgery.failing["demucs"] = ModelError("The model is damaged.", hint="Fetch it.")
    report = surgery.examine("demucs")
    assert report.environments[0].findings[-1].what_to_do == "Fetch it."
    assert mend(report, surgery.practice) == []
    assert surgery.done == ["golden demucs"]


def test_only_what_is_broken_is_rebuilt(surgery):
    surgery.make("core")
    surgery.make("demucs")
    (surgery.root / "demucs" / "stemscribe-environment.json").unlink()
    said = []
    tried = mend(surgery.examine("core", "demucs"), surgery.practice, said.append)
    assert [(mending.what, mending.failure) for mending in tried] == [("venv/demucs", None)]
    assert said == ["Making venv/demucs anew: venv/demucs is half-made: it has no marker."]
    assert surgery.done == ["golden core", "golden demucs", "build demucs", "golden .demucs.new"]
    assert surgery.examine("core", "demucs").healthy


def test_what_cannot_be_mended_does_not_keep_the_others_from_it(surgery):
    for name in ("core", "demucs"):
        surgery.make(name)
        (surgery.root / name / "stemscribe-environment.json").unlink()
    report = surgery.examine("core", "demucs")
    surgery.failing["core"] = EnvironmentBroken("the new one does not work either.")
    tried = mend(report, surgery.practice)
    assert [(mending.what, str(mending.failure or "")) for mending in tried] == [
        ("venv/core", "the new one does not work either."),
        ("venv/demucs", ""),
    ]


def test_models_are_missing_damaged_or_whole(surgery):
    assert look_at_models(surgery.models, ["tiny"]) == (ModelFacts("tiny", "missing", ("a.bin",), needs_npm=True),)
    folder = surgery.models.fetch("tiny")
    assert look_at_models(surgery.models, []) == (ModelFacts("tiny", "", (), needs_npm=True),)
    (folder / "a.bin").write_bytes(b"weighty")
    assert look_at_models(surgery.models, ["tiny"])[0].trouble == "damaged"
    (folder / "a.bin").unlink()
    assert look_at_models(surgery.models, ["tiny"])[0].trouble == "damaged"  # it was there once


def test_a_damaged_model_is_fetched_again(surgery, tmp_path):
    surgery.make("core")
    (surgery.models.fetch("tiny") / "a.bin").write_bytes(b"weighty")
    report = surgery.examine("core", host=look_at_host(surgery.models, tmp_path / "out", ["tiny"]))
    assert not report.healthy
    assert [mending.what for mending in mend(report, surgery.practice)] == ["model tiny"]
    assert look_at_host(surgery.models, tmp_path / "out", ["tiny"]).models[0].trouble == ""
    assert surgery.done == ["golden core"]


def test_models_are_mended_before_the_environments_that_are_tried_with_them(surgery, tmp_path):
    surgery.make("core")
    os.utime(surgery.root / "core" / "stemscribe-environment.json", (7, 7))
    surgery.failing["core"] = EnvironmentBroken("no.")
    (surgery.models.fetch("tiny") / "a.bin").write_bytes(b"weighty")
    report = surgery.examine("core", host=look_at_host(surgery.models, tmp_path / "out", ["tiny"]))
    assert [mending.what for mending in mend(report, surgery.practice)] == ["model tiny", "venv/core"]


def test_a_drive_that_is_gone_is_told(tmp_path, monkeypatch):
    """On Windows even the last folder of a path may be missing."""
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    assert look_at_folder("the out folder", tmp_path / "out", "--out-dir").refusal == "/ is not there"


def test_an_environment_that_may_not_be_read_is_not_tried(surgery):
    facts = EnvironmentFacts("demucs", surgery.root / "demucs", closed="bin")
    (demucs,) = examine(["demucs"], replace(surgery.practice, look=lambda *_: facts), HostFacts()).environments
    assert (demucs.trial.went, surgery.done) == ("skipped", [])


def test_a_folder_is_tried_by_writing(tmp_path):
    found = look_at_folder("the out folder", tmp_path / "not" / "yet", "--out-dir")
    assert found.refusal == ""
    assert found.free > 0
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert look_at_folder("the out folder", tmp_path / "file" / "out", "--out-dir").refusal == "Not a directory"


def test_what_is_made_from_a_model_inside_an_npm_package_needs_npm_too(tmp_path: Path) -> None:
    (facts,) = look_at_models(ModelStore(tmp_path, load_catalog()), ["htdemucs-onnx"])
    assert (facts.trouble, facts.needs_npm) == ("missing", True)
