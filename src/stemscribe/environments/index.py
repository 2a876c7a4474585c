"""PyTorch's own index of builds without CUDA: when to use it, and whether it can be reached.

On Linux x86-64 the torch of the public registry is a CUDA build, which needs gigabytes of NVIDIA's libraries even where
there is no GPU. Elsewhere the registry's build is the one without.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from stemscribe.environments.drift import applies
from stemscribe.environments.interpreter import Interpreter
from stemscribe.environments.profile import CPU_BUILD, CpuBuild
from stemscribe.environments.requirements import pins

PLATFORM = "linux-x86_64"
ANSWER_SECONDS = 5.0
PAGE_BYTES = 16 * 2**20  # the page of torch has 2 MB


def cpu_requirements(build: CpuBuild, lock: str, python: Interpreter) -> tuple[str, ...]:
    """What to install from the index: the locked versions of its packages, in their builds for CPUs."""
    wanted = [pin for pin in pins(lock) if pin.name in build.packages and applies(pin.marker, python.markers)]
    return tuple(f"{pin.name}=={pin.version}{CPU_BUILD}" for pin in wanted)


def offers(build: CpuBuild, requirements: tuple[str, ...]) -> bool:
    """Whether the index answers within some seconds, and has all of these."""
    return all(
        _has(f"{build.index}/{name}/", version) for name, _, version in (r.partition("==") for r in requirements)
    )


def _has(page: str, version: str) -> bool:
    import urllib.request  # here, because to import it takes longer than to see that an environment is ready
    from http.client import HTTPException

    try:
        with urllib.request.urlopen(page, timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - the scheme is in the recipe
            if answer.url.partition(":")[0] != page.partition(":")[0]:
                return False  # sent on from https to what anybody may change
            text = _text(answer.read1).decode("utf-8", errors="replace").lower()
    except (OSError, HTTPException, ValueError):
        return False
    return version in text or version.replace("+", "%2b") in text


def _text(read: Callable[[int], bytes]) -> bytes:
    """All of a page; of one that does not end, what comes within some seconds or fits."""
    began, blocks, left = time.monotonic(), [], PAGE_BYTES
    while time.monotonic() - began < 2 * ANSWER_SECONDS and (block := read(min(left, 1 << 16))):
        blocks.append(block)
        left -= len(block)
    return b"".join(blocks)


def is_installed(requirements: tuple[str, ...], versions: Mapping[str, str]) -> bool:
    """Whether an environment has exactly these versions already."""
    return bool(requirements) and all(
        versions.get(name) == version
        for name, _, version in (requirement.partition("==") for requirement in requirements)
    )
