"""Receipts: all that a result depends on, and nothing that tells who made it."""

from __future__ import annotations

import getpass
import json
import platform
from dataclasses import asdict
from pathlib import Path

from stemscribe import __version__
from stemscribe.jobs.folder import JobFolder
from stemscribe.jobs.manifest import Dependencies
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import runner

from .conftest import NOWHERE, UNREHEARSED, Sums


def test_a_completed_stage_has_a_receipt(stages: list[Sums], folder: JobFolder, models: ModelStore) -> None:
    stages[1].built_with = {"core": ("click",)}
    stages[1].depends_on, stages[1].parameters = ("source_language", "stems"), {"pad": 0.5}
    runner.run(folder, models, NOWHERE, rules=UNREHEARSED)
    one, two = (folder.manifest.stage(name) for name in ("one", "two"))
    assert one.receipt is not None
    assert two.receipt is not None
    depended = two.receipt.dependencies
    assert (one.receipt.dependencies.film, depended.film) == (folder.job.media_identity, "")
    assert depended.inputs == {"one": one.artefacts[0].sha256}
    assert depended.options == {"source_language": "en", "stems": "two"}
    assert depended.parameters == {"pad": 0.5}
    assert set(depended.packages["core"]) == {"click"}
    assert depended.fingerprint == two.fingerprint
    assert two.receipt.stemscribe == __version__
    assert len(two.receipt.environments["core"]) == 64
    assert two.receipt.machine.python == platform.python_version()


def test_receipts_name_neither_the_machine_nor_its_user(
    stages: list[Sums], folder: JobFolder, models: ModelStore
) -> None:
    runner.run(folder, models, NOWHERE, rules=UNREHEARSED)
    receipt = folder.manifest.stage("one").receipt
    assert receipt is not None
    values = json.dumps([asdict(receipt.machine), receipt.environments, receipt.origin])
    assert str(Path.home()) not in values
    for name in {platform.node(), getpass.getuser()} - {"", "root", "localhost"}:
        assert name not in values


def test_a_fingerprint_is_what_it_was_in_the_first_manifests() -> None:
    # Hashed by the code of before there were receipts: jobs of then must not be separated again.
    depended = Dependencies(
        stage="source_separation",
        version=1,
        packages={"core": {"numpy": "2.4.0"}},
        options={"stems": "two", "threads": 0},
        parameters={"overlap": 0.25},
        film="",
        inputs={"mix": "a" * 64},
        models={"htdemucs": "b" * 64},
    )
    assert depended.fingerprint == "2c79eed89ad94cb0d0fb6fbc413ec01e2ef73c7c3f7f5963e8d5788a090b9bf2"
