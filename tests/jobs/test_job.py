"""What a job.json may say, wherever it came from."""

from pathlib import Path

import pytest

from stemscribe.errors import RecordError
from stemscribe.jobs.job import Job, Options
from stemscribe.records import read_record, write_record


@pytest.fixture
def written(tmp_path: Path) -> Path:
    options = Options(start_time=1.5, end_time=90.0, threads=4)
    write_record(tmp_path / "job.json", Job("job-20261122-0001", "/in/film.mkv", "", "separate", "hi", "", "", options))
    return tmp_path / "job.json"


def test_a_job_is_read_as_it_was_written(written: Path) -> None:
    assert read_record(written, Job).options == Options(start_time=1.5, end_time=90.0, threads=4)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("start_time", "1e308"),
        ("start_time", "-1"),
        ("end_time", "1e8"),
        ("end_time", '"90"'),
        ("threads", "-1"),
        ("threads", "4294967296"),
        ("engine", '"abacus"'),
        ("stems", "null"),
    ],
)
def test_options_that_nobody_can_mean_are_refused(written: Path, field: str, value: str) -> None:
    lines = written.read_text().splitlines()
    (place,) = [index for index, line in enumerate(lines) if f'"{field}"' in line]
    lines[place] = f'"{field}": {value}' + "," * lines[place].endswith(",")
    written.write_text("\n".join(lines))
    with pytest.raises(RecordError, match=rf"is not a valid Job: .*\$\.options\.{field}"):
        read_record(written, Job)
