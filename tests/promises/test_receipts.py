"""A job can be checked against its receipts, and made again: with the real models and the real command."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stemscribe.jobs.folder import JobFolder

from .conftest import Workplace

pytestmark = [pytest.mark.models, pytest.mark.slow]
MODELS = ("htdemucs-onnx", "spleeter", "silero-vad", "whisper-base")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, model: Callable[[str], Path]) -> Workplace:
    """A workplace with models of its own, which may be spoilt."""
    root = tmp_path_factory.mktemp("receipts")
    for name in MODELS:
        shutil.copytree(model(name), root / "models" / name)
    return Workplace(root, root / "models")


@pytest.fixture(scope="module")
def job(place: Workplace, clip: Path) -> Path:
    place.run("run", "--media", clip, "-s", "en", "--end-time", "9")
    return place.job


def test_an_honest_job_is_proven_down_to_a_window(place: Workplace, job: Path) -> None:
    done = place.run("verify", job.name, "--deep")
    assert "✓ manifest.json is as it was written" in done.stdout
    assert "✓ 99_source_separation/vocals.wav is whole" in done.stdout
    assert "✓ model htdemucs-onnx is the one that was used" in done.stdout
    assert "was separated again: the same, bit for bit" in done.stdout
    assert done.stdout.splitlines()[-1] == f"{job.name} is what its receipts say."


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        ("job/99_source_separation/vocals.wav", "vocals.wav is not what source_separation made: sha256 "),
        ("models/htdemucs-onnx/htdemucs-network.onnx", "htdemucs-network.onnx is not the model that was used: sha256 "),
        ("job/04_export/transcript.json", "transcript.json is not what export made: sha256 "),
        ("job/manifest.json", "manifest.json"),
    ],
)
def test_each_lie_is_found(place: Workplace, job: Path, spoilt: str, told: str) -> None:
    path = job / spoilt.removeprefix("job/") if spoilt.startswith("job/") else place.root / spoilt
    honest = path.read_bytes()
    try:
        flip(path)
        assert told in place.run("verify", job.name, code=1).stderr
    finally:
        path.write_bytes(honest)


def test_stems_that_the_model_did_not_make_are_found_even_under_an_honest_hash(place: Workplace, job: Path) -> None:
    folder = JobFolder(job)
    vocals, manifest = job / "99_source_separation" / "vocals.wav", folder.manifest
    made, record = vocals.read_bytes(), manifest.stage("source_separation")
    try:
        vocals.write_bytes(made[:44] + bytes(len(made) - 44))
        silent = tuple(folder.record_of("vocals", vocals) if one.name == "vocals" else one for one in record.artefacts)
        lie = manifest.with_stage("source_separation", replace(record, artefacts=silent))
        folder.manifest = lie
        assert "was made from another vocals" in place.run("verify", job.name, code=1).stderr
        folder.manifest = replace(lie, stages={name: lie.stages[name] for name in ("demux", "source_separation")})
        place.run("verify", job.name)  # now nothing contradicts the lie but the model itself
        assert "the stems hold something else" in place.run("verify", job.name, "--deep", code=1).stderr
    finally:
        vocals.write_bytes(made)
        folder.manifest = manifest


def test_a_job_can_be_made_again_elsewhere(place: Workplace, job: Path, clip: Path) -> None:
    (place.root / "elsewhere").mkdir()
    moved = shutil.copy(clip, place.root / "elsewhere" / clip.name)
    done = place.run("reproduce", job.name, "--media", moved, "--into", place.root / "again")
    lines = done.stdout.splitlines()
    assert all(line.endswith(" is the same") for line in lines)
    assert "✓ 99_source_separation/accompaniment.wav is the same" in lines
    assert (place.root / "again" / job.name / "04_export" / "transcript.srt").is_file()
