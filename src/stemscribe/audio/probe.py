"""What is in a media file, and whether it can be heard: asked before anything is made.

Everything that FFmpeg reads can be a film. What cannot be read, holds no sound or breaks off early is said here, in
one sentence, so that no job is prepared which cannot end well.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream as _AvAudioStream
from av.container import InputContainer
from av.stream import Disposition

from stemscribe.audio.downmix import Downmix
from stemscribe.audio.resample import RATES
from stemscribe.errors import MediaError, NoAudioError, UsageError
from stemscribe.languages import standard_code
from stemscribe.timebase import Seconds, clock

_IDENTITY_SPAN = 1 << 20
SEEKABLE = ("mov", "matroska")
_INDEXED = ("mov", "matroska", "flac", "avi")  # their headers say how long the film is, and do not guess it
# Titles need not be UTF-8. PyAV 19 gives such bytes as surrogates, and does not know the option any more.
_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
_LAYOUTS = {1: "mono", 2: "stereo"}  # whatever the container calls them
_PICTURES = {"image2", "tty"}
_PLAYLISTS = {"concat", "dash", "hls", "imf", "sdp", "webm_dash_manifest"}
# FFmpeg opens what a playlist names as soon as it opens the playlist; so it is not to know them at all.
_FORMATS = ",".join(sorted(name for name in av.formats_available if not _PLAYLISTS & set(name.split(","))))
_PLAYLIST_SIGNS = (b"#EXTM3U", b"ffconcat version", b"<MPD", b"<CompositionPlaylist")
_SECONDARY = Disposition.comment | Disposition.visual_impaired | Disposition.hearing_impaired
_SECONDARY_TITLE = re.compile(r"comment|descri", re.IGNORECASE)
_LONGEST_FILM: Seconds = 1000 * 3600.0  # a header that promises more is damaged
_SHORTFALL: Seconds = 5.0  # how early the last packet may be before the film counts as cut off
_PROBED_PACKETS = 500  # how many packets may fail before the sound counts as undecodable
_TAIL_PACKETS = 20_000


@dataclass(frozen=True)
class AudioTrack:
    """One audio track.

    Attributes:
        number: among the audio tracks of the file, from 0.
        stream: among all streams of the file.
        secondary: whether it is a commentary, or a description for those who cannot see or hear.
    """

    number: int
    stream: int
    codec: str
    sample_rate: int
    channels: int
    layout: str
    language: str
    title: str
    default: bool
    secondary: bool

    def __str__(self) -> str:
        parts = [f"{self.number}: {self.language or 'no language'}", self.codec, self.layout, self.title]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class Media:
    """A file that can be heard. `duration` is what the container says, and containers may lie."""

    path: Path
    container: str
    duration: Seconds | None
    tracks: tuple[AudioTrack, ...]

    @property
    def is_indexed(self) -> bool:
        """Whether the container knows how long it is; others guess from the bit rate, and may be far off."""
        return self.container.startswith(_INDEXED)

    @property
    def is_seekable(self) -> bool:
        """Whether a seek lands where it should; in containers without an index of times it lands on a guess."""
        return self.container.startswith(SEEKABLE)

    def track(self, wanted: str = "", language: str = "") -> AudioTrack:
        """The track to transcribe: the wanted one, else the best one in the language, else the best of all.

        The default track is better than others, and any is better than a commentary or an audio description.

        Args:
            wanted: a track's number (0 is the first audio track) or a language code.
            language: the language that is spoken.

        Raises:
            UsageError: there is no such track.
        """
        if wanted:
            return self._named(wanted)
        spoken = standard_code(language)
        candidates = [track for track in self.tracks if spoken and track.language == spoken] or list(self.tracks)
        return min(candidates, key=lambda track: (track.secondary, not track.default, track.number))

    def _named(self, wanted: str) -> AudioTrack:
        code = standard_code(wanted)
        for track in self.tracks:
            if wanted == str(track.number) or (code and track.language == code):
                return track
        known = "; ".join(str(track) for track in self.tracks)
        raise UsageError(
            f"{self.path.name} has no audio track {wanted!r}.",
            hint=f"Choose one of its tracks with --audio-track: {known}.",
        )


def probe(path: Path, *, until: Seconds | None = None) -> Media:
    """What is in a media file.

    Args:
        path: the file.
        until: the point on the film's clock up to which it is wanted; a file that is cut off after it will do.

    Raises:
        UsageError: there is no such file, or it is a folder.
        MediaError: it cannot be read, is empty, is not media, or is cut off.
        NoAudioError: it has no sound.
    """
    _check_file(path)
    with opened(path) as container:
        if not container.streams.audio:
            raise _without_audio(path, container)
        tracks = tuple(_track(number, stream) for number, stream in enumerate(container.streams.audio))
        media = Media(path, container.format.name, film_duration(container), tracks)
    _check_complete(media, until)
    return media


def check_decodable(media: Media, track: AudioTrack) -> None:
    """Refuse a track that is there but cannot be heard.

    Raises:
        NoAudioError: nothing of its beginning can be decoded.
    """
    if not _decodable(media.path, track):
        others = len(media.tracks) > 1
        odd = "" if track.sample_rate in RATES else f" It claims to have {track.sample_rate:,} samples a second."
        raise NoAudioError(
            f"{media.path.name} has a sound track ({track}), but none of it can be decoded.{odd}",
            hint="Choose another one with --audio-track."
            if others
            else "Play the file to see whether it is protected.",
        )


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """An open container, read from this file and nothing else.

    Raises:
        MediaError: FFmpeg cannot read it.
    """
    try:
        # `file:` and the whitelists keep names like `concat:` and playlists from reaching other files or the network.
        only = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
        container = av.open(f"file:{path}", options=only, timeout=(60.0, 60.0), **_LENIENT)
    except (av.FFmpegError, ValueError) as error:
        if _is_playlist(path):
            raise MediaError(f"{path.name} is a playlist, not a film.", hint="Name one of the files in it.") from error
        raise MediaError(
            f"{path.name} is not a film, video or audio file that can be read ({_reason(error)}).",
            hint="Play it to see whether it is whole; if it was still being copied or recorded, get it again.",
        ) from error
    with container:
        yield container


def identity(path: Path) -> str:
    """What a media file is recognised by wherever it is moved: its size, and hashes of its start, middle and end.

    Hashing all of a film would read tens of gigabytes; three samples of 1 MiB and the size tell copies from changes.

    Raises:
        MediaError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(str(size).encode())
            for start in (0, max(0, size // 2 - _IDENTITY_SPAN // 2), max(0, size - _IDENTITY_SPAN)):
                file.seek(start)
                digest.update(file.read(_IDENTITY_SPAN))
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def _is_playlist(path: Path) -> bool:
    """Whether a file that cannot be read begins as playlists do."""
    with path.open("rb") as file:
        start = file.read(1024)
    return any(sign in start for sign in _PLAYLIST_SIGNS)


def _check_file(path: Path) -> None:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"The name of {path!a} is not valid UTF-8.", hint="Rename the file.") from error
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise UsageError(f"There is no file {path}.", hint="Check the name, and quote it if it has spaces.") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be opened ({_reason(error)}).", hint="Check the name of the file.") from error
    if stat.S_ISDIR(status.st_mode):
        raise UsageError(f"{path} is a folder.", hint="Name one film, video or audio file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path} is not a regular file.", hint="Name a film, video or audio file.")
    if status.st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes).", hint="Its copy or download failed: get it again.")
    if not os.access(path, os.R_OK):
        raise MediaError(f"{path} may not be read by you.", hint=f"Give yourself the right to: chmod u+r '{path}'.")


