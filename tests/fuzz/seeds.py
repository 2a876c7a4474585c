"""What fuzzing begins with: small files of every kind that stemscribe reads, all of them whole."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import numpy as np
import soundfile

from fakes import noise, tone, write_film
from stemscribe.audio.mix import CentreInfo, MixInfo
from stemscribe.jobs.job import Job, Options
from stemscribe.jobs.manifest import ArtefactRecord, Manifest, StageRecord
from stemscribe.models.spec import CATALOG
from stemscribe.pipeline.stages.speech_detection import Regions
from stemscribe.records import Lines, to_json
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.windows import WindowPlan
from stemscribe.speech.ledger import Doubtful, Entry, Ledger, totals
from stemscribe.speech.recognition import Dropped, Recognition
from stemscribe.speech.regions import Voiced
from stemscribe.speech.translation import Translation, Untranslated
from stemscribe.subtitles import srt, vtt
from stemscribe.subtitles.cues import cues_of
from stemscribe.transcript import Region, Segment, Transcript, Word

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
_CORPUS_FILES = (
    "video/sintel_trailer.mp4",
    "video/big_buck_bunny_5s_6ch.mp4",
    "speech/de/aeneas_de.mp3",
    "speech/en/fleurs-en-000.ogg",
    "music/wesnoth_sad.ogg",
)
_RATE = 16000
WORDS = (
    Word(1.0, 1.4, " And", 0.9),
    Word(1.4, 1.9, " so,", 0.8),
    Word(1.9, 2.3, " <i>my", 0.8),
    Word(2.3, 3.0, " fellow", 0.7),
)
SEGMENTS = (
    Segment(1.0, 3.0, " And so, <i>my fellow", "en", WORDS, -0.2, 0.1, 1.1),
    Segment(4.0, 6.5, "आज दिल्ली में\n5", "hi", (), None, None, None, "mix", "the vocals were silent"),
)
TRANSCRIPT = Transcript("en", SEGMENTS, "film", "whisper-base", "film.mkv")
JOURNAL = Layout(WindowPlan(470, 100, 25), ("vocals", "other"), 2)
HEADING = b"heading"
ENTRIES = tuple(b'{"region":%d,"text":"\xe0\xa4\x86"}' % number for number in range(6))


@cache
def films() -> dict[str, bytes]:
    """Media of under 40 kB each, by name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for film in _films(folder):
            assert film.stat().st_size < 60_000, film
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _films(folder: Path) -> Iterator[Path]:
    sound, mono = tone(0.3, rate=_RATE), tone(0.3, rate=_RATE, channels=1)
    six = np.tile(mono, (6, 1))
    yield write_film(folder / "pcm.mkv", [(sound, "eng"), (sound, "hin")], rate=_RATE, default=1, title="Titel")
    yield write_film(folder / "video.mkv", [(sound, "eng")], rate=_RATE, codec="flac", start=1.0, with_video=True)
    yield write_film(folder / "video.mp4", [(sound, "eng")], rate=_RATE, codec="aac", with_video=True)
    yield write_film(folder / "two.mp4", [(six, "eng"), (six[:, :2000], "hin")], rate=_RATE, codec="aac", layout="5.1")
    yield write_film(folder / "gap.mkv", [(sound, "eng")], rate=_RATE, gap=(0.1, 2.0))
    yield write_film(folder / "aac.ts", [(sound, "eng")], rate=_RATE, codec="aac")
    yield write_film(folder / "pcm.avi", [(sound, "eng")], rate=_RATE, with_video=True)
    yield write_film(folder / "pcm.mov", [(sound, "eng")], rate=_RATE, codec="pcm_s16be")
    for form, subtype in (
        ("wav", "PCM_16"),
        ("wav", "FLOAT"),
        ("wav", "MS_ADPCM"),
        ("flac", "PCM_16"),
        ("ogg", "VORBIS"),
    ):
        path = folder / f"{subtype.lower()}.{form}"
        soundfile.write(path, sound.T, _RATE, subtype=subtype)
        yield path
    soundfile.write(folder / "opus.ogg", sound.T, _RATE, subtype="OPUS")
    yield folder / "opus.ogg"
    soundfile.write(folder / "eight.wav", noise(500, channels=8).T, _RATE, format="WAVEX", subtype="PCM_24")
    yield folder / "eight.wav"
    soundfile.write(folder / "rf64.wav", sound.T, _RATE, format="RF64", subtype="PCM_16")
    yield folder / "rf64.wav"
    for place in _CORPUS_FILES:
        if (CORPUS / place).is_file():
            yield beginning(CORPUS / place, folder / f"corpus-{Path(place).name}")


