"""Every error that a user can be told about, in one tree.

    StemscribeError                exit 1
    ├── UsageError                 exit 2: the request itself is wrong
    ├── MediaError                 a file that cannot be read as media
    │   └── NoAudioError           it can be read, but nothing in it can be heard
    ├── ModelError                 a model that cannot be had or cannot be trusted
    │   ├── FetchError             no source gave the file
    │   └── VerificationError      a file is not what the catalog says
    ├── EnvironmentBroken          a virtual environment that cannot do its work
    ├── JobError                   a job folder that cannot be used
    │   ├── JobNotFound            there is no such job
    │   ├── JobLocked              another process is running it
    │   ├── RecordError            a JSON file in it cannot be read
    │   └── NotAsRecorded          something in it is not what its receipts say
    ├── StorageError               the disk is full, or cannot be written
    └── StageError                 a stage that failed while it was working

The message says what happened and the evidence; the hint says what to do next. The front door prints both, and nothing
else: the traceback belongs in the job's log.
"""

from __future__ import annotations


class StemscribeError(Exception):
    """What happened, with the evidence, and what to do about it.

    Args:
        message: one or two sentences: what happened, to what, and what was done about it.
        hint: what the user can do next; empty when the message says it all.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(StemscribeError):
    """The request cannot be meant as it stands."""

    exit_code = 2


class MediaError(StemscribeError):
    """The file cannot be read as media."""


class NoAudioError(MediaError):
    """The file can be read, but nothing in it can be heard."""


class ModelError(StemscribeError):
    """A model cannot be had, or cannot be trusted."""


class FetchError(ModelError):
    """No source gave the file; the message lists what was tried."""


class VerificationError(ModelError):
    """A file is not what the catalog says it is."""


class EnvironmentBroken(StemscribeError):
    """A virtual environment cannot do its work."""


class JobError(StemscribeError):
    """A job folder cannot be used as it is."""


class JobNotFound(JobError):
    """There is no such job."""


class JobLocked(JobError):
    """Another process is running this job."""


class RecordError(JobError):
    """A JSON file cannot be read as what it should be."""


class NotAsRecorded(JobError):
    """Something in a job is not what its receipts say."""


class StorageError(StemscribeError):
    """The disk is full, or a folder cannot be written."""


class StageError(StemscribeError):
    """A stage failed while it was working; what it had committed stays."""