def _without_audio(path: Path, container: InputContainer) -> MediaError:
    if container.streams.video and container.format.name not in _PICTURES and container.duration:
        return NoAudioError(
            f"{path.name} has no sound: it holds video only.", hint="Choose a file with an audio track."
        )
    return MediaError(
        f"{path.name} is not a film, video or audio file (FFmpeg takes it for {container.format.name}).",
        hint="Choose a media file, whatever its ending.",
    )


def film_duration(container: InputContainer) -> Seconds | None:
    """How long the film is on its own clock, as its container says; `None` where it does not, or cannot mean it."""
    if not container.duration:
        return None
    # Matroska counts its duration from zero even where its first timestamp is later.
    before = container.start_time or 0 if container.format.name.startswith("matroska") else 0
    duration = (container.duration - before) / av.time_base
    return duration if 0 < duration <= _LONGEST_FILM else None


def _track(number: int, stream: _AvAudioStream) -> AudioTrack:
    context = stream.codec_context
    title = stream.metadata.get("title", "").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return AudioTrack(
        number=number,
        stream=stream.index,
        codec=context.name if context else "unknown codec",
        sample_rate=context.sample_rate or 0 if context else 0,
        channels=context.channels if context else 0,
        layout=_LAYOUTS.get(context.channels, context.layout.name) if context else "",
        language=standard_code(stream.metadata.get("language", "")),
        title=title,
        default=bool(stream.disposition & Disposition.default),
        secondary=bool(stream.disposition & _SECONDARY) or bool(_SECONDARY_TITLE.search(title)),
    )


def _decodable(path: Path, track: AudioTrack) -> bool:
    """Whether any of the first packets of a track gives sound."""
    with opened(path) as container:
        packets = container.demux(container.streams.audio[track.number])
        for _ in range(_PROBED_PACKETS):
            try:
                packet = next(packets, None)
                if packet is None:
                    return False
                if any(frame.sample_rate in RATES and Downmix().push(frame).size for frame in packet.decode()):
                    return True
            except av.FFmpegError:
                continue
            except IndexError:  # see decode: PyAV's flush where streams appeared
                return False
    return False


def _check_complete(media: Media, until: Seconds | None) -> None:
    """Refuse a film whose header promises more than the file holds."""
    if media.duration is None or not media.is_indexed:
        return
    wanted = min(media.duration, until) if until is not None else media.duration
    there = _last_time(media.path, wanted)
    if there < wanted - max(_SHORTFALL, 0.01 * wanted):
        raise MediaError(
            f"{media.path.name} is cut off: its header promises {clock(media.duration)}, but the file ends near"
            f" {clock(there)}.",
            hint=f"Copy or download it again; to use what is there, add --end-time {int(there)}.",
        )


def _last_time(path: Path, before: Seconds) -> Seconds:
    """The time of the last packet that can be read, on the film's clock, looking first near the end."""
    for start in (max(0.0, before - 30.0), 0.0):
        last = 0.0
        with opened(path) as container:
            origin = container.start_time or 0
            try:
                container.seek(origin + int(start * av.time_base), backward=True)
                for count, packet in enumerate(container.demux()):
                    if packet.size and packet.pts is not None and packet.time_base is not None:
                        last = max(last, float(packet.pts * packet.time_base) - origin / av.time_base)
                    if start and count > _TAIL_PACKETS:
                        return before
            except (av.FFmpegError, IndexError):
                pass
        if last > 0.0:
            return last
    return 0.0


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
