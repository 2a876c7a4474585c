"""The API: what is asked for is given, and what cannot be meant is refused with the right status."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from fakes import tone, write_film
from stemscribe.jobs.manifest import StageRecord
from stemscribe.studio import api
from stemscribe.studio.api import LARGEST_BODY
from stemscribe.studio.workspace import Workspace

from .conftest import OFFSET, RATE, finished_job

TRAVERSALS = ["%2e%2e%2f%2e%2e%2fetc%2fpasswd", "job-20261122-0001%2f..", "job-20261122-0001%00", "....//"]


@pytest.fixture
def job(out: Path) -> str:
    return finished_job(out).path.name


def test_jobs_are_listed_the_latest_first(client: TestClient, out: Path) -> None:
    names = [finished_job(out, media=f"{name}.mkv").path.name for name in ("one", "two")]
    rows = client.get("/api/jobs").json()
    assert [(row["job"], row["media"], row["state"], row["coverage"]) for row in rows] == [
        (names[1], "two.mkv", "completed", 0.9),
        (names[0], "one.mkv", "completed", 0.9),
    ]


def test_a_job_is_prepared_like_on_the_command_line(client: TestClient, out: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(1), "eng")])
    answer = client.post("/api/jobs", json={"media": str(film), "workflow": "separate"})
    assert answer.status_code == 201
    job = json.loads((out / answer.json()["job"] / "job.json").read_text())
    assert (job["media"], job["workflow"], job["source_language"]) == (str(film), "separate", "auto")
    assert client.get(f"/api/jobs/{answer.json()['job']}").json()["status"]["state"] == "pending"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"media": ""}, "No film was named"),
        ({"media": "a\0b"}, "No film was named"),
        ({"media": "/nowhere/film.mkv"}, "/nowhere/film.mkv"),
        ({"media": "/"}, "/"),
        ({"media": "/nowhere", "workflow": "burn"}, "burn"),
        ({"media": 3}, "cannot be understood"),
        ({"media": "/nowhere", "options": {"threads": -1}}, "cannot be understood"),
        ([], "cannot be understood"),
    ],
)
def test_a_job_that_cannot_be_meant_is_refused(client: TestClient, out: Path, body: Any, said: str) -> None:
    answer = client.post("/api/jobs", json=body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert not list(out.glob("job-*"))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"media": "' + b"a" * LARGEST_BODY])
def test_what_is_no_json_is_refused(client: TestClient, content: bytes) -> None:
    assert client.post("/api/jobs", content=content).status_code in {413, 422}


@pytest.mark.parametrize("bad", TRAVERSALS)
@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs/{}",
        "/api/jobs/{}/artefacts/mix",
        "/api/jobs/{job}/artefacts/{}",
        "/api/jobs/{job}/peaks/{}",
        "/api/jobs/{job}/spectrogram/{}?start=0&end=1",
        "/api/jobs/{job}/export/{}",
        "/jobs/{}/listen",
        "/static/{}",
    ],
)
def test_nobody_gets_out_of_the_folder(client: TestClient, job: str, path: str, bad: str) -> None:
    answer = client.get(path.replace("{job}", job).replace("{}", bad))
    assert answer.status_code in {404, 405, 422}
    assert "root:" not in answer.text


def test_a_job_whose_manifest_leads_elsewhere_gives_nothing(client: TestClient, out: Path, job: str) -> None:
    path = out / job / "manifest.json"
    path.write_text(path.read_text().replace("01_demux/mix.flac", "../../film.mkv"))
    answer = client.get(f"/api/jobs/{job}/artefacts/mix")
    assert answer.status_code == 409
    assert "is no file of this job" in answer.json()["detail"]


def test_a_link_in_a_job_is_not_followed(client: TestClient, out: Path, job: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    vocals = out / job / "99_source_separation" / "vocals.wav"
    vocals.unlink()
    vocals.symlink_to(tmp_path / "secret")
    assert client.get(f"/api/jobs/{job}/artefacts/vocals").status_code == 404


def test_sounds_are_served_in_parts(client: TestClient, out: Path, job: str) -> None:
    whole = (out / job / "99_source_separation" / "vocals.wav").read_bytes()
    path = f"/api/jobs/{job}/artefacts/vocals"
    answer = client.get(path)
    assert answer.content == whole
    assert answer.headers["content-disposition"] == 'attachment; filename="vocals.wav"', "nobody's page is opened"
    part = client.get(path, headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    assert client.get(path, headers={"range": "bytes=-5"}).content == whole[-5:]


@pytest.mark.parametrize("asked", ["bytes=9-1", "bytes=a-b", "bytes=99999999-", "lines=1-2", "bytes", "bytes=--1"])
def test_a_part_that_cannot_be_meant_is_refused(client: TestClient, job: str, asked: str) -> None:
    answer = client.get(f"/api/jobs/{job}/artefacts/vocals", headers={"range": asked})
    assert answer.status_code in {400, 416}


def test_a_waveform_has_the_lowest_and_the_highest_sample_of_each_hundredth(client: TestClient, job: str) -> None:
    peaks = np.frombuffer(client.get(f"/api/jobs/{job}/peaks/vocals").content, np.int8).reshape(-1, 2)
    assert len(peaks) == 300
    assert abs(int(peaks[:, 0].min()) + 64) <= 1
    assert abs(int(peaks[:, 1].max()) - 64) <= 1


def test_a_spectrogram_shows_the_tone_where_it_is(client: TestClient, job: str) -> None:
    found = client.get(f"/api/jobs/{job}/spectrogram/mix?start=0.5&end=1.5&columns=50")
    rows = np.frombuffer(found.content, np.uint8).reshape(128, 50)
    hertz = 60 * (RATE / 2 / 60) ** ((127 - rows.mean(axis=1).argmax()) / 128)
    assert hertz == pytest.approx(440, rel=0.1)
    for start, end in ((0, 0), (2, 1), (0, 500)):
        assert client.get(f"/api/jobs/{job}/spectrogram/mix?start={start}&end={end}").status_code == 422
    assert client.get(f"/api/jobs/{job}/spectrogram/mix?start=900&end=901").content.count(0) == 128 * 600


def test_what_there_is_to_hear_and_to_see(client: TestClient, job: str) -> None:
    sound = client.get(f"/api/jobs/{job}/sound").json()
    assert (sound["duration"], sound["offset"]) == (3.0, OFFSET)
    assert [track["name"] for track in sound["tracks"]] == ["mix", "vocals", "accompaniment"]
    assert [(span["kind"], round(span["start"], 3), round(span["end"], 3)) for span in sound["spans"]] == [
        ("silent", 2.0, 3.0),
        ("gap", 1.8, 2.0),
    ]


def mend(client: TestClient, job: str, revision: str, **change: Any) -> Any:
    return client.post(f"/api/jobs/{job}/edits", json={"revision": revision, "change": change})


def test_a_transcript_is_mended_exported_and_taken_back(client: TestClient, out: Path, job: str) -> None:
    made = out / job / "04_export" / "transcript.json"
    before = made.read_bytes()
    text = client.get(f"/api/jobs/{job}/transcript").json()
    mended = mend(client, job, text["revision"], change="rewrite", segment="0", text="ask not").json()
    assert mended["segments"][0]["segment"]["text"] == "ask not"
    assert "ask not" in client.get(f"/api/jobs/{job}/export/srt").text
    assert "ask nut" in client.get(f"/api/jobs/{job}/export/srt?mended=false").text
    for form, sign in (("vtt", "WEBVTT"), ("txt", "ask not"), ("json", '"segments"')):
        assert sign in client.get(f"/api/jobs/{job}/export/{form}").text
    assert client.get(f"/api/jobs/{job}/export/exe").status_code == 422
    taken = client.delete(f"/api/jobs/{job}/edits/last", params={"revision": mended["revision"]}).json()
    assert taken["text"] == text
    assert taken["change"] == {"change": "rewrite", "segment": "0", "text": "ask not"}
    assert made.read_bytes() == before, "the machine's own is as it was"


def test_two_pages_do_not_overwrite_each_other(client: TestClient, job: str) -> None:
    seen = client.get(f"/api/jobs/{job}/transcript").json()["revision"]
    assert mend(client, job, seen, change="merge", segment="0").status_code == 200
    late = mend(client, job, seen, change="remove", segment="1")
    assert late.status_code == 409
    assert "changed elsewhere" in late.json()["detail"]


def test_of_changes_at_the_same_moment_one_is_made(visit: Callable[..., TestClient], job: str) -> None:
    client = visit()
    seen = client.get(f"/api/jobs/{job}/transcript").json()["revision"]
    together = threading.Barrier(8)

    def change(number: int) -> int:
        own = visit()  # another studio, for all that they know of each other
        together.wait()
        status: int = mend(own, job, seen, change="rewrite", segment="0", text=f"text {number}").status_code
        return status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(change, range(8))) == [200] + [409] * 7
    assert client.get(f"/api/jobs/{job}/transcript").json()["changes"] == 1


def test_of_two_requests_to_run_one_begins(
    client: TestClient, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(1), "eng")])
    job = client.post("/api/jobs", json={"media": str(film), "workflow": "separate"}).json()["job"]
    monkeypatch.setattr(workspace.runs, "_command", ("sh", "-c", "sleep 60"))
    together = threading.Barrier(4)

    def run(_: int) -> int:
        together.wait()
        status: int = client.post(f"/api/jobs/{job}/run").status_code
        return status

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(run, range(4))) == [202, 409, 409, 409]
    assert client.post(f"/api/jobs/{job}/cancel").status_code == 202


def test_what_an_earlier_run_has_told_is_not_taken_for_this_one(
    client: TestClient, workspace: Workspace, out: Path, job: str
) -> None:
    told = out / ".studio" / "runs" / job / "events.jsonl"
    told.parent.mkdir(parents=True)
    progress = {"done": 3, "total": 4, "unit": "windows", "film": 9.0}
    told.write_text(json.dumps({"event": "stage_progressed", "stage": "asr", "progress": progress}) + "\n")
    folder = workspace.folder(job)
    folder.manifest = folder.manifest.with_stage("asr", StageRecord("running"))
    with folder.locked():  # on the command line, say
        view = client.get(f"/api/jobs/{job}").json()
    assert (view["status"]["state"], view["at"], view["progress"]) == ("running", "", None)


@pytest.mark.parametrize("place", [0, 4096, -4096])
def test_an_index_that_is_damaged_anywhere_is_made_again(client: TestClient, out: Path, job: str, place: int) -> None:
    assert len(client.get("/api/search?q=ask").json()) == 1
    path = out / ".studio" / "search.sqlite"
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place : place + 4096] = b"\xff" * len(content[place : place + 4096])
    path.write_bytes(content)
    assert len(client.get("/api/search?q=ask").json()) == 1


def test_an_index_that_cannot_be_written_is_said(client: TestClient, out: Path, job: str) -> None:
    (out / ".studio" / "search.sqlite").mkdir(parents=True)
    answer = client.get("/api/search?q=ask")
    assert answer.status_code == 507
    assert "search.sqlite cannot be used" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/jobs/job-20261122-0009", 404), ("/jobs/nothing", 404), ("/nothing", 404), ("/search?q=" + "a" * 300, 404)],
)
def test_people_are_told_on_a_page(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert "To all jobs" in answer.text


def test_a_record_of_changes_that_is_garbage_is_said_and_left_alone(client: TestClient, out: Path, job: str) -> None:
    path = out / job / "04_export" / "edits.json"
    path.write_text("nonsense")
    answer = client.get(f"/api/jobs/{job}/transcript")
    assert answer.status_code == 409
    assert "edits.json" in answer.json()["detail"]
    assert path.read_text() == "nonsense"


def test_what_was_heard_otherwise_is_told(client: TestClient, job: str) -> None:
    found = client.get(f"/api/jobs/{job}/hearings?start=0.7&end=1.5").json()
    assert [(one["audio"], one["text"]) for one in found] == [("vocals", "ask not")]
    assert client.get(f"/api/jobs/{job}/hearings?start=50&end=60").json() == []


def test_all_transcripts_are_searched_as_they_are_now(client: TestClient, out: Path, job: str) -> None:
    def found(words: str) -> list[str]:
        return [one["text"] for one in client.get("/api/search", params={"q": words}).json()]

    assert found("nut") == ["ask \x02nut\x03"]
    assert found("फिल्म") == ["\x02फिल्म\x03 <b>&"]
    assert found("फि") == ["\x02फिल्म\x03 <b>&"], "how a word begins"
    assert found("ask फिल्म") == []
    revision = client.get(f"/api/jobs/{job}/transcript").json()["revision"]
    mend(client, job, revision, change="rewrite", segment="0", text="ask not")
    assert (found("nut"), found("not")) == ([], ["ask \x02not\x03"])
    for odd in ('"', "*", "NEAR(", "a AND", "-", "text:ask", "\0", "'; DROP TABLE jobs"):
        assert isinstance(client.get("/api/search", params={"q": odd}).json(), list)
    (out / ".studio" / "search.sqlite").write_bytes(b"nonsense" * 999)
    assert found("not") == ["ask \x02not\x03"], "it is made again"


def test_what_is_gone_is_not_found_any_more(client: TestClient, out: Path, job: str) -> None:
    other = finished_job(out).path.name
    assert {one["job"] for one in client.get("/api/search?q=nut").json()} == {job, other}
    shutil.rmtree(out / other)
    assert {one["job"] for one in client.get("/api/search?q=nut").json()} == {job}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
@pytest.mark.parametrize("path", ["manifest.json", "04_export/edits.json", "04_export/ledger.json", "pipeline.log"])
def test_a_pipe_in_a_job_keeps_nobody_waiting(client: TestClient, out: Path, job: str, path: str) -> None:
    (out / job / path).unlink(missing_ok=True)
    os.mkfifo(out / job / path)
    with ThreadPoolExecutor(1) as pool:
        asked = [f"/api/jobs/{job}", "/api/jobs", f"/api/jobs/{job}/transcript", "/api/search?q=nut"]
        answers = [pool.submit(client.get, address) for address in asked]
        assert [answer.result(20).status_code in {200, 409} for answer in answers] == [True] * 4


def test_changes_to_a_transcript_that_was_there_before_are_told(client: TestClient, out: Path, job: str) -> None:
    before = client.get(f"/api/jobs/{job}/transcript").json()
    mended = mend(client, job, before["revision"], change="rewrite", segment="0", text="ask not").json()
    path = out / job / "04_export" / "edits.json"
    path.write_text(path.read_text().replace(json.loads(path.read_text())["transcript"], "f" * 64))
    found = client.get(f"/api/jobs/{job}/transcript").json()
    assert (found["changes"], found["set_aside"]) == (0, 1)
    assert (before["set_aside"], mended["set_aside"]) == (0, 0)


def test_names_and_words_are_shown_as_text(client: TestClient, out: Path) -> None:
    job = finished_job(out, media="<img src=x onerror=alert(1)>.mkv").path.name
    for path in ("/", f"/jobs/{job}", f"/jobs/{job}/listen", f"/jobs/{job}/transcript", "/search?q=फिल्म"):
        text = client.get(path).text
        assert "<img" not in text
        assert "&lt;img" in text
    assert "&lt;b&gt;&amp;" in client.get("/search?q=फिल्म").text
    assert "<script>x" not in client.get("/search?q=<script>x").text


def test_a_film_is_sent_to_the_disk_as_it_comes(client: TestClient, out: Path) -> None:
    content = bytes(range(256)) * 9000
    answer = client.put(
        "/api/uploads/my film.mkv", content=(content[at : at + 9999] for at in range(0, len(content), 9999))
    )
    assert answer.status_code == 201
    path = Path(answer.json()["path"])
    assert path == out / "uploads" / "my film.mkv"
    assert path.read_bytes() == content
    again = client.put("/api/uploads/my film.mkv", content=b"other").json()["path"]
    assert Path(again).name == "my film-2.mkv"
    assert not list(path.parent.glob(".*"))


def test_films_of_one_name_that_come_at_once_are_all_kept(visit: Callable[..., TestClient], out: Path) -> None:
    films = [bytes([number]) * 300_000 for number in range(6)]

    def send(film: bytes) -> Path:
        return Path(visit().put("/api/uploads/00001.MTS", content=film).json()["path"])

    with ThreadPoolExecutor(len(films)) as pool:
        paths = list(pool.map(send, films))
    assert [path.read_bytes() for path in paths] == films
    assert len(list((out / "uploads").iterdir())) == len(films)


def test_a_name_that_no_disk_can_hold_is_refused(client: TestClient, out: Path) -> None:
    answer = client.put(f"/api/uploads/{'फ' * 90}.mkv", content=b"x")
    assert (answer.status_code, "too long" in answer.json()["detail"]) == (422, True)
    assert not list(out.glob("uploads/*"))


@pytest.mark.parametrize("name", ["..", "%2e%2e%2fevil", "..%5cevil", ".hidden", "%00", "a%0ab"])
def test_a_film_is_put_nowhere_else(client: TestClient, out: Path, tmp_path: Path, name: str) -> None:
    answer = client.put(f"/api/uploads/{name}", content=b"x")
    assert answer.status_code in {201, 404, 405, 422}
    assert not [path for path in tmp_path.rglob("*evil*") if path.parent != out / "uploads"]


def test_a_film_for_which_there_is_no_room_is_refused_before_it_comes(client: TestClient, out: Path) -> None:
    answer = client.put("/api/uploads/film.mkv", content=b"x", headers={"content-length": str(10**15)})
    assert answer.status_code == 507
    assert not list(out.glob("uploads/*"))


def test_a_film_that_does_not_fit_leaves_nothing(
    client: TestClient, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(api, "flush_to_disk", full)
    answer = client.put("/api/uploads/film.mkv", content=b"x" * 99_999)
    assert answer.status_code == 507
    assert "film.mkv" in answer.json()["detail"]
    assert not list((out / "uploads").iterdir())


def test_what_a_killed_studio_has_left_goes_and_what_still_comes_stays(workspace: Workspace) -> None:
    workspace.uploads.mkdir(parents=True)
    left, coming, film = (workspace.uploads / name for name in (".aaaa.part", ".bbbb.part", "old.part"))
    for path in (left, coming, film):
        path.write_bytes(b"x")
    for path in (left, film):
        os.utime(path, (0, 0))
    workspace.sweep()
    assert not left.exists()
    assert coming.exists()
    assert film.exists()


def test_a_body_that_claims_to_be_huge_is_not_waited_for(client: TestClient) -> None:
    assert client.post("/api/jobs", content=iter([b"x" * 65536] * 160)).status_code == 413


def test_events_tell_how_a_job_is_and_what_it_says(client: TestClient, job: str) -> None:
    with client.stream("GET", f"/api/jobs/{job}/events") as answer:
        told = {}
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                told[kind] = json.loads(line.removeprefix("data: "))
            if len(told) == 2:
                break
    assert told["job"]["status"]["state"] == "completed"
    assert told["log"] == "[INFO] ✅ Stage export: COMPLETED (0.1s)\n"


@pytest.mark.parametrize("action", ["run", "cancel"])
def test_nothing_is_done_to_a_job_that_is_not_there(client: TestClient, action: str) -> None:
    assert client.post(f"/api/jobs/job-20261122-0009/{action}").status_code == 404


def test_what_was_not_started_here_is_not_cancelled_here(client: TestClient, job: str) -> None:
    answer = client.post(f"/api/jobs/{job}/cancel")
    assert answer.status_code == 409
    assert "was not started from here" in answer.json()["detail"]


def test_a_job_that_could_not_begin_says_why(
    visit: Callable[..., TestClient], workspace: Workspace, out: Path, tmp_path: Path
) -> None:
    film = write_film(tmp_path / "film.wav", [(tone(1), "eng")])
    workspace.runs._command = ("sh", "-c", "echo '[ERROR] It hurts.' >&2; echo '        Rest.' >&2; exit 1")
    client = visit()
    job = client.post("/api/jobs", json={"media": str(film), "workflow": "separate"}).json()["job"]
    assert client.post(f"/api/jobs/{job}/run").status_code == 202
    deadline = time.monotonic() + 20
    while client.get(f"/api/jobs/{job}").json()["failure"] != "It hurts.\nRest.":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_api_describes_itself(client: TestClient) -> None:
    described = client.get("/api/openapi.json").json()
    assert {"NewJob", "JobView", "Text", "Mending"} <= set(described["components"]["schemas"])
    references = set(_references(described))
    assert {reference.rpartition("/")[2] for reference in references} <= set(described["components"]["schemas"])
    assert "GET /api/jobs/{job}/transcript" in client.get("/api").text


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for item in value.values() for one in _references(item)]
    return [one for item in value for one in _references(item)] if isinstance(value, list) else []
