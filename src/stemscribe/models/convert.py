"""Conversions: how the files of one model are made from those of another, for the catalog's `derive` sources.

A conversion streams from the origin to the target, which is a temporary path: it is verified and renamed afterwards
like anything that was downloaded, so a conversion must give the same bytes everywhere. It raises `ValueError` when the
origin is not what it expects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

Conversion: TypeAlias = Callable[[Path, Path], None]

# By the name that the catalog uses. It is empty for as long as no model of the catalog is made from another.
CONVERSIONS: Mapping[str, Conversion] = {}
