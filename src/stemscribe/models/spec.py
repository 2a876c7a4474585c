"""What the catalog says of each model: its files, how to recognise them, and where they may be had."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from stemscribe.errors import ModelError
from stemscribe.models.sources import Convert, Derive, Hub, Source
from stemscribe.toml import parse_toml

CATALOG = Path(__file__).with_name("catalog.toml")
SEPARATION_ENGINES = ("htdemucs_onnx", "spleeter_onnx", "demucs_torch")

Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a model.

    Attributes:
        sha256: may be left out only where every source is pinned in another way: a revision of the hub, or the
            conversion of a file whose sha256 is known.
        size: in bytes.
        sources: where it may be had, in the order in which they are tried.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
    sources: Annotated[tuple[Source, ...], msgspec.Meta(min_length=1)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None
    size: Annotated[int, msgspec.Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        if self.sha256 is None and not all(map(_pin, self.sources)):
            raise ValueError(
                f"{self.name} needs a sha256: not all of its sources are pinned revisions of the hub or conversions of"
                " known files"
            )

    @property
    def identity(self) -> str:
        """What pins the content: its sha256, or else the commit and path, or the file, that it is made from."""
        return self.sha256 or " ".join(map(_pin, self.sources))

    @property
    def expected_bytes(self) -> int:
        """Its size, or else that of the file that it is made from, or else 0: for sums and for the room on a disk."""
        origins = (source.size for source in self.sources if isinstance(source, Convert))
        return self.size or next(origins, 0)


def _pin(source: Source) -> str:
    """What makes sure that a source gives the same file every time; empty where nothing does."""
    if isinstance(source, Hub):
        return f"{source.repo}@{source.revision}/{source.path}"
    if isinstance(source, Convert):
        return f"{source.conversion}({source.sha256})"
    return ""


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of the catalog.

    Attributes:
        engine: the name of the engine that can load it.
        license: of the model itself, as an SPDX identifier or a short name.
        license_note: what a user must know beyond the licence's name.
        stems: what a separation model gives, in the model's own order; empty for every other model.
        verified: whether those who wrote the catalog have fetched it; if not, its hashes are as published.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}\Z")]
    engine: Text
    description: Text
    license: Text
    license_url: Annotated[str, msgspec.Meta(pattern="^https://")]
    files: Annotated[tuple[ModelFile, ...], msgspec.Meta(min_length=1)]
    license_note: str = ""
    stems: tuple[Text, ...] = ()
    verified: bool = False

    def __post_init__(self) -> None:
        if repeated := _repeated(file.name for file in self.files):
            raise ValueError(f"{self.name} lists {repeated} more than once")
        if self.engine in SEPARATION_ENGINES and not self.stems:
            raise ValueError(f"{self.name} separates, and does not say into which `stems`")
        if repeated := _repeated(self.stems):
            raise ValueError(f"{self.name} has more than one stem called {repeated}")
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
        return sum(file.expected_bytes for file in self.files)


Catalog: TypeAlias = Mapping[str, ModelSpec]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The catalog's file as it is written."""

    models: tuple[ModelSpec, ...]


def load_catalog(own: Path | None = None) -> Catalog:
    """The models of the built-in catalog by name, in its own order, and after them those of a user's own.

    Args:
        own: a TOML file of the same form. Its files may be derived from those of built-in models.

    Raises:
        ModelError: the file cannot be read, or something in it cannot be meant: a name that is taken, for one.
    """
    built_in = _read(CATALOG, {})
    return {**built_in, **_read(own, built_in)} if own else built_in


def _read(path: Path, before: Catalog) -> Catalog:
    """The models of one file, which comes after others."""
    try:
        document = msgspec.convert(parse_toml(path.read_text(encoding="utf-8")), _Document)
        _check_names(document.models, before)
    except OSError as error:
        raise ModelError(
            f"Could not read the model catalog {path}: {error.strerror}.", hint="Mend the setting `catalog`."
        ) from error
    except ValueError as error:  # of TOML, of UTF-8, of msgspec and of the checks alike
        raise ModelError(f"{path} is not a valid model catalog: {error}.", hint="Mend it or restore it.") from error
    return {model.name: model for model in document.models}


def _check_names(models: tuple[ModelSpec, ...], before: Catalog) -> None:
    """A name stands for one model; `derive` points back only, so that no model can need itself."""
    if repeated := _repeated(model.name for model in models):
        raise ValueError(f"there is more than one model called {repeated}")
    if taken := ", ".join(model.name for model in models if model.name in before):
        raise ValueError(f"{taken} is the name of a built-in model, which cannot be replaced: choose another name")
    earlier = {name: {file.name for file in model.files} for name, model in before.items()}
    for model in models:
        for source in (source for file in model.files for source in file.sources):
            if isinstance(source, Derive) and source.file not in earlier.get(source.model, ()):
                raise ValueError(
                    f"{model.name} derives from {source.model}/{source.file}, which no model before it has"
                )
        earlier[model.name] = {file.name for file in model.files}


def _repeated(names: Iterable[str]) -> str:
    return ", ".join(name for name, count in Counter(names).items() if count > 1)
