"""The folder in which models stand, each in one of its own, whole and checked.

`fetch` is what everybody asks: where is this model? When its receipt still holds, the answer takes a few system calls.
Otherwise one process at a time looks, fetches what is missing, and writes the receipt; a model's folder is never in a
state that a killed process could spoil, since every file appears in it whole or not at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stemscribe.errors import UsageError
from stemscribe.models.convert import CONVERSIONS, Conversion
from stemscribe.models.fetching import NothingObtained, check_space, obtain, refusal
from stemscribe.models.receipt import FileCheck, Seen, check, doubt, is_known, read_receipt, see, write_receipt
from stemscribe.models.sources import FetchContext, File, Source
from stemscribe.models.spec import Catalog, ModelFile, ModelSpec
from stemscribe.records import storage_error
from stemscribe.settings import Settings
from stemscribe.wording import readable


@dataclass(frozen=True)
class FetchProgress:
    """How far the fetch of one file has come.

    Attributes:
        done: bytes written so far.
        total: bytes in all, where they are known.
    """

    model: str
    file: str
    done: int
    total: int | None


class ModelStore:
    """The models of a catalog, in a folder.

    Args:
        root: holds a folder for each model.
        catalog: see `stemscribe.models.spec.load_catalog`.
        offline: whether to open no socket and to start no package client.
        hub_endpoint: the base address of the model hub.
        local_folders: folders laid out like `root`, looked in before any other source.
        conversions: what `derive` sources can ask for.
        announce: tells the user one line: a licence, a source that gave nothing, a wait.
        progress: called often while a file is written.
    """

    def __init__(
        self,
        root: Path,
        catalog: Catalog,
        *,
        offline: bool = False,
        hub_endpoint: str = Settings.hub_endpoint,
        local_folders: Sequence[Path] = (),
        conversions: Mapping[str, Conversion] = CONVERSIONS,
        announce: Callable[[str], None] = lambda line: None,
        progress: Callable[[FetchProgress], None] | None = None,
    ) -> None:
        self.root = root
        self.catalog = catalog
        self.offline = offline
        self.hub_endpoint = hub_endpoint.rstrip("/")
        self.local_folders = tuple(local_folders)
        self.conversions = conversions
        self._announce = announce
        self._progress = progress

    def spec(self, name: str) -> ModelSpec:
        """What the catalog says of a model.

        Raises:
            UsageError: it knows no such model.
        """
        if name not in self.catalog:
            raise UsageError(f"There is no model called `{name}`.", hint=f"There are: {', '.join(self.catalog)}.")
        return self.catalog[name]

    def folder(self, name: str) -> Path:
        """Where a model stands, or would stand."""
        return self.root / self.spec(name).name

    def present(self, name: str) -> bool:
        """Whether `fetch` would return at once; nothing is read to tell but the receipt."""
        return not self._unknown(self.spec(name), read_receipt(self.folder(name)))

    def fetch(self, name: str) -> Path:
        """The folder that holds all files of a model, fetched first where they are missing or have changed.

        Raises:
            UsageError: there is no such model.
            FetchError: no source gave a file; or one is missing, and the store is offline.
            VerificationError: no source gave a file, and at least one gave another than the catalog names.
            StorageError: the disk is full or cannot be written.
        """
        spec, folder = self.spec(name), self.folder(name)
        if self.present(name):
            return folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._alone_with(spec):
                self._complete(spec, folder)
        except OSError as error:
            raise storage_error(folder, error) from error
        return folder

    def verify(self, name: str) -> list[FileCheck]:
        """What hashing every file of a model shows; a damaged one is fetched again by the next `fetch`."""
        spec, folder = self.spec(name), self.folder(name)
        receipt = read_receipt(folder)
        checks = [check(folder / file.name, file, receipt.get(file.name)) for file in spec.files]
        if damaged := [check.file for check in checks if check.file in receipt and not check.whole]:
            write_receipt(folder, receipt | {file: doubt(receipt[file]) for file in damaged})
        return checks

    def _unknown(self, spec: ModelSpec, receipt: Mapping[str, Seen]) -> list[ModelFile]:
        """The files that are not there as the receipt has them."""
        folder = self.root / spec.name
        return [file for file in spec.files if not is_known(folder / file.name, file, receipt.get(file.name))]

    @contextmanager
    def _alone_with(self, spec: ModelSpec) -> Iterator[None]:
        """Keep other processes off a model; the lock is released by the death of its holder, too."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.root / f".{spec.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self._announce(f"Another process is fetching model {spec.name}; waiting for it.")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _complete(self, spec: ModelSpec, folder: Path) -> None:
        """Look at what is there, fetch the rest, and write the receipt after each file."""
        receipt = read_receipt(folder)
        is_first = not receipt
        wanted = [file for file in self._unknown(spec, receipt) if not self._recognise(file, folder, receipt)]
        if not wanted:
            return
        if self.offline and not self._sources(spec, wanted[0]):
            raise refusal(spec, wanted[0], folder, [], offline=True)
        check_space(spec, wanted, folder)
        if is_first:
            self._show_licence(spec)
        with self._context(spec) as context:
            for file in wanted:
                receipt[file.name] = self._fetch_file(spec, file, folder, context)
                write_receipt(folder, receipt)

    def _recognise(self, file: ModelFile, folder: Path, receipt: dict[str, Seen]) -> bool:
        """Hash a file that the receipt does not know as it is, and note it if it is what the catalog wants."""
        found = check(folder / file.name, file, receipt.get(file.name))
        if found.status == "damaged":
            self._announce(
                f"{folder / file.name} is not what it should be (sha256 {found.found}, expected {found.expected})."
            )
        if found.status == "unknown":
            self._announce(f"Nothing tells whether {folder / file.name} is what it should be; it is made anew.")
        if found.whole and found.found:
            receipt[file.name] = see(folder / file.name, found.found)
            write_receipt(folder, receipt)
        return found.whole

    def _fetch_file(self, spec: ModelSpec, file: ModelFile, folder: Path, context: FetchContext) -> Seen:
        def report(done: int, total: int | None) -> None:
            if self._progress is not None:
                self._progress(FetchProgress(spec.name, file.name, done, total))

        try:
            sha256 = obtain(file, folder, self._sources(spec, file), context, report)
        except NothingObtained as nothing:
            raise refusal(spec, file, folder, nothing.failures, offline=self.offline) from nothing
        return see(folder / file.name, sha256)

    def _sources(self, spec: ModelSpec, file: ModelFile) -> list[Source]:
        folders = self.local_folders if file.sha256 else ()  # without it, any file of that name would do
        local: list[Source] = [File(str(folder.absolute() / spec.name / file.name)) for folder in folders]
        return [source for source in (*local, *file.sources) if not (self.offline and source.online)]

    @contextmanager
    def _context(self, spec: ModelSpec) -> Iterator[FetchContext]:
        """What the sources share. The scratch folder's name is fixed, so that killed fetches leave one at most."""
        scratch = self.root / f".{spec.name}.scratch"
        if scratch.is_symlink():  # rmtree leaves links alone, and a package would be unpacked where it leads
            scratch.unlink()
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            yield FetchContext(scratch, self.hub_endpoint, self._announce, self.fetch, self.conversions)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _show_licence(self, spec: ModelSpec) -> None:
        self._announce(f"Fetching model {spec.name} ({readable(spec.size)}): {spec.description}.")
        note = f" {spec.license_note}" if spec.license_note else ""
        self._announce(f"Licence: {spec.license}.{note} {spec.license_url}")
