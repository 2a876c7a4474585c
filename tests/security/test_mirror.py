"""A mirror that means harm: whatever it serves, nothing of it gets a final name, and it cannot keep us or fill a
disk."""

from __future__ import annotations

import gzip
import shutil
import ssl
import subprocess
import threading
import time
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from security.conftest import everything_below
from stemscribe.errors import FetchError, StorageError, VerificationError
from stemscribe.models.sources import ContentError, Https, Hub, Join, PyPI, SourceError, Target, base, http
from stemscribe.models.spec import load_catalog

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + bytes(65536) + b"\r\n"
REVISION = "0123456789012345678901234567890123456789"


def endless(send):
    for _ in range(4000):  # a quarter of a gigabyte stands for what has no end
        send(CHUNK)


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda content: content[:-1] + b"!",
        lambda content: content[:-1],
        lambda content: content + b"!",
        lambda content: b"",
        gzip.compress,
    ],
    ids=["other", "fewer", "more", "none", "compressed"],
)
@pytest.mark.parametrize("tells_size", [True, False])
def test_other_bytes_get_no_name(server, content, file_of, spec_of, store_of, tmp_path, spoilt, tells_size):
    habits = {"headers": {} if tells_size else {"Content-Length": "", "Connection": "close"}, "cuts": [1 << 30] * 9}
    source = Https(server.serve("/model.bin", spoilt(content), **({} if tells_size else habits)))
    store = store_of(spec_of(file_of(content, source)))
    with pytest.raises((VerificationError, FetchError)):
        store.fetch("tiny")
    left = everything_below(tmp_path / "models")
    assert not {name for name in left if name.endswith("model.bin")}
    assert left <= {"tiny", ".tiny.lock"}


@pytest.mark.parametrize("told", [b"", b"Content-Length: 1000\r\n"], ids=["of no size", "of a lying size"])
def test_endless_file_is_left_at_the_size_of_the_catalog(mirror, context, tmp_path, told):
    def talk(send, request):
        send(OK + (told + b"\r\n" if told else CHUNKED))
        endless(send)

    target = Target(tmp_path / "x.part", 1000, None, lambda done, total: None)
    serving = mirror(talk)
    if told:  # httpx reads no further than what was told, so that the size is right, and the hash is not
        Https(serving.endpoint).write(target, context)
        with pytest.raises(ContentError, match="sha256"):
            target.verified("a" * 64)
    else:
        with pytest.raises(ContentError, match="goes on after the 1,000 bytes"):
            Https(serving.endpoint).write(target, context)
    assert target.path.stat().st_size <= 1000


def test_endless_file_of_unknown_size_is_left_at_a_limit(mirror, context, target, monkeypatch):
    monkeypatch.setattr(base, "LARGEST", 3_000_000)

    def talk(send, request):
        send(OK + CHUNKED)
        endless(send)

    with pytest.raises(ContentError, match=r"goes on after 3\.0 MB"):
        Https(mirror(talk).endpoint).write(target, context)
    assert target.path.stat().st_size <= 3_000_000


def test_part_of_a_file_may_not_be_larger_than_the_whole(mirror, context, tmp_path):
    def talk(send, request):
        send(OK + CHUNKED)
        endless(send)

    target = Target(tmp_path / "x.part", 100_000, "a" * 64, lambda done, total: None)
    endpoint = mirror(talk).endpoint
    with pytest.raises(ContentError, match=r"goes on after 0\.1 MB"):
        Join((Https(endpoint), Https(endpoint))).write(target, context)


def test_body_of_a_redirect_is_not_read(mirror, target, context):
    def talk(send, request):
        if b"/model.bin" in request.splitlines()[0]:
            send(OK + b"Content-Length: 5\r\n\r\nmodel")
            return
        send(b"HTTP/1.1 302 Found\r\nLocation: /model.bin\r\n" + CHUNKED)
        endless(send)

    serving = mirror(talk)
    began = time.monotonic()
    Https(serving.endpoint).write(target, context)
    assert target.path.read_bytes() == b"model"
    assert time.monotonic() - began < 5
    assert serving.sent < 64 * 2**20


