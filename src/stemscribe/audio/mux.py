"""A film with one more subtitle track: everything that was in it is copied packet by packet, nothing is encoded.

The times of the texts are on the film's clock, which counts from the container's start. The new film begins at zero, so
that every player shows them at these times, however it treats a container that begins later. Timestamps that lead out
of the film (files joined together) are not believed, as they are not when it is decoded: there the track goes on
without a break.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream

from stemscribe.audio.probe import SEEKABLE, film_duration, opened
from stemscribe.choices import Container, ContainerChoice
from stemscribe.errors import MediaError, UsageError
from stemscribe.records import is_unwritable, storage_error
from stemscribe.timebase import Seconds, clock, to_frames

log = logging.getLogger(__name__)

_FORMATS: dict[Container, str] = {"mkv": "matroska", "mp4": "mp4"}
_CODECS: dict[Container, str] = {"mkv": "subrip", "mp4": "mov_text"}
# Of subtitles. In MP4 it is higher than that of any sound: FFmpeg's writer compares the end of the last text with the
# times of other tracks without looking at their units, and would put an empty sample after every text itself.
_RATES: dict[Container, int] = {"mkv": 1000, "mp4": 240_000}
_LONGEST_SAMPLE = 3600 * _RATES["mp4"]  # durations have 31 bits
# Without `bitexact` a film would hold random numbers, and no two runs would write the same. Subtitles come seconds
# apart: FFmpeg would hold back 10 s of film to put them into their places, where they are already.
_WRITING = {"fflags": "+bitexact", "max_interleave_delta": str(2_000_000)}
_COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
_OF_A_TRACK_ALONE = "video", "audio", "subtitle", "attachment"  # what a container must hold; data may stay behind
_KEPT_TAGS = ("hvc1", "dvh1")  # of HEVC in MP4: Apple's players do not know it as hev1, which FFmpeg would write
_MOST_FAILURES = 20  # of the demuxer, one after the other
_LONGEST_OVERLAP: Seconds = 10.0
_FIRST_PACKETS = 500  # among which the pictures of a film are
# FFmpeg makes the description of a 3GPP text track (TS 26.245) from a style of SubStation's.
_STYLE = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True)
class TimedText:
    """What is shown from `start` to `end` on the film's clock; its lines are parted by line feeds."""

    start: Seconds
    end: Seconds
    text: str


@dataclass(frozen=True)
class SubtitleTrack:
    """A subtitle track to be.

    Attributes:
        texts: in order of time, no two at once.
        language: its ISO 639-2 code.
        title: what players call it.
    """

    texts: Sequence[TimedText]
    language: str = "und"
    title: str = ""


def container_for(film: Path, wanted: ContainerChoice) -> Container:
    """The container in which a film gets its subtitles.

    Left open, it is the film's own where that is mkv or mp4 and can hold all of its tracks; mkv for everything else,
    and for sound without a picture. What mkv cannot hold then is said.

    Raises:
        UsageError: the container that is wanted cannot hold a track of the film.
        MediaError: the film cannot be read, or its picture or sound can be held by neither.
    """
    with opened(film) as source:
        own = _own_container(source)
        container: Container = (own or "mkv") if wanted == "auto" else wanted
        refused = _refused(source, container)
        if not refused:
            return container
        if wanted != "auto":
            raise UsageError(
                f"{film.name} cannot be written as .{container}, which cannot hold {_listed(refused)}.",
                hint=f"Use --container {'mkv' if container == 'mp4' else 'mp4'}, or leave it out to have it chosen.",
            )
        if container == "mp4":
            log.warning("%s is written as .mkv: .mp4 cannot hold %s", film.name, _listed(refused))
            refused = _refused(source, "mkv")
        if any(stream.type != "subtitle" for stream in refused):
            raise MediaError(
                f"{film.name} has what neither .mkv nor .mp4 can hold: {_listed(refused)}.",
                hint="Use --workflow transcribe: its .srt can be played beside the film.",
            )
        if refused:
            log.warning("%s gets subtitles without %s, which .mkv cannot hold", film.name, _listed(refused))
        return "mkv"


