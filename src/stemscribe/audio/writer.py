"""Writing a stem: whole or not at all, and always the same bytes for the same sound."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile

from stemscribe.arrays import Array
from stemscribe.choices import StemFormat, StemSubtype
from stemscribe.errors import StorageError, UsageError
from stemscribe.records import replacing, storage_error

_SUBTYPES: dict[StemSubtype, str] = {"pcm16": "PCM_16", "pcm24": "PCM_24", "float": "FLOAT"}
_BYTES: dict[StemSubtype, int] = {"pcm16": 2, "pcm24": 3, "float": 4}
_WAV_LIMIT = 4 * 1024**3 - 64 * 1024  # a WAV's sizes are 32 bit; leave room for its header
_FULL = 1 << 20
_SET_ADD_PEAK_CHUNK = 0x1050  # libsndfile's SFC_SET_ADD_PEAK_CHUNK


class StemWriter:
    """A sound file in the making; it appears at `path` when the block ends well.

    Args:
        path: the file.
        sample_rate: in Hz.
        channels: of every block.
        frames: how many there will be; decides between WAV and RF64.
        subtype: `pcm16`, `pcm24` or `float` (WAV only); MP3 has none and is written at 320 kbit/s.
        form: the file format.

    Raises:
        UsageError: the format cannot hold the subtype.
        StorageError: the disk is full or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        channels: int,
        frames: int,
        *,
        subtype: StemSubtype = "pcm16",
        form: StemFormat = "wav",
    ) -> None:
        check_format(form, subtype)
        self.path = path
        self._arguments = _arguments(form, subtype, channels * frames)
        self._sample_rate, self._channels = sample_rate, channels
        self._frames = 0
        self._appearing: AbstractContextManager[Path] = replacing(path)
        self._temporary = path
        self._file: soundfile.SoundFile | None = None

    def __enter__(self) -> StemWriter:
        self._temporary = self._appearing.__enter__()
        try:
            self._file = soundfile.SoundFile(self._temporary, "w", self._sample_rate, self._channels, **self._arguments)
            _leave_out_peak_chunk(self._file)
        except soundfile.LibsndfileError as error:
            self._appearing.__exit__(type(error), error, error.__traceback__)
            raise self._not_written(error) from error
        return self

    def write(self, block: Array) -> None:
        """Append `[channels, frames]`; values beyond ±1 are clipped in integer formats."""
        assert self._file is not None
        self._frames += block.shape[-1]
        try:
            self._file.write(np.ascontiguousarray(block.T))
        except (soundfile.LibsndfileError, AssertionError) as error:  # python-soundfile asserts that all was written
            raise self._not_written(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        try:
            self._file.close()
            if error is None:
                self._check()
        except (soundfile.LibsndfileError, StorageError) as failure:
            if error is None:
                self._appearing.__exit__(type(failure), failure, failure.__traceback__)
                raise self._not_written(failure) from failure
        self._appearing.__exit__(kind, error, trace)

    def _check(self) -> None:
        """See that all is there: libsndfile says nothing when a disk fills while a FLAC or MP3 is being closed."""
        with soundfile.SoundFile(self._temporary) as file:
            complete = file.frames >= self._frames if file.format == "MP3" else file.frames == self._frames
            file.seek(max(0, min(file.frames, self._frames) - 1))
            if not complete or (self._frames and not len(file.read(1))):
                raise StorageError("the file is not complete")

    def _not_written(self, error: Exception) -> StorageError:
        """What to tell of a failure, of which libsndfile says no more than that there was one."""
        full = shutil.disk_usage(self.path.parent).free < _FULL
        return storage_error(self.path, OSError(None, "no space is left on the disk" if full else str(error)))


def check_format(form: str, subtype: str) -> None:
    """Refuse what cannot be written, before anything is computed.

    Raises:
        UsageError: the format cannot hold the subtype.
    """
    if form == "flac" and subtype == "float":
        raise UsageError("FLAC cannot hold float samples.", hint="Use --stem-subtype pcm24, or --stem-format wav.")
    if form == "mp3" and subtype != "pcm16":
        raise UsageError("MP3 has no sample formats to choose from.", hint="Leave out --stem-subtype.")


def _arguments(form: StemFormat, subtype: StemSubtype, samples: int) -> dict[str, Any]:
    if form == "mp3":
        return {
            "format": "MP3",
            "subtype": "MPEG_LAYER_III",
            "bitrate_mode": "CONSTANT",
            "compression_level": 0.0,  # libsndfile's scale: 0 is the highest bit rate, 320 kbit/s
        }
    if form == "flac":
        return {"format": "FLAC", "subtype": _SUBTYPES[subtype]}
    too_long = samples * _BYTES[subtype] > _WAV_LIMIT
    return {"format": "RF64" if too_long else "WAV", "subtype": _SUBTYPES[subtype]}


def _leave_out_peak_chunk(file: soundfile.SoundFile) -> None:
    """Keep libsndfile from putting the time of day into float WAVs, which would make each run's file another.

    python-soundfile has no public name for this command of libsndfile's.
    """
    soundfile._snd.sf_command(file._file, _SET_ADD_PEAK_CHUNK, soundfile._ffi.NULL, 0)
