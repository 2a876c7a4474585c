import hashlib
import os

from stemscribe.models.receipt import RECEIPT, FileCheck, check, is_known, read_receipt, see, write_receipt


def hashed(content):
    return hashlib.sha256(content).hexdigest()


def test_receipt_comes_back_as_it_was_written(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    receipt = {"a": see(tmp_path / "a", hashed(b"abc"))}
    write_receipt(tmp_path, receipt)
    assert read_receipt(tmp_path) == receipt


def test_lost_or_damaged_receipt_is_an_empty_one(tmp_path):
    assert read_receipt(tmp_path) == {}
    (tmp_path / RECEIPT).write_text("{", encoding="utf-8")
    assert read_receipt(tmp_path) == {}


def test_file_is_known_until_size_time_or_catalog_changes(tmp_path, file_of):
    path = tmp_path / "model.bin"
    path.write_bytes(b"abc")
    seen = see(path, hashed(b"abc"))
    assert is_known(path, file_of(b"abc"), seen)
    assert not is_known(path, file_of(b"abc"), None)
    assert not is_known(path, file_of(b"abd"), seen)
    os.utime(path, ns=(seen.mtime_ns + 1, seen.mtime_ns + 1))
    assert not is_known(path, file_of(b"abc"), seen)
    path.write_bytes(b"abcd")
    os.utime(path, ns=(seen.mtime_ns, seen.mtime_ns))
    assert not is_known(path, file_of(b"abc"), seen)
    path.unlink()
    assert not is_known(path, file_of(b"abc"), seen)


def test_check_hashes_what_is_there(tmp_path, file_of):
    path = tmp_path / "model.bin"
    file = file_of(b"abc")
    assert check(path, file, None) == FileCheck("model.bin", "missing", file.sha256)
    path.write_bytes(b"abc")
    assert check(path, file, None) == FileCheck("model.bin", "whole", file.sha256, file.sha256)
    path.write_bytes(b"abd")
    assert check(path, file, None) == FileCheck("model.bin", "damaged", file.sha256, hashed(b"abd"))