def mux(
    film: Path,
    target: Path,
    container: Container,
    track: SubtitleTrack,
    *,
    span: tuple[Seconds, Seconds] | None = None,
    progress: Callable[[Seconds], None] = lambda done: None,
) -> None:
    """Write a film with a subtitle track; the data of every packet of it stays as it is.

    Copied are picture, sound, subtitles, attachments, covers, chapters and metadata. Left out, and said, are data
    tracks and subtitles that the container cannot hold. Memory is flat; the index of an MP4 grows by a few MB an
    hour.

    Args:
        film: what is copied; it is only read.
        target: the new file.
        container: what it is.
        track: players show it of their own accord where the film has no other subtitles.
        span: the part of the film, on its clock, that is wanted; `None` for all of it.
        progress: told up to where on the film's clock it is written, about once a second of it.

    Raises:
        UsageError: the target is the film itself.
        MediaError: the film cannot be read to its end, or the container does not take what it holds.
        StorageError: the target cannot be written.
    """
    if target.exists() and target.samefile(film):
        raise UsageError(f"{film} would be overwritten by itself.", hint="Choose another folder with --out-dir.")
    with opened(film) as source, _writing(film, target):
        copied = _copied(source, container)
        with av.open(f"file:{target}", "w", format=_FORMATS[container], options=_WRITING) as output:
            streams = _laid_out(source, output, container, copied, _covers(film) if container == "mkv" else {})
            subtitles = _subtitle_stream(output, container, track, is_first=not _subtitles(copied))
            output.start_encoding()
            texts = _TextWriter(output, subtitles, track.texts, container)
            for time, packet in _packets(source, streams, span, strict=container == "mp4"):
                texts.write_until(time)
                output.mux_one(packet)
                progress(time)
            texts.write_until(None)


def _own_container(source: InputContainer) -> Container | None:
    """The film's own container, where it is one in which a film can get its subtitles."""
    if not any(not _is_cover(stream) for stream in source.streams.video):
        return None
    if source.format.name.startswith("matroska"):
        return "mkv"
    return "mp4" if source.format.name.startswith("mov") else None


def _copied(source: InputContainer, container: Container) -> list[Stream]:
    """The streams of a film that its copy has as well; of the others it is said that they are left out."""
    refused = {stream.index for stream in source.streams if not _is_held(stream, container)}
    for stream in source.streams:
        if stream.index in refused and not _are_chapters(stream, source):
            log.warning("left out: %s, which .%s cannot hold", _described(stream), container)
    return [stream for stream in source.streams if stream.index not in refused]


def _refused(source: InputContainer, container: Container) -> list[Stream]:
    """What of a film a container cannot hold; data tracks do not count."""
    return [
        stream
        for stream in source.streams
        if stream.type in _OF_A_TRACK_ALONE and not (_is_cover(stream) or _is_held(stream, container))
    ]


def _is_held(stream: Stream, container: Container) -> bool:
    """Whether a container can hold a stream: the way to know is to write its header."""
    if container == "mkv" and _is_cover(stream):
        return True  # as an attachment
    try:
        with av.open(io.BytesIO(), "w", format=_FORMATS[container]) as trial:
            _like(trial, stream, container)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _like(output: OutputContainer, stream: Stream, container: Container) -> Stream:
    """A stream of the new film that is to hold the packets of one of the old."""
    copy = output.add_stream_from_template(stream, opaque=True)
    copy.metadata.update({_clean(key): _clean(value) for key, value in stream.metadata.items()})
    if "name" in stream.metadata:  # what is read as the name of an MP4's track is written from its title
        copy.metadata.setdefault("title", copy.metadata.pop("name"))
    copy.disposition = stream.disposition
    context = stream.codec_context
    if container == "mp4" and context is not None:
        if context.codec_tag in _KEPT_TAGS:
            copy.codec_context.codec_tag = context.codec_tag
        if context.name == _CODECS["mp4"]:
            copy.time_base = Fraction(1, _RATES["mp4"])
    return copy


def _laid_out(
    source: InputContainer,
    output: OutputContainer,
    container: Container,
    copied: list[Stream],
    covers: Mapping[int, bytes],
) -> dict[int, Stream]:
    """The new film's streams by the numbers of the old one's; its metadata, chapters, attachments and covers."""
    streams = {}
    for stream in copied:
        if container == "mkv" and _is_cover(stream):
            name, kind = _COVERS.get(stream.codec_context.name, ("cover", "application/octet-stream"))
            kind = stream.metadata.get("mimetype", kind)
            output.add_attachment(_clean(stream.metadata.get("filename", name)), kind, covers.get(stream.index, b""))
        else:
            streams[stream.index] = _like(output, stream, container)
    output.metadata.update({_clean(key): _clean(value) for key, value in source.metadata.items()})
    output.set_chapters([_on_film_clock(chapter, source) for chapter in source.chapters()])  # type: ignore[misc]
    return streams


