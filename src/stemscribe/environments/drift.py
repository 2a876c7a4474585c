"""How far what is installed has moved from its lock.

A lock holds for all platforms and Pythons, so each of its lines may have a marker that says where it counts. Markers
are read here, without the library that everybody else has for it, because this package needs nothing but Python; what a
marker may hold is the small part that uv writes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from stemscribe.environments.installed import MISSING, normalised
from stemscribe.environments.profile import CPU_BUILD, EnvironmentProfile
from stemscribe.environments.requirements import Pin, pins

_VERSIONS = {"python_full_version", "python_version"}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: eq,
    ast.NotEq: ne,
    ast.Lt: lt,
    ast.LtE: le,
    ast.Gt: gt,
    ast.GtE: ge,
}


@dataclass(frozen=True)
class Drift:
    """A distribution that is not what the lock names.

    Attributes:
        installed: its version; empty when it is missing.
        locked: the version that it should have.
        vital: whether the environment may not do its work with it; of what is not, other versions mostly do no harm.
    """

    name: str
    installed: str
    locked: str
    vital: bool = True

    def __str__(self) -> str:
        return f"{self.name} is {self.installed or 'missing'} and should be {self.locked}"


def drift(
    lock: str,
    installed: Mapping[str, str],
    markers: Mapping[str, str],
    may_lack: Callable[[str], bool] = lambda name: False,
) -> tuple[Drift, ...]:
    """What is missing or of another version than its lock says; what is there beside the lock does no harm.

    Args:
        lock: the text of a lock file.
        installed: versions by normalised name.
        markers: the values of the environment markers (PEP 508) under the Python in question.
        may_lack: whether a distribution may be missing, or be what it is.

    Raises:
        ValueError: the lock or a marker in it cannot be understood.
    """
    wanted = [pin for pin in pins(lock) if applies(pin.marker, markers)]
    found = ((pin, installed.get(normalised(pin.name), MISSING)) for pin in wanted if not may_lack(pin.name))
    return tuple(Drift(normalised(pin.name), version, pin.version) for pin, version in found if not _fits(version, pin))


def drifted(profile: EnvironmentProfile, installed: Mapping[str, str], markers: Mapping[str, str]) -> tuple[Drift, ...]:
    """How far an environment has moved from the lock of its recipe; the vital first.

    Vital is what is missing, and another version of what the recipe wants exactly. So an environment that was made by
    hand from requirements-demucs.txt, which names some packages by a range, is what it should be.

    Args:
        profile: the recipe.
        installed: versions by normalised name.
        markers: see `drift`.

    Raises:
        OSError: the lock cannot be read.
        ValueError: see `drift`.
    """
    exact = {normalised(name) for name in profile.exact or [name for name, _ in profile.modules]}
    lock = profile.requirements.read_text(encoding="utf-8")
    found = drift(lock, installed, markers, _may_lack(profile, installed))
    judged = [replace(each, vital=not each.installed or each.name in exact) for each in found]
    return tuple(sorted(judged, key=lambda each: (not each.vital, each.name not in exact)))


def _may_lack(profile: EnvironmentProfile, installed: Mapping[str, str]) -> Callable[[str], bool]:
    """What built the others is of no importance later; and without a GPU's build, neither is what only that needs."""
    cpu = profile.cpu
    is_cpu_build = cpu is not None and any(installed.get(name, "").endswith(CPU_BUILD) for name in cpu.packages)
    return lambda name: name in profile.builders or (cpu is not None and is_cpu_build and cpu.omits(name))


def applies(marker: str, values: Mapping[str, str]) -> bool:
    """Whether an environment marker holds.

    >>> applies("python_full_version < '3.11' or sys_platform == 'darwin'", {"python_full_version": "3.9.1",
    ...     "sys_platform": "linux"})
    True

    Raises:
        ValueError: it holds something that locks do not have.
    """
    if not marker:
        return True
    try:
        return _truth(ast.parse(marker, mode="eval").body, values)
    except (SyntaxError, KeyError) as error:
        raise ValueError(f"not a marker: {marker}") from error


def _truth(node: ast.expr, values: Mapping[str, str]) -> bool:
    if isinstance(node, ast.BoolOp):
        combine = all if isinstance(node.op, ast.And) else any
        return combine(_truth(part, values) for part in node.values)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        name, value = node.left, node.comparators[0]
        if isinstance(name, ast.Name) and isinstance(value, ast.Constant):
            text = str(value.value)
            if text.endswith(".*"):  # as in `python_full_version == '3.11.*'`
                return values[name.id].startswith(text[:-1]) == isinstance(node.ops[0], ast.Eq)
            read = _version if name.id in _VERSIONS else str
            compare = _COMPARISONS[type(node.ops[0])]
            return compare(read(values[name.id]), read(text))
    raise ValueError(f"not part of a marker: {ast.dump(node)}")


def _version(text: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", text)[:3]]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _fits(version: str, pin: Pin) -> bool:
    """Whether a version is the one of a pin; a build's suffix (`2.5.1+cpu`) does not count where the pin has none."""
    return pin.version in {version, version.partition("+")[0]}
