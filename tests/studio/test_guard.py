"""Who is let in: nobody without the token, no page of anybody else's, and no name that was rebound to this machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from stemscribe.studio.app import create_app
from stemscribe.studio.workspace import Workspace

from .conftest import HOST, TOKEN, finished_job

EVERYWHERE = ["/", "/api/jobs", "/api/openapi.json", "/static/studio.css", "/search?q=a", "/nowhere", "/api/jobs/../x"]


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": "", "cookie": "stemscribe-8765=wrong"}, 401),
        ({"authorization": "", "cookie": f"stemscribe-1={TOKEN}"}, 401),
        ({"authorization": "", "cookie": ';=;"\\'}, 401),
        ({"host": "evil.example:8765"}, 421),
        ({"host": "127.0.0.1:1"}, 421),
        ({"host": ""}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
    ],
)
def test_strangers_are_refused_everywhere(
    visit: Callable[..., TestClient], out: Path, path: str, headers: dict[str, str], status: int
) -> None:
    finished_job(out)
    answer = visit(**headers).get(path)
    assert answer.status_code == status
    assert "film" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("known", "host", "status"),
    [
        ("0.0.0.0:8765", "192.168.1.7:8765", 200),
        ("[::]:8765", "[fe80::1]:8765", 200),
        ("0.0.0.0:8765", "192.168.1.7:80", 421),
        ("0.0.0.0:8765", "evil.example:8765", 421),
        ("127.0.0.1:8765", "192.168.1.7:8765", 421),
        ("[::1]:8765", "[::1]:8765", 200),
    ],
)
def test_a_studio_on_all_addresses_is_known_under_each_and_under_no_name(
    workspace: Workspace, known: str, host: str, status: int
) -> None:
    client = TestClient(create_app(workspace, TOKEN, {known}), headers={"authorization": f"Bearer {TOKEN}"})
    assert client.get("/", headers={"host": host}).status_code == status
    foreign = {"host": host, "origin": f"http://{known}x"}
    assert client.get("/", headers=foreign).status_code == (403 if status == 200 else status)


def test_a_stranger_cannot_act(visit: Callable[..., TestClient], out: Path) -> None:
    job = finished_job(out).path.name
    answer = visit(origin="http://evil.example").post(f"/api/jobs/{job}/run")
    assert answer.status_code == 403
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert visit(**link).post(f"/api/jobs/{job}/run").status_code == 403, "a form on another page"
    assert visit(**link).get("/").status_code == 200, "a link on another page"


@pytest.mark.parametrize("other", ['settings={"theme": "dark", "x": [1, 2]}', "a=b c; d", 'odd="', "=;"])
def test_cookies_of_other_programs_lock_nobody_out(visit: Callable[..., TestClient], other: str) -> None:
    client = visit(authorization="", cookie=f"{other}; stemscribe-8765={TOKEN}")
    assert client.get("/api/jobs").status_code == 200


def test_whoever_has_the_address_comes_in_and_has_a_cookie_afterwards(visit: Callable[..., TestClient]) -> None:
    client = visit(authorization="")
    answer = client.get(f"/search?q=a+b&token={TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/search?q=a+b")
    cookie = answer.headers["set-cookie"]
    assert re.search(r"^stemscribe-8765=t0ken;.*HttpOnly", cookie)
    assert "samesite=strict" in cookie.lower()
    assert client.get("/").status_code == 200
    assert TOKEN not in client.get("/").text


@pytest.mark.parametrize("path", ["//evil.example/", "/%2fevil.example/", "/\\evil.example"])
def test_nobody_is_sent_elsewhere(visit: Callable[..., TestClient], path: str) -> None:
    answer = visit(authorization="").get(f"http://{HOST}{path}?token={TOKEN}", follow_redirects=False)
    assert not answer.headers.get("location", "/").startswith(("//", "/\\", "http"))


def test_pages_may_run_nothing_but_our_scripts(client: TestClient) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'self';", policy)
    assert "unsafe" not in policy
    (nonce,) = re.findall(r"style-src 'self' 'nonce-([\w-]+)'", policy)
    assert f'data-nonce="{nonce}"' in answer.text
    assert nonce not in client.get("/").text, "another one each time"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|javascript:|<style|\sstyle=", answer.text)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', answer.text), "nothing comes from elsewhere"
