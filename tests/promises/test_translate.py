"""Workflow `translate` with the real Whisper: what was said, in its own language and in English."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pysubs2
import pytest

from fakes import FakeSeparator
from stemscribe.audio.probe import identity
from stemscribe.jobs.folder import create
from stemscribe.jobs.job import Job, Options
from stemscribe.models.spec import load_catalog
from stemscribe.models.store import ModelStore
from stemscribe.pipeline import runner
from stemscribe.pipeline.stages import source_separation
from stemscribe.records import read_record
from stemscribe.speech.recognition import Recognition
from stemscribe.speech.translation import Translation

from .conftest import Workplace

pytestmark = [pytest.mark.models, pytest.mark.slow]


@pytest.fixture(scope="module")
def recording(corpus: Path) -> Path:
    """Ten seconds of French: an accident took place in a mountainous area."""
    found = sorted((corpus / "speech" / "fr").glob("*.ogg"))
    if not found:
        pytest.skip("needs a French recording in ../shared/corpus/speech/fr")
    return found[0]


@pytest.fixture(scope="module")
def made(
    recording: Path, tmp_path_factory: pytest.TempPathFactory, model: Callable[[str], Path], models_dir: Path
) -> dict[str, Path]:
    """What the job has made; of speech alone, all is vocals, so that nothing need be separated."""
    for name in ("silero-vad", "whisper-base"):
        model(name)
    place = tmp_path_factory.mktemp("translate")
    options = Options(engine="onnx", device="cpu", gate="off", start_time=0.5)
    job = Job("", str(recording), identity(recording), "translate", "fr", "", "", options)
    catalog = load_catalog()
    store = ModelStore(models_dir, catalog, offline=True)
    fetch = store.fetch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_separation, "open_onnx", lambda *arguments, **named: FakeSeparator(window_frames=343980))
        patch.setattr(store, "fetch", lambda name: place if name == "htdemucs-onnx" else fetch(name))
        folder = create(place / "out", job)
        outcome = runner.run(folder, store, place / "venv", rules=runner.Rules(rehearse=False))
    return dict(outcome.artefacts)


def text(path: Path) -> str:
    return " ".join(path.read_text(encoding="utf-8").lower().split())


def test_both_are_there_each_in_its_language(made: dict[str, Path]) -> None:
    assert "l'accident" in text(made["text"]).replace("’", "'")
    english = text(made["translation_text"])
    assert "accident" in english
    assert "mountain" in english
    assert "montagn" not in english
    records = {name: json.loads(made[name].read_text(encoding="utf-8")) for name in ("transcript", "translation_json")}
    assert [records[name]["language"] for name in records] == ["fr", "en"]


def test_it_is_shown_while_it_is_said(made: dict[str, Path]) -> None:
    said, translated = (pysubs2.load(str(made[name]), encoding="utf-8") for name in ("srt", "translation_srt"))
    assert abs(said[0].start - translated[0].start) < 500
    assert abs(said[-1].end - translated[-1].end) < 2000
    for before, after in pairwise(translated):
        assert before.start < before.end <= after.start


def test_it_says_where_it_comes_from_and_leaves_nothing_out(made: dict[str, Path]) -> None:
    heard = read_record(made["segments"], Recognition)
    found = read_record(made["translation"], Translation)
    assert (found.language, found.source_language, found.model) == ("en", "fr", "whisper-base")
    assert found.untranslated == ()
    assert {segment.heard for segment in found.segments} <= {segment.heard for segment in heard.segments}
    assert all(segment.reason.startswith("translated from French") for segment in found.segments)
    words = [word for segment in found.segments for word in segment.words]
    assert all(before.end <= after.start for before, after in pairwise(words))
    first, last = heard.segments[0].start, heard.segments[-1].end
    assert all(first - 0.3 <= word.start <= word.end <= last + 0.3 for word in words)


def test_the_rehearsal_translates(workplace: Workplace, recording: Path) -> None:
    done = workplace.run("run", "--rehearse", "--media", recording, "-s", "fr", "--workflow", "translate", "--new")
    assert " will work: about " in done.stdout


def test_a_model_that_cannot_translate_is_refused_before_anything_is_made(
    workplace: Workplace, recording: Path
) -> None:
    jobs = len(list((workplace.root / "out").glob("job-*")))
    for model, why in (("tiny.en", "knows English only"), ("large-v3-turbo", "was not trained to translate")):
        done = workplace.run("run", "--media", recording, "--workflow", "translate", "--model", model, code=2)
        assert f"Model whisper-{model} {why}: it cannot translate into English." in done.stderr
    assert len(list((workplace.root / "out").glob("job-*"))) == jobs
