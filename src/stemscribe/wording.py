"""Numbers as people say them."""

from __future__ import annotations

import signal


def readable(size: int) -> str:
    """A number of bytes as people write it.

    >>> readable(174_263_526), readable(3_087_284_237)
    ('174.3 MB', '3.1 GB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def ending(returncode: int) -> str:
    """How a process ended, by its exit code; a negative one is that of a signal, as `subprocess` has it.

    >>> ending(3), ending(-9)
    ('ended with exit code 3', 'died of SIGKILL')
    """
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    names = {int(number): number.name for number in signal.Signals}
    return f"died of {names.get(-returncode, f'signal {-returncode}')}"
