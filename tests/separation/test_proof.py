"""Whatever a writer may do to the stems, it does not go unnoticed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fakes import Array, noise
from stemscribe.audio.writer import StemWriter
from stemscribe.choices import ClipMode, StemFormat, StemSubtype
from stemscribe.errors import StorageError
from stemscribe.separation import finish, proof
from stemscribe.separation.checks import Doubt
from stemscribe.separation.finish import StemFiles, WrittenStem, write_stems
from stemscribe.separation.journal import Journal, Layout
from stemscribe.separation.proof import Proof, prove
from stemscribe.separation.windows import WindowPlan

FRAMES = 4700
PLAN = WindowPlan(FRAMES, 1000, 250)
FOUR = ("drums", "bass", "other", "vocals")
LOSSLESS: list[tuple[StemFormat, StemSubtype]] = [
    ("wav", "pcm16"),
    ("wav", "pcm24"),
    ("wav", "float"),
    ("flac", "pcm16"),
    ("flac", "pcm24"),
]
MIX = noise(FRAMES, seed=1, level=0.3)
VOCALS = noise(FRAMES, seed=2, level=0.1)


def proven(
    folder: Path,
    form: StemFormat = "wav",
    subtype: StemSubtype = "pcm16",
    clip_mode: ClipMode = "rescale",
    *,
    stems: tuple[str, ...] = ("vocals",),
    sound: Array = VOCALS[None],
    mix: Array = MIX,
    meanwhile: Callable[[Path], object] = lambda folder: None,
) -> tuple[dict[str, WrittenStem], Proof, tuple[Doubt, ...]]:
    """Commit `sound`, write the stems, let something happen to them, and prove them."""
    folder.mkdir(exist_ok=True)
    layout = Layout(PLAN, stems, 2)
    names = ("vocals", "accompaniment") if len(stems) == 1 else stems
    files = StemFiles({name: folder / f"{name}.{form}" for name in names}, 44100, form, subtype, clip_mode)
    with Journal(folder / "journal", layout) as journal:
        for window in PLAN.starting_at(journal.committed):
            cut = PLAN.finished(window)
            journal.commit(window, sound[..., window.start : cut], sound[..., cut : window.stop])
        written = write_stems(journal, layout, lambda first, stop: mix[:, first:stop], files)
        meanwhile(folder)
        return written, *prove(journal, layout, lambda first, stop: mix[:, first:stop], files, written)


@pytest.mark.parametrize("loudness", [1, 30])
@pytest.mark.parametrize(("form", "subtype"), LOSSLESS)
def test_what_was_written_well_is_proven(tmp_path: Path, form: StemFormat, subtype: StemSubtype, loudness: int) -> None:
    _, found, clicks = proven(tmp_path, form, subtype, sound=VOCALS[None] * np.float32(loudness))
    assert (found.frames, found.exact, clicks) == (FRAMES, True, ())
    assert found.largest_error is not None
    assert (0.5 if subtype != "float" else 0) <= found.largest_error <= 2.5


@pytest.mark.parametrize(("form", "subtype"), LOSSLESS)
def test_four_stems_are_proven_each_by_itself(tmp_path: Path, form: StemFormat, subtype: StemSubtype) -> None:
    sound = np.stack([noise(FRAMES, seed=seed, level=0.1 + 0.2 * seed) for seed in range(4)])
    _, found, _ = proven(tmp_path, form, subtype, stems=FOUR, sound=sound)
    assert found == Proof(FRAMES, exact=True)


@pytest.mark.parametrize("clip_mode", ["clamp", "none"])
@pytest.mark.parametrize(("form", "subtype"), LOSSLESS)
def test_what_is_cut_off_is_counted_and_not_called_an_error(
    tmp_path: Path, form: StemFormat, subtype: StemSubtype, clip_mode: ClipMode
) -> None:
    loud = VOCALS[None] * np.float32(5)
    written, found, _ = proven(tmp_path, form, subtype, clip_mode, sound=loud)
    highest = 0.99 if clip_mode == "clamp" else 1.0 if subtype != "float" else np.inf
    assert written["vocals"].cut_off == np.count_nonzero(np.abs(loud) > highest)
    assert found.exact
    assert (found.largest_error is None) == (highest < np.inf)


def test_of_mp3_the_length_is_proven(tmp_path: Path) -> None:
    assert proven(tmp_path, "mp3")[1] == Proof(FRAMES, exact=False)

    def shorter(folder: Path) -> None:
        with StemWriter(folder / "vocals.mp3", 44100, 2, 10, form="mp3") as writer:
            writer.write(VOCALS[:, :10])

    with pytest.raises(StorageError, match=r"vocals\.mp3 does not read back .* it has \d+ frames of 4700"):
        proven(tmp_path / "short", "mp3", meanwhile=shorter)


class Forgetful(StemWriter):
    """Loses its third block."""

    blocks = 0

    def write(self, block: Array) -> None:
        self.blocks += 1
        if self.blocks != 3:
            super().write(block)


class Silent(StemWriter):
    """Writes silence in the place of its third block."""

    blocks = 0

    def write(self, block: Array) -> None:
        self.blocks += 1
        super().write(block if self.blocks != 3 else block * np.float32(0))


class Shifted(StemWriter):
    """Writes each block a frame too late."""

    def write(self, block: Array) -> None:
        super().write(np.roll(block, 1, axis=-1))


class Quieter(StemWriter):
    """Writes at another gain."""

    def write(self, block: Array) -> None:
        super().write(block * np.float32(0.999))


class Twisted(StemWriter):
    """Takes left for right."""

    def write(self, block: Array) -> None:
        super().write(block[::-1])


class OnlyLast(StemWriter):
    """Is wrong about the very last sample."""

    def write(self, block: Array) -> None:
        block = block.copy()
        if self._frames + block.shape[-1] == FRAMES:
            block[1, -1] += np.float32(2**-14)
        super().write(block)


@pytest.mark.parametrize(("form", "subtype"), LOSSLESS)
@pytest.mark.parametrize("writer", [Forgetful, Silent, Shifted, Quieter, Twisted, OnlyLast])
def test_a_writer_that_writes_something_else_is_found_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    writer: type[StemWriter],
    form: StemFormat,
    subtype: StemSubtype,
) -> None:
    monkeypatch.setattr(finish, "StemWriter", writer)
    said = "it has 3950 frames of 4700" if writer is Forgetful else "was written"
    with pytest.raises(StorageError, match=rf"vocals\.{form} does not read back as what was written to it: .*{said}"):
        proven(tmp_path, form, subtype)
    monkeypatch.undo()
    assert proven(tmp_path, form, subtype)[1].exact  # from the same journal


@pytest.mark.parametrize(("form", "subtype"), LOSSLESS)
def test_the_lowest_bit_of_one_sample_is_missed(tmp_path: Path, form: StemFormat, subtype: StemSubtype) -> None:
    names: dict[StemSubtype, str] = {"pcm16": "PCM_16", "pcm24": "PCM_24", "float": "FLOAT"}

    def flip(folder: Path) -> None:
        path = folder / f"accompaniment.{form}"
        kind = "float32" if subtype == "float" else "int32"
        samples, rate = soundfile.read(path, dtype=kind)
        samples.view("int32")[2000, 1] ^= {"pcm16": 1 << 16, "pcm24": 1 << 8, "float": 1}[subtype]
        soundfile.write(path, samples, rate, subtype=names[subtype])

    with pytest.raises(
        StorageError, match=r"accompaniment\..*: at 0:00\.045 there is .* \(1 such frames in window 2\)"
    ):
        proven(tmp_path, form, subtype, meanwhile=flip)


def test_a_flipped_bit_on_the_disk_is_told_with_what_to_do(tmp_path: Path) -> None:
    def flip(folder: Path) -> None:
        damaged = bytearray((folder / "vocals.wav").read_bytes())
        damaged[10_000] ^= 0x40
        (folder / "vocals.wav").write_bytes(damaged)

    with pytest.raises(StorageError) as caught:
        proven(tmp_path, meanwhile=flip)
    assert caught.value.hint == (
        "Check the disk, and run the job again: it writes the stems again from the windows, which are safe."
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes()[:20]),
        lambda path: path.write_bytes(bytes(5000) + path.read_bytes()[5000:]),
        lambda path: path.unlink(),
        lambda path: soundfile.write(path, MIX[0], 44100),
    ],
    ids=["empty", "cut", "header", "overwritten", "gone", "mono"],
)
@pytest.mark.parametrize("form", ["wav", "flac"])
def test_a_file_that_cannot_be_read_is_none(tmp_path: Path, form: StemFormat, damage: Callable[[Path], None]) -> None:
    with pytest.raises(StorageError, match=rf"vocals\.{form}"):
        proven(tmp_path, form, meanwhile=lambda folder: damage(folder / f"vocals.{form}"))


def test_stems_that_are_what_was_computed_and_miss_the_mix_are_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gain is the same for both sides of the comparison; the mix is what it cannot fool."""
    monkeypatch.setattr(finish, "clip_gains", lambda peaks: {"vocals": 0.5, "accompaniment": 0.51})
    with pytest.raises(
        StorageError, match=r"vocals\.wav and accompaniment\.wav do not add up to the mix: in the window"
    ):
        proven(tmp_path)


