"""`stemscribe evaluate`: whole outputs, on results that were written by hand; and one real job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from fakes import tone

MAIN = "from stemscribe.cli.app import main; main()"
MEDIA = Path(__file__).parents[1] / "media"
TABLES = """\
recording    said  errors % first  errors % second
en/one          4            25.0             25.0
en/two          6             0.0              0.0
music/three     0        10.0/min          0.0/min

all of  setting  files  minutes  WER %        95 %  mean  CER %  lost  invented  vs first         95 %  per min
en      first        2      0.2   10.0  0.0 … 25.0  12.5   12.8     1         0
en      second       2      0.2   10.0  0.0 … 25.0  12.5   10.6     0         1      +0.0  +0.0 … +0.0
music   first        1      0.1                                                                            10.0
music   second       1      0.1                                                                             0.0
all     first        4      0.4   10.0  0.0 … 25.0  12.5   12.8     1         0                            10.0
all     second       4      0.4   10.0  0.0 … 25.0  12.5   10.6     0         1      +0.0  +0.0 … +0.0      0.0

stems of  setting  stem    SI-SDR dB  gain  SDR dB  median
.         first    vocals      150.0   0.0   150.0   150.0
.         second   vocals      150.0   0.0   150.0   150.0
all       first    vocals      150.0   0.0   150.0   150.0
all       second   vocals      150.0   0.0   150.0   150.0

WER: words wrong, lost or invented, of all that were said; c: characters, where no spaces part words.
per min: words a minute where nobody speaks. 95 %: where the figure lies with other recordings of the kind;
a difference whose span holds 0 is none.
"""


def evaluate(*arguments: object, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, "evaluate", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "STEMSCRIBE_ROOT": str(cwd), "NO_COLOR": "1", "COLUMNS": "60", **environ},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def record(path: Path, seconds: float = 6.0, hertz: float = 440.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, rate=8000, hertz=hertz).T, 8000)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder `refs` with two recordings, music and a mixture, and results of two tools."""
    for name in ("en/one", "en/two", "music/three"):
        record(tmp_path / "refs" / f"{name}.wav")
    record(tmp_path / "refs" / "song" / "mixture.wav")
    record(tmp_path / "refs" / "song" / "vocals.wav")
    put(tmp_path / "refs" / "en" / "one.txt", "one two three four")
    put(tmp_path / "refs" / "en" / "two.txt", "five six seven eight nine ten")
    for tool, one in (("first", "one two four"), ("second", "One, two, three, four, done.")):
        put(tmp_path / tool / "one.txt", one)
        put(tmp_path / tool / "two.txt", "five six seven eight nine ten")
        put(tmp_path / tool / "three.txt", "thanks" if tool == "first" else "")
        record(tmp_path / tool / "song" / "vocals.wav")
    return tmp_path


def test_results_of_other_tools_are_measured_side_by_side(place: Path) -> None:
    done = evaluate("refs", "--hypotheses", "first", "--hypotheses", "second", cwd=place)
    assert done.stderr == (
        "[INFO] en: 2 with a text (en); 0:12 of sound\n"
        "[INFO] music: 1 in which nobody speaks; 0:06 of sound\n"
        "[INFO] .: 1 with true stems; 0:06 of sound\n"
        "[INFO] 4 recordings, 0:24 of sound, in 2 settings (first, second)\n"
    )
    assert done.stdout == TABLES
    assert done.returncode == 0


def test_everything_is_in_the_json_and_in_the_folder(place: Path) -> None:
    done = evaluate("refs", "--hypotheses", "first", "--output", "found", "--json", cwd=place)
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert answer == json.loads((place / "found" / "evaluation.json").read_text(encoding="utf-8"))
    assert answer["measured"][0]["words"] == {
        "words": 4,
        "substitutions": 0,
        "lost": 1,
        "invented": 0,
        "characters": 18,
        "character_errors": 6,
    }
    assert [(one["group"], one["rate"]) for one in answer["totals"][:1]] == [("en", 0.1)]
    assert answer["settings"] == {"first": {"hypotheses": "first"}}
    assert sorted(path.name for path in (place / "found").iterdir()) == [
        "alignments-first.txt",
        "errors.svg",
        "evaluation.json",
        "invented.svg",
        "stems.svg",
    ]
    aligned = (place / "found" / "alignments-first.txt").read_text(encoding="utf-8")
    assert aligned.startswith("en/one\nREF: one two three four\nHYP: one two ***** four\n")