def test_redirects_have_an_end(mirror, target, context):
    serving = mirror(lambda send, request: send(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"))
    with pytest.raises(SourceError, match="redirects more than 5 times"):
        Https(serving.endpoint).write(target, context)
    assert len(serving.requests) == 6


@pytest.mark.parametrize(
    ("onward", "reason"),
    [
        ("http://mirror.example/model.bin", "from https to http"),
        ("file:///etc/passwd", "from https to file"),
        ("ftp://mirror.example/model.bin", "from https to ftp"),
        ("https://127.0.0.1/model.bin", r"127\.0\.0\.1, an address of this machine"),
        ("https://[::1]/model.bin", "::1, an address of this machine"),
        ("https://localhost:8080/model.bin", "localhost, an address of this machine"),
        ("https://169.254.169.254/latest/meta-data", r"169\.254\.169\.254, an address of this machine"),
        ("https://10.0.0.1/model.bin", r"10\.0\.0\.1, an address of this machine"),
    ],
)
def test_redirect_that_leads_astray_is_not_followed(target, context, monkeypatch, onward, reason):
    asked = []

    def answer(request):
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": onward})

    monkeypatch.setattr(http, "_client", lambda: httpx.Client(transport=httpx.MockTransport(answer)))
    with pytest.raises(SourceError, match=reason):
        Https("https://mirror.example/model.bin").write(target, context)
    assert asked == ["https://mirror.example/model.bin"]
    assert not target.path.exists()


def test_redirect_to_another_host_over_https_is_followed(target, context, monkeypatch):
    """Otherwise the hub, which sends its large files from a store, would be out of reach."""

    def answer(request):
        if request.url.host == "store.example":
            return httpx.Response(200, stream=httpx.ByteStream(b"model"))
        return httpx.Response(302, headers={"Location": "https://store.example/model", "X-Linked-Etag": "a" * 64})

    monkeypatch.setattr(http, "_client", lambda: httpx.Client(transport=httpx.MockTransport(answer)))
    assert Https("https://hub.example/model.bin").write(target, context) == "a" * 64
    assert target.path.read_bytes() == b"model"


def test_trickle_is_given_up(mirror, target, context, monkeypatch):
    monkeypatch.setattr(http, "PACE_SECONDS", 0.5)

    def talk(send, request):
        send(OK + b"Content-Length: 1000000\r\n\r\n")
        for _ in range(200):
            send(b"x")
            time.sleep(0.05)

    began = time.monotonic()
    with pytest.raises(SourceError, match=r"sent less than 0\.1 MB"):
        Https(mirror(talk).endpoint).write(target, context)
    assert time.monotonic() - began < 5


def test_slow_line_is_not_taken_for_a_trickle(mirror, target, context, monkeypatch):
    monkeypatch.setattr(http, "PACE_SECONDS", 0.3)
    pieces = 12

    def talk(send, request):
        send(OK + b"Content-Length: %d\r\n\r\n" % (pieces * 65536))
        for _ in range(2 * pieces):
            send(bytes(32768))
            time.sleep(0.05)

    Https(mirror(talk).endpoint).write(target, context)
    assert target.path.stat().st_size == pieces * 65536


def test_certificate_that_nobody_vouches_for_is_refused(tmp_path, target, context):
    """Fails when somebody switches TLS off."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    served = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            served.append(self.path)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        wrapping = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        wrapping.load_cert_chain(certificate, key)
        server.socket = wrapping.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        with pytest.raises(SourceError, match="CERTIFICATE_VERIFY_FAILED"):
            Https(f"https://127.0.0.1:{server.server_address[1]}/model.bin").write(target, context)
        server.shutdown()
    assert served == []


def test_link_in_the_place_of_a_download_is_not_written_through(server, content, file_of, spec_of, store_of, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    source = Https(server.serve("/model.bin", content, cuts=[1000, 0, 0, 0]))
    store = store_of(spec_of(file_of(content, source)))
    with pytest.raises(FetchError):
        store.fetch("tiny")
    (left,) = (tmp_path / "models" / "tiny").glob(".model.bin.*.part")
    left.unlink()
    left.symlink_to(victim)
    store.fetch("tiny")
    assert victim.read_text() == "mine"
    assert (tmp_path / "models" / "tiny" / "model.bin").read_bytes() == content
    assert not (tmp_path / "models" / "tiny" / "model.bin").is_symlink()


@pytest.mark.parametrize("name", [".receipt.json", ".tiny.lock", ".tiny.scratch"])
def test_link_at_a_known_name_of_the_store_is_not_written_through(
    server, content, file_of, spec_of, store_of, tmp_path, name
):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("mine")
    planted = tmp_path / "models" / (f"tiny/{name}" if name == ".receipt.json" else name)
    planted.parent.mkdir(parents=True)
    planted.symlink_to(victim if name.endswith("scratch") else victim / "file")
    store = store_of(spec_of(file_of(content, Https(server.serve("/model.bin", content)))))
    refused = pytest.raises(StorageError) if name.endswith("lock") else nullcontext()
    with refused:
        store.fetch("tiny")
    assert (victim / "file").read_text() == "mine"
    assert everything_below(victim) == {"file"}


def test_package_is_not_put_where_a_link_leads(wheelhouse, content, file_of, spec_of, store_of, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    wheelhouse("tiny_model", {"model.bin": content})
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / ".tiny.scratch").symlink_to(victim)
    store_of(spec_of(file_of(content, PyPI("tiny-model", "1.0.0", "model.bin")))).fetch("tiny")
    assert everything_below(victim) == set()


def test_every_model_is_pinned_by_its_hash_or_by_that_of_what_it_is_made_from():
    """The size, too, so that a download can be bounded."""
    for model in load_catalog().values():
        for file in model.files:
            made = [source for source in file.sources if type(source).__name__ == "Convert"]
            assert (file.sha256 and file.size) or (made and all(one.sha256 and one.size for one in made)), file.name


@pytest.mark.parametrize("path", ["../../resolve/main/model.bin", "a/../b", "/etc/passwd", "a?b", "a//b", "."])
def test_path_on_the_hub_stays_below_its_commit(path):
    import msgspec

    source = {"kind": "hub", "repo": "some/model", "revision": REVISION, "path": "sub/model.bin"}
    assert msgspec.convert(source, Hub).path == "sub/model.bin"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(source | {"path": path}, Hub)


def test_addresses_are_told_without_their_credentials(target, context, server, heard):
    address = server.endpoint.replace("http://", "http://me:hunter2@")
    source = Https(f"{address}/missing")
    with pytest.raises(SourceError) as caught:
        source.write(target, context)
    assert "hunter2" not in f"{source} {caught.value}"
    assert "hunter2" not in str(SourceError("pip says: no answer from https://me:hunter2@index.example/simple"))
    assert server.requests[0][1]["authorization"].startswith("Basic ")
