"""What is finished of a film, recognised while the rest of it is still being separated: one JSON request on stdin.

    <venv>/bin/python -I -m stemscribe.pipeline.live

The companion of a separation reads the windows that are committed, and finds and hears regions in them as the stages
will do: with their code, on the very samples that they will read. It writes subtitles of what it has heard, replaced
as a whole each time, and keeps what it has heard for the stage that will ask for it. It writes nothing else, answers
nobody, and may be killed at any moment.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import psutil

from stemscribe.arrays import Array
from stemscribe.audio.mix import MixInfo
from stemscribe.audio.rounding import rounding
from stemscribe.audio.source import MONO_FRAMES, Source
from stemscribe.errors import StemscribeError
from stemscribe.jobs.job import Job, Options
from stemscribe.languages import AUTO
from stemscribe.pipeline.resources import give_memory_back, keeping_memory
from stemscribe.pipeline.stage import StageContext
from stemscribe.pipeline.stages import speech_detection
from stemscribe.pipeline.stages.asr import ENOUGH_SPEECH, Recogniser
from stemscribe.pipeline.stages.levels import CENTRE, Audible, is_centre_audible, open_at_film_level
from stemscribe.pipeline.stages.sounds import Sounds
from stemscribe.pipeline.worker import leave_with
from stemscribe.records import read_record, replacing
from stemscribe.separation.engines.htdemucs_onnx import CHANNELS
from stemscribe.separation.finish import VOCALS, at_file_level
from stemscribe.separation.follower import Follower
from stemscribe.separation.journal import LINES
from stemscribe.speech.activity import SAMPLE_RATE, RecordedActivity, SpeechDetector, recorded
from stemscribe.speech.ahead import Hearings, is_level_known, settled
from stemscribe.speech.recognition import Heard, find_language, overlap
from stemscribe.speech.regions import find_regions, find_speech
from stemscribe.subtitles import srt
from stemscribe.subtitles.cues import DEFAULT_RULES, Draft, drafts, timed
from stemscribe.subtitles.timing import Extent
from stemscribe.subtitles.tokens import stream
from stemscribe.timebase import Seconds, to_seconds
from stemscribe.transcript import Region, Segment

_PAUSE: Seconds = 0.5
_NICENESS = 5  # a third of the time that a core has: what is heard now need not be heard later
_WRITING_SHARE = 10  # of the time, at most one part in so many goes into writing subtitles


@dataclass(frozen=True)
class Request:
    """What to follow.

    Attributes:
        asker: the process that asks, and without which this one ends.
        job: with everything decided for this machine.
        made: by artefact name, the files that are there.
        models: by name, the folders of the models.
        windows: the folder of the separation's journals, of which the latest is followed.
        ahead: where what was heard is kept.
        subtitles: the file to write.
    """

    asker: int
    job: Job
    made: dict[str, str]
    models: dict[str, str]
    windows: str
    ahead: str
    subtitles: str


class FinishedVocals(Source):
    """The vocals as far as they are finished, sample by sample as they will be in their file if nothing clips.

    Args:
        follower: of the journal.
        info: of the mix.
        options: of the job.
    """

    def __init__(self, follower: Follower, info: MixInfo, options: Options) -> None:
        self._follower, self._options = follower, options
        self.frames, self.sample_rate = info.frames, info.sample_rate

    def read(self, start: int, stop: int) -> Array:
        """Raises `ValueError` for what is not finished; beyond the ends of the film, there is silence."""
        first, last = max(0, start), min(stop, self.frames)
        block = np.zeros((CHANNELS, stop - start), np.float32)
        if first < last:
            options = self._options
            samples = at_file_level(self._follower.read(VOCALS, first, last), 1.0, options.clip_mode)
            if options.stem_format != "mp3":  # of which nobody knows beforehand what it makes of a sample
                samples = rounding(options.stem_format, options.stem_subtype)(samples)
            block[:, first - start : last - start] = samples
        return block


class Finished:
    """A film as far as it is separated, and what a detector hears in that.

    Args:
        context: of a job of which the mix is there.
        follower: of the journal of its separation.
        opened: closes files in the end.

    Attributes:
        regions: where to listen.
        speech: where the detector is sure of speech.
        known: how much of the film that is about.
        sounds: of the regions.
    """

    def __init__(self, context: StageContext, follower: Follower, opened: ExitStack) -> None:
        info = read_record(context.inputs["mix_info"], MixInfo)
        self._follower, self._blocks = follower, 0
        vocals = FinishedVocals(follower, info, context.options)
        self.sounds = Sounds(context, opened, vocals)
        others: list[Audible] = ["mix", *((CENTRE,) if is_centre_audible(context) else ())]
        sources: dict[str, Source] = {
            audio: opened.enter_context(open_at_film_level(context, audio)) for audio in others
        }
        sources = {"mix": sources.pop("mix"), VOCALS: vocals, **sources}
        detector = SpeechDetector(context.models[speech_detection.MODEL])
        self._paths = [context.scratch / f"{name}.hops" for name in sources]
        self._files = [opened.enter_context(path.open("wb", buffering=0)) for path in self._paths]
        self._heard = [detector.hear(source.mono_blocks(SAMPLE_RATE)) for source in sources.values()]
        self._rate = info.sample_rate
        self.regions: tuple[Region, ...] = ()
        self.speech: tuple[Region, ...] = ()
        self.known: Seconds = 0.0

    def look(self) -> bool:
        """Go on as far as windows are committed; whether there was anything new.

        Only whole blocks are heard, those that the stage will hear: what soundtracks are wired the wrong way round is
        decided block by block.
        """
        self._follower.look()
        whole = self._follower.frames // MONO_FRAMES
        if whole <= self._blocks:
            return False
        for _ in range(self._blocks, whole):
            for heard, file in zip(self._heard, self._files, strict=True):
                speech, level = next(heard)  # of a block of three seconds there always is some
                file.write(recorded(speech, level[0]))
        self._blocks = whole
        activity = RecordedActivity(*self._paths)
        self.regions, self.speech = find_regions(activity), find_speech(activity)
        self.known = to_seconds(whole * MONO_FRAMES, self._rate)
        return True


class Live:
    """Hears what is finished of a film, and shows it.

    Args:
        context: of the job.
        film: as far as it is separated.
        recogniser: of its regions.
        subtitles: the file to write.
    """

    def __init__(self, context: StageContext, film: Finished, recogniser: Recogniser, subtitles: Path) -> None:
        self._film, self._recogniser, self._subtitles = film, recogniser, subtitles
        self._offset = read_record(context.inputs["mix_info"], MixInfo).offset
        asked = context.job.source_language
        self._language, self._asked = ("" if asked == AUTO else asked), 0
        self._shown: dict[Region, Heard] = {}
        self._done: set[tuple[Region, str]] = set()
        self._is_written, self._next_writing = True, 0.0

    def go_on(self) -> bool:
        """Do the next thing; whether there was one."""
        is_new = self._film.look()
        ready = settled(self._film.regions, self._film.known)
        self._find_language(ready)
        region = next((one for one in ready if self._is_due(one)), None)
        if region is not None:
            self._hear(ready.index(region), region)
        self._write()
        return is_new or region is not None

    def _find_language(self, ready: Sequence[Region]) -> None:
        """Ask for the language anew whenever twice as many regions can be asked: a film may open with a song."""
        telling = [region for region in ready if overlap(region, self._film.speech) >= ENOUGH_SPEECH]
        if (self._language and not self._asked) or len(telling) < max(1, 2 * self._asked):
            return
        self._asked = len(telling)
        self._language, _ = find_language(ready, self._film.speech, self._recogniser.language_of)

    def _is_due(self, region: Region) -> bool:
        """Whether a region is to be heard: one of which nothing is shown yet, or one that has moved, for good."""
        if not self._language or (region, self._language) in self._done:
            return False
        is_shown = any(_meet(region, other) for other in self._shown)
        return not is_shown or is_level_known(region, self._film.known)

    def _hear(self, number: int, region: Region) -> None:
        heard = self._recogniser.heard(number, region, self._film.speech, self._language)
        self._done.add((region, self._language))
        self._shown = {other: there for other, there in self._shown.items() if not _meet(region, other)}
        self._shown[region] = heard
        self._is_written = False

    def _write(self) -> None:
        """Replace the subtitles, if there are new ones; of a long film, that is not done all the time."""
        started = time.monotonic()
        if self._is_written or started < self._next_writing:
            return
        text = subtitles_of([self._shown[region] for region in sorted(self._shown, key=_start)], self._offset)
        with replacing(self._subtitles) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
        self._is_written = True
        self._next_writing = time.monotonic() + _WRITING_SHARE * (time.monotonic() - started)


def subtitles_of(heard: Sequence[Heard], offset: Seconds) -> str:
    """The text of an `.srt` file of what was heard so far, on the film's clock.

    Args:
        heard: region by region, in order.
        offset: the time of the mix's first frame.
    """
    segments: Iterator[Segment] = (segment.on_film_clock(offset) for one in heard for segment in one.segments)
    found: list[Draft] = list(drafts(stream(segments, DEFAULT_RULES.line_length, sys.maxsize)))
    extent = Extent()
    for draft in found:
        extent.add(draft.speech)
    return "".join(srt.pieces(timed(found, extent)))


def follow(request: Request) -> None:
    """Follow the latest journal, for as long as there is an asker.

    Raises:
        StemscribeError: it cannot be done.
    """
    paths = {name: Path(path) for name, path in request.made.items()}
    models = {name: Path(path) for name, path in request.models.items()}
    while True:
        journal = latest_journal(Path(request.windows))
        if journal is None or (follower := _follower(journal)) is None:
            time.sleep(_PAUSE)
            continue
        with ExitStack() as opened:
            live = _opened(request, paths, models, opened.enter_context(follower), opened)
            while latest_journal(Path(request.windows)) == journal:
                if not live.go_on():
                    time.sleep(_PAUSE)


def latest_journal(folder: Path) -> Path | None:
    """The folder of the journal that was written last: another device that computes begins another one."""
    found: list[tuple[int, Path]] = []
    for lines in folder.glob(f"*/{LINES}"):
        with suppress(OSError):
            found.append((lines.stat().st_mtime_ns, lines.parent))
    return max(found)[1] if found else None


def _follower(journal: Path) -> Follower | None:
    """A journal to follow; `None` as long as there is not enough of it."""
    try:
        return Follower(journal)
    except (ValueError, OSError):
        return None


def _opened(
    request: Request, paths: Mapping[str, Path], models: Mapping[str, Path], follower: Follower, opened: ExitStack
) -> Live:
    ahead = Path(request.ahead)
    context = StageContext(
        job=request.job,
        inputs=paths,
        outputs={},
        models=models,
        environments=ahead,  # none is needed
        scratch=ahead,
        progress=lambda progress: None,
    )
    film = Finished(context, follower, opened)
    recogniser = Recogniser(context, opened, film.sounds, Hearings(ahead), keeps=True)
    return Live(context, film, recogniser, Path(request.subtitles))


def _meet(one: Region, other: Region) -> bool:
    return one.start < other.end and other.start < one.end


def _start(region: Region) -> Seconds:
    return region.start


def _step_back() -> None:
    """Let the separation go first, and have the system end this process and not that one when memory runs out."""
    with suppress(OSError, psutil.Error):
        if sys.platform == "win32":
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            os.nice(_NICENESS)
    with suppress(OSError):  # there is such a file on Linux only
        Path("/proc/self/oom_score_adj").write_text("1000")


def main() -> None:
    """Serve one request."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    leave_with(request.asker)
    _step_back()
    give_memory_back()
    try:
        with keeping_memory():
            follow(request)
    except StemscribeError as error:
        sys.exit(error.message)


if __name__ == "__main__":
    main()
