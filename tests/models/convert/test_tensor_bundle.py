import numpy as np
import pytest

from models.convert.bundles import HEADER, bundle, crc32c, entry, nested, rows, table_of, varied
from stemscribe.models.convert.tensor_bundle import read_bundle

NUMBERS = np.arange(24, dtype="<f4")
FIRST = rows([(b"", HEADER)])


@pytest.fixture
def written(tmp_path):
    """Writes a checkpoint, and gives its path."""

    def write(content):
        path = tmp_path / "model.checkpoint"
        path.write_bytes(content)
        return path

    return write


def one(said, name=b"w", header=HEADER):
    """24 numbers, and a table that says this of the only tensor."""
    return NUMBERS.tobytes() + table_of([rows([(b"", header), (name, said)])])


def arrays_of(path):
    return {name: tensor.read().tolist() for name, tensor in read_bundle(path).items()}


def test_checksum_is_the_one_that_everybody_calls_crc_32c():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the catalogue of CRC algorithms


@pytest.mark.parametrize("per_block", [1, 2, 40])
def test_tensors_are_found_by_their_names_however_many_blocks_there_are(written, per_block):
    tensors = {
        "conv2d/bias": np.array([1.5, -2.0], np.float32),
        "conv2d/kernel": NUMBERS.reshape(2, 3, 4),
        "conv2d_1/bias": np.array([7.0], np.float32),
        "scalar": np.array(3.0, np.float32),
    }
    found = read_bundle(written(bundle(tensors, per_block=per_block)))
    assert {name: tensor.shape for name, tensor in found.items()} == {
        name: array.shape for name, array in tensors.items()
    }
    assert {name: tensor.read().tolist() for name, tensor in found.items()} == {
        name: array.tolist() for name, array in tensors.items()
    }


def test_table_may_have_more_places_to_begin_a_search_than_one(written):
    table = table_of([rows([(b"", HEADER), (b"w", entry([2], 4))], restarts=3)])
    assert arrays_of(written(NUMBERS.tobytes() + table)) == {"w": [1.0, 2.0]}


def test_what_is_no_weight_is_left_out(written):
    pairs = [(b"", HEADER), (b"global_step", entry([], 0, 8, kind=9)), (b"w", entry([2], 8))]
    assert arrays_of(written(NUMBERS.tobytes() + table_of([rows(pairs)]))) == {"w": [2.0, 3.0]}


def test_fields_that_are_not_known_are_passed_over(written):
    unknown = varied(30, 5) + nested(31, b"abc") + b"\xa1\x02" + bytes(8) + b"\xa5\x02" + bytes(4)
    assert arrays_of(written(one(entry([1], 4, more=unknown)))) == {"w": [1.0]}


@pytest.mark.parametrize("bytes_left", [0, 1, 47, 48, 60])
def test_file_without_its_end_or_its_beginning_is_refused(written, bytes_left):
    content = bundle({"w": NUMBERS})
    with pytest.raises(ValueError, match="does not end in the table of a checkpoint"):
        read_bundle(written(content[:bytes_left]))
    with pytest.raises(ValueError, match=r"the table|its table is larger"):
        read_bundle(written(content[len(content) - bytes_left :]))


def test_numbers_that_are_cut_short_are_refused(written):
    content = bundle({"w": NUMBERS})
    with pytest.raises(ValueError, match="the numbers of w are missing or cut short"):
        read_bundle(written(content[4:]))


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (entry([2], 92), "numbers of w are missing or cut short"),
        (entry([2], 0, 4), "numbers of w are missing or cut short"),
        (entry([2**63, 2], 0, 8), "numbers of w are missing or cut short"),
        (entry([1] * 9, 0), "too many dimensions"),
        (entry([2], 0, shard=1), "in several pieces, or in another file"),
        (entry([2], 0, more=nested(7, b"")), "in several pieces, or in another file"),
        (entry([2], 0)[:-2], "cut short"),
        (b"\x0b", "an entry that is none"),
        (b"\x08" + b"\xff" * 10, "a number without an end"),
    ],
)
def test_tensor_that_cannot_be_is_refused(written, said, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_bundle(written(one(said)))


@pytest.mark.parametrize("header", [varied(1, 2), varied(1, 1) + varied(2, 1), b""])
def test_other_kinds_of_checkpoint_are_refused(written, header):
    with pytest.raises(ValueError, match="in several files, or those of a big-endian machine"):
        read_bundle(written(one(entry([1], 0), header=header)))


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (table_of([rows([(b"w", entry([1], 0))])]), "has no header"),
        (table_of([]), "has no header"),
        (table_of([FIRST], compression=1), "is compressed"),
        (table_of([FIRST], damage=1), "a checksum is wrong"),
        (table_of([FIRST, FIRST], [(0, len(FIRST))] * 2), "do not follow each other"),
        (table_of([FIRST], [(0, 2**60)]), "lies outside"),
        (table_of([rows([(b"", HEADER), (b"w" * 300, b"")])]), "a name that is none"),
        (table_of([b"\x00\x00\x00\x00\xff\xff\xff\xff"]), "a block of its table is damaged"),
        (table_of([b"\x05\x00\x00" + bytes(4) + b"\x01\x00\x00\x00"]), "a name that is none"),
        (table_of([b"\x00\x00\x09" + bytes(4) + b"\x01\x00\x00\x00"]), "cut short"),
    ],
)
def test_table_that_cannot_be_is_refused(written, table, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_bundle(written(table))
