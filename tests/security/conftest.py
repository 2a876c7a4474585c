"""A mirror that does as it likes, and what the tests of models have already."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from models.conftest import content, context, file_of, heard, server, spec_of, store_of, target, wheelhouse
from models.convert.conftest import checkpoint

__all__ = [
    "checkpoint",
    "content",
    "context",
    "file_of",
    "heard",
    "server",
    "spec_of",
    "store_of",
    "target",
    "wheelhouse",
]

Talk = Callable[[Callable[[bytes], None], bytes], None]


@dataclass
class Mirror:
    """Answers every connection with `talk(send, request)`, and counts what it could send."""

    talk: Talk
    sent: int = 0
    requests: list[bytes] = field(default_factory=list)
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def listen(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # the test is over
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        def send(data: bytes) -> None:
            connection.sendall(data)
            self.sent += len(data)

        with connection, suppress(OSError):
            request = connection.recv(65536)
            self.requests.append(request)
            self.talk(send, request)


@pytest.fixture
def mirror() -> Iterator[Callable[[Talk], Mirror]]:
    """Starts a mirror on 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def start(talk: Talk) -> Mirror:
            made = Mirror(talk, port=listener.getsockname()[1])
            threading.Thread(target=made.listen, args=(listener,), daemon=True).start()
            return made

        yield start
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def knocks() -> Iterator[Callable[[], int]]:
    """A port on 127.0.0.1 at which nobody should knock: call it for its number; `.count` says who did."""

    class Door:
        def __init__(self, listener: socket.socket) -> None:
            self.listener, self.port, self.count = listener, listener.getsockname()[1], 0
            threading.Thread(target=self._open, daemon=True).start()

        def _open(self) -> None:
            while True:
                try:
                    connection, _ = self.listener.accept()
                except OSError:
                    return
                self.count += 1
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Door(listener)  # type: ignore[misc]
        listener.shutdown(socket.SHUT_RDWR)


def everything_below(folder: Path) -> set[str]:
    """Every path below a folder, relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
