"""What is secret in the environment stays there: no file below out/, no log and no message holds any of it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stemscribe.environments.tool import ToolFailed, ToolRunner

MAIN = "from stemscribe.cli.app import main; main()"


def secretive() -> tuple[dict[str, str], list[str]]:
    """An environment full of secrets, and the secrets."""
    token, proxy, index, other = (secrets.token_hex(16) for _ in range(4))
    environ = {
        "HF_TOKEN": f"hf_{token}",
        "HUGGING_FACE_HUB_TOKEN": f"hf_{token}",
        "HTTPS_PROXY": f"http://user:{proxy}@127.0.0.1:9",
        "HTTP_PROXY": f"http://user:{proxy}@127.0.0.1:9",
        "PIP_INDEX_URL": f"https://user:{index}@127.0.0.1:9/simple",
        "npm_config_registry": f"https://user:{index}@127.0.0.1:9/",
        "UV_INDEX_URL": f"https://user:{index}@127.0.0.1:9/simple",
        "AWS_SECRET_ACCESS_KEY": other,
        "A_SECRET_OF_MINE": other,
    }
    return environ, [token, proxy, index, other]


def run(root: Path, environ: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    dropped = {"PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_EXTRA_INDEX_URL", "NO_PROXY", "no_proxy"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, arguments)],
        cwd=root,
        env={**kept, "STEMSCRIBE_ROOT": str(root), **environ},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )


def told(root: Path, secret: list[str]) -> list[str]:
    """The files that hold a secret, in bytes as they are, or as UTF-16."""
    wanted = [form for one in secret for form in (one.encode(), one.encode("utf-16-le"))]
    files = [path for path in root.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(each in path.read_bytes() for each in wanted)]


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.parametrize("media", ["test.mp4", "silence.mp4"])
def test_job_writes_down_nothing_secret(
    tmp_path: Path, clip: Path, models_dir: Path, model: Callable[[str], Path], media: str
) -> None:
    """Of a job that is completed, and of one that fails: its traceback goes to the log."""
    for name in ("htdemucs", "silero-vad", "whisper-base"):
        model(name)
    environ, secret = secretive()
    film = tmp_path / media
    film.write_bytes(clip.read_bytes() if media == "test.mp4" else clip.read_bytes()[:2000])
    done = run(
        tmp_path,
        environ | {"STEMSCRIBE_MODELS_DIR": str(models_dir)},
        *("run", "--media", film, "-s", "en", "--end-time", "3", "--json"),
    )
    assert done.returncode == (0 if media == "test.mp4" else 1), done.stderr
    assert not [one for one in secret if one in done.stdout + done.stderr]
    assert told(tmp_path, secret) == []
    if media == "test.mp4":
        (manifest,) = tmp_path.glob("out/job-*/manifest.json")
        assert json.loads(manifest.read_bytes())["stages"]["export"]["status"] == "completed"
        assert list(tmp_path.glob("out/job-*/pipeline.log"))
        assert list(tmp_path.glob("out/job-*/rehearsal.log"))


@pytest.mark.parametrize("name", ["whisper-small", "silero-vad", "htdemucs"])
def test_fetch_that_fails_says_nothing_secret(tmp_path: Path, name: str) -> None:
    """Through the hub, pip, and npm, each with credentials in its address."""
    environ, secret = secretive()
    hub = secrets.token_hex(16)
    environ |= {
        "STEMSCRIBE_HUB_ENDPOINT": f"https://me:{hub}@127.0.0.1:9",
        "STEMSCRIBE_MODELS_DIR": str(tmp_path / "models"),
        "PIP_RETRIES": "0",
        "npm_config_cache": str(tmp_path / "npm"),
    }
    done = run(tmp_path, environ, "models", "fetch", name)
    assert done.returncode == 1
    assert "could not be fetched" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [one for one in (*secret, hub) if one in done.stdout + done.stderr]
    assert told(tmp_path / "models", [*secret, hub]) == []


@pytest.mark.parametrize("proxy", ["gopher://me:{}@127.0.0.1:9", "socks5://me:{}@127.0.0.1:9", "http://me:{}@[::1"])
def test_proxy_that_cannot_be_used_is_told_without_its_password(tmp_path: Path, proxy: str) -> None:
    password = secrets.token_hex(16)
    environ = {"ALL_PROXY": proxy.format(password), "STEMSCRIBE_MODELS_DIR": str(tmp_path / "models")}
    done = run(tmp_path, environ, "models", "fetch", "whisper-small")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert password not in done.stderr


def test_log_of_the_installer_has_no_password(tmp_path: Path) -> None:
    lines: list[str] = []
    tool = ToolRunner(tmp_path / "log", os.environ, lines.append)
    code = "import sys; print('Looking in https://me:hunter2@index.example/simple'); sys.exit(1)"
    with pytest.raises(ToolFailed) as failed:
        tool.run(sys.executable, "-c", code, "--index-url", "https://me:hunter3@index.example/simple")
    kept = (tmp_path / "log").read_text()
    assert "hunter" not in kept + failed.value.output + "".join(lines)
    assert "https://***@index.example/simple" in failed.value.output