def _on_film_clock(chapter: Mapping[str, Any], source: InputContainer) -> dict[str, Any]:
    origin = _origin(source, chapter["time_base"])
    start, end = (max(0, chapter[edge] - origin) for edge in ("start", "end"))
    metadata = {_clean(key): _clean(value) for key, value in chapter["metadata"].items()}
    return {**chapter, "start": start, "end": max(start, end), "metadata": metadata}


def _subtitle_stream(output: OutputContainer, container: Container, track: SubtitleTrack, *, is_first: bool) -> Any:
    stream: Any = output.add_stream(_CODECS[container])
    stream.codec_context.subtitle_header = _STYLE
    stream.codec_context.time_base = stream.time_base = Fraction(1, _RATES[container])
    stream.metadata.update({"language": track.language, "title": track.title})
    if container == "mp4":
        stream.metadata["handler_name"] = track.title  # what most players show
    stream.disposition = Disposition.default if is_first else Disposition(0)
    return stream


def _covers(film: Path) -> dict[int, bytes]:
    """The pictures that stand for a film, by stream: a header that holds them has to be written first."""
    with opened(film) as source:
        missing = {stream.index for stream in source.streams.video if _is_cover(stream)}
        found: dict[int, bytes] = {}
        packets = source.demux() if missing else iter(())
        with suppress(av.FFmpegError, IndexError):
            for _, packet in zip(range(_FIRST_PACKETS), packets, strict=False):
                if packet.stream_index in missing:
                    found[packet.stream_index] = bytes(packet)
                if len(found) == len(missing):
                    break
    return found


def _packets(
    source: InputContainer, streams: Mapping[int, Stream], span: tuple[Seconds, Seconds] | None, *, strict: bool
) -> Iterator[tuple[Seconds, Packet[Any]]]:
    """The packets of a film as the new one is to have them, each with its time on the film's clock."""
    start, end = span or (0.0, None)
    if start > 0 and source.format.name.startswith(SEEKABLE):
        with suppress(av.FFmpegError):
            source.seek((source.start_time or 0) + int(start * av.time_base), backward=True)
    timelines = {index: _Timeline(film_duration(source), strict) for index in streams}
    for packet in _read(source):
        timeline = timelines.get(packet.stream_index)
        if timeline is None:
            continue
        time = timeline.place(packet, _origin(source, packet.time_base))
        if end is not None and time > end:
            return
        if packet.stream.type == "subtitle":
            _begin_with_the_film(packet)
        packet.stream = streams[packet.stream_index]
        yield time, packet


def _begin_with_the_film(packet: Packet[Any]) -> None:
    """Cut off what of a subtitle is before the film's first picture: for one early text, FFmpeg would delay all
    tracks.
    """
    if packet.pts is not None and packet.pts < 0:
        packet.duration = max(0, packet.pts + (packet.duration or 0))
        packet.pts = packet.dts = 0


def _read(source: InputContainer) -> Iterator[Packet[Any]]:
    """All packets of a film; where the demuxer stumbles over damage, it is asked again."""
    failures = 0
    while True:
        try:
            for packet in source.demux():
                failures = 0
                if packet.size or packet.pts is not None:  # the others are PyAV's own, to flush decoders
                    yield packet
            return
        except IndexError:  # see decode: PyAV's flush where streams appeared
            return
        except av.InvalidDataError as error:
            failures += 1
            log.log(logging.WARNING if failures == 1 else logging.DEBUG, "damage is passed over: %s", error.strerror)
            if failures >= _MOST_FAILURES:
                raise


