"""From what a tool wrote to what a user can do about it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from stemscribe.environments.interpreter import Interpreter, dotted
from stemscribe.errors import EnvironmentBroken

LONGEST_QUOTE = 200


@dataclass(frozen=True)
class Cause:
    """Something that is known to go wrong.

    Attributes:
        signs: a regular expression for what pip, uv and venv write then.
        what: the end of the sentence "venv/core could not be made: …"; `{python}` is the version, as in 3.11.
        hint: what to do about it.
        outside: whether it lies outside the environment, so that to build it from empty would not help.
    """

    signs: str
    what: str
    hint: str
    outside: bool = True


AGAIN = "run the same command again; it goes on where it stopped"

DISK_FULL = Cause(
    r"No space left on device|Disk quota exceeded|os error 28\b|os error 122\b|WinError 112|\[Errno 28\]",
    "the disk is full",
    f"Free about {{gigabytes:.0f}} GB where the checkout and the caches of pip and uv are, then {AGAIN}.",
)
FULL_BYTES = 32 << 20

# The first that fits counts. A full disk or a wrong hash may also be reported as a failed download, and after a failed
# download pip says that there is no matching distribution: so the specific comes before the general.
CAUSES: tuple[Cause, ...] = (
    DISK_FULL,
    Cause(
        r"DO NOT MATCH THE HASHES|Hash mismatch",
        "a downloaded package is not the one that the lock names (its hash differs), and was not installed",
        "A mirror or proxy may alter downloads, or a cache is damaged: run `pip cache purge` or `uv cache clean`, and "
        "try again on another network. If it stays, report it; do not go around it.",
    ),
    Cause(
        r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError|invalid peer certificate|UnknownIssuer",
        "the package index showed a certificate that is not trusted here",
        "A proxy that opens TLS has a certificate of its own: let PIP_CERT and SSL_CERT_FILE name it, then run the "
        "same command again.",
    ),
    Cause(
        r"name resolution|Name or service not known|getaddrinfo failed|nodename nor servname|dns error|"
        r"NewConnectionError|Connection refused|Network is unreachable|ConnectTimeout|ReadTimeout|Read timed out|"
        r"ProxyError|Could not connect|client error \(Connect\)|Connection reset|operation timed out",
        "the package index could not be reached",
        f"Check the network (and HTTPS_PROXY, if you are behind a proxy), then {AGAIN}.",
    ),
    Cause(
        r"ensurepip is not\s+available|No module named '?(venv|ensurepip)'?",
        "this Python {python} has no complete `venv` module",
        "On Debian and Ubuntu: sudo apt install python{python}-venv. Or install uv, or let STEMSCRIBE_PYTHON name "
        "another Python. Then run the same command again.",
    ),
    Cause(
        r"No matching distribution found|has no wheels|no usable wheels|No solution found|is not a supported wheel",
        "a package has no wheel for this platform",
        "docs/decisions/0001-environments.md lists the platforms that have them all. If yours is one, the index or "
        "mirror that pip is set up with may lack the package.",
    ),
    Cause(
        r"Permission denied|Read-only file system|os error 13\b|os error 30\b|WinError 5\b|Access is denied",
        "a folder cannot be written",
        "Make the checkout and the caches of pip and uv writable for you, then run the same command again.",
    ),
    Cause(
        r"DLL load failed",
        "a compiled module cannot be loaded",
        "Install the Microsoft Visual C++ Redistributable (x64), then run the same command again.",
    ),
)

UNKNOWN = Cause(
    "",
    "{quote}",
    "Run `./bootstrap.sh --env {name} --force` to build it from empty; if that fails as well, report it with the log.",
    outside=False,
)


@dataclass(frozen=True)
class Attempt:
    """What was being made, with what, and where the evidence is.

    Attributes:
        name: of the environment.
        python: what it is made with.
        log: all that was done and said.
        gigabytes: the space that the environment takes; its downloads take as much again.
    """

    name: str
    python: Interpreter
    log: Path
    gigabytes: float = 1.5

    def failed(self, output: str, damaged: tuple[str, ...] = ()) -> Failure:
        """The error that says why, from what a tool wrote, and the distributions of which files are missing."""
        cause = next((cause for cause in CAUSES if re.search(cause.signs, output)), UNKNOWN)
        if self._disk_is_full():
            cause = DISK_FULL  # venv keeps to itself what ensurepip said of it
        facts: dict[str, object] = {
            "name": self.name,
            "python": dotted(self.python.minor),
            "quote": telling_line(output),
        }
        facts["gigabytes"] = 2 * self.gigabytes
        what = cause.what.format(**facts)
        message = f"venv/{self.name} could not be made: {what}. The log is {self.log}."
        return Failure(message, hint=cause.hint.format(**facts), what=what, outside=cause.outside, damaged=damaged)

    def _disk_is_full(self) -> bool:
        try:
            return shutil.disk_usage(self.log.parent).free < FULL_BYTES
        except OSError:
            return False


class Failure(EnvironmentBroken):
    """An environment could not be made or proven.

    Attributes:
        what: the cause, in a few words.
        outside: whether the cause lies outside the environment, so that to build it from empty would not help.
        damaged: the distributions of which files are missing or cut short.
    """

    def __init__(self, message: str, *, hint: str, what: str, outside: bool, damaged: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.what = what
        self.outside = outside
        self.damaged = damaged


def telling_line(output: str) -> str:
    """The line of a tool's output that says most: the last that names an error, else the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(?i)(error|fatal|[\w.]*(Error|Exception)):", line)]
    line = (errors or lines or ["it ended without a word"])[-1]
    return line.rstrip(".") if len(line) <= LONGEST_QUOTE else line[:LONGEST_QUOTE] + "…"