def test_what_is_missing_is_listed_and_makes_the_exit_code_one(place: Path) -> None:
    (place / "first" / "one.txt").unlink()
    put(place / "refs" / "en" / "two.txt", "…")
    done = evaluate("refs", "--hypotheses", "first", cwd=place)
    assert done.returncode == 1
    assert "[ERROR] en/two: refs/en/two.txt has no word in it.\n" in done.stderr
    assert "[ERROR] en/one (first): There is nothing of en/one in first.\n" in done.stderr
    assert done.stderr.endswith("[ERROR] 2 measurements are missing; the others are as they are above.\n")
    assert "music/three     0        10.0/min\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere is not a folder."),
        (["empty"], "There is nothing in empty to measure against."),
        (["refs", "--hypotheses", "nowhere"], "nowhere is not a folder."),
        (["refs", "--compare", "asr-audio=drums"], "--compare asr-audio=drums cannot be"),
        (["refs", "--compare", "colour=red"], "--compare colour=red names no option with values."),
        (["refs", "--start-time", "1"], "A reference is about the whole of its recording"),
        (["refs", "-s", "xx"], "Whisper does not know the language 'xx'."),
        (["refs", "--model", "nothing"], "There is no speech recognition model 'nothing'."),
        (["refs", "--hypotheses", "first", "--compare", "asr-audio=mix"], "--compare is about jobs"),
        (["refs", "--hypotheses", "first", "--hypotheses", "first"], "Two columns would be called first."),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_done(place: Path, arguments: list[str], said: str) -> None:
    (place / "empty").mkdir()
    done = evaluate(*arguments, cwd=place)
    assert said in done.stderr
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert not (place / "out").exists()


def test_a_recording_that_cannot_be_meant_is_said_before_the_first_job(place: Path) -> None:
    record(place / "refs" / "hi" / "four.wav")
    put(place / "refs" / "hi" / "four.txt", "नमस्ते")
    done = evaluate("refs", "--model", "tiny.en", "--offline", "--models-dir", place / "none", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Model whisper-tiny.en knows English only" in done.stderr
    assert not (place / "out").exists()


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_done(place: Path) -> None:
    put(place / "found", "a file")
    done = evaluate("refs", "--hypotheses", "first", "--output", "found", cwd=place)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("[ERROR] Could not write found/evaluation")


def test_jobs_that_are_not_done_are_missing_where_none_is_to_run(place: Path) -> None:
    done = evaluate("refs/en", "--jobs", cwd=place)
    assert done.returncode == 1
    assert "No job in out has done this with one.wav." in done.stderr
    assert not (place / "out").exists()


def test_names_do_not_drive_the_terminal(tmp_path: Path) -> None:
    record(tmp_path / "refs" / "a\x1b[31m.wav")
    put(tmp_path / "refs" / "a\x1b[31m.txt", "words [bold]here[/bold]")
    put(tmp_path / "r" / "a\x1b[31m.txt", "words")
    done = evaluate("refs", "--hypotheses", "r", cwd=tmp_path)
    assert done.returncode == 0
    assert "a\\x1b[31m" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.models
@pytest.mark.slow
def test_a_real_recording_is_transcribed_once_and_measured_again(
    tmp_path: Path, model: Callable[[str], Path], models_dir: Path
) -> None:
    for name in ("htdemucs-onnx", "spleeter", "silero-vad", "whisper-base"):
        model(name)
    (tmp_path / "refs" / "en").mkdir(parents=True)
    for file in ("jfk_1961.flac", "jfk_1961.txt"):
        shutil.copy(MEDIA / file, tmp_path / "refs" / "en")
    environ = {"STEMSCRIBE_MODELS_DIR": str(models_dir)}
    first = evaluate("refs", "--json", cwd=tmp_path, **environ)
    assert first.returncode == 0, first.stderr
    (measured,) = json.loads(first.stdout)["measured"]
    assert (measured["reference"], measured["language"], measured["words"]["words"]) == ("en/jfk_1961", "en", 22)
    assert measured["words"]["lost"] + measured["words"]["substitutions"] + measured["words"]["invented"] <= 2
    again = evaluate("refs", "--jobs", "--json", cwd=tmp_path, **environ)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["measured"] == [measured]
    assert len(list((tmp_path / "out").glob("job-*"))) == 1