@dataclass
class _Timeline:
    """The timestamps of one stream: counted from the film's start, and never going back.

    Attributes:
        film_end: on the film's clock, where it is known.
        strict: whether the container refuses two packets at the same time.
    """

    film_end: Seconds | None
    strict: bool
    _shift: int = field(default=0, init=False)
    _last: int | None = field(default=None, init=False)

    def place(self, packet: Packet[Any], origin: int) -> Seconds:
        """Give a packet its new timestamps.

        Returns:
            Its time on the film's clock.
        """
        base = packet.time_base
        if packet.pts is None and packet.dts is None and self._last is not None:
            packet.pts = packet.dts = self._last + origin - self._shift  # a stream that has none of its own
        raw = packet.dts if packet.dts is not None else packet.pts or 0
        self._shift += self._leap(raw - origin + self._shift, base, packet.duration or 0)
        moved = self._shift - origin
        packet.pts = None if packet.pts is None else packet.pts + moved
        if packet.dts is not None:
            dts = packet.dts + moved
            least = dts if self._last is None else self._last + self.strict
            packet.dts = self._last = max(dts, least)
            if packet.pts is not None and dts < least:
                packet.pts = max(packet.pts, packet.dts)
        return float((raw + moved) * base)

    def _leap(self, time: int, base: Fraction, duration: int) -> int:
        """By how much a time that cannot be meant is to be moved, in units of `base`."""
        if self._last is None:
            return 0
        gap = float((time - self._last) * base)
        beyond = self.film_end is not None and float(time * base) > self.film_end + _LONGEST_OVERLAP
        if gap >= -_LONGEST_OVERLAP and not (beyond and gap > _LONGEST_OVERLAP):
            return 0
        log.warning(
            "timestamps jump by %+.3f s at %s: the film goes on without a break", gap, clock(float(self._last * base))
        )
        return self._last + duration - time


class _TextWriter:
    """Puts texts between the packets of the film, each before the first packet that is later."""

    def __init__(
        self, output: OutputContainer, stream: Stream, texts: Sequence[TimedText], container: Container
    ) -> None:
        self._output, self._stream, self._rate = output, stream, _RATES[container]
        self._waiting = _samples(texts) if container == "mp4" else _blocks(texts)
        self._next = next(self._waiting, None)

    def write_until(self, time: Seconds | None) -> None:
        """Write all texts that begin by a time on the film's clock; all that are left if it is `None`."""
        while self._next is not None and (time is None or self._next[0] <= time * self._rate):
            start, end, data = self._next
            packet: Packet[Any] = Packet(data)
            packet.stream, packet.time_base = self._stream, Fraction(1, self._rate)
            packet.pts = packet.dts = start
            packet.duration = end - start
            packet.is_keyframe = True
            self._output.mux_one(packet)
            self._next = next(self._waiting, None)


def _blocks(texts: Sequence[TimedText], rate: int = _RATES["mkv"]) -> Iterator[tuple[int, int, bytes]]:
    """Texts as Matroska holds SubRip: start and end in units of the rate, and plain UTF-8."""
    for text in texts:
        yield to_frames(text.start, rate), to_frames(text.end, rate), text.text.encode()


def _samples(texts: Sequence[TimedText]) -> Iterator[tuple[int, int, bytes]]:
    """Texts as MP4 holds them (3GPP TS 26.245): length and UTF-8, and where nothing is shown, an empty one.

    MP4 has no gaps: the sample before one would be shown until the next.
    """
    shown = 0
    for start, end, data in _blocks(texts, _RATES["mp4"]):
        while start > shown:
            until = min(start, shown + _LONGEST_SAMPLE)
            yield shown, until, bytes(2)
            shown = until
        yield start, end, len(data).to_bytes(2, "big") + data
        shown = end
    yield shown, shown + _RATES["mp4"] // 1000, bytes(2)  # a track without any sample would not be written


@contextmanager
def _writing(film: Path, target: Path) -> Iterator[None]:
    """What goes wrong while a film is copied, as it is told."""
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, OSError) and is_unwritable(error):
            raise storage_error(target, error) from error
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{film.name} cannot be copied into {target.name}: {reason}.",
            hint="Try the other --container; the subtitles themselves are written, and can be played beside the film.",
        ) from error


def _origin(source: InputContainer, base: Fraction) -> int:
    """Where the film's clock begins, in units of `base`."""
    return round(Fraction(source.start_time or 0, av.time_base) / base)


def _subtitles(streams: list[Stream]) -> list[Stream]:
    return [stream for stream in streams if stream.type == "subtitle"]


def _is_cover(stream: Stream) -> bool:
    return stream.type == "video" and bool(stream.disposition & Disposition.attached_pic)


def _are_chapters(stream: Stream, source: InputContainer) -> bool:
    """Whether a stream is how QuickTime keeps chapters, which are copied as chapters."""
    return stream.type == "data" and bool(source.chapters()) and source.format.name.startswith("mov")


def _described(stream: Stream) -> str:
    context = stream.codec_context
    name = context.name if context is not None else getattr(stream, "name", None) or "of an unknown kind"
    return f"track {stream.index} ({stream.type}, {name})"


def _listed(streams: list[Stream]) -> str:
    return ", ".join(map(_described, streams))


def _clean(text: str) -> str:
    """Metadata that can be written: bytes that were no UTF-8 are lost."""
    return text.encode("utf-8", "replace").decode()
