"""What the catalog says of each model: its files, how to recognise them, and where they may be had."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from stemscribe.errors import ModelError
from stemscribe.models.sources import Derive, Hub, Source
from stemscribe.toml import parse_toml

CATALOG = Path(__file__).with_name("catalog.toml")

Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a model.

    Attributes:
        sha256: may be left out only where every source is a pinned revision of the hub.
        size: in bytes.
        sources: where it may be had, in the order in which they are tried.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    sources: Annotated[tuple[Source, ...], msgspec.Meta(min_length=1)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    size: Annotated[int, msgspec.Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        if self.sha256 is None and not all(isinstance(source, Hub) for source in self.sources):
            raise ValueError(f"{self.name} needs a sha256, for it does not come from pinned revisions of the hub alone")

    @property
    def identity(self) -> str:
        """What pins the content: its sha256, or else the commit and path it is taken from."""
        return self.sha256 or " ".join(f"{s.repo}@{s.revision}/{s.path}" for s in self.sources if isinstance(s, Hub))


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of the catalog.

    Attributes:
        engine: the name of the engine that can load it.
        license: of the model itself, as an SPDX identifier or a short name.
        license_note: what a user must know beyond the licence's name.
        verified: whether those who wrote the catalog have fetched it; if not, its hashes are as published.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    engine: Text
    description: Text
    license: Text
    license_url: Annotated[str, msgspec.Meta(pattern="^https://")]
    files: Annotated[tuple[ModelFile, ...], msgspec.Meta(min_length=1)]
    license_note: str = ""
    verified: bool = False

    def __post_init__(self) -> None:
        if repeated := _repeated(file.name for file in self.files):
            raise ValueError(f"{self.name} lists {repeated} more than once")
        if self.verified and any(file.sha256 is None for file in self.files):
            raise ValueError(f"{self.name} is called verified, but not all of its files have a sha256")

    @property
    def digest(self) -> str:
        """A hash of the names and hashes of all files: what a result made with this model depends on."""
        lines = sorted(f"{file.name} {file.identity}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files together, as far as the catalog knows them."""
        return sum(file.size or 0 for file in self.files)


Catalog: TypeAlias = Mapping[str, ModelSpec]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The catalog's file as it is written."""

    models: tuple[ModelSpec, ...]


def load_catalog(path: Path = CATALOG) -> Catalog:
    """The models of a catalog by name, in its own order.

    Raises:
        ModelError: the file cannot be read, or something in it cannot be meant.
    """
    try:
        document = msgspec.convert(parse_toml(path.read_text(encoding="utf-8")), _Document)
        _check_names(document.models)
    except OSError as error:
        raise ModelError(f"Could not read the model catalog {path}: {error.strerror}.") from error
    except ValueError as error:  # of TOML, of UTF-8, of msgspec and of the checks alike
        raise ModelError(f"{path} is not a valid model catalog: {error}.", hint="Mend it or restore it.") from error
    return {model.name: model for model in document.models}


def _check_names(models: tuple[ModelSpec, ...]) -> None:
    """A name stands for one model; `derive` points back only, so that no model can need itself."""
    if repeated := _repeated(model.name for model in models):
        raise ValueError(f"there is more than one model called {repeated}")
    earlier: dict[str, set[str]] = {}
    for model in models:
        for source in (source for file in model.files for source in file.sources):
            if isinstance(source, Derive) and source.file not in earlier.get(source.model, ()):
                raise ValueError(
                    f"{model.name} derives from {source.model}/{source.file}, which no model before it has"
                )
        earlier[model.name] = {file.name for file in model.files}


def _repeated(names: Iterable[str]) -> str:
    return ", ".join(name for name, count in Counter(names).items() if count > 1)
