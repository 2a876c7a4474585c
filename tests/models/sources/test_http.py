import time

import pytest

from stemscribe.models.sources import ContentError, Https, Hub, SourceError, Target, http

REVISION = "0123456789012345678901234567890123456789"


def test_downloads_what_is_served(server, content, target, context):
    Https(server.serve("/model.bin", content)).write(target, context)
    assert target.path.read_bytes() == content


def test_progress_counts_up_to_the_total(server, content, target, context, tmp_path):
    seen = []
    target = Target(tmp_path / "x.part", None, None, lambda done, total: seen.append((done, total)))
    Https(server.serve("/model.bin", content)).write(target, context)
    assert seen[-1] == (len(content), len(content))
    assert seen == sorted(seen)


def test_hub_asks_for_the_pinned_revision(server, content, target, context, tmp_path):
    server.serve(f"/someone/some-model/resolve/{REVISION}/model.bin", content)
    context = http.FetchContext(tmp_path, server.endpoint, print, lambda name: tmp_path, {})
    assert Hub("someone/some-model", REVISION, "model.bin").write(target, context) is None
    assert target.path.read_bytes() == content


def test_hash_that_comes_with_the_redirect_is_handed_on(server, content, target, context):
    stored = server.serve("/stored", content)
    linked = {"Location": stored, "X-Linked-Etag": f'"{"a" * 64}"'}
    published = Https(server.serve("/model.bin", b"", status=302, headers=linked)).write(target, context)
    assert published == "a" * 64
    assert target.path.read_bytes() == content


def test_tag_that_is_no_sha256_is_not_taken_for_one(server, content, target, context):
    url = server.serve("/model.bin", content, headers={"X-Linked-Etag": '"0123456789abcdef"'})
    assert Https(url).write(target, context) is None


def test_cut_connection_goes_on_where_it_was_cut(server, content, target, context):
    Https(server.serve("/model.bin", content, cuts=[300_000, 400_000])).write(target, context)
    assert target.path.read_bytes() == content
    assert server.ranges_asked() == [None, "bytes=300000-", "bytes=700000-"]


def test_next_fetch_resumes_what_the_last_one_left(server, content, target, context):
    url = server.serve("/model.bin", content, cuts=[200_000, 0, 0, 0])
    with pytest.raises(SourceError, match="cut"):
        Https(url).write(target, context)
    assert target.path.stat().st_size == 200_000
    Https(url).write(target, context)
    assert target.path.read_bytes() == content
    assert server.ranges_asked()[-1] == "bytes=200000-"


def test_attempts_are_bounded(server, content, target, context):
    url = server.serve("/model.bin", content, cuts=[1000] * 99)
    with pytest.raises(SourceError, match="4 times"):
        Https(url).write(target, context)
    assert len(server.requests) == 4


@pytest.mark.parametrize("habits", [{"ranges": False}, {"etag": '"second"'}], ids=["no ranges", "file has changed"])
def test_answer_with_the_whole_file_restarts(server, content, context, tmp_path, habits):
    seen = []
    target = Target(tmp_path / "x.part", len(content), None, lambda done, total: seen.append(done))
    url = server.serve("/model.bin", content[::-1], cuts=[200_000, 0, 0, 0])
    with pytest.raises(SourceError):
        Https(url).write(target, context)
    Https(server.serve("/model.bin", content, **habits)).write(target, context)
    assert server.ranges_asked()[-1] == "bytes=200000-"
    assert target.path.read_bytes() == content
    assert seen[-1] == len(content)


def test_without_a_version_another_size_restarts(server, content, target, context):
    url = server.serve("/model.bin", content[::-1][:900_000], etag="", cuts=[200_000, 0, 0, 0])
    with pytest.raises(SourceError):
        Https(url).write(target, context)
    Https(server.serve("/model.bin", content, etag="")).write(target, context)
    assert target.path.read_bytes() == content


