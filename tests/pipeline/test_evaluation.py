"""Measuring against references, with jobs that are arithmetic and results that were written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from fakes import tone
from stemscribe.audio.source import AudioSource
from stemscribe.errors import JobError, JobNotFound, MediaError, StageError, StorageError, UsageError
from stemscribe.evaluation.references import Reference
from stemscribe.jobs.folder import JobFolder, all_jobs, create
from stemscribe.jobs.job import Options
from stemscribe.jobs.manifest import StageRecord
from stemscribe.models.spec import load_catalog
from stemscribe.models.store import ModelStore
from stemscribe.pipeline.evaluation import measuring
from stemscribe.pipeline.evaluation.jobs import Jobs, Setting, settings_of
from stemscribe.pipeline.evaluation.measuring import evaluate, measure, references_in, subjects_of
from stemscribe.pipeline.evaluation.results import Results, text_of
from stemscribe.pipeline.evaluation.sources import Result
from stemscribe.pipeline.reporter import Rehearsed, Reporter
from stemscribe.pipeline.runner import Outcome, Rules
from stemscribe.pipeline.workflows import workflow_named
from stemscribe.records import write_record
from stemscribe.transcript import Segment, Transcript

RATE = 44100
BASE = Setting("base", Options())


def sound(path: Path, seconds: float = 2.0, *, hertz: float = 440.0, level: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, rate=RATE, hertz=hertz, level=level).T, RATE)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two recordings with texts, music, and a mixture with its stems."""
    root = tmp_path / "corpus"
    sound(root / "en" / "one.wav")
    text(root / "en" / "one.txt", "Ask not what your country")
    sound(root / "hi" / "two.flac")
    text(root / "hi" / "two.srt", "1\n00:00:00,000 --> 00:00:01,000\n<i>नमस्ते</i> दुनिया\n")
    sound(root / "music" / "three.wav", 30.0)
    vocals, music = tone(2, rate=RATE), tone(2, rate=RATE, hertz=1000.0, level=0.05)
    (root / "song").mkdir()
    for name, samples in (("vocals", vocals), ("accompaniment", music), ("mixture", vocals + music)):
        soundfile.write(root / "song" / f"{name}.wav", samples.T, RATE, subtype="FLOAT")
    return root


