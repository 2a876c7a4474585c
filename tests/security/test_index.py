"""PyTorch's own index, when it is not what it should be: asking whether it has a release ends soon, and in a no."""

from __future__ import annotations

import io
import time
import urllib.request
from typing import Any

import pytest

from stemscribe.environments import index
from stemscribe.environments.profile import CpuBuild

WANTED = ("torch==2.5.1+cpu",)
PAGE = b'<a href="torch-2.5.1%2Bcpu-cp311-cp311-linux_x86_64.whl">'
OK = b"HTTP/1.1 200 OK\r\n"


def build(address: str) -> CpuBuild:
    return CpuBuild(address, ("torch",), (), 0.0)


def test_page_is_read(mirror):
    serving = mirror(lambda send, request: send(OK + b"Content-Length: %d\r\n\r\n" % len(PAGE) + PAGE))
    assert index.offers(build(serving.endpoint), WANTED)


def test_endless_page_is_left_at_a_limit(mirror, monkeypatch):
    monkeypatch.setattr(index, "PAGE_BYTES", 1_000_000)

    def talk(send: Any, request: bytes) -> None:
        send(OK + b"\r\n")
        for _ in range(2000):
            send(bytes(65536))

    serving = mirror(talk)
    assert not index.offers(build(serving.endpoint), WANTED)
    assert serving.sent < 50_000_000


def test_trickle_is_given_up(mirror, monkeypatch):
    monkeypatch.setattr(index, "ANSWER_SECONDS", 0.5)

    def talk(send: Any, request: bytes) -> None:
        send(OK + b"\r\n")
        for _ in range(150):
            send(b"x")
            time.sleep(0.05)

    began = time.monotonic()
    assert not index.offers(build(mirror(talk).endpoint), WANTED)
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("answered_by", "believed"), [("https://store.example/", True), ("http://store.example/", False)]
)
def test_page_that_came_over_http_is_not_believed(monkeypatch, answered_by, believed):
    class Answer(io.BytesIO):
        url = answered_by

    monkeypatch.setattr(urllib.request, "urlopen", lambda page, timeout: Answer(PAGE))
    assert index.offers(build("https://index.example"), WANTED) is believed
