from dataclasses import replace
from pathlib import Path

import pytest

from fakes import tone, write_film
from stemscribe.errors import MediaError, StemscribeError, UsageError
from stemscribe.jobs.folder import JobFolder, all_jobs, create
from stemscribe.jobs.job import Options
from stemscribe.models.spec import Catalog, load_catalog
from stemscribe.pipeline.prepare import Request, checked, latest_or_new
from stemscribe.pipeline.receipt import dependencies
from stemscribe.pipeline.stages.demux import Demux

VENVS = Path("nowhere")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


def prepare(out: Path, request: Request, catalog: Catalog) -> JobFolder:
    return create(out, checked(request, catalog, VENVS))


def prepare_or_continue(out: Path, request: Request, catalog: Catalog) -> tuple[JobFolder, bool]:
    return latest_or_new(out, checked(request, catalog, VENVS))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mkv", [(tone(10), "eng"), (tone(10), "hin")])


def test_a_job_holds_what_was_asked(tmp_path: Path, film: Path, catalog: Catalog) -> None:
    request = Request(film, "transcribe", "hin", Options(model="base", start_time=1.0))
    job = prepare(tmp_path / "out", request, catalog).job
    assert (job.media, job.source_language, job.options.model) == (str(film), "hi", "whisper-base")
    assert job.options.start_time == 1.0


def test_the_same_request_goes_on_with_the_same_job(tmp_path: Path, film: Path, catalog: Catalog) -> None:
    request = Request(film, "transcribe", "hi")
    first, new = prepare_or_continue(tmp_path, request, catalog)
    assert new
    assert prepare_or_continue(tmp_path, request, catalog)[0].path == first.path
    other, new = prepare_or_continue(tmp_path, Request(film, "transcribe", "en"), catalog)
    assert new
    assert other.path != first.path
    assert prepare(tmp_path, request, catalog).path not in (first.path, other.path)


@pytest.mark.parametrize(
    ("language", "asked", "track"),
    [("auto", "", "0"), ("hi", "", "1"), ("ta", "", "0"), ("en", "hi", "1"), ("hi", "0", "0")],
)
def test_a_job_names_the_track_that_it_is_about(
    film: Path, catalog: Catalog, language: str, asked: str, track: str
) -> None:
    request = Request(film, "transcribe", language, Options(audio_track=asked))
    assert checked(request, catalog, VENVS).options.audio_track == track


def test_what_was_made_of_a_track_serves_every_language(tmp_path: Path, catalog: Catalog) -> None:
    film = write_film(tmp_path / "film.mkv", [(tone(10), "eng")])
    stems, words = (
        checked(Request(film, "separate"), catalog, VENVS),
        checked(Request(film, "transcribe", "hi"), catalog, VENVS),
    )
    assert stems.source_language != words.source_language
    first = [dependencies(Demux(), job, {}, {}, VENVS).fingerprint for job in (stems, words)]
    assert first[0] == first[1]
    other = replace(words, options=replace(words.options, audio_track="1"))
    assert dependencies(Demux(), other, {}, {}, VENVS).fingerprint != first[0]


def test_a_broken_job_is_no_reason_not_to_make_another(tmp_path: Path, film: Path, catalog: Catalog) -> None:
    folder = prepare(tmp_path, Request(film), catalog)
    (folder.path / "job.json").write_text("{}")
    assert prepare_or_continue(tmp_path, Request(film), catalog)[1]


def test_however_the_path_is_spelt_it_is_the_same_job(tmp_path: Path, film: Path, catalog: Catalog) -> None:
    first, _ = prepare_or_continue(tmp_path, Request(film), catalog)
    (film.parent / "folder").mkdir()
    other = film.parent / "folder" / ".." / film.name
    assert prepare_or_continue(tmp_path, Request(other), catalog)[0].path == first.path


def test_a_model_that_knows_english_only_is_not_asked_for_the_language(film: Path, catalog: Catalog) -> None:
    assert checked(Request(film, options=Options(model="tiny.en")), catalog, VENVS).source_language == "en"


def test_other_models_may_translate(film: Path, catalog: Catalog) -> None:
    for model in ("base", "small", "large-v3"):
        assert checked(Request(film, "translate", "hi", Options(model=model)), catalog, VENVS).workflow == "translate"


@pytest.mark.parametrize(("named", "code"), [("hin", "hi"), ("tl", "tl"), ("jw", "jw"), ("nob", "no"), ("EN", "en")])
def test_languages_by_any_of_their_names(film: Path, catalog: Catalog, named: str, code: str) -> None:
    assert checked(Request(film, source_language=named), catalog, VENVS).source_language == code


def test_a_guessed_length_is_no_reason_to_refuse_a_start(tmp_path: Path, catalog: Catalog) -> None:
    film = write_film(tmp_path / "film.aac", [(tone(20), "eng")], codec="aac")
    request = Request(film, options=Options(start_time=3000.0))
    assert checked(request, catalog, VENVS).options.start_time == 3000.0  # demux will know


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workflow": "dub"}, "There is no workflow 'dub'"),
        ({"source_language": "Klingon"}, "Whisper does not know the language 'Klingon'"),
        ({"source_language": "tlh"}, "Whisper does not know the language 'tlh'"),
        ({"options": Options(model="enormous")}, "There is no speech recognition model 'enormous'"),
        ({"options": Options(model="htdemucs")}, "There is no speech recognition model 'htdemucs'"),
        ({"options": Options(model="tiny.en"), "source_language": "hi"}, "Model whisper-tiny.en knows English only"),
        (
            {"options": Options(model="tiny.en"), "source_language": "en", "workflow": "translate"},
            "Model whisper-tiny.en knows English only: it cannot translate into English.",
        ),
        (
            {"options": Options(model="large-v3-turbo"), "workflow": "translate"},
            "Model whisper-large-v3-turbo was not trained to translate",
        ),
        ({"options": Options(audio_track="7")}, "film.mkv has no audio track '7'"),
        ({"options": Options(start_time=5.0, end_time=5.0)}, "--end-time 0:05.000 is not after --start-time 0:05.000"),
        ({"options": Options(start_time=50.0)}, "--start-time 0:50.000 is beyond the end of film.mkv"),
        ({"options": Options(device="coreml")}, "Device coreml is not to be had here"),
        ({"options": Options(stem_format="flac", stem_subtype="float")}, "FLAC cannot hold float samples"),
    ],
)
def test_what_cannot_be_meant_is_said_and_nothing_is_made(
    tmp_path: Path, film: Path, catalog: Catalog, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        prepare(tmp_path / "out", Request(film, **changes), catalog)  # type: ignore[arg-type]
    assert caught.value.message.startswith(said)
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_film_that_cannot_be_used_makes_no_job(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "text.mp4").write_text("not a film")
    with pytest.raises(MediaError):
        prepare(tmp_path / "out", Request(tmp_path / "text.mp4"), catalog)
    with pytest.raises(StemscribeError):
        prepare(tmp_path / "out", Request(tmp_path), catalog)
    assert all_jobs(tmp_path / "out") == []
    assert not (tmp_path / "out").exists()