def beginning(film: Path, target: Path, packets: int = 25) -> Path:
    """The first packets of the sound of a recording, as they are, in a file of the same kind."""
    with av.open(str(film)) as source, av.open(str(target), "w") as made:
        template = source.streams.audio[0]
        stream = made.add_stream_from_template(template)
        for count, packet in enumerate(source.demux(template)):
            if count >= packets or packet.dts is None:
                break
            packet.stream = stream
            made.mux(packet)
    return target


def film_seeds(*endings: str) -> Callable[[], list[bytes]]:
    """Those of `films` with one of these endings."""
    return lambda: [data for name, data in films().items() if name.endswith(endings)]


def jobs() -> list[bytes]:
    options = Options(audio_track="hi", start_time=0.1, end_time=90.0, stems="four")
    request = ("/in/film.mkv", "ab" * 32, "transcribe", "hi", "2026-11-22T10:00:00+00:00", "0.1.0")
    return [to_json(Job("job-20261122-0001", *request, options)), to_json(Job("job-20261122-0002", *request))]


def manifests() -> list[bytes]:
    artefact = ArtefactRecord(
        "mix", "01_demux/mix.flac", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    stages = {
        "demux": StageRecord("completed", "f" * 64, 1, artefacts=(artefact,), seconds=1.5),
        "source_separation": StageRecord("failed", error="The disk is full."),
    }
    return [to_json(Manifest("job-20261122-0001", stages, "onnx")), to_json(Manifest("job-20261122-0001"))]


def catalogs() -> list[bytes]:
    own = """
[[models]]
name = "mine"
engine = "demucs_torch"
description = "Mine."
license = "MIT"
license_url = "https://example.org/"
stems = ["vocals", "other"]
[[models.files]]
name = "mine.safetensors"
size = 1
sha256 = "{hash}"
sources = [{{ kind = "https", url = "https://example.org/mine" }}]
"""
    heading = '[[models]]\nname = "'
    models = CATALOG.read_text(encoding="utf-8").split(heading)[1:5]
    return [own.format(hash="0" * 64).encode(), "".join(f"{heading}my-{model}" for model in models).encode()]


def settings_files() -> list[bytes]:
    return [
        b'out_dir = "out"\nmodels_dir = "~/models"\nvenv_dir = "venv"\noffline = true\n'
        b'hub_endpoint = "https://huggingface.co"\ncatalog = "my.toml"\n',
        b"# mine\nmax_ram = '2 GiB'\ncatalog = '''my.toml'''\n",
    ]


def transcripts() -> list[bytes]:
    return [to_json(TRANSCRIPT), to_json(Transcript("en", ()))]


def hypotheses() -> list[bytes]:
    """Transcripts as other recognisers write them."""
    return [
        *transcripts(),
        b'{"text": " And so, my fellow", "segments": [{"id": 0, "start": 0.0, "text": " And so"}], "language": "en"}',
        b'[{"start": 0.5, "end": 2, "text": "And so \\u092e\\u0947"}, {"text": null}]',
    ]


def segments() -> list[bytes]:
    return [to_json(Recognition("en", None, "whisper-base", SEGMENTS, (Dropped(SEGMENTS[0], "no words"),)))]


def translations() -> list[bytes]:
    lost = Untranslated(4.0, 6.5, SEGMENTS[1].text, "hi")
    return [to_json(Translation("en", "hi", "whisper-base", SEGMENTS[:1], (lost,)))]


def regions() -> list[bytes]:
    voiced = (Voiced(0.6, 2.0, 0.97, -1.5), Voiced(2.0, 11.9, 0.2, -8.0))
    return [to_json(Regions((Region(0.0, 12.5), Region(14.0, 15.0)), (Region(1.0, 2.0),), voiced))]


def ledgers() -> list[bytes]:
    entries = (
        Entry(0.6, 2.0, "transcribed", "", "3 words", 0.97, -1.5),
        Entry(2.0, 3.5, "not_speech", "sung", "“♪” was heard, and dropped: no words", 0.2, -8.0),
        Entry(5.0, 7.25, "gap", "", "probability of speech up to 0.91; nothing was heard", 0.91, -3.0),
    )
    doubtful = (Doubtful(20.0, 20.4, "Thanks."),)
    return [to_json(replace(totals(entries, doubtful), entries=entries, doubtful=doubtful)), to_json(Ledger())]


def mixes() -> list[bytes]:
    info = MixInfo(441000, 44100, 1e-5, 0.12, 0.9, 0.5, 1, "en", 0.25, 0, 0)
    return [to_json(info), to_json(replace(info, centre=CentreInfo(0.05, 1.1, 0.125)))]


def srts() -> list[bytes]:
    text = srt.render(cues_of(TRANSCRIPT))
    sloppy = (
        "\ufeff1\r\n0:00:01.5 -> 00:00:02,000 X1:40\r\n<font color='#f00'>{\\an8}Yes</font>\r\n"
        "00:00:02,000 --> 00:00:01,000\rNo\r"
    )
    return [
        text.encode(),
        sloppy.encode(),
        text.encode("utf-16"),
        "1\n00:00:01,000 --> 00:00:02,000\nÄh\n".encode("latin-1"),
    ]


def vtts() -> list[bytes]:
    text = vtt.render(cues_of(TRANSCRIPT))
    full = (
        "WEBVTT - a title\nKind: captions\n\nNOTE\nnot shown\n\nSTYLE\n::cue { color: red }\n\nREGION\nid:a\n\n"
        "one\n00:01.000 --> 00:02.500 align:start line:0%\n<v Anna>Tom &amp; <00:01.500><c.red>Jerry</c>\n\n"
        "100:00.000 --> 01:40:01.000\nLate\n"
    )
    return [text.encode(), full.encode()]


def line_files() -> list[bytes]:
    with tempfile.TemporaryDirectory() as name:
        with Lines(Path(name) / "lines", HEADING) as lines:
            for entry in ENTRIES:
                lines.append(entry)
        return [(Path(name) / "lines").read_bytes()]


@cache
def journal() -> tuple[bytes, bytes, tuple[bytes, ...]]:
    """A whole journal: its payloads, its lines, and the finished samples of each window."""
    with tempfile.TemporaryDirectory() as name:
        finished = []
        with Journal(Path(name), JOURNAL) as written:
            for window in JOURNAL.plan:
                done, waiting = JOURNAL.payload_frames(window)
                samples = noise((done + waiting) * 2, seed=window.index).reshape(2, 2, -1)
                written.commit(window, samples[..., :done], samples[..., done:])
                finished.append(samples[..., :done].tobytes())
        return (Path(name) / "windows.f32").read_bytes(), (Path(name) / "windows.jsonl").read_bytes(), tuple(finished)


def journals() -> list[bytes]:
    """Both files of the journal as one, the shorter one first (see `targets.journal_files`)."""
    payloads, lines, _ = journal()
    return [len(lines).to_bytes(2, "big") + lines + payloads]