@pytest.fixture
def models(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", load_catalog())


class FakeRun:
    """Stands in for the runner: says of each film what it is told to, and keeps count."""

    def __init__(self, said: dict[str, str]) -> None:
        self.said, self.rules, self.jobs = said, [], []
        self.fails: dict[str, Exception] = {}

    def __call__(self, folder: JobFolder, models: ModelStore, venvs: Path, report: Reporter, rules: Rules) -> Outcome:
        job = folder.job
        film = Path(job.media)
        self.rules.append(rules)
        self.jobs.append(job)
        if film.stem in self.fails:
            raise self.fails[film.stem]
        if rules.rehearse:
            report(Rehearsed(job.id, 1.0, 1.0, 1, 1))
        made = _artefacts(folder, self.said.get(film.stem, ""))
        for step in workflow_named(job.workflow).steps:
            records = tuple(folder.record_of(*one) for one in made.items()) if step.stage.name == "demux" else ()
            folder.manifest = folder.manifest.with_stage(step.stage.name, StageRecord("completed", artefacts=records))
        return Outcome(folder, made)


def _artefacts(folder: JobFolder, said: str) -> dict[str, Path]:
    """Stems at half their level, of which the vocals are all of the mix; and a transcript, but for `separate`."""
    with AudioSource(Path(folder.job.media)) as film:
        mix = film.read(0, film.frames)
    names = ("vocals", "accompaniment") if folder.job.options.stems == "two" else ("vocals", "drums", "bass", "other")
    for name in names:
        soundfile.write(folder.path / f"{name}.wav", 0.5 * mix.T, RATE, subtype="FLOAT")
    record = {"model": "", "runtime": "", "sample_rate": RATE, "frames": 1, "windows": 1, "window_frames": 1}
    record |= {"overlap_frames": 0, "stems": {name: {"peak": 1.0, "gain": 0.5} for name in names}}
    text(folder.path / "separation.json", json.dumps(record))
    made = {name: folder.path / f"{name}.wav" for name in names} | {"separation": folder.path / "separation.json"}
    if folder.job.workflow != "separate":
        transcript = Transcript("en", (Segment(0.0, 1.0, said, "en"),), "film")
        write_record(folder.path / "transcript.json", transcript)
        text(folder.path / "ledger.json", '{"coverage": 0.75, "seconds": []}')
        made |= {"transcript": folder.path / "transcript.json", "ledger": folder.path / "ledger.json"}
    return made


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    fake = FakeRun({"one": "Ask what your country", "two": "नमस्ते दुनिया", "three": "Thanks for watching"})
    monkeypatch.setattr("stemscribe.pipeline.evaluation.jobs.run", fake)
    return fake


@pytest.fixture
def jobs(tmp_path: Path, models: ModelStore, fake_run: FakeRun) -> Callable[..., Jobs]:
    def make(setting: Setting = BASE, **flags: bool) -> Jobs:
        return Jobs(setting, tmp_path / "out", models, tmp_path / "venv", Rules(), **flags)

    return make


def test_each_kind_of_reference_gets_its_figures(corpus: Path, jobs: Callable[..., Jobs], fake_run: FakeRun) -> None:
    found = references_in(corpus)
    subjects, failures = subjects_of(found.references)
    done = evaluate(corpus, found, subjects, failures, [jobs()])
    assert done.failures == ()
    measured = {one.reference: one for one in done.measured}
    assert measured["en/one"].words is not None
    assert (measured["en/one"].words.lost, measured["en/one"].words.words) == (1, 5)
    assert measured["hi/two"].words is not None
    assert measured["hi/two"].words.wer == 0
    assert (measured["music/three"].invented, measured["music/three"].words) == (3, None)
    assert measured["music/three"].seconds == 30.0
    assert measured["en/one"].coverage == 0.75
    # The vocals are all of the mixture: as far from the true ones as the music is below them, once levels are undone.
    assert measured["song"].stems["vocals"].sdr == pytest.approx(20.0, abs=0.01)
    assert measured["song"].stems["vocals"].gain == pytest.approx(0.0, abs=0.01)
    assert [(job.workflow, job.source_language) for job in fake_run.jobs] == [
        ("transcribe", "en"),
        ("transcribe", "hi"),
        ("transcribe", "auto"),
        ("separate", "auto"),
    ]
    by_group = {one.group: one for one in done.totals}
    assert by_group["music"].invented_per_minute == pytest.approx(6.0)
    assert by_group[""].rate == pytest.approx(1 / 7)


def test_what_is_done_is_not_asked_for_again(tmp_path: Path, corpus: Path, jobs: Callable[..., Jobs]) -> None:
    found = references_in(corpus)
    subjects, _ = subjects_of(found.references)
    evaluate(corpus, found, subjects, (), [jobs()])
    first = [folder.path for folder in all_jobs(tmp_path / "out")]
    evaluate(corpus, found, subjects, (), [jobs()])
    assert [folder.path for folder in all_jobs(tmp_path / "out")] == first
    assert len(first) == 4


def test_one_rehearsal_is_enough_for_a_setting(corpus: Path, jobs: Callable[..., Jobs], fake_run: FakeRun) -> None:
    found = references_in(corpus)
    subjects, _ = subjects_of(found.references)
    evaluate(corpus, found, subjects, (), [jobs(), jobs(Setting("mix", Options(asr_audio="mix")))])
    assert [rules.rehearse for rules in fake_run.rules] == [True, True] + [False] * 6


def test_one_failure_does_not_end_it(corpus: Path, jobs: Callable[..., Jobs], fake_run: FakeRun) -> None:
    fake_run.fails["one"] = StageError("The stage failed.", hint="Mend it.")
    found = references_in(corpus)
    subjects, _ = subjects_of(found.references)
    done = evaluate(corpus, found, subjects, (), [jobs()])
    assert [(one.reference, one.setting, one.message, one.hint) for one in done.failures] == [
        ("en/one", "base", "The stage failed.", "Mend it.")
    ]
    assert [one.reference for one in done.measured] == ["hi/two", "music/three", "song"]


def test_what_is_wrong_with_everything_ends_it(corpus: Path, jobs: Callable[..., Jobs], fake_run: FakeRun) -> None:
    fake_run.fails["one"] = StorageError("The disk is full.")
    found = references_in(corpus)
    subjects, _ = subjects_of(found.references)
    with pytest.raises(StorageError):
        evaluate(corpus, found, subjects, (), [jobs()])
    assert len(fake_run.jobs) == 1


def test_only_finished_jobs_count_where_none_is_to_run(
    tmp_path: Path, corpus: Path, jobs: Callable[..., Jobs], fake_run: FakeRun
) -> None:
    found = references_in(corpus)
    subjects, _ = subjects_of(found.references[:1])
    only_done = jobs(only_done=True)
    nothing = evaluate(corpus, found, subjects, (), [only_done])
    assert "has done this with one.wav" in nothing.failures[0].message
    assert fake_run.jobs == []
    unfinished = create(tmp_path / "out", only_done.job(subjects[0].reference))
    assert len(evaluate(corpus, found, subjects, (), [only_done]).failures) == 1
    fake_run(unfinished, None, tmp_path, lambda event: None, Rules(rehearse=False))  # type: ignore[arg-type]
    done = evaluate(corpus, found, subjects, (), [only_done])
    assert done.measured[0].job == unfinished.path.name
    (unfinished.path / "transcript.json").unlink()
    assert "has lost transcript.json" in evaluate(corpus, found, subjects, (), [only_done]).failures[0].message


def test_stems_that_a_reference_has_are_asked_for(tmp_path: Path, jobs: Callable[..., Jobs]) -> None:
    film = sound(tmp_path / "mixture.wav")
    four = dict.fromkeys(("drums", "bass", "other", "vocals"), film)
    assert jobs().job(Reference("song", film, stems=four)).options.stems == "four"
    assert jobs().job(Reference("song", film, stems={"vocals": film})).options.stems == "two"


def test_the_language_that_is_asked_for_goes_before_that_of_the_folder(
    tmp_path: Path, jobs: Callable[..., Jobs]
) -> None:
    reference = Reference("hi/one", sound(tmp_path / "one.wav"), text=tmp_path, language="hi")
    assert jobs().job(reference).source_language == "hi"
    assert jobs(Setting("base", Options(), "en")).job(reference).source_language == "en"


def test_a_request_that_cannot_be_meant_is_refused_before_the_first_job(
    corpus: Path, jobs: Callable[..., Jobs], fake_run: FakeRun
) -> None:
    references = references_in(corpus).references
    jobs().check(references)
    with pytest.raises(UsageError, match="knows English only"):
        jobs(Setting("tiny", Options(model="whisper-tiny.en"))).check(references)
    text(corpus / "en" / "one.wav", "no sound")
    jobs().check(references)  # one recording that cannot be read is no reason


def test_settings_are_combined() -> None:
    assert [one.name for one in settings_of(Options())] == ["whisper-base"]
    found = settings_of(Options(threads=2), "hi", ["asr-audio=mix,vocals", "--threads=1, 2"])
    assert [one.name for one in found] == ["mix 1", "mix 2", "vocals 1", "vocals 2"]
    assert [(one.options.asr_audio, one.options.threads) for one in found][2] == ("vocals", 1)
    assert {one.language for one in found} == {"hi"}


@pytest.mark.parametrize(
    ("compared", "said"),
    [
        (["asr-audio"], "names no option with values"),
        (["colour=red,blue"], "names no option with values"),
        (["start-time=1,2"], "names no option with values"),
        (["asr-audio=mix,drums"], "cannot be: Invalid enum value 'drums'"),
        (["threads=1,many"], "cannot be"),
        (["asr-audio=mix,mix"], "names a value twice"),
    ],
)
def test_a_comparison_that_cannot_be_meant_is_refused(compared: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        settings_of(Options(), "", compared)


def test_a_part_of_a_recording_has_no_reference() -> None:
    with pytest.raises(UsageError, match="whole of its recording"):
        settings_of(Options(start_time=1.0))


def test_results_of_another_tool_are_found_by_name(tmp_path: Path, corpus: Path) -> None:
    results = tmp_path / "theirs"
    text(results / "one.txt", "ask not what")
    text(
        results / "hi" / "two.json", '{"segments": [{"text": " नमस्ते", "id": 0}, {"text": " दुनिया"}], "language": "hi"}'
    )
    text(results / "deep" / "three.srt", "1\n00:00:00,000 --> 00:00:01,000\nThank you\n")
    sound(results / "song" / "vocals.wav")
    found = references_in(corpus)
    subjects, _ = subjects_of(found.references)
    done = evaluate(corpus, found, subjects, (), [Results(results)])
    assert done.failures == ()
    measured = {one.reference: one for one in done.measured}
    assert measured["en/one"].words is not None
    assert measured["en/one"].words.lost == 2
    assert measured["hi/two"].words is not None
    assert measured["hi/two"].words.wer == 0
    assert measured["music/three"].invented == 2
    assert list(measured["song"].stems) == ["vocals"]
    assert measured["song"].stems["vocals"].si_sdr is not None
    assert measured["song"].stems["vocals"].si_sdr > 80  # 16 bit
    assert done.settings == {"theirs": {"hypotheses": str(results)}}


def test_a_result_at_the_place_of_the_recording_goes_before_one_of_its_name(tmp_path: Path) -> None:
    reference = Reference("en/one", tmp_path / "one.wav", text=tmp_path / "one.txt")
    text(tmp_path / "r" / "en" / "one.txt", "here")
    text(tmp_path / "r" / "old" / "one.txt", "there")
    assert Results(tmp_path / "r").of(reference).text == "here"
    other = Reference("de/one", tmp_path / "one.wav", text=tmp_path / "one.txt")
    with pytest.raises(JobError, match="2 results called one"):
        Results(tmp_path / "r").of(other)


def test_a_result_in_several_forms_is_one(tmp_path: Path) -> None:
    text(tmp_path / "r" / "one.json", '{"text": "json"}')
    text(tmp_path / "r" / "one.txt", "plain")
    assert Results(tmp_path / "r").of(Reference("one", tmp_path, text=tmp_path)).text == "plain"


def test_a_result_that_is_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    with pytest.raises(JobNotFound, match="nothing of en/one"):
        Results(tmp_path / "r").of(Reference("en/one", tmp_path, text=tmp_path))
    with pytest.raises(UsageError, match="is not a folder"):
        Results(tmp_path / "missing")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"text": "all of it", "segments": []}', ""),
        ('{"text": "all of it"}', "all of it"),
        ('[{"text": "all"}, {"text": "of it"}]', "all of it"),
        ('{"segments": [{"text": "all"}, {"text": "of it"}], "text": "other"}', "all of it"),
        ("[]", ""),
    ],
)
def test_the_json_of_recognisers_is_read(tmp_path: Path, content: str, said: str) -> None:
    assert text_of(text(tmp_path / "a.json", content)) == said