def test_a_gain_that_is_recorded_otherwise_than_it_was_used_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "WrittenStem", lambda peak, gain, cut_off: WrittenStem(peak, gain * 0.99, cut_off))
    with pytest.raises(StorageError, match="was written"):
        proven(tmp_path)


@pytest.mark.parametrize("seam", [750, 1000, 3000, 3250])
def test_a_click_where_windows_meet_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seam: int) -> None:
    monkeypatch.setattr(proof, "CLICK_SURROUNDINGS", 100)
    wave = np.tile(np.sin(np.arange(FRAMES) / 50).astype(np.float32) * np.float32(0.2), (2, 1))
    clicking = wave.copy()
    clicking[:, seam:] += np.float32(0.3)
    *_, clicks = proven(tmp_path / "clicking", sound=clicking[None], mix=wave)
    assert [(doubt.kind, doubt.window, doubt.start) for doubt in clicks] == [
        ("click", seam // 750, round(seam / 44100, 6))
    ]
    *_, none = proven(tmp_path / "smooth", sound=wave[None], mix=wave)
    assert none == ()


def test_elsewhere_a_click_is_the_films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "CLICK_SURROUNDINGS", 100)
    sound = np.zeros((1, 2, FRAMES), np.float32)
    sound[..., 1400:] = 0.3
    assert proven(tmp_path, sound=sound, mix=np.zeros_like(MIX))[2] == ()
