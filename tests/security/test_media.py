"""Films that mean harm: FFmpeg opens the named file and nothing else, neither on the network nor on the disk."""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import pytest

from fakes import tone, write_film
from stemscribe.audio.decode import TrackDecoder
from stemscribe.audio.probe import check_decodable, probe
from stemscribe.errors import StemscribeError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="watches a named pipe")


@contextmanager
def watching(pipe: Path) -> Iterator[list[float]]:
    """Collects the times at which somebody had opened the pipe for reading."""
    opened: list[float] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.001):
            with suppress(OSError):  # nobody reads
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
                opened.append(time.monotonic())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield opened
        time.sleep(0.02)
    finally:
        done.set()
        watcher.join()


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A file that nobody has asked for; a name that playlists may have."""
    os.mkfifo(tmp_path / "secret.ts")
    return tmp_path / "secret.ts"


def use(path: Path) -> None:
    """All that is done with a film, as far as it lets us."""
    with suppress(StemscribeError):
        media = probe(path)
        check_decodable(media, media.tracks[0])
        for _ in TrackDecoder(path, 0, 44100).blocks():
            pass


def playlist(address: str) -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{address}\n#EXT-X-ENDLIST\n"


def encrypted(address: str) -> str:
    return playlist("segment.ts").replace("#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{address}"\n#EXTINF')


def session(address: str) -> str:
    port = address.rpartition(":")[2].partition("/")[0]
    return f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP/TCP 0\n"


def manifest(address: str) -> str:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
        ' mediaPresentationDuration="PT10S"><Period><AdaptationSet mimeType="audio/mp4"><Representation id="1"'
        f' bandwidth="1000" codecs="mp4a.40.2"><BaseURL>{address}</BaseURL><SegmentBase indexRange="0-100"/>'
        "</Representation></AdaptationSet></Period></MPD>"
    )


NAMING: dict[str, Callable[[str], str]] = {
    "hls": playlist,
    "hls key": encrypted,
    "concat": lambda address: f"ffconcat version 1.0\nfile {address}\n",
    "dash": manifest,
    "sdp": session,
    "real": lambda address: f"{address}\n",
    "asx": lambda address: f'<ASX version="3.0"><Entry><Ref href="{address}"/></Entry></ASX>',
    "svg": lambda address: f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{address}"/></svg>',
    "ass": lambda address: f"[Script Info]\nScriptType: v4.00+\nAudio File: {address}\nVideo File: {address}\n",
}


@pytest.mark.parametrize("ending", [".mp4", ".m3u8", ".sdp", ".mpd"])
@pytest.mark.parametrize("kind", NAMING)
@pytest.mark.parametrize(
    "protocol", ["http", "https", "tcp", "rtp", "crypto:http", "hls+http", "subfile,,start,0,,:http"]
)
def test_file_that_names_an_address_makes_no_connection(tmp_path, knocks, kind, ending, protocol):
    path = tmp_path / f"film{ending}"
    path.write_text(NAMING[kind](f"{protocol}://127.0.0.1:{knocks.port}/a.ts"))
    use(path)
    assert knocks.count == 0


def test_that_playlist_is_dangerous_indeed(tmp_path, knocks):
    """Otherwise the test before this one would show nothing."""
    path = tmp_path / "film.m3u8"
    path.write_text(playlist(f"http://127.0.0.1:{knocks.port}/a.ts"))
    with pytest.raises(av.FFmpegError):
        av.open(str(path), options={"protocol_whitelist": "file,http,tcp"}, timeout=5.0)
    assert knocks.count


NAMES = [
    "concat:secret.ts|secret.ts",
    "subfile,,start,0,end,9,,:secret.ts",
    "file:secret.ts",
    "crypto:secret.ts",
    "async:secret.ts",
    "cache:secret.ts",
    "pipe:0",
    "data:audio,x",
    "lavfi:sine",
    "-i",
    "%03d.wav",
]


@pytest.mark.parametrize("name", NAMES)
def test_name_that_is_an_address_names_a_file(tmp_path, pipe, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "film.wav", [(tone(1), "eng")]).rename(tmp_path / name)
    with watching(pipe) as opened:
        assert probe(Path(name)).duration == pytest.approx(1.0, abs=0.03)
    assert not opened


def test_path_that_is_an_address_names_a_file(tmp_path, knocks, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "http:" / f"127.0.0.1:{knocks.port}"
    folder.mkdir(parents=True)
    write_film(folder / "film.wav", [(tone(1), "eng")])
    assert probe(Path(f"http://127.0.0.1:{knocks.port}/film.wav")).duration == pytest.approx(1.0, abs=0.03)
    assert knocks.count == 0


def atom(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def alias(path: str) -> bytes:
    """A reference as QuickTime makes it to a file in which the sound of a film lies, with an absolute path."""
    record = bytes(10) + b"\0" + bytes(27) + bytes(12) + b"\0" + bytes(63) + bytes(16)
    record += struct.pack(">HH", 1, 1) + bytes(16)  # one level up, one level down
    name = path.encode() + b"\0" * (len(path) % 2)
    return record + struct.pack(">HH", 2, len(name)) + name + struct.pack(">hH", -1, 0)


def film_with_sound_elsewhere(path: str, *, kind: bytes = b"alis") -> bytes:
    """A QuickTime film of 16 bit PCM whose samples are said to be in another file."""
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    reference = alias(path) if kind == b"alis" else path.encode() + b"\0"
    described = struct.pack(">6xHHHIHHHHI", 1, 0, 0, 0, 1, 16, 0, 0, 44100 << 16)
    table = atom(
        b"stbl",
        atom(b"stsd", struct.pack(">II", 0, 1), atom(b"sowt", described)),
        atom(b"stts", struct.pack(">IIII", 0, 1, 44100, 1)),
        atom(b"stsc", struct.pack(">IIIII", 0, 1, 1, 44100, 1)),
        atom(b"stsz", struct.pack(">III", 0, 2, 44100)),
        atom(b"stco", struct.pack(">III", 0, 1, 0)),
    )
    data = atom(b"dinf", atom(b"dref", struct.pack(">II", 0, 1), atom(kind, bytes(4), reference)))
    media = atom(
        b"mdia",
        atom(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 44100, 44100, 0, 0)),
        atom(b"hdlr", struct.pack(">I4s4s12x", 0, b"mhlr", b"soun") + b"\0"),
        atom(b"minf", atom(b"smhd", bytes(8)), data, table),
    )
    track = atom(b"tkhd", struct.pack(">IIIIII8xHHHH", 1, 0, 0, 1, 0, 1000, 0, 0, 256, 0), matrix, bytes(8))
    header = struct.pack(">IIIIIIH10x", 0, 0, 0, 1000, 1000, 0x10000, 256) + matrix + bytes(24) + struct.pack(">I", 2)
    return atom(b"ftyp", b"qt  ", bytes(4), b"qt  ") + atom(b"moov", atom(b"mvhd", header), atom(b"trak", track, media))


@pytest.mark.parametrize("kind", [b"alis", b"url "])
def test_film_whose_sound_is_elsewhere_does_not_open_it(tmp_path, pipe, kind):
    path = tmp_path / "film.mov"
    path.write_bytes(film_with_sound_elsewhere(str(pipe), kind=kind))
    with watching(pipe) as opened:
        use(path)
    assert not opened


def test_that_film_is_dangerous_indeed(tmp_path, pipe):
    """Otherwise the test before this one would show nothing."""
    path = tmp_path / "film.mov"
    path.write_bytes(film_with_sound_elsewhere(str(pipe)))
    with watching(pipe) as opened, suppress(av.FFmpegError):
        av.open(str(path), options={"enable_drefs": "1", "use_absolute_path": "1"}, timeout=5.0).close()
    assert opened
