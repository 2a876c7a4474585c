"""Damage, and lies: what a file becomes when a disk, a network or a hostile hand has been at it.

A lie is told where a format keeps a number that readers believe: sizes, durations, rates, channel counts and
timestamps. Checksums that would give it away at once are made anew.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator

Mutation = Callable[[bytearray, random.Random], None]

_NUMBERS = (0, 1, 2, 3, 7, 8, 64, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 44100, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_LARGE = (0, 1, (1 << 31) - 1, 1 << 32, 1 << 40, 1 << 53, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_BOXES = (
    *(b"ftyp", b"moov", b"mvhd", b"trak", b"tkhd", b"edts", b"elst", b"mdia", b"mdhd", b"hdlr", b"minf", b"smhd"),
    *(b"dinf", b"dref", b"stbl", b"stsd", b"mp4a", b"esds", b"stts", b"stsc", b"stsz", b"stco", b"co64", b"sgpd"),
    *(b"sbgp", b"udta", b"meta", b"ilst", b"free", b"mdat", b"ctts", b"mp4v", b"stss"),
)
_CHUNKS = (
    *(b"RIFF", b"RF64", b"ds64", b"fmt ", b"fact", b"data", b"LIST", b"WAVE"),
    *(b"hdrl", b"avih", b"strh", b"strf", b"idx1"),
)
# EBML: cluster, its timestamp, blocks, duration, timestamp scale, sampling rate, channels, bit depth, codec delay, cues
_ELEMENTS = tuple(
    bytes.fromhex(name)
    for name in (
        *("1F43B675", "E7", "A3", "A0", "A1", "9B", "4489", "2AD7B1", "B5", "78B5", "9F", "6264", "56AA", "56BB"),
        *("1C53BB6B", "B3", "F1", "1654AE6B", "AE", "D7", "83", "86", "63A2", "18538067", "114D9B74", "53AC"),
    )
)
_TOKENS = (
    *(b"null", b"true", b"NaN", b"Infinity", b"1e999", b"1e308", b"-1", b"-0.0", b"9223372036854775808", b"1e-320"),
    *(b'"\\u0000"', b'"\\ud800"', b'"\\u202e"', b"\x00", b"\xff", b"\xef\xbb\xbf", b"\x1b[31m"),
    *(b"..", b"../../x", b"/etc/passwd", b"~nobody/x", b"1" * 400, b" " * 300),
    *(
        b"[" * 300,
        b"{" * 50,
        b'{"a":' * 200,
        b"]",
        b"}",
        b",",
        b":",
        b'"',
        b"\\",
        b"'" * 3,
        b'"' * 3,
        b"=",
        b"[[",
        b"#",
    ),
    *(b"\r\n", b"\n\n", b"\r", b"\n", b"\t", b" --> ", b"-->", b"99:59:59,999", b"9999:00:00.000", b"00:00:00,000"),
    *(b"00:00:01,000 --> 00:00:02,000\n", b"WEBVTT", b"NOTE", b"STYLE", b"<i>", b"</i>", b"<", b">", b"{\\an8}"),
    *(b"{\\p1}", b"&amp;", b"&#x0;", b"&#1114112;", b"\xe2\x80\xae", b"\xf0\x9f\x8e\xac", b"\xc2\x85", b"\xe2\x80\xa8"),
)


def mutated(data: bytes, source: random.Random, mutations: tuple[Mutation, ...]) -> bytes:
    """A copy of a file after one to six mutations."""
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 1, 2, 2, 3, 6))):
        source.choice(mutations)(changed, source)
    return bytes(changed)


def flip(data: bytearray, source: random.Random) -> None:
    for _ in range(source.choice((1, 1, 2, 8, 40))):
        if data:
            data[source.randrange(len(data))] ^= 1 << source.randrange(8)


def overwrite(data: bytearray, source: random.Random) -> None:
    if data:
        start, length = source.randrange(len(data)), source.choice((1, 2, 4, 8, 64, 500))
        filling = source.choice((b"\x00", b"\xff", None))
        length = min(length, len(data) - start)
        data[start : start + length] = filling * length if filling else source.randbytes(length)


def chop(data: bytearray, source: random.Random) -> None:
    del data[source.randrange(len(data) + 1) :]


def cut_out(data: bytearray, source: random.Random) -> None:
    start, stop = _span(data, source)
    del data[start:stop]


def duplicate(data: bytearray, source: random.Random) -> None:
    start, stop = _span(data, source)
    place = source.randrange(len(data) + 1)
    data[place:place] = data[start:stop]


def swap(data: bytearray, source: random.Random) -> None:
    start, stop = _span(data, source)
    piece = data[start:stop]
    del data[start:stop]
    place = source.randrange(len(data) + 1)
    data[place:place] = piece


def number(data: bytearray, source: random.Random) -> None:
    """A number anywhere."""
    width = source.choice((1, 2, 4, 8))
    if len(data) > width:
        _write_number(data, source.randrange(len(data) - width), width, source)


def token(data: bytearray, source: random.Random) -> None:
    """A word that means something in text, put in or over what was there."""
    word = source.choice(_TOKENS)
    place = source.randrange(len(data) + 1)
    data[place : place + (len(word) if source.random() < 0.3 else 0)] = word


def value(data: bytearray, source: random.Random) -> None:
    """Another value where JSON or TOML has one."""
    places = [index for index, byte in enumerate(data) if byte in b":="]
    if places:
        start = source.choice(places) + 1
        stop = start
        while stop < len(data) and data[stop] not in b",\n}]":
            stop += 1
        data[start:stop] = b" " + source.choice(_TOKENS)


def mp4_lie(data: bytearray, source: random.Random) -> None:
    """A box that says something else: its size, or a number among its first 100 bytes; or one that goes or comes
    twice."""
    places = list(_found(data, _BOXES))
    if not places:
        return
    place = source.choice(places)
    size = int.from_bytes(data[max(0, place - 4) : place], "big")
    action = source.randrange(4)
    if action == 0 and place >= 4:
        _write_number(data, place - 4, 4, source)
    elif action == 1 and 8 <= size <= len(data):
        box = data[place - 4 : place - 4 + size]
        target = source.choice(places) - 4
        data[target:target] = box
    elif action == 2 and 8 <= size <= len(data):
        data[place : place + 4] = source.choice(_BOXES)
    else:
        _write_number(data, place + 4 + 2 * source.randrange(50), source.choice((2, 4, 4, 8)), source)


def matroska_lie(data: bytearray, source: random.Random) -> None:
    """An element with another size or another value."""
    places = list(_found(data, _ELEMENTS))
    if not places:
        return
    place = source.choice(places)
    name = next(name for name in sorted(_ELEMENTS, key=len, reverse=True) if data.startswith(name, place))
    start = place + len(name)
    if source.random() < 0.3:
        _write_number(data, start, source.choice((1, 1, 2, 8)), source)
    elif start < len(data) and 0x81 <= data[start] <= 0x88:
        width = data[start] - 0x80
        if width in (4, 8) and source.random() < 0.5:
            lie = source.choice((0.0, -1.0, 1.0, 1e-30, 1e9, 1e38, float("nan"), float("inf"), -float("inf")))
            data[start + 1 : start + 1 + width] = struct.pack(">f" if width == 4 else ">d", lie)
        else:
            _write_number(data, start + 1, width, source)
    else:
        overwrite(data, source)


def riff_lie(data: bytearray, source: random.Random) -> None:
    """A chunk with another size or another number in it."""
    places = list(_found(data, _CHUNKS))
    if places:
        place = source.choice(places) + 4
        _write_number(
            data, place + source.choice((0, 0, 4, 6, 8, 12, 16, 18, 20, 24, 28)), source.choice((2, 4, 4, 8)), source
        )


def ogg_lie(data: bytearray, source: random.Random) -> None:
    """A page with another granule position, serial number, sequence number or content, under a right checksum."""
    places = list(_found(data, (b"OggS",)))
    if not places:
        return
    place = source.choice(places)
    action = source.randrange(4)
    if action == 0:
        _write_number(data, place + 6, 8, source)
    elif action == 1:
        _write_number(data, place + source.choice((5, 14, 18)), source.choice((1, 4)), source)
    elif action == 2:
        _write_number(data, place + 27 + source.randrange(60), source.choice((1, 2, 4)), source)
    else:
        page = data[place : _page_end(data, place)]
        data[place:place] = page
    for place in list(_found(data, (b"OggS",))):
        _check_page(data, place)


def flac_lie(data: bytearray, source: random.Random) -> None:
    """A stream that is announced otherwise: block sizes, rate, channels, depth, number of samples."""
    if len(data) > 60:
        _write_number(
            data, source.choice((4, 5, 8, 10, 12, 15, 18, 20, 21, 22, 42)), source.choice((1, 2, 3, 4)), source
        )


def _span(data: bytearray, source: random.Random) -> tuple[int, int]:
    start = source.randrange(len(data) + 1)
    return start, min(len(data), start + source.choice((1, 2, 4, 16, 100, 1000, 5000)))


def _write_number(data: bytearray, place: int, width: int, source: random.Random) -> None:
    if 0 <= place <= len(data) - width:
        lie = source.choice(_NUMBERS if width <= 4 else _LARGE)
        if source.random() < 0.2:
            lie = int.from_bytes(data[place : place + width], "big") + source.choice((-1, 1, -256, 256))
        data[place : place + width] = (lie % (1 << 8 * width)).to_bytes(width, source.choice(("big", "little")))


def _found(data: bytearray, names: tuple[bytes, ...]) -> Iterator[int]:
    for name in names:
        place = data.find(name)
        while place >= 0:
            yield place
            place = data.find(name, place + 1)


def _page_end(data: bytearray, place: int) -> int:
    count = data[place + 26] if place + 26 < len(data) else 0
    table = data[place + 27 : place + 27 + count]
    return min(len(data), place + 27 + count + sum(table))


def _check_page(data: bytearray, place: int) -> None:
    """Give an Ogg page the CRC-32 that its content has."""
    end = _page_end(data, place)
    if end - place < 27:
        return
    data[place + 22 : place + 26] = bytes(4)
    checksum = 0
    for byte in data[place:end]:
        checksum = (checksum << 8) & 0xFFFFFFFF ^ _CRC[(checksum >> 24) ^ byte]
    data[place + 22 : place + 26] = checksum.to_bytes(4, "little")


def _crc_table() -> tuple[int, ...]:
    table = []
    for index in range(256):
        rest = index << 24
        for _ in range(8):
            rest = (rest << 1) ^ (0x04C11DB7 if rest & 0x80000000 else 0)
        table.append(rest & 0xFFFFFFFF)
    return tuple(table)


_CRC = _crc_table()
PLAIN: tuple[Mutation, ...] = (flip, overwrite, chop, cut_out, duplicate, swap, number)
TEXT: tuple[Mutation, ...] = (flip, chop, cut_out, duplicate, swap, token, token, token, value, value)
MP4: tuple[Mutation, ...] = (*PLAIN, *[mp4_lie] * 8)
MATROSKA: tuple[Mutation, ...] = (*PLAIN, *[matroska_lie] * 8)
RIFF: tuple[Mutation, ...] = (*PLAIN, *[riff_lie] * 6)
OGG: tuple[Mutation, ...] = (*PLAIN, *[ogg_lie] * 8)
FLAC: tuple[Mutation, ...] = (*PLAIN, *[flac_lie] * 4)
