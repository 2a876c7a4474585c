"""A server of files with every bad habit on request, and stores over small catalogs of our own."""

from __future__ import annotations

import hashlib
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stemscribe.models.sources import FetchContext, Https, Source, Target
from stemscribe.models.spec import ModelFile, ModelSpec
from stemscribe.models.store import FetchProgress, ModelStore


@dataclass
class Served:
    """One file of the server, and how it behaves when asked for it."""

    content: bytes
    etag: str = '"first"'
    ranges: bool = True
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)  # after so many bytes of the body, one for each request
    pause: float = 0.0  # seconds before each 64 KiB


class FileServer(ThreadingHTTPServer):
    """Serves `files` on 127.0.0.1 and remembers the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve(self, path: str, content: bytes, **habits: Any) -> str:
        self.files[path] = Served(content, **habits)
        return self.endpoint + path

    def ranges_asked(self) -> list[str | None]:
        return [headers.get("range") for _, headers in self.requests]


class _Handler(BaseHTTPRequestHandler):
    server: FileServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.path, headers))
        served = self.server.files.get(self.path)
        if served is None:
            self.send_error(404)
            return
        start = self._start(served, headers)
        self.send_response(served.status if start is None else 206)
        self._send_headers(served, start)
        self._send_body(served, served.content[start or 0 :])

    def _start(self, served: Served, headers: dict[str, str]) -> int | None:
        asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        same = headers.get("if-range", served.etag) == served.etag
        return int(asked[1]) if asked and same and served.ranges else None

    def _send_headers(self, served: Served, start: int | None) -> None:
        size = len(served.content)
        headers = {"Content-Length": str(size - (start or 0)), "ETag": served.etag}
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        for name, value in (headers | served.headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _send_body(self, served: Served, body: bytes) -> None:
        cut = served.cuts.pop(0) if served.cuts else None
        try:
            for position in range(0, len(body[:cut]), 65536):
                time.sleep(served.pause)
                self.wfile.write(body[:cut][position : position + 65536])
        except OSError:
            self.close_connection = True  # the client was killed
        if cut is not None:
            self.close_connection = True


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def closed_endpoint() -> str:
    """An address at which nobody listens: the port of a server that has gone."""
    with FileServer() as gone:
        return gone.endpoint


@pytest.fixture
def content() -> bytes:
    """A megabyte in which no two places look alike."""
    return b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(32768))


@pytest.fixture
def file_of() -> Callable[..., ModelFile]:
    def make(content: bytes, *sources: Source, name: str = "model.bin", **changes: Any) -> ModelFile:
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)} | changes
        return ModelFile(name, sources or (Https("https://nowhere.invalid/"),), **facts)

    return make


@pytest.fixture
def spec_of() -> Callable[..., ModelSpec]:
    def make(*files: ModelFile, name: str = "tiny", **changes: Any) -> ModelSpec:
        facts = {
            "engine": "fake",
            "description": "A tiny model",
            "license": "MIT",
            "license_url": "https://example.org/licence",
            "license_note": "For personal use.",
        }
        return ModelSpec(name=name, files=files, **(facts | changes))

    return make


@dataclass
class Heard:
    """What a store has said."""

    lines: list[str] = field(default_factory=list)
    progress: list[FetchProgress] = field(default_factory=list)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def store_of(tmp_path: Path, heard: Heard) -> Callable[..., ModelStore]:
    def make(*specs: ModelSpec, **settings: Any) -> ModelStore:
        catalog = {spec.name: spec for spec in specs}
        voice = {"announce": heard.lines.append, "progress": heard.progress.append}
        return ModelStore(tmp_path / "models", catalog, **(voice | settings))

    return make


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path / ".model.bin.part", None, None, lambda done, total: None)


@pytest.fixture
def context(tmp_path: Path, heard: Heard) -> FetchContext:
    return FetchContext(
        tmp_path / "scratch", "https://hub.invalid", heard.lines.append, lambda name: tmp_path / name, {}
    )


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes wheels that pip will find, and nothing else."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")

    def make(package: str, members: dict[str, bytes]) -> None:
        info = f"{package}-1.0.0.dist-info"
        with zipfile.ZipFile(folder / f"{package}-1.0.0-py3-none-any.whl", "w") as wheel:
            for name, content in members.items():
                wheel.writestr(name, content)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")

    return make
