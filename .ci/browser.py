"""A browser for the tests of the studio: part of `.ci/checks.py`.

Where there is none, Debian and its kin are asked for Chromium, if this may install packages; elsewhere it is said what
to do, and the tests that need a browser are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
INSTALL = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium", "fonts-noto-core")


def is_there() -> bool:
    return any(shutil.which(name) for name in BROWSERS)


def main() -> int:
    if is_there():
        return 0
    if shutil.which("apt-get") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        sys.stdout.write("There is no Chromium here: install one, and the studio is tested in it.\n")
        return 1
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (("apt-get", "update", "--quiet"), INSTALL):  # what was known before may do, if update fails
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False)
    return 0 if is_there() else 1


if __name__ == "__main__":
    sys.exit(main())
