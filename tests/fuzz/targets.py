"""What is fuzzed: functions that take the bytes of a file, and may give a result or a `StemscribeError`. All else is a
crash.

Each writes to the folder that it is given, and nowhere else.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fuzz import mutations, seeds
from fuzz.mutations import Mutation
from stemscribe.audio.decode import TrackDecoder
from stemscribe.audio.mix import MixInfo
from stemscribe.audio.probe import check_decodable, identity, probe
from stemscribe.errors import JobError, StemscribeError, StorageError
from stemscribe.evaluation.words import alignment, invented_words, word_errors
from stemscribe.jobs.folder import JobFolder
from stemscribe.models.spec import load_catalog
from stemscribe.pipeline.evaluation.results import text_of
from stemscribe.pipeline.stages.speech_detection import Regions
from stemscribe.pipeline.status import check_coverage, status_of
from stemscribe.records import Lines, read_record, to_json
from stemscribe.rows import read_head, read_rows
from stemscribe.separation.journal import Journal
from stemscribe.settings import SETTINGS_FILE, resolve
from stemscribe.speech.ledger import Entry, Ledger
from stemscribe.speech.recognition import Recognition
from stemscribe.speech.translation import Translation
from stemscribe.subtitles import srt, text, vtt
from stemscribe.subtitles.cues import Cue, cues_of
from stemscribe.subtitles.reading import read_cues, read_transcript, transcript_of
from stemscribe.timebase import clock
from stemscribe.transcript import Segment, Transcript, total_duration
from stemscribe.wording import percent

_RATE = 44100
_MOST_SECONDS = 30.0  # of a film that are decoded
_MOST_TRACKS = 2


@dataclass(frozen=True)
class Target:
    """Something that reads files.

    Attributes:
        feed: reads a file with this content in this folder.
        seeds: whole files, which mutations begin with.
        mutations: what becomes of them.
    """

    name: str
    feed: Callable[[bytes, Path], None]
    seeds: Callable[[], list[bytes]]
    mutations: tuple[Mutation, ...]

    def mutated(self, source: random.Random, data: bytes | None = None) -> bytes:
        """A damaged file: a seed's, or this one's."""
        return mutations.mutated(source.choice(self.seeds()) if data is None else data, source, self.mutations)

    def survives(self, data: bytes, folder: Path) -> str:
        """What was said of a file; empty when it was read.

        Raises:
            AssertionError: an error that says nothing.
            Exception: any other crash.
        """
        try:
            self.feed(data, folder)
        except StemscribeError as error:
            return _said(error)
        return ""


def _said(error: StemscribeError) -> str:
    """What an error says: it has to."""
    assert error.message.strip(), "an error without a message"
    assert error.exit_code in (1, 2)
    return str(error)


def film(data: bytes, folder: Path) -> None:
    """What prepare and demux do with a film, for its first tracks and half a minute."""
    path = folder / "film.bin"
    path.write_bytes(data)
    assert len(identity(path)) == 64
    media = probe(path, until=_MOST_SECONDS)
    for track in media.tracks[:_MOST_TRACKS]:
        assert str(track)
        try:
            check_decodable(media, track)
            _decode(path, track.number, 0.0)
            _decode(path, track.number, 1.5)
        except StemscribeError as error:
            _said(error)
    media.track()
    probe(path)


def _decode(path: Path, track: int, start: float) -> None:
    decoder = TrackDecoder(path, track, _RATE, start=start, end=_MOST_SECONDS)
    frames = 0
    for block in decoder.blocks():
        assert block.dtype == np.float32
        assert block.shape[0] == 2
        assert np.isfinite(block).all()
        frames += block.shape[1]
    assert decoder.offset is not None
    assert frames <= (_MOST_SECONDS - start + 1) * _RATE


def job(data: bytes, folder: Path) -> None:
    place = _job_folder(folder)
    (place.path / "job.json").write_bytes(data)
    status_of(place)
    request = place.job
    assert request.asks_the_same_as(request)
    to_json(request)
    film = folder / "film.mkv"
    film.write_bytes(seeds.films()["pcm.mkv"])
    media = probe(film, until=request.options.end_time)
    track = media.track(request.options.audio_track, request.source_language)
    span = {"start": request.options.start_time, "end": request.options.end_time}
    assert sum(block.shape[1] for block in TrackDecoder(film, track.number, _RATE, **span).blocks())


def manifest(data: bytes, folder: Path) -> None:
    place = _job_folder(folder)
    (place.path / "job.json").write_bytes(seeds.jobs()[0])
    (place.path / "manifest.json").write_bytes(data)
    status_of(place)
    found = place.manifest
    for record in found.stages.values():
        for artefact in record.artefacts:
            place.is_whole(artefact)
    to_json(found)


def _job_folder(folder: Path) -> JobFolder:
    path = folder / "job-20261122-0001"
    (path / "01_demux").mkdir(parents=True, exist_ok=True)
    (path / "01_demux" / "mix.flac").write_bytes(b"abc")
    return JobFolder(path)


def catalog(data: bytes, folder: Path) -> None:
    path = folder / "my-models.toml"
    path.write_bytes(data)
    for spec in load_catalog(path).values():
        assert spec.digest
        assert spec.size >= 0
        for file in spec.files:
            assert (folder / spec.name / file.name).parent.parent == folder, "a name that leads elsewhere"
            (folder / spec.name / file.name).exists()


def settings(data: bytes, folder: Path) -> None:
    (folder / SETTINGS_FILE).write_bytes(data)
    chosen = resolve({}, {}, root=folder, models_dir=folder / "models", venv_dir=folder / "venv")
    for path in (chosen.out_dir, chosen.models_dir, chosen.venv_dir):
        _looked_at(path)


def _looked_at(path: Path) -> None:
    with suppress(OSError):  # too long a name, say: told when it is used
        path.exists()


def transcript(data: bytes, folder: Path) -> None:
    path = folder / "transcript.json"
    path.write_bytes(data)
    _written(read_transcript(path))


def hypothesis(data: bytes, folder: Path) -> None:
    path = folder / "talk.json"
    path.write_bytes(data)
    said = text_of(path)
    assert invented_words(said) >= 0
    assert word_errors("And so, my fellow Americans", said).characters
    assert alignment("And so, my fellow Americans", said)


def _written(found: Transcript) -> None:
    """Everything that can be made of a transcript."""
    cues = cues_of(found)
    for content in (srt.render(cues), vtt.render(cues), text.render(found), found.text):
        content.encode()
    to_json(found)
    to_json(found.on_film_clock(1.5))


def segments(data: bytes, folder: Path) -> None:
    path = folder / "segments.json"
    path.write_bytes(data)
    found = read_record(path, Recognition)
    for _ in read_rows(path, "segments", Segment):
        pass
    read_head(path, Recognition)
    _written(Transcript(found.language, found.segments).on_film_clock(0.25))


def translation(data: bytes, folder: Path) -> None:
    path = folder / "translation.json"
    path.write_bytes(data)
    found = read_record(path, Translation)
    for _ in read_rows(path, "segments", Segment):
        pass
    read_head(path, Translation)
    _written(Transcript(found.language, found.segments).on_film_clock(0.25))


def regions(data: bytes, folder: Path) -> None:
    path = folder / "regions.json"
    path.write_bytes(data)
    total_duration(read_record(path, Regions).regions)


def ledger(data: bytes, folder: Path) -> None:
    """What `status` and `--min-coverage` read of it."""
    path = folder / "ledger.json"
    path.write_bytes(data)
    found = read_head(path, Ledger)
    assert percent(found.coverage).endswith(" %")
    for entry in read_rows(path, "entries", Entry):
        assert clock(entry.start)
    with suppress(JobError):
        check_coverage(path, 1.0)


def mix(data: bytes, folder: Path) -> None:
    path = folder / "mix.json"
    path.write_bytes(data)
    found = read_record(path, MixInfo)
    assert 1 / found.gain >= 0
    assert found.frames / found.sample_rate >= 0


def srt_file(data: bytes, folder: Path) -> None:
    _subtitles(data, folder / "film.srt")


def vtt_file(data: bytes, folder: Path) -> None:
    _subtitles(data, folder / "film.vtt")


def _subtitles(data: bytes, path: Path) -> None:
    """Read, written in every form, and read again: what is written is read as it was."""
    path.write_bytes(data)
    cues = read_cues(path)
    assert all(0 <= cue.start <= cue.end for cue in cues)
    _written(transcript_of(cues))
    for render, name in ((srt.render, "again.srt"), (vtt.render, "again.vtt")):
        again = path.with_name(name)
        again.write_text(render(cues), encoding="utf-8")
        assert _times(read_cues(again)) == _times(cues), "the cues that were written are not those that are read"


def _times(cues: tuple[Cue, ...]) -> list[tuple[float, float, int]]:
    return [(cue.start, cue.end, len(cue.lines)) for cue in cues]


def lines(data: bytes, folder: Path) -> None:
    path = folder / "lines"
    path.write_bytes(data)
    with Lines(path, seeds.HEADING) as found:
        kept = tuple(found.entries)
        assert all(b"\n" not in entry for entry in kept)
        found.append(b"more")
    with Lines(path, seeds.HEADING) as found:
        assert tuple(found.entries) == (*kept, b"more")


def journal(data: bytes, folder: Path) -> None:
    """Whatever happened to its files: a journal gives the samples that were committed, from the first on, or none."""
    _, _, committed = seeds.journal()
    size = int.from_bytes(data[:2], "big")
    (folder / "windows.jsonl").write_bytes(data[2 : 2 + size])
    (folder / "windows.f32").write_bytes(data[2 + size :])
    with Journal(folder, seeds.JOURNAL) as found:
        try:
            given = [finished.tobytes() for _, finished in found.finished()]
        except StorageError:
            raise AssertionError("a window that was taken up is not what was written") from None
        assert len(given) == found.committed
        assert given == list(committed[: len(given)])


TARGETS = {
    target.name: target
    for target in (
        Target("mp4", film, seeds.film_seeds(".mp4", ".mov"), mutations.MP4),
        Target("mkv", film, seeds.film_seeds(".mkv"), mutations.MATROSKA),
        Target("wav", film, seeds.film_seeds(".wav", ".avi"), mutations.RIFF),
        Target("ogg", film, seeds.film_seeds(".ogg"), mutations.OGG),
        Target("flac", film, seeds.film_seeds(".flac"), mutations.FLAC),
        Target("stream", film, seeds.film_seeds(".ts", ".mp3"), mutations.PLAIN),
        Target("job", job, seeds.jobs, mutations.TEXT),
        Target("manifest", manifest, seeds.manifests, mutations.TEXT),
        Target("catalog", catalog, seeds.catalogs, mutations.TEXT),
        Target("settings", settings, seeds.settings_files, mutations.TEXT),
        Target("transcript", transcript, seeds.transcripts, mutations.TEXT),
        Target("hypothesis", hypothesis, seeds.hypotheses, mutations.TEXT),
        Target("segments", segments, seeds.segments, mutations.TEXT),
        Target("translation", translation, seeds.translations, mutations.TEXT),
        Target("regions", regions, seeds.regions, mutations.TEXT),
        Target("ledger", ledger, seeds.ledgers, mutations.TEXT),
        Target("mix", mix, seeds.mixes, mutations.TEXT),
        Target("srt", srt_file, seeds.srts, mutations.TEXT),
        Target("vtt", vtt_file, seeds.vtts, mutations.TEXT),
        Target("lines", lines, seeds.line_files, mutations.PLAIN),
        Target("journal", journal, seeds.journals, mutations.PLAIN),
    )
}