@pytest.mark.parametrize(
    "content",
    ["{}", '{"segments":[' * 5000, '{"text": 1}', '{"segments": [{"start": 1}]}', "no JSON", '[{"word": "a"}]'],
)
def test_json_that_is_no_transcript_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(MediaError, match=r"a\.json is not the JSON of a transcript"):
        text_of(text(tmp_path / "a.json", content))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Füße".encode("latin-1"))
    with pytest.raises(MediaError, match="is not UTF-8"):
        text_of(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_bytes("Füße".encode("utf-8-sig"))
    assert text_of(tmp_path / "b.txt") == "Füße"


def test_references_that_cannot_be_used_are_failures(tmp_path: Path) -> None:
    sound(tmp_path / "empty.wav")
    text(tmp_path / "empty.txt", " …\n")
    text(tmp_path / "broken.wav", "no sound")
    text(tmp_path / "broken.txt", "words")
    sound(tmp_path / "good.wav")
    text(tmp_path / "good.txt", "words")
    subjects, failures = subjects_of(references_in(tmp_path).references)
    assert [one.reference.name for one in subjects] == ["good"]
    assert [failure.reference for failure in failures] == ["broken", "empty"]
    assert "is not a film, video or audio file" in failures[0].message
    assert "has no word in it" in failures[1].message
    assert "no-speech" in failures[1].hint


def test_stems_without_a_counterpart_are_said(tmp_path: Path) -> None:
    film = sound(tmp_path / "mixture.wav")

    class Drums:
        name, description = "drums", ""

        def of(self, reference: Reference) -> Result:
            return Result(None, {"drums": (film, 1.0)})

    subjects, _ = subjects_of([Reference("song", film, stems={"vocals": film})])
    with pytest.raises(JobError, match="nothing in common"):
        measure(subjects[0], Drums())


def test_alignments_are_handed_on(corpus: Path, jobs: Callable[..., Jobs]) -> None:
    found = references_in(corpus)
    subjects, _ = subjects_of(found.references[:1])
    noted = []
    evaluate(corpus, found, subjects, (), [jobs()], note=lambda measured, aligned: noted.append(aligned))
    assert noted[0].startswith("REF: ask not what")


def test_a_length_that_no_header_tells_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = sound(tmp_path / "one.wav", 1.5)
    text(tmp_path / "one.txt", "words")
    probe = measuring.probe
    monkeypatch.setattr(
        measuring, "probe", lambda path: type(found := probe(path))(found.path, found.container, None, found.tracks)
    )
    (subject,), _ = subjects_of([Reference("one", film, tmp_path / "one.txt")])
    assert subject.seconds == pytest.approx(1.5)
