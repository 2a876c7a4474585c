"""Hearing before the time: which regions of a film that is still being separated will stay, and what is kept of them.

What was heard is kept under a hash of everything that it depends on, to the last sample. So whoever finds it there
finds what he would have heard himself, and a region that came out otherwise in the end is heard as if nobody had been
there before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import msgspec
import numpy as np

from stemscribe.errors import StemscribeError
from stemscribe.records import Lines
from stemscribe.speech.activity import HOP
from stemscribe.speech.recognition import Heard, within
from stemscribe.speech.regions import RegionRules
from stemscribe.speech.sound import Sound
from stemscribe.timebase import Seconds
from stemscribe.transcript import Region

HEARD = "heard.jsonl"
RULES = RegionRules()
_HEADING = b'{"heard":1}'
_BESIDE: Seconds = 1.0  # a text may begin or end some milliseconds outside of its region; speech beyond is not asked


def settled(regions: Sequence[Region], known: Seconds, rules: RegionRules = RULES) -> list[Region]:
    """The regions that no voice after `known` can join, lengthen or cut otherwise.

    Voices that follow may still change how loud voices usually are around here (`is_level_known`), and by that where
    exactly a region begins and ends.

    Args:
        regions: those of the film so far, in order.
        known: how much of the film that is.
        rules: by which they were found.
    """
    room = rules.pad + rules.join + rules.bridge + rules.shortest + HOP
    found = []
    for region, follower in zip_longest(regions, regions[1:]):
        # A span that is too long is cut where its second half is quietest; that half has to be there.
        is_cut = follower is not None and follower.start == region.end
        needed = region.start + 1.25 * rules.longest + rules.pad + HOP if is_cut else 0.0
        if max(region.end + room, needed) > known:
            break
        found.append(region)
    return found


def is_level_known(region: Region, known: Seconds, rules: RegionRules = RULES) -> bool:
    """Whether so much is known of the film after a region that its voices are judged as they will be in the end."""
    return region.end + 1.5 * rules.around <= known


def key_of(region: Region, sound: Sound, speech: Sequence[Region], film: str) -> str:
    """What a region's hearing depends on, hashed, beside the model, the rules and the options.

    Args:
        region: in seconds of the mix.
        sound: the region's.
        speech: where the detector is sure of speech.
        film: the language of the film.
    """
    beside = Region(region.start - _BESIDE, region.end + _BESIDE)
    spans = [(span.start, span.end) for span in within(beside, speech)]
    digest = hashlib.sha256(msgspec.json.encode((region.start, region.end, spans, film)))
    for samples in (sound.mix, sound.vocals, sound.centre):
        digest.update(b"-" if samples is None else b"%d " % len(samples))
        if samples is not None:
            digest.update(np.ascontiguousarray(samples, "<f4").tobytes())
    return digest.hexdigest()


class _Kept(msgspec.Struct, frozen=True):
    key: str
    heard: Heard


class _Key(msgspec.Struct, frozen=True):
    key: str


class Hearings:
    """What was heard ahead of time, in a file; what cannot be read of it was not heard.

    Args:
        folder: where the file is, or will be.
    """

    def __init__(self, folder: Path) -> None:
        self._lines = Lines(folder / HEARD, _HEADING)
        self._index: dict[str, int] = {}
        for index, entry in enumerate(self._lines.entries):
            try:
                self._index[msgspec.json.decode(entry, type=_Key).key] = index
            except msgspec.DecodeError:
                continue

    def close(self) -> None:
        """Let go of the file; everything in it is on the disk already."""
        self._lines.close()

    def add(self, key: str, heard: Heard) -> None:
        """Keep what was heard; when this returns, it is on the disk.

        Raises:
            StorageError: the disk is full or cannot be written.
        """
        self._lines.append(msgspec.json.encode(_Kept(key, heard)))
        self._index[key] = len(self._lines.entries) - 1

    def find(self, key: str, number: int) -> Heard | None:
        """What was heard under a key, as that of the region of this number; `None` if it was not."""
        if key not in self._index:
            return None
        try:
            heard = msgspec.json.decode(self._lines.entries[self._index[key]], type=_Kept).heard
        except (msgspec.DecodeError, ValueError, OSError, StemscribeError):
            return None
        return replace(heard, region=number, hearings=tuple(replace(one, region=number) for one in heard.hearings))


def found_in(folder: Path | None) -> Hearings | None:
    """What was heard ahead of time, if anything was and can be read."""
    if folder is None or not (folder / HEARD).is_file():
        return None
    try:
        return Hearings(folder)
    except StemscribeError:
        return None
