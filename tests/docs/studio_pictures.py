"""Takes the pictures of docs/how-to/studio.md: `PYTHONPATH=tests venv/tests/bin/python -m docs.studio_pictures`.

Of a real job on the clip that anyone may have, in Chromium, in light and dark. A test cannot compare them: fonts and
browsers differ; look at them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from studio.conftest import MAIN, opened

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "how-to" / "studio"
PAGES = {"jobs": "/", "job": "/jobs/{}", "listen": "/jobs/{}/listen", "transcript": "/jobs/{}/transcript"}


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        film = shutil.copy(ROOT / "in" / "test.mp4", root)
        command = [sys.executable, "-c", MAIN, "run", "--media", film, "-s", "en", "--out-dir", str(root / "out")]
        subprocess.run(command, check=True, cwd=root)
        (job,) = (path.name for path in (root / "out").glob("job-*"))
        with opened(root) as studio, sync_playwright() as playwright:
            path = next(found for name in ("chromium", "google-chrome") if (found := shutil.which(name)))
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                page = browser.new_page(color_scheme=scheme, viewport={"width": 1024, "height": 760})
                page.goto(studio.entrance)
                for name, place in PAGES.items():
                    page.goto(studio.address + place.format(job))
                    page.wait_for_timeout(2000)
                    page.screenshot(path=PICTURES / f"{name}-{scheme}.png")
            browser.close()


if __name__ == "__main__":
    main()
