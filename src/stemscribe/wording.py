"""Numbers as people say them, and names as a terminal may show them."""

from __future__ import annotations

import logging
import math
import re
import signal
import unicodedata

_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_CREDENTIALS = re.compile(r"://[^/\s]*@")
_JOINERS = "\u200c\u200d"  # part of words in Hindi and other scripts
_CONTINUED = "\n        "
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?(%?)")
_SIZE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?([kmgt]i?)b?", re.IGNORECASE)


def readable(size: int) -> str:
    """A number of bytes as people write it.

    >>> readable(174_263_526), readable(3_087_284_237)
    ('174.3 MB', '3.1 GB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def counted(count: int, thing: str) -> str:
    """How many of a thing there are, in English.

    >>> counted(1, "gap"), counted(0, "word")
    ('1 gap', '0 words')
    """
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def parse_size(text: str) -> int:
    """The number of bytes that a user means; `readable` the other way round.

    Args:
        text: a number and its unit: K, M, G or T for powers of ten, Ki, Mi, Gi or Ti for those of two.

    Raises:
        ValueError: it is not a size, or nothing.

    >>> parse_size("2G"), parse_size("1500 MB"), parse_size("1.5GiB")
    (2000000000, 1500000000, 1610612736)
    """
    match = _SIZE.fullmatch(text.strip())
    size = round(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if not size:
        raise ValueError(f"not a size: {text!r}")
    return size


def percent(share: float) -> str:
    """A share as people write it, never more than it is: what is not whole is less than 100 %.

    >>> percent(0.97349), percent(0.99999), percent(1.0)
    ('97.3 %', '99.9 %', '100.0 %')
    """
    return f"{math.floor(share * 1000 + 1e-9) / 10:.1f} %"


def parse_share(text: str) -> float:
    """The share that a user means; `percent` the other way round.

    Raises:
        ValueError: it is not a share of something.

    >>> parse_share("0.9"), parse_share("90 %")
    (0.9, 0.9)
    """
    match = _SHARE.fullmatch(text.strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else math.inf
    if share > 1:
        raise ValueError(f"not a share: {text!r}")
    return share


def without_credentials(text: str) -> str:
    """A text in which no address tells a name or a password.

    >>> without_credentials("no answer from https://me:secret@mirror.example/simple")
    'no answer from https://***@mirror.example/simple'
    """
    return _CREDENTIALS.sub("://***@", text)


def legible(name: str) -> str:
    r"""A name from a file system, with what would upset a terminal spelt out (line breaks, escapes, changes of
    direction).

    >>> print(legible("a\x1b[31m\nb"))
    a\x1b[31m\nb
    """
    return "".join(c if _is_shown(c) else c.encode("unicode_escape").decode() for c in name)


def legible_lines(text: str) -> str:
    """A message as a terminal may show it; its lines but the first are indented, so that none looks like another."""
    return _CONTINUED.join(map(legible, text.split("\n")))


def _is_shown(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


class LegibleFormatter(logging.Formatter):
    """Log lines that hold names of films and tracks, and drive no terminal; tracebacks stay as they are."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's
        record.message = legible_lines(record.message)
        return super().formatMessage(record)


def ending(returncode: int) -> str:
    """How a process ended, by its exit code; a negative one is that of a signal, as `subprocess` has it.

    >>> ending(3), ending(-9)
    ('ended with exit code 3', 'died of SIGKILL')
    """
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    names = {int(number): number.name for number in signal.Signals}
    return f"died of {names.get(-returncode, f'signal {-returncode}')}"
