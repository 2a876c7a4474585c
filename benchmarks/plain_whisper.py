"""What a short script around faster-whisper does: `python -m benchmarks.plain_whisper SOUND MODEL TEXT`.

The library's defaults, on a CPU in int8, with the language given. It knows nothing of stemscribe.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def transcribe(sound: Path, model: Path, text: Path, language: str) -> None:
    """Write what is said in a recording, a line a segment."""
    from faster_whisper import WhisperModel

    found, _ = WhisperModel(str(model), device="cpu", compute_type="int8").transcribe(str(sound), language=language)
    text.write_text("".join(f"{segment.text.strip()}\n" for segment in found), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sound", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--language", default="en")
    asked = parser.parse_args()
    transcribe(asked.sound, asked.model, asked.text, asked.language)


if __name__ == "__main__":
    main()
