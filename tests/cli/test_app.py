"""The command line as a user meets it: whole outputs of real processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fakes import tone, write_film

MAIN = "from stemscribe.cli.app import main; main()"


def stemscribe(*arguments: object, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "STEMSCRIBE_ROOT": str(cwd), "NO_COLOR": "1", "COLUMNS": "100", **environ},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mkv", [(tone(3), "hin")])


def test_help_names_every_command(tmp_path: Path) -> None:
    done = stemscribe("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    commands = re.findall(r"^  (\w+)  +\w", done.stdout.partition("Commands:")[2], re.MULTILINE)
    assert commands == [
        "run",
        "prepare",
        "status",
        "report",
        "studio",
        "separate",
        "convert",
        "verify",
        "reproduce",
        "evaluate",
        "models",
        "doctor",
    ]


def test_help_loads_nothing_that_works(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from stemscribe.cli.app import main\n"
        "sys.argv = ['stemscribe', '--help']\n"
        "try: main()\n"
        "except SystemExit: print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    heavy = {
        "numpy",
        "av",
        "soundfile",
        "soxr",
        "openvino",
        "onnxruntime",
        "faster_whisper",
        "rich",
        "httpx",
        "msgspec",
    }
    assert not loaded & heavy


@pytest.mark.parametrize("command", [["run"], ["prepare"], ["status"], ["separate"], ["models"], ["models", "fetch"]])
def test_every_command_has_help(tmp_path: Path, command: list[str]) -> None:
    done = stemscribe(*command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: -c {' '.join(command)}")


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    from stemscribe import __version__

    assert stemscribe("--version", cwd=tmp_path).stdout == f"stemscribe {__version__}\n"


def test_prepare_answers_with_the_job(tmp_path: Path, film: Path) -> None:
    done = stemscribe("prepare", "--media", film, "--workflow", "transcribe", "-s", "hi", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"Job created: job-\d{8}-0001\n", done.stdout)
    again = stemscribe("prepare", "--media", film, "-s", "hi", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["id"].endswith("-0002")


def test_status_tells_how_far_jobs_are(tmp_path: Path, film: Path) -> None:
    assert stemscribe("status", cwd=tmp_path).stdout == "There are no jobs in out.\n"
    name = stemscribe("prepare", "--media", film, "-s", "hi", cwd=tmp_path).stdout.split()[-1]
    assert stemscribe("status", cwd=tmp_path).stdout == f"{name}  pending      transcribe of film.mkv\n"
    one = stemscribe("status", name, cwd=tmp_path)
    assert one.stdout == (
        f"{name}  pending  transcribe of film.mkv\n"
        "  demux              pending            0.0s\n"
        "  source_separation  pending            0.0s\n"
        "  speech_detection   pending            0.0s\n"
        "  asr                pending            0.0s\n"
        "  export             pending            0.0s\n"
    )
    status = json.loads(stemscribe("status", name, "--json", cwd=tmp_path).stdout)
    assert [stage["status"] for stage in status["stages"]] == ["pending"] * 5
    (tmp_path / "out" / name / "job.json").write_text("{}")
    assert f"{name}  broken" in stemscribe("status", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run"], 2, "Give either a job (-j) or a film (--media)."),
        (["run", "-j", "x", "--media", "y"], 2, "Give either a job (-j) or a film (--media)."),
        (["run", "-j", "job-20200101-0001"], 1, "[ERROR] There is no job 'job-20200101-0001' in out."),
        (["prepare", "--media", "missing.mp4"], 2, "There is no file"),
        (["prepare", "--media", "text.mp4"], 1, "[ERROR] text.mp4 is not a film, video or audio file"),
        (["prepare", "--media", "empty.mp4"], 1, "empty.mp4 is empty (0 bytes)."),
        (["prepare", "--media", "."], 2, "is a folder."),
        (["run", "--media", "text.mp4"], 1, "[ERROR] text.mp4 is not a film, video or audio file"),
        (["separate", "text.mp4", "-o", "stems"], 1, "[ERROR] text.mp4 is not a film, video or audio file"),
        (["prepare", "--media", "film.mkv", "--start-time", "soon"], 2, "'soon' is not a time"),
        (["prepare", "--media", "film.mkv", "-s", "xx"], 2, "Whisper does not know the language 'xx'."),
        (["models", "fetch", "nothing"], 2, "There is no model called `nothing`."),
        (["status", "nothing"], 1, "There is no job 'nothing'"),
        (["run", "-j", "x", "--stems", "four", "--new"], 2, "A job is as it was prepared: --new, --stems cannot be"),
        (["separate", "a/film.mkv", "b/Film.mp3", "-o", "stems"], 2, "would both go to stems/Film"),
        (["prepare", "--media", "film.mkv", "--device", "coreml"], 2, "Device coreml is not to be had here"),
        (["fly"], 2, "No such command 'fly'."),
    ],
)
def test_what_is_wrong_is_said_plainly(tmp_path: Path, film: Path, arguments: list[str], code: int, said: str) -> None:
    (tmp_path / "text.mp4").write_text("not a film " * 100)
    (tmp_path / "empty.mp4").touch()
    done = stemscribe(*arguments, cwd=tmp_path)
    assert said in done.stderr.replace(f"{tmp_path}/", "")
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_names_in_any_script_are_printed_anywhere(tmp_path: Path) -> None:
    write_film(tmp_path / "plain.mkv", [(tone(1), "hin")]).rename(tmp_path / "फ़िल्म 🎬.mkv")
    stemscribe("prepare", "--media", "फ़िल्म 🎬.mkv", cwd=tmp_path)
    done = stemscribe("status", cwd=tmp_path, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0
    assert done.stdout.endswith("transcribe of फ़िल्म 🎬.mkv\n")


def test_names_do_not_upset_the_terminal(tmp_path: Path) -> None:
    write_film(tmp_path / "plain.mkv", [(tone(1), "hin")]).rename(tmp_path / "two\nlines\x1b[31m\u202e.mkv")
    assert stemscribe("prepare", "--media", "two\nlines\x1b[31m\u202e.mkv", cwd=tmp_path).returncode == 0
    assert stemscribe("status", cwd=tmp_path).stdout.endswith("transcribe of two\\nlines\\x1b[31m\\u202e.mkv\n")


def test_failures_are_events_too(tmp_path: Path, film: Path) -> None:
    name = stemscribe("prepare", "--media", film, cwd=tmp_path).stdout.split()[-1]
    film.unlink()
    done = stemscribe("run", "-j", name, "--json", cwd=tmp_path)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in told] == ["job_started", "job_failed"]
    assert told[0]["job"] == name
    assert "The film is not there any more" in told[1]["message"]
    assert done.returncode == 1


def test_offline_a_model_that_is_not_there_is_said(tmp_path: Path, film: Path) -> None:
    done = stemscribe("run", "--media", film, "-s", "hi", "--offline", "--models-dir", tmp_path / "m", cwd=tmp_path)
    assert done.returncode == 1
    assert "[ERROR]" in done.stderr
    assert "offline" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_come_from_flags_environment_file_and_defaults(tmp_path: Path, film: Path) -> None:
    (tmp_path / "stemscribe.toml").write_text('out_dir = "from_file"\n')
    stemscribe("prepare", "--media", film, cwd=tmp_path)
    stemscribe("prepare", "--media", film, cwd=tmp_path, STEMSCRIBE_OUT_DIR="from_environment")
    stemscribe("prepare", "--media", film, "--out-dir", "from_flag", cwd=tmp_path, STEMSCRIBE_OUT_DIR="not_this")
    made = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert made == {"from_file", "from_environment", "from_flag"}


def test_models_are_listed_with_their_licences(tmp_path: Path) -> None:
    done = stemscribe("models", "list", "--models-dir", tmp_path, cwd=tmp_path)
    assert done.returncode == 0
    assert "personal and research use" in done.stdout
    listed = json.loads(stemscribe("models", "list", "--json", "--models-dir", tmp_path, cwd=tmp_path).stdout)
    assert {"htdemucs", "silero-vad", "whisper-base", "whisper-large-v3"} <= {model["name"] for model in listed}
    assert all(model["license"] and model["license_url"] for model in listed)
    assert not any(model["present"] for model in listed)


def test_an_interrupt_on_the_way_out_is_no_traceback(tmp_path: Path) -> None:
    late = f"import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.SIGINT); {MAIN}"
    done = subprocess.run([sys.executable, "-c", late, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


STUCK = """
import threading
from concurrent.futures import ThreadPoolExecutor
from stemscribe.cli import app
app.LEAVING_SECONDS = 0.5
ThreadPoolExecutor(1).submit(threading.Event().wait)
app._leave(130)
"""


def test_a_thread_that_hangs_keeps_no_process() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], timeout=60)
    assert done.returncode == 130