def test_weak_tag_is_not_sent_as_a_condition(server, content, target, context):
    Https(server.serve("/model.bin", content, etag='W/"weak"', cuts=[200_000])).write(target, context)
    assert [headers.get("if-range") for _, headers in server.requests] == [None, None]
    assert server.ranges_asked() == [None, "bytes=200000-"]


def test_range_beyond_the_end_restarts(server, content, target, context):
    url = server.serve("/model.bin", content, cuts=[200_000, 0, 0, 0])
    with pytest.raises(SourceError):
        Https(url).write(target, context)
    server.serve("/model.bin", content, ranges=False, status=416)
    with pytest.raises(SourceError):
        Https(url).write(target, context)
    assert not target.path.exists()


def test_bytes_without_a_note_are_not_built_upon(server, content, target, context):
    target.path.write_bytes(b"left by somebody else")
    Https(server.serve("/model.bin", content)).write(target, context)
    assert target.path.read_bytes() == content


def test_whole_download_is_not_asked_for_again(server, content, target, context):
    source = Https(server.serve("/model.bin", content, headers={"X-Linked-Etag": "b" * 64}))
    assert source.write(target, context) == source.write(target, context) == "b" * 64
    assert len(server.requests) == 1


def test_other_size_is_refused_before_the_body(server, content, target, context, tmp_path):
    target = Target(tmp_path / "x.part", 10, None, lambda done, total: None)
    with pytest.raises(ContentError, match="expected 10 bytes, it offers 1,048,576"):
        Https(server.serve("/model.bin", content)).write(target, context)
    assert not target.path.exists()


def test_other_published_hash_is_refused_before_the_body(server, content, context, tmp_path):
    target = Target(tmp_path / "x.part", None, "a" * 64, lambda done, total: None)
    with pytest.raises(ContentError, match="it offers bbbb"):
        Https(server.serve("/model.bin", content, headers={"X-Linked-Etag": "b" * 64})).write(target, context)
    assert not target.path.exists()


@pytest.mark.parametrize("status", [403, 404, 500])
def test_refusal_names_the_status(server, target, context, status):
    with pytest.raises(SourceError, match=f"answered {status}"):
        Https(server.serve("/model.bin", b"", status=status)).write(target, context)


def test_unreachable_host_is_asked_once_a_fetch(closed_endpoint, target, context, monkeypatch):
    with pytest.raises(SourceError, match="could not connect"):
        Https(f"{closed_endpoint}/one").write(target, context)
    monkeypatch.setattr(http, "_client", lambda: pytest.fail("it was asked again"))
    with pytest.raises(SourceError, match="could not connect"):
        Https(f"{closed_endpoint}/two").write(target, context)


def test_unreachable_store_behind_a_redirect_is_named_and_not_its_hub(server, closed_endpoint, target, context):
    away = server.serve("/big", b"", status=302, headers={"Location": f"{closed_endpoint}/big"})
    with pytest.raises(SourceError, match=f"could not connect to {closed_endpoint.removeprefix('http://')} "):
        Https(away).write(target, context)
    Https(server.serve("/small", b"{}")).write(target, context)
    assert target.path.read_bytes() == b"{}"


def test_stalled_server_is_given_up_and_what_came_is_kept(server, content, target, context, monkeypatch):
    monkeypatch.setattr(http, "READ_SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(SourceError, match="sent nothing"):
        Https(server.serve("/model.bin", content, pause=1.0)).write(target, context)
    assert time.monotonic() - began < 3


def test_proxy_that_cannot_be_used_is_a_reason_not_a_crash(target, context, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:1")
    with pytest.raises(SourceError, match="proxy"):
        Https("https://nowhere.invalid/x").write(target, context)


def test_address_that_is_none_is_a_reason_not_a_crash(target, context):
    with pytest.raises(SourceError):
        Https("huggingface/without/scheme").write(target, context)
