"""Many at once: fifty who listen, ten who watch, and one who reads nothing of what is sent."""

from __future__ import annotations

import http.client
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from .conftest import Studio, finished_job, opened

LISTENERS, WATCHERS, PARTS, PART_BYTES = 50, 10, 20, 1 << 18
GROWTH = 60_000_000  # bytes that a server may take for all of them


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    root = tmp_path_factory.mktemp("load")
    finished_job(root / "out", seconds=120)
    with opened(root) as made:
        yield made


@pytest.fixture
def vocals(studio: Studio) -> Path:
    return next(studio.out.glob("job-*/*/vocals.wav"))


def connected(studio: Studio) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(studio.address).netloc, timeout=60)


def headers(studio: Studio, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {studio.token}", **more}


def listened(studio: Studio, vocals: Path, seed: int, parts: int = PARTS) -> int:
    """Ask for some parts of the vocals; returns how many came as they are on the disk."""
    chance, size, right = random.Random(seed), vocals.stat().st_size, 0
    connection = connected(studio)
    path = f"/api/jobs/{vocals.parents[1].name}/artefacts/vocals"
    with vocals.open("rb") as file:
        for _ in range(parts):
            start = chance.randrange(size - PART_BYTES)
            connection.request("GET", path, headers=headers(studio, Range=f"bytes={start}-{start + PART_BYTES - 1}"))
            answer = connection.getresponse()
            file.seek(start)
            right += answer.status == 206 and answer.read() == file.read(PART_BYTES)
    connection.close()
    return right


def watched(studio: Studio, job: str, leaving: threading.Event) -> int:
    """Follow a job until all have heard enough; returns how many events came."""
    connection = connected(studio)
    connection.request("GET", f"/api/jobs/{job}/events", headers=headers(studio))
    answer, told = connection.getresponse(), 0
    while not leaving.is_set() and told < 2:
        told += answer.readline().startswith(b"event: ")
    leaving.wait(60)
    connection.close()
    return told


def test_all_of_them_are_served_and_the_server_stays_small(studio: Studio, vocals: Path) -> None:
    listened(studio, vocals, seed=0)
    server, leaving = psutil.Process(studio.pid), threading.Event()
    before = server.memory_info().rss
    with ThreadPoolExecutor(LISTENERS + WATCHERS) as pool:
        watching = [pool.submit(watched, studio, vocals.parents[1].name, leaving) for _ in range(WATCHERS)]
        listening = [pool.submit(listened, studio, vocals, seed) for seed in range(LISTENERS)]
        right = sum(one.result() for one in listening)
        leaving.set()
        told = [one.result() for one in watching]
    assert right == LISTENERS * PARTS
    assert told == [2] * WATCHERS
    assert server.memory_info().rss - before < GROWTH


def test_one_who_reads_nothing_holds_nobody_up(studio: Studio, vocals: Path) -> None:
    address = urlsplit(studio.address)
    with socket.create_connection((address.hostname, address.port)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        path = f"/api/jobs/{vocals.parents[1].name}/artefacts/vocals"
        slow.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {studio.token}\r\n\r\n".encode()
        )
        time.sleep(0.5)
        before = psutil.Process(studio.pid).memory_info().rss
        assert listened(studio, vocals, seed=1, parts=50) == 50
        assert psutil.Process(studio.pid).memory_info().rss - before < GROWTH
