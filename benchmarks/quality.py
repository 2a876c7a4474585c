"""What a transcript is worth: `python -m benchmarks.quality ../shared/corpus --work FOLDER --json
docs/explanation/quality.json`.

Four things, each side by side in one run with the same Whisper model: speech under music, heard in the mix, in the
vocals, and by arbitration; words invented over music alone; clean speech, which must not be harmed; and a film. Beside
ours stands plain faster-whisper, with its defaults, on the recording as it is. All of it goes through
`stemscribe evaluate`: interrupted, the same command goes on. Then `PYTHONPATH=tests python -m docs.quality_page`
writes the page.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path

import msgspec
from platformdirs import user_cache_path

from stemscribe import __version__
from stemscribe.evaluation.figures import Evaluation
from stemscribe.evaluation.references import Reference, find_references
from stemscribe.records import write_record

MODELS = Path(os.environ.get("STEMSCRIBE_MODELS_DIR") or user_cache_path("stemscribe") / "models")
MODEL = "whisper-base"
PLAIN = "faster-whisper"
STEMSCRIBE = (sys.executable, "-c", "from stemscribe.cli.app import main; main()")


@dataclass(frozen=True)
class Part:
    """One thing to measure: a folder of the corpus, and the settings to compare in it."""

    name: str
    folder: str
    settings: str


PARTS = (
    Part("music under speech", "mix", "mix,vocals,blend,auto"),
    Part("music alone", "music", "auto"),
    Part("clean speech", "speech/en", "auto"),
    Part("a film", "video", "mix,vocals,auto"),
)


@dataclass(frozen=True)
class Quality:
    """Everything that was measured, and with what."""

    date: str
    machine: str
    versions: dict[str, str]
    parts: dict[str, Evaluation]


def measured(part: Part, corpus: Path, work: Path) -> Evaluation:
    """One part: our settings, and plain faster-whisper beside them."""
    folder, output = corpus / part.folder, work / "found" / part.folder
    ours = [*STEMSCRIBE, "evaluate", str(folder), "--compare", f"asr-audio={part.settings}", "--model", MODEL]
    ours += ["--out-dir", str(work / "out"), "--output", str(output)]
    if part.folder == "video":
        ours += ["-s", "en"]
    plain = work / part.folder.replace("/", "-") / PLAIN
    for reference in find_references(folder, lambda name: name if len(name) == 2 else None).references:
        _transcribe_plainly(reference, folder, plain)
    subprocess.run(ours, check=True)
    subprocess.run([*ours, "--jobs", "--hypotheses", str(plain)], check=True)
    return _without_places(msgspec.json.decode((output / "evaluation.json").read_bytes(), type=Evaluation), part)


def _without_places(evaluation: Evaluation, part: Part) -> Evaluation:
    """The same without what is only true on this machine: folders and jobs."""
    settings = {name: "its defaults" if name == PLAIN else asked for name, asked in evaluation.settings.items()}
    measured = tuple(replace(one, job="") for one in evaluation.measured)
    return replace(evaluation, folder=part.folder, settings=settings, measured=measured)


def _transcribe_plainly(reference: Reference, folder: Path, plain: Path) -> None:
    """Write what faster-whisper makes of a recording, with its defaults and the language given, where it is not yet."""
    from faster_whisper import WhisperModel

    target = plain / f"{reference.name}.txt"
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    model = WhisperModel(str(MODELS / MODEL), device="cpu", compute_type="int8")
    found, _ = model.transcribe(str(reference.media), language=reference.language or "en")
    text = " ".join(segment.text.strip() for segment in found)
    draft = target.with_suffix(".part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for jobs; what is done there is not done again"
    )
    parser.add_argument("--json", type=Path, required=True, help="write the figures here")
    asked = parser.parse_args()
    found = {part.name: measured(part, asked.corpus.resolve(), asked.work.resolve()) for part in PARTS}
    names = ("faster-whisper", "ctranslate2", "onnxruntime", "openvino")
    versions = {"stemscribe": __version__, **{name: version(name) for name in names}}
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    write_record(asked.json, Quality(str(date.today()), machine, versions, found))


if __name__ == "__main__":
    main()
