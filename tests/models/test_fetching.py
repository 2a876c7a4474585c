import hashlib
from dataclasses import replace

import pytest

from stemscribe.errors import FetchError, StorageError, VerificationError
from stemscribe.models import fetching
from stemscribe.models.sources import Convert, File, Https, Hub


def hashed(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def obtain(tmp_path, context):
    def run(file, context=context):
        return fetching.obtain(file, tmp_path, file.sources, context, lambda done, total: None)

    return run


@pytest.fixture
def failures_of(obtain):
    def run(*arguments):
        with pytest.raises(fetching.NothingObtained) as caught:
            obtain(*arguments)
        return caught.value.failures

    return run


def test_first_source_that_gives_the_file_wins(server, content, file_of, obtain, tmp_path):
    urls = [server.endpoint + "/none", server.serve("/good", content), server.serve("/unused", content)]
    assert obtain(file_of(content, *map(Https, urls))) == hashed(content)
    assert (tmp_path / "model.bin").read_bytes() == content
    assert [path for path, _ in server.requests] == ["/none", "/good"]


def test_wrong_content_is_deleted_told_and_passed_over(server, content, file_of, obtain, tmp_path, heard):
    urls = [server.serve("/wrong", content[::-1]), server.serve("/good", content)]
    assert obtain(file_of(content, *map(Https, urls))) == hashed(content)
    assert hashed(content[::-1]) in heard.lines[0]
    assert [path.name for path in tmp_path.iterdir()] == ["model.bin"]


def test_file_reaches_the_disk_before_it_takes_its_place(server, content, file_of, obtain, tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(
        fetching, "flush_to_disk", lambda path: flushed.append((path, (tmp_path / "model.bin").exists()))
    )
    obtain(file_of(content, Https(server.serve("/good", content))))
    (part, in_place), (folder, renamed) = flushed
    assert part.name.endswith(".part")
    assert (in_place, folder, renamed) == (False, tmp_path, True)


def test_wrong_content_takes_no_place_when_nothing_else_does(server, content, file_of, failures_of, tmp_path):
    failures = failures_of(file_of(content, Https(server.serve("/wrong", content[::-1]))))
    assert f"expected sha256 {hashed(content)}, got {hashed(content[::-1])}" in str(failures[0])
    assert list(tmp_path.iterdir()) == []


def test_short_content_is_refused_where_only_the_size_is_known(content, file_of, failures_of, tmp_path):
    (tmp_path / "mine").write_bytes(content[:-1])
    failures = failures_of(file_of(content, File(str(tmp_path / "mine")), sha256=hashed(content[:-1])))
    assert "expected 1,048,576 bytes, got 1,048,575" in str(failures[0])


def test_content_that_does_not_end_is_stopped(content, file_of, failures_of, tmp_path):
    (tmp_path / "mine").write_bytes(content)
    failures = failures_of(file_of(content[:1000], File(str(tmp_path / "mine"))))
    assert "goes on after the 1,000 bytes" in str(failures[0])


def test_hash_published_by_the_hub_stands_in_for_the_catalogs(
    server, content, file_of, tmp_path, context, failures_of, obtain
):
    hub = Hub("a/b", "c" * 40, "model.bin")
    file = file_of(content, hub, sha256=None)
    context = fetching.FetchContext(tmp_path / "scratch", server.endpoint, print, lambda name: tmp_path, {})
    path = f"/a/b/resolve/{'c' * 40}/model.bin"
    server.serve(path, content, headers={"X-Linked-Etag": hashed(content[::-1])})
    failures = failures_of(file, context)
    assert f"expected sha256 {hashed(content[::-1])}, got {hashed(content)}" in str(failures[0])
    server.serve(path, content, headers={"X-Linked-Etag": hashed(content)})
    assert obtain(file, context) == hashed(content)


def test_cut_download_is_kept_for_the_next_time(server, content, file_of, obtain, failures_of, tmp_path):
    url = server.serve("/model.bin", content, cuts=[300_000, 0, 0, 0])
    assert len(failures_of(file_of(content, Https(url)))) == 1
    (part,) = tmp_path.glob("*.part")
    assert part.stat().st_size == 300_000
    assert obtain(file_of(content, Https(url))) == hashed(content)
    assert server.ranges_asked()[-1] == "bytes=300000-"
    assert [path.name for path in tmp_path.iterdir()] == ["model.bin"]


def test_cut_download_of_an_origin_is_kept_for_the_next_time(
    server, content, file_of, tmp_path, context, obtain, failures_of
):
    def copy(origin, target):
        target.write_bytes(origin.read_bytes())

    origin = Https(server.serve("/m.th", content, cuts=[300_000, 0, 0, 0]))
    file = file_of(content, Convert(origin, "copy", hashed(content), len(content)), sha256=None, size=None)
    context = replace(context, conversions={"copy": copy})
    assert len(failures_of(file, context)) == 1
    assert obtain(file, context) == hashed(content)
    assert server.ranges_asked()[-1] == "bytes=300000-"
    assert [path.name for path in tmp_path.iterdir()] == ["model.bin"]


def test_one_source_never_goes_on_from_the_bytes_of_another(server, content, file_of, obtain):
    cut = server.serve("/cut", content[::-1], cuts=[300_000, 0, 0, 0])
    assert obtain(file_of(content, Https(cut), Https(server.serve("/good", content)))) == hashed(content)
    assert server.ranges_asked()[-1] is None


def test_refusal_lists_what_was_tried_and_what_can_be_done(file_of, spec_of, failures_of, tmp_path, closed_endpoint):
    file = file_of(b"abc", Https(f"{closed_endpoint}/x"), File(str(tmp_path / "none")))
    error = fetching.refusal(spec_of(file), file, tmp_path, failures_of(file), offline=False)
    assert isinstance(error, FetchError)
    lines = error.message.splitlines()
    assert lines[0] == "Model `tiny` could not be fetched: no source gave model.bin. Tried:"
    assert lines[1].startswith(f"  - {closed_endpoint}/x: could not connect to 127.0.0.1")
    assert lines[2] == f"  - file {tmp_path / 'none'}: No such file or directory"
    assert error.hint == (
        f"To go on, check the network connection, or put the file by hand at {tmp_path / 'model.bin'};"
        " then run `stemscribe models fetch tiny`."
    )


def test_refusal_of_wrong_content_is_a_failed_verification(server, content, file_of, spec_of, failures_of, tmp_path):
    file = file_of(content, Https(server.serve("/wrong", content[::-1])), File(str(tmp_path / "none")))
    error = fetching.refusal(spec_of(file), file, tmp_path, failures_of(file), offline=False)
    assert isinstance(error, VerificationError)
    assert f"expected sha256 {hashed(content)}, got {hashed(content[::-1])}. What came was deleted" in error.message
    assert f"  - file {tmp_path / 'none'}: No such file" in error.message


def test_room_is_looked_for_with_what_is_already_there_taken_off(file_of, spec_of, tmp_path, monkeypatch):
    file = file_of(b"abc", Https("https://nowhere.invalid/x"), size=3_000_000_000)
    spec = spec_of(file)
    usage = fetching.shutil.disk_usage(tmp_path)._replace(free=2_999_900_000 + fetching.RESERVE_BYTES)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(StorageError, match=r"`tiny` needs 3\.0 GB in .*, but only 3\.1 GB are free"):
        fetching.check_space(spec, spec.files, tmp_path)
    (tmp_path / ".model.bin.0.part").write_bytes(bytes(100_000))
    fetching.check_space(spec, spec.files, tmp_path)
