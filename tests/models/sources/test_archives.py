import base64
import hashlib
import io
import json
import shutil
import tarfile
import time

import pytest

from stemscribe.models.sources import Npm, PyPI, SourceError, archives


def through(tool: str, lines: list[str]) -> int:
    return sum(line.endswith(f"through {tool}.") for line in lines)


def test_member_of_a_wheel(wheelhouse, content, target, context):
    wheelhouse("tiny_model", {"tiny_model/data/model.bin": content})
    PyPI("tiny-model", "1.0.0", "tiny_model/data/model.bin").write(target, context)
    assert target.path.read_bytes() == content


def test_wheel_is_downloaded_once_for_all_its_members(wheelhouse, target, context, heard):
    wheelhouse("tiny_model", {"a.bin": b"a", "b.bin": b"b"})
    for member in ("a.bin", "b.bin"):
        PyPI("tiny-model", "1.0.0", member).write(target, context)
    assert target.path.read_bytes() == b"b"
    assert through("pip", heard.lines) == 1


def test_wheel_that_is_not_to_be_had_is_asked_for_once(wheelhouse, target, context, heard):
    for member in ("a.bin", "b.bin"):
        with pytest.raises(SourceError, match=r"pip says: No matching distribution found for tiny-model==1\.0\.0"):
            PyPI("tiny-model", "1.0.0", member).write(target, context)
    assert through("pip", heard.lines) == 1


def test_member_that_a_wheel_does_not_have(wheelhouse, target, context):
    wheelhouse("tiny_model", {"a.bin": b"a"})
    with pytest.raises(SourceError, match=r"tiny_model-1\.0\.0-py3-none-any\.whl has no b\.bin"):
        PyPI("tiny-model", "1.0.0", "b.bin").write(target, context)


def test_unreachable_index_is_told_from_a_missing_package(target, context, closed_endpoint, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"{closed_endpoint}/simple".replace("http:", "https:"))
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    began = time.monotonic()
    with pytest.raises(SourceError, match="the package index could not be reached"):
        PyPI("tiny-model", "1.0.0", "a.bin").write(target, context)
    assert time.monotonic() - began < 20


def test_damaged_wheel(tmp_path):
    (tmp_path / "x.whl").write_bytes(b"PK not a zip")
    with pytest.raises(SourceError, match="cannot be read"):
        list(archives._zip_member(tmp_path / "x.whl", "a"))


def npm_package(server, members: dict[str, bytes]) -> None:
    """Serve `tiny-model` 1.0.0 as an npm registry does: a document about it, and its tarball."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tarball:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tarball.addfile(entry, io.BytesIO(content))
    url = server.serve("/tiny-model/-/tiny-model-1.0.0.tgz", packed.getvalue())
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(packed.getvalue()).digest()).decode()
    version = {"name": "tiny-model", "version": "1.0.0", "dist": {"tarball": url, "integrity": integrity}}
    document = {"name": "tiny-model", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    server.serve("/tiny-model", json.dumps(document).encode(), headers={"Content-Type": "application/json"})


@pytest.fixture
def npm_registry(server, tmp_path, monkeypatch):
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    monkeypatch.setenv("npm_config_registry", server.endpoint)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    monkeypatch.setenv("npm_config_update_notifier", "false")
    return server


MANIFEST = {"package/package.json": b'{"name": "tiny-model", "version": "1.0.0"}'}


def test_members_of_an_npm_package_cost_one_download(npm_registry, content, target, context):
    npm_package(npm_registry, MANIFEST | {"package/a.onnx": content, "package/b.onnx": b"b"})
    Npm("tiny-model", "1.0.0", "package/a.onnx").write(target, context)
    assert target.path.read_bytes() == content
    Npm("tiny-model", "1.0.0", "package/b.onnx").write(target, context)
    assert target.path.read_bytes() == b"b"
    assert [path for path, _ in npm_registry.requests].count("/tiny-model/-/tiny-model-1.0.0.tgz") == 1


def test_member_that_an_npm_package_does_not_have(npm_registry, target, context):
    npm_package(npm_registry, MANIFEST)
    with pytest.raises(SourceError, match=r"tiny-model-1\.0\.0\.tgz has no package/a\.onnx"):
        Npm("tiny-model", "1.0.0", "package/a.onnx").write(target, context)


def test_version_that_npm_does_not_know(npm_registry, target, context):
    npm_package(npm_registry, MANIFEST)
    with pytest.raises(SourceError, match=r"npm says: .*2\.0\.0"):
        Npm("tiny-model", "2.0.0", "package/a.onnx").write(target, context)


def test_silent_registry_costs_seconds_not_the_time_of_a_download(npm_registry, target, context, monkeypatch):
    monkeypatch.setattr(archives, "REACH_SECONDS", 1)
    npm_package(npm_registry, MANIFEST)
    npm_registry.files["/tiny-model"].pause = 30.0
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"npm says: .*time"):
        Npm("tiny-model", "1.0.0", "package/a.onnx").write(target, context)
    assert time.monotonic() - began < 10


def test_without_npm_the_source_is_skipped_with_advice(target, context, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SourceError, match="npm is not installed") as caught:
        Npm("tiny-model", "1.0.0", "package/a.onnx").write(target, context)
    assert "install npm" in caught.value.advice


def test_damaged_tarball(tmp_path):
    (tmp_path / "x.tgz").write_bytes(b"\x1f\x8b not gzip")
    with pytest.raises(SourceError, match="cannot be read"):
        list(archives._tar_member(tmp_path / "x.tgz", "a"))


def test_tool_that_hangs_is_stopped(monkeypatch):
    monkeypatch.setattr(archives, "DOWNLOAD_SECONDS", 0.2)
    with pytest.raises(SourceError, match="stopped"):
        archives._run([archives.sys.executable, "-c", "import time; time.sleep(30)"])


def test_tool_that_cannot_be_started():
    with pytest.raises(SourceError, match="no-such-tool could not be started"):
        archives._run(["/nowhere/no-such-tool"])


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (
            "npm error code ETARGET\nnpm error notarget No matching version found for x@9.\nnpm error A complete log",
            "notarget No matching version found for x@9.",
        ),
        ("npm ERR! code E404\nnpm ERR! 404 Not Found - GET x\n", "404 Not Found - GET x"),
        ("node: bad option\n", "node: bad option"),
        ("", "nothing"),
    ],
)
def test_reason_of_npm(stderr, reason):
    assert archives._npm_reason(stderr) == reason


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("WARNING: x\nERROR: first\nERROR: last\n", "last"),
        ("/usr/bin/python: No module named pip\n", "/usr/bin/python: No module named pip"),
        ("", "nothing"),
    ],
)
def test_reason_of_pip(stderr, reason):
    assert archives._pip_reason(stderr) == reason
